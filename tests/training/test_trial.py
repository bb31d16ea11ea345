"""A trial as a lane serves it: epochs may be asked for twice, and the folder is all that is needed to go on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Resident
from asd_ray.scoring.scores import OF_EMBEDDINGS
from asd_ray.training import checkpoint
from asd_ray.training.loop import score_clips
from asd_ray.training.messages import EpochReport, TrialOrder, to_plain
from asd_ray.training.trial import Trial
from tests.training.conftest import TYPES

Start = Callable[..., Trial]


@pytest.fixture
def start(clips: Resident, config: RunConfig, tmp_path: Path) -> Start:
    """`start("train.seed=1", rank=1)`: a fresh Trial on the folder `trial`."""

    def make(*settings: str, rank: int = 0, world: int = 1, folder: str = "trial") -> Trial:
        order = TrialOrder(
            config=replace_settings(config, settings),
            machine_types=("fan", "pump"),
            score_at=(1, 3),
            folder=str(tmp_path / folder),
        )
        return Trial(order, clips, num_classes=4, device=torch.device("cpu"), rank=rank, world=world)

    return make


def timeless(report: EpochReport) -> EpochReport:
    return replace(report, seconds=0.0)


def test_an_epoch_asked_for_twice_is_trained_once(start: Start) -> None:
    trial = start()
    first = trial.epoch(2)
    assert trial.training.epoch == 2
    assert trial.epoch(2) is first
    assert trial.epoch(1).epoch == 1
    assert trial.training.epoch == 2


def test_the_files_hold_the_state_the_metrics_and_the_scores(
    start: Start, clips: Resident, tmp_path: Path
) -> None:
    trial = start()
    reports = [trial.epoch(epoch) for epoch in (1, 2, 3)]
    folder = tmp_path / "trial"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["metrics.json", "scores.parquet", "state.pt", "state.pt.previous"]
    assert json.loads((folder / "metrics.json").read_text()) == [to_plain(report) for report in reports]
    table = pq.read_table(folder / "scores.parquet")
    assert table.column_names == [
        "clip_id",
        "machine_type",
        "split",
        "score",
        *OF_EMBEDDINGS,
    ]  # no label among them
    assert set(table.column("clip_id").to_pylist()) == set(clips.labels.clip_id.tolist())
    for name in ("score", *OF_EMBEDDINGS):
        assert np.isfinite(table.column(name).to_numpy()).all()
    assert table.column("score").equals(table.column("margin_cross_entropy"))
    state = checkpoint.load(folder / "state.pt")
    assert state is not None
    assert state["epoch"] == 3


def test_a_report_holds_plain_values_and_the_objective_where_test_clips_were_scored(start: Start) -> None:
    trial = start()
    report = trial.epoch(1)
    json.dumps(to_plain(report), allow_nan=False)
    assert set(report.objective) == set(report.choosing) == {"fan", "pump"}
    for name, value in report.objective.items():
        assert value == (report.choosing[name].auc + report.choosing[name].pauc) / 2
    assert trial.epoch(2).objective == {}


def test_a_trial_goes_on_from_its_folder_as_if_nothing_had_happened(start: Start, tmp_path: Path) -> None:
    whole = start(folder="whole")
    expected = [whole.epoch(epoch) for epoch in (1, 2, 3)]
    start().epoch(1)
    again = start()
    assert again.training.epoch == 1
    assert list(again.history) == [1]
    found = [again.epoch(epoch) for epoch in (1, 2, 3)]
    assert [timeless(report) for report in found] == [timeless(report) for report in expected]
    scores = [pq.read_table(tmp_path / name / "scores.parquet") for name in ("whole", "trial")]
    assert scores[0].equals(scores[1])


def test_a_finished_trial_answers_without_training(start: Start) -> None:
    expected = start().epoch(3)
    again = start()
    assert again.epoch(3) == expected
    assert len(again.history) == 3


def test_a_damaged_state_costs_one_epoch(start: Start, tmp_path: Path) -> None:
    expected = start().epoch(3)
    state = tmp_path / "trial" / "state.pt"
    state.write_bytes(state.read_bytes()[:-100])
    again = start()
    assert again.training.epoch == 2
    assert timeless(again.epoch(3)) == timeless(expected)


@pytest.mark.parametrize("setting", ["loss.margin=0.1", "train.seed=1", "train.epochs=4"])
def test_the_state_of_another_config_is_ignored(start: Start, setting: str) -> None:
    start().epoch(1)
    other = start(setting)
    assert (other.training.epoch, other.history) == (0, {})
    assert other.epoch(1).epoch == 1


def test_the_state_is_taken_on_by_other_lanes_and_larger_searches(start: Start) -> None:
    start().epoch(1)
    assert start("search.trials=99", "lanes.cpus=2.0").training.epoch == 1


def test_only_the_first_worker_writes(start: Start, tmp_path: Path) -> None:
    report = start(rank=1, world=2).epoch(1)
    assert report.objective == {}
    assert not (tmp_path / "trial").exists()


def test_the_objective_is_the_configured_one(start: Start) -> None:
    trial = start("score.objective=pauc")
    report = trial.epoch(1)
    assert report.objective == {name: found.pauc for name, found in report.choosing.items()}


def test_the_proxy_is_read_by_the_score_that_it_would_choose_itself(start: Start) -> None:
    """Under `auto` labels choose the score of the objective; a search without labels would not know it."""
    trial = start("score.name=auto")
    found = score_clips(trial.training)
    stand_ins = {
        machine_type: replace(
            one, by_score={name: one.is_stand_in * (1.0 if name == "centre" else -1.0) for name in one.by_score}
        )
        for machine_type, one in found.stand_ins.items()
    }
    found = replace(found, stand_ins=stand_ins, chosen=dict.fromkeys(TYPES, "neighbours"))
    assert trial._proxy(found) == dict.fromkeys(TYPES, 1.0)
    named = start("score.name=neighbours", folder="named")
    assert all(value < 0.5 for value in named._proxy(found).values())
