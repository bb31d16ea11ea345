"""Counts, speed and the time that is left, by hand-worked cases."""

import pytest

from asd_ray.console.progress import Progress
from asd_ray.search.events import Event, Left
from tests.console.events import begun, ended, epoch_done, planned


def after(*events: tuple[float, Event]) -> Progress:
    """A search of trials of four epochs, on 30 + 10 training clips."""
    progress = Progress(epochs=4, train_clips={"fan": 30, "[red]valve": 10, "slider": 1000})
    for now, event in events:
        progress.take(event, now=now)
    return progress


def test_every_outcome_is_counted_and_the_rest_is_left() -> None:
    progress = after(
        (0, planned(total=6, earlier=3)),
        *((0, begun(f"fan-{number}")) for number in (1, 2, 3, 4)),
        (9, ended("fan-1", 1, best_of=("fan",))),
        (9, ended("fan-2", 2, outcome="pruned")),
        (9, ended("fan-3", 3, outcome="failed")),
    )
    assert (progress.counts["complete"], progress.counts["pruned"], progress.counts["failed"]) == (1, 1, 1)
    assert (progress.ended, progress.left, progress.earlier) == (3, 3, 3)
    assert list(progress.at_work) == ["fan-4"]
    assert progress.best == {"fan": ("fan-1", 0.875)}


def test_a_trial_that_is_no_best_leaves_the_best_of_earlier_calls_standing() -> None:
    progress = after((0, planned()), (0, begun("fan-1")), (9, ended("fan-1", 1, best_of=("[red]valve",))))
    assert progress.best == {"fan": ("fan-0", 0.75), "[red]valve": ("fan-1", 0.5)}


def test_speed_is_that_of_all_lanes_together() -> None:
    progress = after(
        (0, planned()),
        (0, begun("fan-1")),
        (0, begun("fan-2")),
        (2, epoch_done("fan-1", 1, seconds=2.0)),
        (4, epoch_done("fan-2", 1, seconds=4.0)),
    )
    assert progress.epochs_per_second == pytest.approx(1 / 2 + 1 / 4)
    assert progress.clips_per_second == pytest.approx(40 * (1 / 2 + 1 / 4))


def test_time_left_is_first_guessed_from_epochs_and_then_measured_by_trials() -> None:
    events: list[tuple[float, Event]] = [(0, planned(total=6)), (0, begun("fan-1")), (0, begun("fan-2"))]
    assert after(*events).seconds_left(now=5) is None
    # The lane took 10 s to come up; of 6 trials of 4 epochs of 2 s each, 2 s have been spent, on two lanes.
    events += [(12, epoch_done("fan-1", 1))]
    assert after(*events).seconds_left(now=12) == pytest.approx((6 * 8 - 2) / 2)
    # It is pruned, 4 s after it really began: five such trials are left.
    events += [(14, ended("fan-1", 1, outcome="pruned"))]
    assert after(*events).seconds_left(now=14) == pytest.approx(5 * 4 / 2)


def test_trials_that_failed_at_once_do_not_say_how_long_others_take() -> None:
    progress = after((0, planned()), (0, begun("fan-1")), (0.1, ended("fan-1", 1, outcome="failed")))
    assert progress.seconds_left(now=1) is None


def test_a_trial_that_is_lost_works_no_more_until_it_begins_again() -> None:
    events: list[tuple[float, Event]] = [(0, planned()), (0, begun("fan-1")), (0, Left(name="fan-1"))]
    assert after(*events).at_work == {}
    assert after(*events).idle_lanes == 2
    assert after(*events, (1, begun("fan-1", lanes=1))).idle_lanes == 0


def test_confirming_begins_to_count_anew() -> None:
    progress = after(
        (0, planned()),
        (0, begun("fan-1")),
        (9, ended("fan-1", 1)),
        (9, planned(total=5, confirming=True)),
        (9, begun("fan-1-seed-7", seed=7)),
        (20, ended("fan-1-seed-7", 1, total=5, seed=7)),
    )
    assert progress.confirming
    assert (progress.ended, progress.left) == (1, 4)
    assert progress.seconds_left(now=20) == pytest.approx(4 * 11 / 2)
