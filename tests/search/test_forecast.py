"""What a search would take follows from clips, epochs, trials and lanes; the arithmetic is worked by hand."""

from pathlib import Path

import pytest

from asd_ray.command import InputError
from asd_ray.config import LaneConfig, RunConfig, replace_settings
from asd_ray.data.synthetic import BUILT_IN, list_corpus
from asd_ray.search import forecast
from asd_ray.search.forecast import (
    BRING_UP_S,
    PREPARED_PER_S,
    list_clips,
    list_data,
    make_forecast,
    search_seconds,
)
from asd_ray.search.resources import Share
from asd_ray.training.warmup import Pace

PACE = Pace(train_s=1.0, read_s=0.1, host_bytes=10**9, gpu_bytes=0)
TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")


def share(count: int = 1, workers: int = 1) -> Share:
    return Share(count=count, lane=LaneConfig(workers=workers, gpus=0.0))


def seconds(*settings: str, found: Share | None = None) -> tuple[float, float]:
    """Of the built-in corpus, without what it takes to begin."""
    config = replace_settings(RunConfig(), ["train.epochs=9", "search.trials=1", *settings])
    listed = list_clips(list_corpus(BUILT_IN), valid_fraction=0.25)
    before = BRING_UP_S + 576 / PREPARED_PER_S
    likely, most = search_seconds(listed, config, found or share(), PACE, searched=TYPES)
    return likely - before, most - before


# Six types of three machines: 216 training, 72 validation, 288 test clips; 12 validation clips per type suffice
# for the thresholds, and a tenth of 36 training clips, 4 per type, for the scores.
# An epoch: 216 * 1 s + 72 * 0.1 s = 223.2 s; scoring: (288 + 72 + 24) * 0.1 s = 38.4 s.
EPOCH, SCORING = 223.2, 38.4
WHOLE = 9 * EPOCH + 2 * SCORING
PRUNED = 3 * EPOCH + SCORING


def test_a_trial_costs_its_epochs_and_its_scorings() -> None:
    likely, most = seconds()
    assert most == pytest.approx(WHOLE)
    assert likely == pytest.approx(WHOLE / 3 + PRUNED * 2 / 3)  # a third goes on after the third epoch


def test_without_pruning_both_are_one() -> None:
    assert seconds("search.prune=false") == pytest.approx((9 * EPOCH + SCORING,) * 2)


def test_lanes_share_the_trials_out() -> None:
    assert seconds("search.trials=7", found=share(2))[1] == pytest.approx(4 * WHOLE)  # one lane has four of them


def test_workers_share_the_training_clips_and_one_of_them_reads() -> None:
    assert seconds(found=share(workers=2))[1] == pytest.approx(9 * (216 / 2 + 7.2) + 2 * SCORING)


def test_a_trial_of_one_machine_type_costs_a_sixth_here() -> None:
    assert seconds("search.scope=own")[1] == pytest.approx(WHOLE / 6)


def test_every_winner_and_every_start_are_confirmed_with_every_seed() -> None:
    likely, _ = seconds("search.trials=0", "search.confirm=1", "search.seeds=2")
    assert likely == pytest.approx(6 * 2 * 2 * WHOLE)


def test_recordings_and_their_shards_are_the_same_clips(small_dataset: Path, small_shards: Path) -> None:
    recordings, shards = (list_data(path, valid_fraction=0.05) for path in (small_dataset, small_shards))
    assert recordings.machines == shards.machines
    assert recordings.clips.sort_by("clip_id").to_pylist() == shards.clips.sort_by("clip_id").to_pylist()
    assert (recordings.to_prepare, shards.to_prepare) == (52, 0)


def test_what_a_search_would_refuse_is_refused_before_anything_is_measured(
    small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "measure_pace", lambda *_, **__: pytest.fail("measured"))
    found = list_data(small_dataset, valid_fraction=0.05)
    for settings, space_name, message in [
        (["score.protocol=dcase"], "arcface", "the corpus has no labelled evaluation clips"),
        ([], "arcfase", "no such search space; did you mean 'arcface'?"),
        (["lanes.count=9999"], "arcface", "set lanes.count, lanes.cpus or lanes.gpus"),
    ]:
        config = replace_settings(RunConfig(), settings)
        with pytest.raises(InputError, match=message.replace("?", r"\?")):
            make_forecast(found, config, space_name=space_name, where=small_dataset)
