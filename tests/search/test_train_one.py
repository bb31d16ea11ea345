"""One config trained in full: what is wrong with the disk is said as such."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

from asd_ray.errors import EnvironmentFailure
from asd_ray.training.messages import EpochReport, TrialOrder
from tests.local_search import Commander, begin, clips_for

with patch.dict(os.environ):  # the import sets switches of Ray, which other tests' processes shall not inherit
    from asd_ray.search.train_one import TrainingFailedError, train_epochs


@pytest.fixture(scope="module")
def commander(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Commander:
    run, plan = begin(small_shards, tmp_path_factory.mktemp("clips"), ["train.epochs=2"])
    return Commander(clips_for(small_shards, plan), num_classes=len(run.corpus.classes))


@pytest.fixture
def order(small_shards: Path, tmp_path: Path) -> TrialOrder:
    run, _ = begin(small_shards, tmp_path / "run", ["train.epochs=2"])
    folder = tmp_path / "disk" / "full"
    return TrialOrder(config=run.config, machine_types=run.trained_types, score_at=(2,), folder=str(folder))


def test_every_epoch_s_report_is_handed_on(commander: Commander, order: TrialOrder) -> None:
    reports: list[EpochReport] = []
    train_epochs(commander, order, on_epoch=reports.append)
    assert [report.epoch for report in reports] == [1, 2]


def test_a_disk_that_fails_is_one_clear_error_and_no_report(commander: Commander, order: TrialOrder) -> None:
    Path(order.folder).parent.write_text("a file where the folder is to be: as good as a full disk")
    reports: list[EpochReport] = []
    with pytest.raises(
        EnvironmentFailure, match=r"full/.*: cannot be written \(.*\); choose another folder, or mend"
    ):
        train_epochs(commander, order, on_epoch=reports.append)
    assert reports == []


def test_a_training_that_fails_says_why(commander: Commander, order: TrialOrder) -> None:
    commander.fails = lambda order: "the loss is nan in epoch 1"
    try:
        with pytest.raises(TrainingFailedError, match="the loss is nan in epoch 1"):
            train_epochs(commander, order, on_epoch=lambda report: None)
    finally:
        commander.fails = lambda order: ""
