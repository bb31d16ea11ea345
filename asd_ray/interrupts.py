"""How a command ends when somebody, or the system, wants it to: it says so, and puts its work away.

Ctrl-C sends SIGINT; `docker stop`, Kubernetes and Slurm send SIGTERM; a terminal that is closed sends SIGHUP.
Whichever comes second ends the command at once.
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
    """A signal wants this command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = status_after(number)  # of the process: 130, 143 or 129


def status_after(number: int) -> int:
    """The exit status of a command that a signal has ended, as shells have it."""
    return 128 + number


def status_of(interrupt: KeyboardInterrupt) -> int:
    """The exit status of a command that was interrupted."""
    return interrupt.status if isinstance(interrupt, Interrupted) else status_after(signal.SIGINT)


def say_at_once(text: str) -> None:
    """From a signal handler: print() may be what was interrupted."""
    os.write(sys.stderr.fileno(), f"\n{text}\n".encode())


@contextmanager
def interruptible(farewell: str = "", *, say: Callable[[str], None] = say_at_once) -> Iterator[None]:
    """Within the block the first signal says `farewell` and raises Interrupted; a second one ends the process.

    The second one also kills the processes that this one has started, and waits for nothing. A SIGHUP that is
    ignored already, as under `nohup`, stays ignored.
    """

    def first(number: int, frame: Any) -> NoReturn:
        for other in before:
            signal.signal(other, second)
        if farewell:
            with suppress(OSError):  # nobody may be left to read it
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
    """What handles signals now does so after the block, too, whatever a library puts in its place meanwhile.

    Processes that are started within the block live on when the terminal is closed: this one puts them away.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no library can change anything either
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
