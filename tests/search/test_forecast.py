"""What a search would take follows from clips, epochs, trials and lanes; the arithmetic is worked by hand."""

import shutil
from pathlib import Path

import pytest

from asd_ray import api
from asd_ray.config import LaneConfig, RunConfig, replace_settings
from asd_ray.data.prepare import prepare
from asd_ray.data.synthetic import BUILT_IN, list_corpus
from asd_ray.errors import InputError
from asd_ray.lanes.sizes import Share
from asd_ray.search import forecast
from asd_ray.search import train_one as full
from asd_ray.search.forecast import (
    BRING_UP_S,
    PREPARED_PER_S,
    list_clips,
    list_data,
    make_forecast,
    search_seconds,
)
from asd_ray.search.preflight import check_call
from asd_ray.search.runfolder import open_run, plan_clips, plan_run
from asd_ray.search.space import load_space
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


def test_a_system_that_cannot_learn_from_a_machine_type_is_refused_before_the_search(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end at the first trial of that system, and so would every further call."""
    monkeypatch.setattr(forecast, "measure_pace", lambda *_, **__: pytest.fail("measured"))
    for module, name in ((api, "run_search"), (full, "train_full")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("begun"))
    data = shutil.copytree(small_dataset, tmp_path / "machines")
    for path in (data / "pump").rglob("*_id_01_*"):
        path.unlink()
    message = "mobilenetv2: pump: one machine id, .* leave mobilenetv2 out of the search space, or pump out"
    with pytest.raises(InputError, match=message):
        api.forecast(data, RunConfig(), space_name="systems")
    shards = tmp_path / "shards"
    prepare(data, shards)
    with pytest.raises(InputError, match=message):
        api.search(shards, tmp_path / "run", RunConfig(), space_name="systems")
    config = replace_settings(RunConfig(), ["model.name=mobilenetv2"])
    with pytest.raises(InputError, match=message):
        api.train(shards, tmp_path / "full", config, on_epoch=lambda report: None)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "full").exists()


@pytest.mark.parametrize(
    ("settings", "space_name", "message"),
    [
        (["model.name=mobilnetv2"], "mobilnetv2", "system 'mobilnetv2' is unknown; did you mean 'mobilenetv2'"),
        (["model.name=ae", "score.name=centre"], "ae", "score centre: ae: read by own_evidence alone"),
        (["score.name=centre"], "ae", "score centre: ae: read by own_evidence alone"),
        (["score.name=own_evidence"], "systems", "score own_evidence: tastgram has none of its own"),
        (["score.objective=proxy"], "systems", "objective proxy: mobilenetv2 is read by own_evidence alone"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: list[str], space_name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_call(replace_settings(RunConfig(), settings), space_name=space_name)


@pytest.mark.parametrize(
    ("score", "space_name"), [("auto", "ae"), ("margin_cross_entropy", "ae"), ("centre", "systems")]
)
def test_a_score_is_taken_where_it_fits_a_system_or_is_the_default(score: str, space_name: str) -> None:
    check_call(replace_settings(RunConfig(), [f"score.name={score}"]), space_name=space_name)


def test_what_a_search_would_refuse_is_refused_before_anything_is_measured(
    small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "measure_pace", lambda *_, **__: pytest.fail("measured"))
    found = list_data(small_dataset, valid_fraction=0.05)
    for settings, space_name, message in [
        (["score.protocol=dcase"], "arcface", "the corpus has no labelled evaluation clips"),
        ([], "arcfase", "no such search space; did you mean 'arcface'?"),
        (["lanes.count=9999"], "arcface", "set lanes.count, lanes.cpus or lanes.gpus"),
        (["search.enqueue=[nowhere.yaml]"], "arcface", "nowhere.yaml: No such file"),
        (["search.warm_start=[nowhere]"], "arcface", "nowhere: no run.yaml there"),
        (["model.name=tastgram"], "ae", "--system tastgram: the search space is of ae; drop one"),
    ]:
        config = replace_settings(RunConfig(), settings)
        with pytest.raises(InputError, match=message.replace("?", r"\?")):
            make_forecast(found, config, space_name=space_name, where=small_dataset)


def test_a_folder_that_a_search_could_not_have_is_refused_before_anything_is_measured(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "measure_pace", lambda *_, **__: pytest.fail("measured"))
    monkeypatch.delenv("ASD_STORAGE", raising=False)
    with pytest.raises(InputError, match="s3://bucket/run"):
        api.forecast(small_dataset, RunConfig(), space_name="arcface", folder="s3://bucket/run")
    shards = tmp_path / "shards"
    prepare(small_dataset, shards)
    config = replace_settings(RunConfig(), ["score.protocol=paper"])
    plan = plan_clips(shards, "paper")
    space, text = load_space("noisy_arcmix")
    run = plan_run(shards, config, plan=plan, space=space, space_text=text)
    open_run(tmp_path / "run", run, clips=plan.clips)
    for there, asked, space_name, message in [
        (shards, config, "arcface", "the search space has changed; use another --run"),
        (
            small_dataset,
            replace_settings(config, ["train.epochs=7"]),
            "noisy_arcmix",
            "epochs is 300 there and 7",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            api.forecast(there, asked, space_name=space_name, folder=str(tmp_path / "run"))
