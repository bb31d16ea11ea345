"""How a command ends when somebody, or the system, interrupts it: it says so, and saves its work.

Ctrl-C sends SIGINT; `docker stop`, Kubernetes and Slurm send SIGTERM; closing a terminal sends SIGHUP.
A second signal of any kind ends the command at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

SHOW_CURSOR = b"\x1b[?25h"  # a live view hides it
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asks this command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = status_after(number)  # of the process: 130, 143 or 129


def status_after(number: int) -> int:
    """The exit status of a command that a signal has ended, by the convention of shells."""
    return 128 + number


def status_of(interrupt: KeyboardInterrupt) -> int:
    """The exit status of a command that was interrupted."""
    return interrupt.status if isinstance(interrupt, Interrupted) else status_after(signal.SIGINT)


def say_at_once(text: str) -> None:
    """Write from a signal handler, where print() is unsafe: the signal may have interrupted a print()."""
    os.write(sys.stderr.fileno(), f"\n{text}\n".encode())


@contextmanager
def interruptible(farewell: str = "", *, say: Callable[[str], None] = say_at_once) -> Iterator[None]:
    """Within the block, the first signal says `farewell` and raises Interrupted; a second one ends the process.

    The second signal also kills the processes that this one has started, and waits for nothing. If SIGHUP is
    already ignored, as under `nohup`, it stays ignored.
    """

    def first(number: int, frame: Any) -> NoReturn:
        for other in before:
            signal.signal(other, second)
        if farewell:
            with suppress(OSError):  # there may be no terminal left to write to
                say(farewell)
        raise Interrupted(number)

    def second(number: int, frame: Any) -> NoReturn:
        import psutil

        for process in psutil.Process().children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), SHOW_CURSOR)
        os._exit(status_after(number))

    caught = [
        number for number in ENDING if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.getsignal(number) for number in caught}
    for number in caught:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def own_signals() -> Iterator[None]:
    """Restore the signal handlers after the block, whatever handlers a library installs meanwhile.

    Processes started within the block survive the closing of the terminal: this process ends them itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # outside the main thread, no library can install handlers either
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
