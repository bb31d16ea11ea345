"""What the soak counts as a fault: it would be of no use if it could not see one."""

from collections import Counter

from tests.soak import Begun, Finished, faults_of

COMPLETE, FAILED = ("COMPLETE", 0.8), ("FAIL", None)


def faults(before: Finished, now: Finished, *, begun_before: dict[str, int], begun: dict[str, int]) -> list[str]:
    """`fan-0 3`: how often epoch 3 of fan-0 was begun."""

    def counted(times: dict[str, int]) -> Begun:
        return Counter({(name.split()[0], int(name.split()[1])): count for name, count in times.items()})

    return faults_of(before, now, begun_before=counted(begun_before), begun=counted(begun))


def test_the_last_epoch_that_was_begun_may_be_begun_again_once() -> None:
    before = {"fan-0 1": 1, "fan-0 2": 1, "pump-0 1": 1}
    after = {"fan-0 1": 1, "fan-0 2": 2, "fan-0 3": 1, "pump-0 1": 2}
    assert faults({}, {("fan", 0): COMPLETE}, begun_before=before, begun=after) == []


def test_an_earlier_epoch_begun_again_is_a_checkpoint_that_was_lost() -> None:
    before = {"fan-0 1": 1, "fan-0 2": 1, "fan-0 3": 1}
    after = {"fan-0 1": 2, "fan-0 2": 2, "fan-0 3": 2}
    assert faults({}, {}, begun_before=before, begun=after) == [
        "redone: epoch 1 of fan-0, which had begun epoch 3",
        "redone: epoch 2 of fan-0, which had begun epoch 3",
    ]
    assert faults({}, {}, begun_before={"fan-0 1": 1}, begun={"fan-0 1": 3}) != []
    assert faults({}, {}, begun_before={}, begun={"fan-0 1": 3}) != []


def test_a_finished_trial_is_neither_changed_nor_trained_again() -> None:
    done: Finished = {("fan", 0): COMPLETE}
    assert faults(done, {}, begun_before={}, begun={}) == [f"lost: ('fan', 0) was {COMPLETE}, is None"]
    (fault,) = faults(done, done, begun_before={"fan-0 1": 1}, begun={"fan-0 1": 2})
    assert fault == "repeated: epoch 1 of fan-0, which had finished"


def test_a_trial_that_the_kills_made_fail_is_no_result() -> None:
    assert faults({}, {("fan", 0): FAILED}, begun_before={}, begun={}) == ["failed: ('fan', 0)"]
