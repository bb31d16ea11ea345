"""The commanding end of a lane: gives it commands, and sends again what a restart of its workers lost."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from asd_ray.lanes.mailbox import Answer, Closed, Lost, Open
from asd_ray.training.messages import Order, Report

START_S = 600.0  # a worker group takes ten seconds, on a crowded machine minutes
WAIT_S = 2.0  # between signs of life of an owner
# An epoch has hung that takes this many times as long as the slowest so far, and not less than so many seconds.
TIMES_SLOWEST = 10.0
SHORTEST_S = 60.0
FIRST_S = 3600.0  # before any epoch was measured
Handle = Any  # of a Mailbox actor; Ray's own type hides its methods


def kept_under(*names: str) -> bytes:
    """The key of something that the driver and its workers share through Ray's own store."""
    return "/".join(("asd_ray", ray.get_runtime_context().get_job_id(), *names)).encode()


def list_lanes(names: Sequence[str]) -> None:
    """Note which lanes there are, for whoever looks for one."""
    _internal_kv_put(kept_under("lanes"), " ".join(names).encode(), overwrite=True)


def listed_lanes() -> list[Handle]:
    """The mailboxes of the lanes that are listed, as far as they exist."""
    found = []
    for name in (_internal_kv_get(kept_under("lanes")) or b"").decode().split():
        try:
            found.append(ray.get_actor(name))
        except ValueError:  # it has gone since
            continue
    return found


class LaneError(Exception):
    """The lane cannot serve any more."""


class LaneStuckError(LaneError):
    """The lane fell silent over a command: its node died, or what it was told to do stopped its workers."""


class Link:
    """Gives one lane its commands, and sends again what a restart of its workers lost.

    A command that takes too long has hung: its workers are killed, and the trial has failed. How long is too
    long follows from the epochs that this lane has trained so far, unless `deadline` (seconds) says it.
    """

    RESENDS = 2  # a trial that kills its workers more often than this has failed

    def __init__(self, mailbox: Handle, owner: str, *, deadline: float | None = None) -> None:
        self.mailbox, self.owner = mailbox, owner
        self._deadline = deadline
        self._slowest = 0.0  # seconds, of the epochs trained so far
        self._life = ""
        self._lane = ""
        self._order: dict[str, Any] = {}

    @property
    def lane(self) -> str:
        """The name of the lane; asked for once, after it has served."""
        self._lane = self._lane or ray.get(self.mailbox.about.remote())["name"]
        return self._lane

    def hold(self) -> bool:
        """Whether the lane still serves this owner."""
        held: bool = ray.get(self.mailbox.acquire.remote(self.owner))
        return held

    def start(self, order: Order) -> Report:
        """Begin a trial. Raises LaneError when the lane has ended or serves another owner."""
        if not self.hold():
            raise LaneError("it has ended, or serves another trial")
        self._order = {"order": order}
        return self._start()

    def epoch(self, to: int) -> Report:
        """The report of an epoch, or `{"failed": why}`, with `lost` where its workers died or hung, or
        `{"broken": why}` where the disk is at fault.

        Raises LaneError when the lane has ended.
        """
        why = ""
        for _ in range(1 + self.RESENDS):
            got = self._call("epoch", {"to": to}, life=self._life)
            if isinstance(got, Answer):
                self._slowest = max(self._slowest, got.value.get("seconds", 0.0))
                return got.value
            why = got.why
            again = self._start()
            if "failed" in again or "broken" in again:
                return again
        return _lost(f"its worker died {1 + self.RESENDS} times in epoch {to}{_because(why)}")

    def release(self) -> None:
        ray.get(self.mailbox.release.remote(self.owner))

    @property
    def patience(self) -> float:
        """Seconds after which a command has hung."""
        if self._deadline is not None:
            return self._deadline
        return max(SHORTEST_S, TIMES_SLOWEST * self._slowest) if self._slowest else FIRST_S

    def _start(self) -> Report:
        why = ""
        for _ in range(1 + self.RESENDS):
            got = self._call("start", self._order, life="")
            if isinstance(got, Answer):
                self._life = got.life
                return got.value
            why = got.why
        return _lost(f"its worker died {1 + self.RESENDS} times while it began{_because(why)}")

    def _call(self, name: str, arguments: dict[str, Any], *, life: str) -> Answer | Lost:
        """The answer, or Lost when the command was lost with its workers."""
        task = self._name_task(name, arguments)
        number: int = ray.get(self.mailbox.send.options(name=task).remote(self.owner, life, name, arguments))
        sent = time.monotonic()
        while True:
            got: Any = ray.get(self.mailbox.wait.options(name=task).remote(number, WAIT_S))
            if isinstance(got, Closed):
                if got.taken:  # stuck where no thread can beat: Train starts them anew
                    self._kill_workers()
                    raise LaneStuckError(got.why)
                raise LaneError(got.why)
            if isinstance(got, Open):
                if got.seconds is None and time.monotonic() - sent > START_S:
                    raise LaneError(f"its workers did not come up within {START_S:.0f} s")
                if got.seconds is not None and got.seconds > self.patience:
                    return self._end_hung(name, arguments)
                continue
            assert isinstance(got, Answer | Lost)
            return got

    def _name_task(self, command: str, arguments: dict[str, Any]) -> str:
        """What Ray's dashboard and timeline call a command: `fan-3 epoch 2`."""
        return f"{self._order['order'].name or self.owner} {_words_of(command, arguments)}"

    def _end_hung(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Kill the workers; Train starts them anew for the next trial."""
        what = _words_of(name, arguments)
        self._kill_workers()
        return Answer("", _lost(f"it hung: {what} had not ended after {self.patience:.0f} s"))

    def _kill_workers(self) -> None:
        for worker in ray.get(self.mailbox.about.remote())["workers"]:
            ray.kill(worker)


def _lost(why: str) -> Report:
    """A failure that befell the trial: unlike what it does itself, another time it may not."""
    return {"failed": why, "lost": True}


def _words_of(command: str, arguments: dict[str, Any]) -> str:
    """`epoch 2`; `start`."""
    return f"{command} {arguments['to']}" if "to" in arguments else command


def _because(why: str) -> str:
    return f": {why}" if why else ""


def acquire(find_lanes: Callable[[], Sequence[Handle]], owner: str, *, deadline: float | None = None) -> Link:
    """A link to a free lane; waits for one. Raises LaneError when all lanes have ended, or none comes up."""
    end = time.monotonic() + START_S
    while True:
        closed = []
        for mailbox in find_lanes():
            if ray.get(mailbox.acquire.remote(owner)):
                return Link(mailbox, owner, deadline=deadline)
            about = ray.get(mailbox.about.remote())
            closed.append(about["closed"])
            if about["lives"] and not about["silent"]:
                end = time.monotonic() + START_S  # it came up; a lane may be in use for long
        if closed and all(closed):
            raise LaneError(f"every lane has ended; the last one: {closed[-1]}")
        if time.monotonic() > end:
            raise LaneError(f"no lane came up within {START_S:.0f} s")
        time.sleep(0.1)
