"""What a link asks of its lane, as Ray's dashboard shows it. (What it does when lanes fail: tests/end_to_end.)"""

from typing import Any

import pytest

from asd_ray.config import RunConfig
from asd_ray.lanes import link
from asd_ray.lanes.link import Link
from asd_ray.lanes.mailbox import Answered, LaneState
from asd_ray.training.messages import Answer, Started, TrialOrder
from tests.messages import report_of


class Method:
    """A method of an actor that answers at once, and notes what its tasks are called."""

    def __init__(self, answer: Any, names: list[str]) -> None:
        self._answer, self._names = answer, names

    def options(self, *, name: str) -> "Method":
        self._names.append(name)
        return self

    def remote(self, *arguments: Any) -> Any:
        return self._answer


class Mailbox:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.acquire = Method(True, [])
        self.state = Method(
            LaneState(name="lane-3-0f1e2d3c", lives=1, workers=(), nodes=(), closed=None, silent=False), []
        )
        self.send = Method(1, self.names)
        self.answers(Started(1))

    def answers(self, answer: Answer) -> None:
        self.wait = Method(Answered("life", answer), self.names)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    monkeypatch.setattr(link.ray, "get", lambda answer: answer)
    return Mailbox()


def order(name: str) -> TrialOrder:
    return TrialOrder(config=RunConfig(), machine_types=("fan",), score_at=(2,), folder="trials/fan-3", name=name)


def test_tasks_are_called_by_their_trial_and_what_it_does(mailbox: Mailbox) -> None:
    served = Link(mailbox, "owner")
    served.start(order("fan-3"))
    mailbox.answers(report_of(2))
    served.epoch(2)
    assert mailbox.names == ["fan-3 start"] * 2 + ["fan-3 epoch 2"] * 2


def test_a_training_that_is_no_trial_is_called_by_its_owner(mailbox: Mailbox) -> None:
    Link(mailbox, "train").start(order(""))
    assert mailbox.names == ["train start"] * 2


def test_the_lane_has_the_name_that_its_mailbox_has(mailbox: Mailbox) -> None:
    assert Link(mailbox, "owner").lane == "lane-3-0f1e2d3c"
