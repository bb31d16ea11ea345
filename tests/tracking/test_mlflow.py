"""MLflow's own store holds what was told; a server that is down, or a package that is missing, is one line."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import InputError
from asd_ray.search.events import Event
from asd_ray.search.runfolder import Run
from asd_ray.tracking.desk import tracked
from asd_ray.tracking.mlflow import MLflow
from tests.tracking.conftest import begun, ended, epoch_done

# It warns of its own parts, and leaves the connections of its database to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def track(uri: str, folder: Path, run: Run, *events: Event) -> list[str]:
    """The lines that are told beside what is tracked."""
    seen: list[Event] = []
    with tracked([MLflow(uri)], folder, run, seen.append) as tell:
        for event in events:
            tell(event)
    return [event for event in seen if isinstance(event, str)]


def runs_in(uri: str, experiment: str) -> Iterator[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    for one in client.search_runs([found.experiment_id]):
        history = client.get_metric_history(one.info.run_id, "objective/fan")
        yield one, [(entry.step, entry.value) for entry in history]


def test_a_search_is_an_experiment_and_a_trial_a_run_that_another_call_goes_on_with(
    tmp_path: Path, run: Run, uri: str
) -> None:
    folder = tmp_path / "first"
    first = [begun(), epoch_done("fan-1", 1), epoch_done("fan-1", 2)]
    assert track(uri, folder, run, *first) == []
    ((one, _),) = runs_in(uri, "first")
    assert one.info.status == "KILLED"

    more = [*first, epoch_done("fan-1", 3), ended(), begun("fan-1-seed-7", seed=7)]
    assert track(uri, folder, run, *more, ended("fan-1-seed-7", outcome="failed")) == []
    found = {one.info.run_name: (one, history) for one, history in runs_in(uri, "first")}
    assert sorted(found) == ["fan-1", "fan-1-seed-7"]
    one, history = found["fan-1"]
    assert history == [(1, 0.125), (2, 0.25), (3, 0.375)]
    assert one.info.status == "FINISHED"
    assert one.data.params == {"margin": "0.5", "scale": "30.0"}
    assert (one.data.tags["outcome"], one.data.tags["owner"]) == ("complete", "fan")
    other, _ = found["fan-1-seed-7"]
    assert (other.info.status, other.data.params["seed"]) == ("FAILED", "7")
    assert other.data.tags["reason"] == "it diverged"


def test_a_server_that_is_down_is_one_line_and_no_error(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (line,) = track("http://me:secret@127.0.0.1:9", tmp_path, run, begun(), ended())
    assert line.startswith("MLflow: ")
    assert line.endswith("; the search goes on without it")
    assert "secret" not in line


def test_where_nothing_is_written_no_database_is_made(tmp_path: Path) -> None:
    MLflow(f"sqlite:///{tmp_path / 'mlflow.db'}", writes=False)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"--mlflow http://x: .*pip install 'asd-ray\[mlflow\]'"):
        MLflow("http://x")


def test_an_address_that_it_does_not_take_is_a_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(InputError, match="--mlflow mlruns: "):
        MLflow("mlruns")
