"""A mailbox between a link, which gives commands, and one group of Train workers. It is plain asyncio; lane.py
makes it an actor.

One command is open at a time. A `life` names one start of the worker group: when a worker has died and the group
starts anew, it says hello with a new life. The open command then counts as lost, and the link can send it again.
`stop` is sticky: it also reaches a group that is starting anew.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from asd_ray.training.messages import Answer, Command, Quit

STALE_S = 10.0  # an owner that has been silent for this long has died
STUMBLES = 3  # the mailbox closes once its workers have failed to come up this often in a row
SILENT_S = 30.0  # a worker group that has been silent for this long has died, usually with its node


class LaneEnd(Enum):
    """Why a lane has ended."""

    QUIT = "asked to quit"
    RETIRED = "no trial is left for it"
    NO_ROOM = "it found no room"
    MACHINE_GONE = "its machine has gone"
    ABANDONED = "the search has ended"
    NOT_STARTED = "its workers cannot start"
    NO_CLIPS = "the clips cannot be read"
    FAILED = "its Train run has failed"


@dataclass(frozen=True, slots=True)
class Closing:
    """How a lane has ended; `details` tells people more, or is empty."""

    end: LaneEnd
    details: str = ""

    def __str__(self) -> str:
        return f"{self.end.value}: {self.details}" if self.details else self.end.value


@dataclass(frozen=True, slots=True)
class Numbered:
    """A command that is open."""

    number: int
    command: Command


@dataclass(frozen=True, slots=True)
class Answered:
    """The workers have answered; `life` says which start of the group the answer came from."""

    life: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Lost:
    """The command will get no answer: the group started anew, or the mailbox has another owner."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Open:
    """The command has no answer yet; `seconds` since the workers took it, or None if they have not."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The group has ended, serves somebody else, or is silent; `taken`: it fell silent over the command."""

    why: str
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """What a mailbox knows of its lane."""

    name: str
    lives: int  # how often its group has come up
    workers: tuple[Any, ...]  # handles of the present workers, by which Ray can kill them
    nodes: tuple[str, ...]  # the nodes that the workers are on
    closed: Closing | None
    silent: bool


NOT_OWNED = -1  # the number of a command that was refused


class Mailbox:
    def __init__(self, name: str = "") -> None:
        """`name` is the name of its lane."""
        self._name = name
        self._changed = asyncio.Condition()
        self._life = ""
        self._lives = 0
        self._stumbles = 0
        self._workers: tuple[str, dict[Any, str]] = ("", {})  # their life, then handle -> node
        self._death = ""  # why the present group ends; empty unless it is known to end
        self._lost_why = ""
        self._number = 0
        self._open: Numbered | None = None
        self._answer: Answer | None = None
        self._lost = False
        self._taken: float | None = None  # when the workers took the open command
        self._owner = ""
        self._owner_seen = 0.0
        self._beat = 0.0
        self._closed: Closing | None = None
        self._stopping = False

    # -- the workers' side

    async def enlist(self, life: str, worker: Any, node: str) -> None:
        """Note a worker of a group that is coming up: the handle by which Ray can kill it, and its node."""
        before = self._workers[1] if self._workers[0] == life else {}
        self._workers = (life, {**before, worker: node})

    async def died(self, why: str) -> None:
        """Note why a worker died, or is about to; Train will start the group anew.

        Keep the first reason: later ones are usually consequences.
        """
        self._death = self._death or why

    async def hello(self, life: str) -> None:
        """Note that the worker group has started, or restarted; a command without an answer is then lost."""
        self._life, self._lives, self._beat = life, self._lives + 1, time.monotonic()
        self._stumbles = 0
        if self._open is not None and self._answer is None:
            self._lost, self._lost_why = True, self._death
        self._open, self._death = None, ""
        self._quit_if_stopping()
        await self._notify()

    async def stumbled(self, why: str) -> bool:
        """Note that a worker failed before its hello. STUMBLES in a row close the mailbox; True once closed."""
        self._stumbles += 1
        if self._stumbles >= STUMBLES:
            await self.close(Closing(LaneEnd.NOT_STARTED, why))
        return self._closed is not None

    async def beat(self, life: str) -> bool:
        """Note a sign of life; False if this mailbox has been restarted, and so does not know the group."""
        if life == self._life:
            self._beat = time.monotonic()
        return life == self._life

    async def next(self, life: str, after: int, timeout: float) -> Numbered | None:
        """The open command, if it is newer than `after`. Raises RuntimeError for workers of an earlier life."""
        if life != self._life:
            raise RuntimeError("this worker group has been replaced")
        await self._until(lambda: self._open is not None and self._open.number > after, timeout)
        if self._open is None or self._open.number <= after:
            return None
        self._taken = time.monotonic()
        return self._open

    async def answer(self, life: str, number: int, answer: Answer | None) -> None:
        """Note the answer to a command; Quit has the answer None."""
        if life == self._life and number == self._number:
            self._answer, self._open = answer, None
            self._quit_if_stopping()
            await self._notify()

    # -- the owner's side

    async def acquire(self, owner: str) -> bool:
        """Take the mailbox, if it is free or its owner has died, and its group answers."""
        if self._closed is not None or self._stopping or not self._life or self._silent():
            return False
        if self._owner in ("", owner) or time.monotonic() - self._owner_seen > STALE_S:
            self._owner, self._owner_seen = owner, time.monotonic()
            return True
        return False

    async def release(self, owner: str) -> None:
        if self._owner == owner:
            self._owner = ""

    async def send(self, owner: str, life: str, command: Command) -> int:
        """Open a command and return its number. The command is lost at once if `life` is given and over."""
        if not self._owner:  # Ray restarted this mailbox, so it has forgotten its owner
            self._owner = owner

        def free() -> bool:
            self._owner_seen = time.monotonic()  # an owner that waits is alive
            return self._open is None or self._closed is not None or self._silent()

        if owner == self._owner:
            await self._until(free, None)
        if owner != self._owner:
            return NOT_OWNED
        self._number, self._answer, self._taken = self._number + 1, None, None
        self._lost = self._stopping or (life != "" and life != self._life)
        if not self._lost:
            self._open = Numbered(self._number, command)
        await self._notify()
        return self._number

    async def wait(self, number: int, timeout: float) -> Answered | Lost | Closed | Open:
        """What became of a command; Open if nothing has after `timeout` seconds."""
        if number == NOT_OWNED:
            return Closed("it serves another owner")
        self._owner_seen = time.monotonic()
        await self._until(lambda: self._answer is not None or self._lost or self._closed is not None, timeout)
        if number == self._number and self._answer is not None:
            return Answered(self._life, self._answer)
        if self._closed is not None:  # checked before Lost, or the link would send the command again and again
            return Closed(str(self._closed))
        if number != self._number or self._lost:
            return Lost(self._lost_why)
        if self._silent():
            why = self._death or f"no sign of life from its workers for {SILENT_S:.0f} s"
            return Closed(why, taken=self._taken is not None)
        return Open(None if self._taken is None else time.monotonic() - self._taken)

    # -- the driver's side

    async def stop(self) -> None:
        self._stopping = True
        self._quit_if_stopping()
        await self._notify()

    async def retire(self) -> bool:
        """Stop, unless a trial is at work here; True if it stops. An owner between trials finds another lane."""
        busy = self._open is not None or (self._owner and time.monotonic() - self._owner_seen <= STALE_S)
        if not busy:
            await self.stop()
        return not busy

    async def close(self, closing: Closing) -> None:
        """Note that the lane has ended. Keep the first reason: later ones are usually consequences."""
        self._closed = self._closed or closing
        await self._notify()

    async def state(self) -> LaneState:
        return LaneState(
            name=self._name,
            lives=self._lives,
            workers=tuple(self._workers[1]),
            nodes=tuple(sorted(set(self._workers[1].values()))),
            closed=self._closed,
            silent=self._silent(),
        )

    # -- inside

    def _silent(self) -> bool:
        return self._beat > 0 and time.monotonic() - self._beat > SILENT_S

    def _quit_if_stopping(self) -> None:
        if self._stopping and self._open is None:
            self._number += 1
            self._open = Numbered(self._number, Quit())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, ready: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `ready`, or for `timeout` seconds; check `ready` each second, so as to notice silence."""
        end = None if timeout is None else time.monotonic() + timeout
        async with self._changed:
            while not ready() and (end is None or time.monotonic() < end):
                left = 1.0 if end is None else min(1.0, end - time.monotonic())
                try:
                    await asyncio.wait_for(self._changed.wait(), max(left, 0.001))
                except TimeoutError:
                    continue
