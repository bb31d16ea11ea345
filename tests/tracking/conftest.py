"""A search to be tracked: its run, and what it tells."""

from pathlib import Path

import pytest

from asd_ray.search.events import Begun, Ended, EpochDone
from asd_ray.search.runfolder import Run
from asd_ray.search.studies.trial_store import Outcome, Proposal
from tests.local_search import begin
from tests.messages import metrics_of, report_of

PARAMS = {"margin": 0.5, "scale": 30.0}


@pytest.fixture(scope="session")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return begin(shards, tmp_path_factory.mktemp("tracked") / "run", [])[0]


def begun(name: str = "fan-1", *, seed: int | None = None) -> Begun:
    return Begun(name=name, machine_types=("fan", "valve"), params=PARAMS, lanes=1, seed=seed)


def epoch_done(name: str, epoch: int) -> EpochDone:
    report = report_of(
        epoch,
        train_loss=1 / epoch,
        valid_loss=float("nan"),
        seconds=0.5,
        objective={"fan": 0.125 * epoch},
        choosing={"fan": metrics_of(0.75, pauc=None, mauc=0.5)},
    )
    return EpochDone(name=name, report=report, lane="")


def ended(name: str = "fan-1", *, outcome: Outcome = "complete") -> Ended:
    return Ended(
        name=name,
        proposal=Proposal(uid=name, owner="fan", machine_types=("fan", "valve"), params=PARAMS),
        outcome=outcome,
        reason="it diverged" if outcome == "failed" else "",
        epochs=3,
        values={"fan": 0.375},
        number=1,
        total=6,
    )
