"""Whoever ends a command, it says so, ends with the status that shells expect, and can be hurried."""

import signal
import subprocess
import sys

import pytest

from asd_ray import interrupts

CODE = """
import sys, time
from asd_ray.interrupts import interruptible, own_signals, status_of
try:
    with interruptible("putting away"):
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt as interrupt:
    if "slow" in sys.argv:
        time.sleep(60)
    sys.exit(status_of(interrupt))
"""


def begin(*arguments: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [*arguments, sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_answered_and_is_the_status(number: int, status: int) -> None:
    process = begin()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (status, "\nputting away\n")


def test_nobody_who_reads_is_no_other_status() -> None:
    process = begin()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143


def test_under_nohup_a_terminal_that_is_closed_ends_nothing() -> None:
    process = begin("nohup")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_a_library_that_takes_a_signal_for_itself_has_it_for_a_block_only() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.own_signals():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        shown = subprocess.run(
            [sys.executable, "-c", "import signal; print(repr(signal.getsignal(signal.SIGHUP)))"],
            capture_output=True,
            text=True,
        ).stdout
    assert signal.getsignal(signal.SIGTERM) is before
    assert "SIG_IGN" in shown  # what is started within lives on when the terminal is closed
