"""How a command ends on Ctrl-C: it says what it does, and puts its work away. A second Ctrl-C kills."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from asd_ray.errors import INTERRUPTED

SHOW_CURSOR = b"\x1b[?25h"  # a live view hides it


def say_at_once(text: str) -> None:
    """From a signal handler: print() may be what was interrupted."""
    os.write(sys.stderr.fileno(), f"\n{text}\n".encode())


@contextmanager
def interruptible(farewell: str, *, say: Callable[[str], None] = say_at_once) -> Iterator[None]:
    """Ctrl-C says `farewell` and raises KeyboardInterrupt, once; a second one ends this process at once.

    The second one also kills the processes that this one has started, and waits for nothing.
    """

    def first(number: int, frame: Any) -> NoReturn:
        signal.signal(signal.SIGINT, second)
        say(farewell)
        raise KeyboardInterrupt

    def second(number: int, frame: Any) -> NoReturn:
        import psutil

        for process in psutil.Process().children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), SHOW_CURSOR)
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
