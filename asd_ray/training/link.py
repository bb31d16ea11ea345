"""The commanding end of a lane: gives it commands, and sends again what a restart of its workers lost."""

import time
from collections.abc import Sequence
from typing import Any

import ray

from asd_ray.training.mailbox import Answer, Closed, Lost
from asd_ray.training.trial import Order, Report

START_S = 600.0  # a worker group takes ten seconds, on a crowded machine minutes
WAIT_S = 2.0  # between signs of life of an owner
Handle = Any  # of a Mailbox actor; Ray's own type hides its methods


class LaneError(Exception):
    """The lane cannot serve any more."""


class Link:
    """Gives one lane its commands, and sends again what a restart of its workers lost."""

    RESENDS = 2  # a trial that kills its workers more often than this has failed

    def __init__(self, mailbox: Handle, owner: str) -> None:
        self.mailbox, self.owner = mailbox, owner
        self._life = ""
        self._order: dict[str, Any] = {}

    def start(self, order: Order) -> Report:
        """Begin a trial. Raises LaneError when the lane has ended or serves another owner."""
        if not ray.get(self.mailbox.acquire.remote(self.owner)):
            raise LaneError("it has ended, or serves another trial")
        self._order = {"order": order}
        return self._start()

    def epoch(self, to: int) -> Report:
        """The report of an epoch, or `{"failed": why}`. Raises LaneError when the lane has ended."""
        for _ in range(1 + self.RESENDS):
            got = self._call("epoch", {"to": to}, life=self._life)
            if got is not None:
                return got.value
            again = self._start()
            if "failed" in again:
                return again
        return {"failed": f"its worker died {1 + self.RESENDS} times in epoch {to}"}

    def release(self) -> None:
        ray.get(self.mailbox.release.remote(self.owner))

    def _start(self) -> Report:
        for _ in range(1 + self.RESENDS):
            got = self._call("start", self._order, life="")
            if got is not None:
                self._life = got.life
                return got.value
        return {"failed": f"its worker died {1 + self.RESENDS} times while it began"}

    def _call(self, name: str, arguments: dict[str, Any], *, life: str) -> Answer | None:
        """The answer, or None when the command was lost with its workers."""
        number: int = ray.get(self.mailbox.send.remote(self.owner, life, name, arguments))
        while True:
            got: Any = ray.get(self.mailbox.wait.remote(number, WAIT_S))
            if isinstance(got, Closed):
                raise LaneError(got.why)
            if isinstance(got, Lost):
                return None
            if got is not None:
                assert isinstance(got, Answer)
                if "broken" in got.value:
                    raise LaneError(got.value["broken"])
                return got


def acquire(mailboxes: Sequence[Handle], owner: str) -> Link:
    """A link to a free lane; waits for one. Raises LaneError when all lanes have ended, or none comes up."""
    end = time.monotonic() + START_S
    while True:
        closed = []
        for mailbox in mailboxes:
            if ray.get(mailbox.acquire.remote(owner)):
                return Link(mailbox, owner)
            about = ray.get(mailbox.about.remote())
            closed.append(about["closed"])
            if about["lives"]:
                end = time.monotonic() + START_S  # it came up; a lane may be in use for long
        if all(closed):
            raise LaneError(f"every lane has ended; the last one: {closed[-1]}")
        if time.monotonic() > end:
            raise LaneError(f"no lane came up within {START_S:.0f} s")
        time.sleep(0.1)
