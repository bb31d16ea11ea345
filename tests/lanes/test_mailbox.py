"""The mailbox between a command giver and its workers, without Ray: who hears what, and when."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asd_ray.config import RunConfig
from asd_ray.lanes import mailbox as module
from asd_ray.lanes.mailbox import Answered, Closed, Closing, LaneEnd, LaneState, Lost, Mailbox, Numbered, Open
from asd_ray.training.messages import End, Ending, Quit, Start, Started, TrainTo, TrialOrder

SOON = 0.02  # seconds
START = Start(TrialOrder(config=RunConfig(), machine_types=("fan",), score_at=(), folder="trials/fan-3"))


def play(scene: Callable[[Mailbox], Awaitable[None]], *, life: str = "life-1", owner: str = "trial") -> None:
    """Run a scene on a mailbox whose workers have said hello and that has an owner."""

    async def begin() -> None:
        box = Mailbox()
        await box.hello(life)
        assert await box.acquire(owner)
        await scene(box)

    asyncio.run(asyncio.wait_for(begin(), 20))


def test_a_command_reaches_the_workers_and_its_answer_the_giver() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "life-1", TrainTo(3))
        assert await box.wait(number, SOON) == Open(None)  # nobody has taken it yet
        command = await box.next("life-1", 0, SOON)
        assert command is not None
        taken = await box.wait(number, SOON)
        assert isinstance(taken, Open)
        assert taken.seconds is not None
        assert 0 < taken.seconds < 10
        assert command == Numbered(number, TrainTo(3))
        await box.answer("life-1", number, Ending(End.FAILED, "it diverged"))
        answered = Answered("life-1", Ending(End.FAILED, "it diverged"))
        assert await box.wait(number, SOON) == answered
        assert await box.wait(number, SOON) == Answered(
            "life-1", Ending(End.FAILED, "it diverged")
        )  # asked again after a lost reply

    play(scene)


def test_a_command_that_is_done_is_not_handed_out_again() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "", START)
        assert await box.next("life-1", number, SOON) is None
        await box.answer("life-1", number, Started(0))
        assert await box.next("life-1", number - 1, SOON) is None

    play(scene)


def test_workers_that_wait_are_woken_by_the_command() -> None:
    async def scene(box: Mailbox) -> None:
        waiting = asyncio.create_task(box.next("life-1", 0, 10.0))
        await asyncio.sleep(SOON)
        await box.send("trial", "", START)
        command = await asyncio.wait_for(waiting, 0.5)
        assert command is not None
        assert command.command is START

    play(scene)


def test_a_command_is_lost_when_the_workers_start_anew_before_they_answer() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "life-1", TrainTo(1))
        waiting = asyncio.create_task(box.wait(number, 10.0))
        await asyncio.sleep(SOON)
        await box.hello("life-2")
        assert await asyncio.wait_for(waiting, 0.5) == Lost()
        assert await box.next("life-2", 0, SOON) is None  # it is for the giver to send it again
        again = await box.send("trial", "", START)
        await box.answer("life-2", again, Started(0))
        assert await box.wait(again, SOON) == Answered("life-2", Started(0))

    play(scene)


def test_a_command_for_a_life_that_is_over_is_lost_at_once() -> None:
    async def scene(box: Mailbox) -> None:
        await box.hello("life-2")
        number = await box.send("trial", "life-1", TrainTo(1))
        assert await box.wait(number, SOON) == Lost()
        assert await box.next("life-2", 0, SOON) is None

    play(scene)


def test_workers_of_an_earlier_life_are_not_heard() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "", START)
        await box.hello("life-2")
        again = await box.send("trial", "", START)
        for late in (number, again):
            await box.answer("life-1", late, Started(7))
        assert await box.wait(again, SOON) == Open(None)
        with pytest.raises(RuntimeError, match="replaced"):
            await box.next("life-1", 0, SOON)

    play(scene)


def test_an_owner_keeps_the_mailbox_until_it_releases_it_or_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(box: Mailbox) -> None:
        assert await box.acquire("trial")
        assert not await box.acquire("other")
        await box.release("other")  # not the owner: no effect
        assert not await box.acquire("other")
        await box.release("trial")
        assert await box.acquire("other")
        monkeypatch.setattr(module, "STALE_S", 0.0)
        assert await box.acquire("third")

    play(scene)


def test_waiting_for_an_answer_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(box: Mailbox) -> None:
        monkeypatch.setattr(module, "STALE_S", 0.2)
        number = await box.send("trial", "", START)
        for _ in range(6):
            await box.wait(number, 0.05)
            assert not await box.acquire("other")

    play(scene)


def test_the_commands_of_an_owner_that_was_replaced_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(box: Mailbox) -> None:
        monkeypatch.setattr(module, "STALE_S", 0.0)
        assert await box.acquire("other")
        number = await box.send("trial", "life-1", TrainTo(1))
        assert isinstance(await box.wait(number, SOON), Closed)

    play(scene)


def test_one_command_is_open_at_a_time() -> None:
    async def scene(box: Mailbox) -> None:
        first = await box.send("trial", "", START)
        second = asyncio.create_task(box.send("trial", "", TrainTo(1)))
        await asyncio.sleep(SOON)
        assert not second.done()
        await box.answer("life-1", first, Started(0))
        assert await asyncio.wait_for(second, 0.5) == first + 1

    play(scene)


def test_stop_lets_the_command_in_hand_end_and_then_quits() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "", START)
        await box.stop()
        assert await box.next("life-1", number, SOON) is None
        await box.answer("life-1", number, Started(0))
        command = await box.next("life-1", number, SOON)
        assert command is not None
        assert command.command == Quit()

    play(scene)


def test_stop_also_reaches_workers_that_start_anew_afterwards() -> None:
    async def scene(box: Mailbox) -> None:
        await box.stop()
        for life in ("life-2", "life-3"):
            await box.hello(life)
            command = await box.next(life, 0, SOON)
            assert command is not None
            assert command.command == Quit()

    play(scene)


def test_after_stop_nobody_gets_the_mailbox_and_a_command_waits_for_the_end_instead_of_being_sent_again() -> None:
    async def scene(box: Mailbox) -> None:
        await box.stop()
        assert not await box.acquire("trial")
        sending = asyncio.create_task(box.send("trial", "", START))
        await asyncio.sleep(SOON)
        assert not sending.done()
        await box.close(Closing(LaneEnd.QUIT))
        assert await box.wait(await sending, SOON) == Closed("asked to quit")

    play(scene)


def test_a_closed_mailbox_says_why() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "", START)
        waiting = asyncio.create_task(box.wait(number, 10.0))
        await asyncio.sleep(SOON)
        await box.close(Closing(LaneEnd.MACHINE_GONE))
        assert await asyncio.wait_for(waiting, 0.5) == Closed("its machine has gone")
        assert not await box.acquire("trial")
        assert (await box.state()).closed == Closing(LaneEnd.MACHINE_GONE)

    play(scene)


def test_workers_that_fall_silent_count_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "", START)
        monkeypatch.setattr(module, "SILENT_S", 0.0)
        found = await box.wait(number, SOON)
        assert isinstance(found, Closed)
        assert found.why.startswith("no sign of life")
        assert not found.taken
        assert not await box.acquire("trial")
        assert (await box.state()).silent

    play(scene)


def test_silence_over_a_command_is_told_from_silence_before_it_and_a_known_death_is_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "", START)
        await box.next("life-1", 0, SOON)
        await box.died("it ran out of memory")
        monkeypatch.setattr(module, "SILENT_S", 0.0)
        assert await box.wait(number, SOON) == Closed("it ran out of memory", taken=True)

    play(scene)


def test_a_beat_keeps_the_workers_alive_but_not_one_of_an_earlier_life(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(box: Mailbox) -> None:
        monkeypatch.setattr(module, "SILENT_S", 0.1)
        for _ in range(4):
            await asyncio.sleep(0.05)
            await box.beat("life-1")
        assert await box.acquire("trial")
        for _ in range(4):
            await asyncio.sleep(0.05)
            await box.beat("life-0")
        assert not await box.acquire("trial")

    play(scene)


def test_nobody_gets_a_mailbox_whose_workers_are_not_up() -> None:
    async def scene() -> None:
        box = Mailbox("lane-3")
        assert not await box.acquire("trial")
        assert (await box.state()).lives == 0
        await box.hello("life-1")
        assert await box.acquire("trial")
        assert (await box.state()) == LaneState(
            name="lane-3", lives=1, workers=(), nodes=(), closed=None, silent=False
        )

    asyncio.run(scene())


def test_a_group_that_cannot_come_up_closes_the_mailbox_with_its_reason() -> None:
    async def scene() -> None:
        box = Mailbox()
        assert not await box.stumbled("no memory")
        assert not await box.stumbled("no memory")
        await box.hello("life-1")  # it came up after all: the count begins anew
        for _ in range(2):
            assert not await box.stumbled("no memory")
        assert await box.stumbled("no memory")
        assert (await box.state()).closed == Closing(LaneEnd.NOT_STARTED, "no memory")
        assert not await box.acquire("trial")

    asyncio.run(scene())


def test_a_restarted_mailbox_disowns_the_group_that_it_has_forgotten() -> None:
    async def scene() -> None:
        box = Mailbox()
        assert not await box.beat("life-1")
        await box.hello("life-2")
        assert await box.beat("life-2")
        assert not await box.beat("life-1")

    asyncio.run(scene())


def test_a_lost_command_says_why_the_worker_died_and_the_first_reason_counts() -> None:
    async def scene(box: Mailbox) -> None:
        number = await box.send("trial", "life-1", TrainTo(1))
        await box.died("it ran out of memory")
        await box.died("the actor died unexpectedly")
        await box.hello("life-2")
        assert await box.wait(number, SOON) == Lost("it ran out of memory")
        again = await box.send("trial", "life-2", TrainTo(1))
        await box.hello("life-3")
        assert await box.wait(again, SOON) == Lost("")

    play(scene)


def test_the_workers_of_the_present_group_are_known_by_their_handles() -> None:
    async def scene() -> None:
        box = Mailbox()
        await box.enlist("life-1", "first", "node-a")
        await box.enlist("life-1", "second", "node-b")
        assert (await box.state()).workers == ("first", "second")
        assert (await box.state()).nodes == ("node-a", "node-b")
        await box.enlist("life-2", "third", "node-a")
        assert (await box.state()).workers == ("third",)
        assert (await box.state()).nodes == ("node-a",)

    asyncio.run(scene())
