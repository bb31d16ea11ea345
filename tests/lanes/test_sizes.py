"""Sharing a machine out: what fits is taken, what does not fit is refused with the numbers."""

import pytest

from asd_ray.clip import BYTES_PER_CLIP
from asd_ray.config import LaneConfig
from asd_ray.errors import InputError
from asd_ray.lanes import sizes as resources
from asd_ray.lanes.sizes import Share, share_out

STORE = 1000.0 * BYTES_PER_CLIP


def share(
    monkeypatch: pytest.MonkeyPatch, have: dict[str, float], *, trials: int = 60, clips: int = 10, **lanes: object
) -> Share:
    cluster = {"object_store_memory": STORE, **have}
    monkeypatch.setattr(resources.ray, "cluster_resources", lambda: cluster)
    return share_out(LaneConfig.model_validate(lanes), trials=trials, clips=clips)


@pytest.mark.parametrize(
    ("have", "lanes", "count", "text"),
    [
        ({"CPU": 2.0}, {}, 2, "2 lanes of 1 CPU"),
        ({"CPU": 1.0}, {}, 1, "1 lane of 1 CPU"),
        ({"CPU": 8.0}, {"cpus": 3.0}, 2, "2 lanes of 3 CPU"),
        ({"CPU": 8.0}, {"workers": 2, "cpus": 2.0}, 2, "2 lanes of 2 workers, each 2 CPU"),
        ({"CPU": 16.0, "GPU": 2.0}, {}, 2, "2 lanes of 1 CPU and 1 GPU"),
        ({"CPU": 16.0, "GPU": 2.0}, {"gpus": 0.5}, 4, "4 lanes of 1 CPU and 0.5 GPU"),
        ({"CPU": 3.0, "GPU": 2.0}, {"gpus": 0.5}, 3, "3 lanes of 1 CPU and 0.5 GPU"),
        ({"CPU": 16.0, "GPU": 1.0}, {"gpus": 0.1}, 10, "10 lanes of 1 CPU and 0.1 GPU"),
        # 3 * 0.1 is a little more than 0.3
        (
            {"CPU": 64.0, "GPU": 3.0},
            {"workers": 3, "gpus": 0.1},
            10,
            "10 lanes of 3 workers, each 1 CPU and 0.1 GPU",
        ),
        ({"CPU": 4.0, "GPU": 1.0}, {"gpus": 0.0}, 4, "4 lanes of 1 CPU"),
        ({"CPU": 4.0}, {"count": 3}, 3, "3 lanes of 1 CPU"),
        ({"CPU": 2.0}, {"inline": True}, 2, "2 inline processes of 1 CPU"),
    ],
)
def test_as_many_lanes_as_fit_or_as_asked_for(
    monkeypatch: pytest.MonkeyPatch, have: dict[str, float], lanes: dict[str, object], count: int, text: str
) -> None:
    found = share(monkeypatch, have, **lanes)
    assert (found.count, str(found)) == (count, text)


def test_no_more_lanes_than_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(monkeypatch, {"CPU": 8.0}, trials=3).count == 3
    assert share(monkeypatch, {"CPU": 8.0}, trials=3, count=5).count == 3


@pytest.mark.parametrize(
    ("have", "lanes", "message"),
    [
        (
            {"CPU": 2.0},
            {"count": 3},
            "lanes: 3 of 1 worker(s) with 1 CPU and 0 GPU do not fit 2 CPU and 0 GPU, 2 would; "
            "set lanes.count, lanes.cpus or lanes.gpus",
        ),
        (
            {"CPU": 2.0},
            {"workers": 4},
            "lanes: 1 of 4 worker(s) with 1 CPU and 0 GPU do not fit 2 CPU and 0 GPU, 0 would; "
            "set lanes.count, lanes.cpus or lanes.gpus",
        ),
        (
            {"CPU": 2.0},
            {"gpus": 0.5},
            "lanes: 1 of 1 worker(s) with 1 CPU and 0.5 GPU do not fit 2 CPU and 0 GPU, 0 would; "
            "set lanes.count, lanes.cpus or lanes.gpus",
        ),
        (
            {"CPU": 2.0},
            {"inline": True, "workers": 2},
            "lanes.workers=2: an inline search has one worker; drop --inline or workers",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers_and_the_mend(
    monkeypatch: pytest.MonkeyPatch, have: dict[str, float], lanes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        share(monkeypatch, have, **lanes)
    assert str(raised.value) == message


def test_clips_that_do_not_fit_shared_memory_are_refused_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert share(monkeypatch, {"CPU": 2.0}, clips=1000).count == 2
    with pytest.raises(InputError, match=r"^10000 clips need 4\.0 GB of shared memory, Ray has 0\.4 GB; "):
        share(monkeypatch, {"CPU": 2.0}, clips=10_000)


def test_a_lane_without_a_gpu_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(monkeypatch, {"CPU": 2.0}).resources == {"CPU": 1.0}
    assert share(monkeypatch, {"CPU": 2.0, "GPU": 1.0}).resources == {"CPU": 1.0, "GPU": 1.0}
