"""The commanding end of a lane: it gives commands, and repeats those that a restart of the workers lost."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray

from asd_ray.cluster.ray_internals import get_shared, put_shared
from asd_ray.lanes.mailbox import Answered, Closed, LaneState, Lost, Open
from asd_ray.training.messages import Answer, End, Ending, EpochReport, Start, Started, TrainTo, TrialOrder

START_S = 600.0  # a worker group takes ten seconds to start, on a crowded machine minutes
WAIT_S = 2.0  # an owner gives a sign of life this often
# An epoch counts as hung after TIMES_SLOWEST times the slowest epoch so far, but not before SHORTEST_S.
TIMES_SLOWEST = 10.0
SHORTEST_S = 60.0
FIRST_S = 3600.0  # the limit before any epoch has been measured
Handle = Any  # of a Mailbox actor; Ray's own type hides its methods


def _shared_key() -> bytes:
    """The key under which the driver and its workers share the names of lanes in Ray's own store."""
    return f"asd_ray/{ray.get_runtime_context().get_job_id()}/lanes".encode()


def list_lanes(names: Sequence[str]) -> None:
    """Publish the names of the lanes, so that trials can find a free one."""
    put_shared(_shared_key(), " ".join(names).encode())


def listed_lanes() -> list[Handle]:
    """The mailboxes of the listed lanes that still exist."""
    found = []
    for name in (get_shared(_shared_key()) or b"").decode().split():
        try:
            found.append(ray.get_actor(name))
        except ValueError:  # the lane has gone since it was listed
            continue
    return found


class LaneError(Exception):
    """The lane cannot serve any more."""


class LaneStuckError(LaneError):
    """The lane fell silent over a command: its node died, or the command stopped its workers."""


class Link:
    """Gives one lane its commands, and repeats those that a restart of the workers lost.

    A command that takes too long has hung: the link kills the workers, and the trial has failed. The limit follows
    from the epochs that this link has trained so far, unless `deadline` (in seconds) sets it.
    """

    RESENDS = 2  # a trial fails if its workers die more often than this over one command

    def __init__(self, mailbox: Handle, owner: str, *, deadline: float | None = None) -> None:
        self.mailbox, self.owner = mailbox, owner
        self._deadline = deadline
        self._slowest = 0.0  # seconds that the slowest epoch so far took
        self._life = ""
        self._lane = ""
        self._start_command: Start | None = None

    @property
    def lane(self) -> str:
        """The name of the lane; the first call asks the mailbox, later ones remember."""
        self._lane = self._lane or state_of(self.mailbox).name
        return self._lane

    def hold(self) -> bool:
        """Whether the lane still serves this owner."""
        held: bool = ray.get(self.mailbox.acquire.remote(self.owner))
        return held

    def start(self, order: TrialOrder) -> Started | Ending:
        """Begin a trial. Raises LaneError when the lane has ended or serves another owner."""
        if not self.hold():
            raise LaneError("it has ended, or serves another trial")
        self._start_command = Start(order)
        return self._start()

    def epoch(self, to: int) -> EpochReport | Ending:
        """The report of an epoch, or why the trial cannot go on. Raises LaneError when the lane has ended."""
        why = ""
        for _ in range(1 + self.RESENDS):
            got = self._call(TrainTo(to), life=self._life)
            if isinstance(got, Answered):
                assert isinstance(got.answer, EpochReport | Ending)
                if isinstance(got.answer, EpochReport):
                    self._slowest = max(self._slowest, got.answer.seconds)
                return got.answer
            why = got.why
            again = self._start()
            if isinstance(again, Ending):
                return again
        return Ending(End.LOST, f"its worker died {1 + self.RESENDS} times in epoch {to}{_because(why)}")

    def release(self) -> None:
        ray.get(self.mailbox.release.remote(self.owner))

    @property
    def patience(self) -> float:
        """How many seconds a command may take before it counts as hung."""
        if self._deadline is not None:
            return self._deadline
        return max(SHORTEST_S, TIMES_SLOWEST * self._slowest) if self._slowest else FIRST_S

    def _start(self) -> Started | Ending:
        assert self._start_command is not None
        why = ""
        for _ in range(1 + self.RESENDS):
            got = self._call(self._start_command, life="")
            if isinstance(got, Answered):
                assert isinstance(got.answer, Started | Ending)
                self._life = got.life
                return got.answer
            why = got.why
        return Ending(End.LOST, f"its worker died {1 + self.RESENDS} times while it began{_because(why)}")

    def _call(self, command: Start | TrainTo, *, life: str) -> Answered | Lost:
        """The answer, or Lost when the command was lost with its workers."""
        task = self._name_task(command)
        number: int = ray.get(self.mailbox.send.options(name=task).remote(self.owner, life, command))
        sent = time.monotonic()
        while True:
            got: Any = ray.get(self.mailbox.wait.options(name=task).remote(number, WAIT_S))
            if isinstance(got, Closed):
                if got.taken:  # the workers are so stuck that no thread can beat: Train will start them anew
                    self._kill_workers()
                    raise LaneStuckError(got.why)
                raise LaneError(got.why)
            if isinstance(got, Open):
                if got.seconds is None and time.monotonic() - sent > START_S:
                    raise LaneError(f"its workers did not come up within {START_S:.0f} s")
                if got.seconds is not None and got.seconds > self.patience:
                    return self._end_hung(command)
                continue
            assert isinstance(got, Answered | Lost)
            return got

    def _name_task(self, command: Start | TrainTo) -> str:
        """What Ray's dashboard and timeline call a command: `fan-3 epoch 2`."""
        assert self._start_command is not None
        return f"{self._start_command.order.name or self.owner} {command}"

    def _end_hung(self, command: Start | TrainTo) -> Answered:
        """Kill the workers, which Train then starts anew for the next trial."""
        self._kill_workers()
        hung: Answer = Ending(End.LOST, f"it hung: {command} had not ended after {self.patience:.0f} s")
        return Answered("", hung)

    def _kill_workers(self) -> None:
        for worker in state_of(self.mailbox).workers:
            ray.kill(worker)


def state_of(mailbox: Handle) -> LaneState:
    """What a mailbox says about its lane."""
    state: LaneState = ray.get(mailbox.state.remote())
    return state


def _because(why: str) -> str:
    return f": {why}" if why else ""


def acquire(find_lanes: Callable[[], Sequence[Handle]], owner: str, *, deadline: float | None = None) -> Link:
    """Wait for a free lane, and return a link to it. Raises LaneError if all lanes have ended or none comes up."""
    end = time.monotonic() + START_S
    while True:
        closed = []
        for mailbox in find_lanes():
            if ray.get(mailbox.acquire.remote(owner)):
                return Link(mailbox, owner, deadline=deadline)
            state = state_of(mailbox)
            closed.append(state.closed)
            if state.lives and not state.silent:
                end = time.monotonic() + START_S  # a lane is up, and another trial may use it for long
        if closed and all(closed):
            raise LaneError(f"every lane has ended; the last one: {closed[-1]}")
        if time.monotonic() > end:
            raise LaneError(f"no lane came up within {START_S:.0f} s")
        time.sleep(0.1)
