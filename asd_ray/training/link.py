"""The commanding end of a lane: gives it commands, and sends again what a restart of its workers lost."""

import time
from collections.abc import Sequence
from typing import Any

import ray

from asd_ray.training.mailbox import Answer, Closed, Lost
from asd_ray.training.trial import Order, Report

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
        self._resent = 0

    def start(self, order: Order) -> Report:
        self._resent = 0
        self._order = {"order": order}
        return self._start()

    def epoch(self, to: int) -> Report:
        """The report of an epoch, or `{"failed": why}`. Raises LaneError when the lane has ended."""
        while True:
            got = self._call("epoch", {"to": to}, life=self._life)
            if got is not None:
                return got.value
            self._resent += 1
            if self._resent > self.RESENDS:
                return {"failed": f"its worker died {self._resent} times in epoch {to}"}
            again = self._start()
            if "failed" in again:
                return again

    def release(self) -> None:
        ray.get(self.mailbox.release.remote(self.owner))

    def _start(self) -> Report:
        while True:
            got = self._call("start", self._order, life="")
            if got is not None:
                self._life = got.life
                return got.value

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
                return got


def acquire(mailboxes: Sequence[Handle], owner: str) -> Link:
    """A link to a free lane; waits for one. Raises LaneError when all lanes have ended."""
    while True:
        closed = []
        for mailbox in mailboxes:
            if ray.get(mailbox.acquire.remote(owner)):
                return Link(mailbox, owner)
            closed.append(ray.get(mailbox.about.remote())["closed"])
        if all(closed):
            raise LaneError(f"every lane has ended; the last one: {closed[-1]}")
        time.sleep(0.1)
