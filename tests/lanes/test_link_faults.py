"""A link, its mailbox and workers, without Ray, while messages are lost, repeated and late and processes die.

Link and mailbox are the real ones, the latter in an event loop of a thread; the workers do what those of
asd_ray.lanes.serve do, and keep their trial on a "disk" that outlives them. What fails follows from a seed.
"""

import asyncio
import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import takewhile
from typing import Any

import pytest

from asd_ray.config import RunConfig
from asd_ray.lanes import link as module
from asd_ray.lanes.link import LaneError, Link
from asd_ray.lanes.mailbox import Closing, LaneEnd, Mailbox
from asd_ray.training.messages import Answer, End, Ending, EpochReport, Started, TrainTo, TrialOrder
from tests.messages import report_of

EPOCHS = 6
POLL_S = 0.02
ORDER = TrialOrder(config=RunConfig(), machine_types=("fan",), score_at=(2,), folder="trials/fan-3", name="fan-3")
# Where the workers die, or what befalls their mailbox, around one command.
BEFORE, MIDDLE, UNSAID, LATE, FORGOTTEN = "before it", "in it", "after it", "and answer late", "with the mailbox"


class Lane:
    """A mailbox that may be started anew, and one group of workers after another."""

    def __init__(self, mishaps: dict[int, list[str]], *, repeats: random.Random) -> None:
        """`mishaps` of the commands to train up to an epoch: one is taken off for each time that it is served."""
        self.mailbox = Mailbox("lane-0")
        self.disk: dict[int, EpochReport] = {}  # epochs of the trial that are whole
        self.begun: Counter[int] = Counter()
        self._mishaps, self._repeats = mishaps, repeats
        self._life = ""

    async def serve(self) -> None:
        """Groups of workers, for ever."""
        while True:
            await self._come_up()
            after = 0
            while (after := await self._serve_one(after)) >= 0:
                pass

    async def _come_up(self) -> None:
        self._life = uuid.uuid4().hex
        await self.mailbox.enlist(self._life, object(), "node")
        await self.mailbox.hello(self._life)

    async def _serve_one(self, after: int) -> int:
        """The number of the command that was served; negative when the workers have died."""
        open_one = await self.mailbox.next(self._life, after, POLL_S)
        if open_one is None:
            return after
        command = open_one.command
        to = command.epoch if isinstance(command, TrainTo) else 0
        left = self._mishaps.get(to, [])
        mishap = left.pop(0) if left else ""
        if mishap == BEFORE:
            return -1
        if to and to not in self.disk:
            self.begun[to] += 1
            if mishap == MIDDLE:
                return -1
            self.disk[to] = report_of(to)
        answer: Answer = self.disk[to] if to else Started(max(self.disk, default=0))
        if mishap == FORGOTTEN:
            self.mailbox = Mailbox("lane-0")
        if mishap == LATE:  # by workers that are gone, when others have said hello
            old, self._life = self._life, uuid.uuid4().hex
            await self.mailbox.hello(self._life)
            await self.mailbox.answer(old, open_one.number, report_of(-1, seconds=1e6))
        if mishap:
            return -1
        for _ in range(self._repeats.choice((1, 2))):  # Ray may do again what it did not hear of
            await self.mailbox.answer(self._life, open_one.number, answer)
        return open_one.number


class Handle:
    """A lane's mailbox as an actor has it: `handle.method.remote(...)`, and a future."""

    def __init__(self, lane: Lane, loop: asyncio.AbstractEventLoop, *, repeats: random.Random) -> None:
        self._lane, self._loop, self._repeats = lane, loop, repeats

    def __getattr__(self, name: str) -> Any:
        handle = self

        class Method:
            def options(self, **options: Any) -> "Method":
                return self

            def remote(self, *arguments: Any) -> "Future[Any]":
                return asyncio.run_coroutine_threadsafe(handle.call(name, arguments), handle._loop)

        return Method()

    async def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name in ("wait", "acquire", "state") and self._repeats.random() < 0.3:  # its reply was lost
            await getattr(self._lane.mailbox, name)(*arguments)
        return await getattr(self._lane.mailbox, name)(*arguments)


async def end_all() -> None:
    """All tasks of this loop, but for the one that does so."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    monkeypatch.setattr(module.ray, "get", lambda future: future.result(20))
    monkeypatch.setattr(module.ray, "kill", lambda worker: None)
    monkeypatch.setattr(module, "WAIT_S", POLL_S)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    asyncio.run_coroutine_threadsafe(end_all(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def commanded(lane: Lane, loop: asyncio.AbstractEventLoop, *, repeats: random.Random) -> Link:
    asyncio.run_coroutine_threadsafe(lane.serve(), loop)
    link = Link(Handle(lane, loop, repeats=repeats), "trial")
    while not link.hold():
        pass  # it comes up
    return link


@pytest.mark.parametrize("seed", range(20))
def test_every_epoch_is_reported_once_in_its_order_and_trained_again_only_where_it_was_cut_off(
    seed: int, loop: asyncio.AbstractEventLoop
) -> None:
    rng = random.Random(seed)
    kinds = (BEFORE, MIDDLE, UNSAID, LATE, FORGOTTEN)
    mishaps = {to: rng.choices(kinds, k=rng.randint(0, Link.RESENDS)) for to in range(1, EPOCHS + 1)}
    # An epoch that was saved, though nobody heard of it, is not trained again.
    unsaved = {to: list(takewhile((BEFORE, MIDDLE).__contains__, found)) for to, found in mishaps.items()}
    lane = Lane(mishaps, repeats=rng)
    link = commanded(lane, loop, repeats=random.Random(-seed))
    assert link.start(ORDER) == Started(0)
    assert [link.epoch(to) for to in range(1, EPOCHS + 1)] == [report_of(to) for to in range(1, EPOCHS + 1)]
    assert lane.begun == {to: 1 + found.count(MIDDLE) for to, found in unsaved.items()}
    assert not any(mishaps.values())
    link.release()


@pytest.mark.parametrize("kind", [BEFORE, MIDDLE, UNSAID, LATE, FORGOTTEN])
def test_a_trial_whose_workers_die_time_after_time_in_one_epoch_has_failed_and_the_lane_serves_the_next(
    kind: str, loop: asyncio.AbstractEventLoop
) -> None:
    lane = Lane({2: [kind] * (1 + Link.RESENDS)}, repeats=random.Random(0))
    link = commanded(lane, loop, repeats=random.Random(1))
    link.start(ORDER)
    assert link.epoch(1) == report_of(1)
    assert link.epoch(2) == Ending(End.LOST, f"its worker died {1 + Link.RESENDS} times in epoch 2")
    assert link.start(ORDER) == Started(max(lane.disk))
    assert link.epoch(2) == report_of(2)
    link.release()
    assert Link(link.mailbox, "another trial").hold()


def test_a_lane_that_closes_ends_the_trial_with_its_reason(loop: asyncio.AbstractEventLoop) -> None:
    lane = Lane({}, repeats=random.Random(0))
    link = commanded(lane, loop, repeats=random.Random(1))
    link.start(ORDER)
    asyncio.run_coroutine_threadsafe(end_all(), loop).result(20)
    asyncio.run_coroutine_threadsafe(lane.mailbox.close(Closing(LaneEnd.MACHINE_GONE)), loop).result(20)
    with pytest.raises(LaneError, match="its machine has gone"):
        link.epoch(1)
