"""Whole searches by launch/tune.py, with real Ray, real kills and real signals."""

import csv
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.end_to_end.conftest import ROOT, SMALL, Call, finished, run, run_on_terminal, start, studies_of

TYPES = ["fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
optuna.logging.set_verbosity(optuna.logging.WARNING)


def tune(shards: Path, folder: Path, *, trials: int, epochs: int = 2) -> list[object]:
    return ["launch/tune.py", "--data", shards, "--run", folder, "--trials", trials, "--epochs", epochs, *SMALL]


def names(folder: Path) -> dict[str, list[str]]:
    """The trials that each study knows, by the names that they have everywhere."""
    return {
        name: [trial.user_attrs.get("copy_of", f"{name}-{trial.number}") for trial in trials]
        for name, trials in studies_of(folder).items()
    }


def assert_nothing_is_lost_or_repeated(folder: Path, *, trials: int) -> None:
    own = [uid for name, uids in names(folder).items() for uid in uids if uid.startswith(f"{name}-")]
    everything = {uid for uids in names(folder).values() for uid in uids}
    assert len(everything) == trials
    assert sorted(set(own)) == sorted(everything)
    for name, known in names(folder).items():
        assert len(known) == len(set(known)), name
    for found in studies_of(folder).values():
        assert all(trial.state.is_finished() for trial in found)


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part") or path.name == ".ray"]


@pytest.fixture(scope="module")
def first(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Call]:
    """A finished search of three trials on one lane, and its call. Copy the folder before changing it."""
    folder = tmp_path_factory.mktemp("first") / "run"
    call = run(*tune(shards, folder, trials=3), "--lanes", 1)
    assert call.process.returncode == 0, call.output
    return folder, call


def test_a_search_ends_with_a_best_config_and_a_model_for_every_machine_type(first: tuple[Path, Call]) -> None:
    folder, call = first
    assert sorted(path.stem for path in (folder / "best").glob("*.yaml")) == sorted(TYPES)
    for name in TYPES:
        assert (folder / "models" / name / "model.safetensors").exists()
    summary = json.loads((folder / "report" / "summary.json").read_text())
    assert set(summary["machine_types"]) == set(TYPES)
    for known in names(folder).values():
        assert known == names(folder)["fan"]
        assert known[0] == "fan-0"
        assert len(known) == 3
    assert call.survivors() == []
    assert temporary_files(folder) == []
    assert "Traceback" not in call.output
    assert "WARNING" not in call.output


def test_the_same_call_again_starts_nothing_and_more_trials_are_added_to_those_there(
    first: tuple[Path, Call], shards: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(first[0], tmp_path / "run")
    began = time.monotonic()
    again = run(*tune(shards, folder, trials=3))
    assert again.process.returncode == 0, again.output
    assert "starting" not in again.output
    assert time.monotonic() - began < 60
    assert "Traceback" not in again.output
    assert "WARNING" not in again.output
    assert_nothing_is_lost_or_repeated(folder, trials=3)

    before = studies_of(folder)
    more = run(*tune(shards, folder, trials=6))
    assert more.process.returncode == 0, more.output
    assert "starting" in more.output
    assert "[3/3]" in more.output
    assert_nothing_is_lost_or_repeated(folder, trials=6)
    after = studies_of(folder)
    for name, found in before.items():
        assert [trial.value for trial in found] == [trial.value for trial in after[name][: len(found)]]
    assert more.survivors() == []
    assert temporary_files(folder) == []
    assert "Traceback" not in more.output
    assert "WARNING" not in more.output


def test_one_seed_and_one_lane_give_the_same_trials_twice_and_a_terminal_shows_them_live(
    first: tuple[Path, Call], shards: Path, tmp_path: Path
) -> None:
    status, shown = run_on_terminal(*tune(shards, tmp_path / "run", trials=3), "--lanes", 1)
    assert status == 0, shown
    assert re.search(r" 0 +fan-0 +1/2 ", shown), shown  # lane 0, its trial, the epoch
    assert "2 of 3 trials: " in shown
    assert re.search(r"\[3/3\] \S+ (complete|pruned)", shown)
    assert shown.rstrip().splitlines()[-1].startswith("next:")
    tables = []
    for folder in (first[0], tmp_path / "run"):
        with (folder / "report" / "trials.csv").open() as file:
            tables.append([row[:-1] for row in csv.reader(file)])  # without the time
    assert tables[0] == tables[1]
    assert len(tables[0]) == 4


def test_a_search_that_is_killed_and_interrupted_goes_on_by_the_same_call_and_loses_nothing(
    small_shards: Path, tmp_path: Path
) -> None:
    """SIGKILL; then Ctrl-C once: it ends within seconds, all put away; then twice: at once."""
    folder = tmp_path / "run"
    command = [*tune(small_shards, folder, trials=6), "--lanes", 2]
    killed = start(*command)
    killed.read_until(lambda line: "[2/6]" in line)
    killed.process.send_signal(signal.SIGKILL)
    killed.finish()
    kept = finished(folder)
    assert len(kept) >= 2 * 2 - 2  # the last line may have come before all studies knew
    for times, seconds in ((1, 15), (2, 5)):
        call = start(*command)
        call.read_until(lambda line: "[1/" in line)
        began = time.monotonic()
        for press in range(times):
            time.sleep(0.5 * press)
            os.killpg(call.process.pid, signal.SIGINT)
        assert call.finish(timeout=60) == 130, call.output
        assert time.monotonic() - began < seconds + 0.5 * (times - 1)
        assert "go on with: python launch/tune.py" in call.output
        assert "Traceback" not in call.output
        assert call.survivors() == []
        assert times > 1 or temporary_files(folder) == []
        states = {trial.state for found in studies_of(folder).values() for trial in found}
        assert states >= {TrialState.RUNNING}
        assert kept.items() < finished(folder).items()
        kept = finished(folder)
    again = run(*command)
    assert again.process.returncode == 0, again.output
    assert_nothing_is_lost_or_repeated(folder, trials=6)
    assert kept.items() < finished(folder).items()
    assert again.survivors() == []
    # Ray's own agents take up to two minutes to notice that a killed driver took the raylet with it.
    assert killed.survivors(patience=150) == []
    assert temporary_files(folder) == []


def test_trials_that_diverge_are_failed_with_the_reason_and_leave_nothing(
    small_shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    call = run(*tune(small_shards, folder, trials=3, epochs=1), "--inline", "--set", "train.learning_rate=1e30")
    assert call.process.returncode == 1, call.output
    for found in studies_of(folder).values():
        assert {trial.state for trial in found} == {TrialState.FAIL}
    reasons = [trial.user_attrs.get("reason", "") for found in studies_of(folder).values() for trial in found]
    assert sum("nan" in reason or "not finite" in reason for reason in reasons) == 3
    assert "no complete" in (folder / "report" / "report.md").read_text()
    assert list((folder / "best").glob("*.yaml")) == []
    assert call.survivors() == []
    assert "Traceback" not in call.output


def test_inline_and_own_scope_search_each_machine_type_alone(small_shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    call = run(*tune(small_shards, folder, trials=3), "--inline", "--scope", "own")
    assert call.process.returncode == 0, call.output
    assert names(folder) == {"fan": ["fan-0", "fan-1"], "pump": ["pump-0"]}
    for name, found in studies_of(folder).items():
        assert found[0].params["margin"] == 0.7, name
    assert call.survivors() == []


@pytest.mark.skipif("ASD_SAMPLE" not in os.environ, reason="ASD_SAMPLE: folder of the real sample corpus, not set")
def test_real_recordings_are_prepared_and_searched_by_one_call(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    call = run(
        *(ROOT / "launch" / "tune.py", *tune(Path(os.environ["ASD_SAMPLE"]), folder, trials=2)[1:]),
        *("--lanes", 1),
        cwd=tmp_path,
    )
    assert call.process.returncode == 0, call.output
    assert "6 machine types, 23 machines" in call.output
    assert sorted(path.stem for path in (folder / "best").glob("*.yaml")) == sorted(TYPES)
    for known in names(folder).values():
        assert known == names(folder)["fan"]
        assert len(known) == 2
    assert call.survivors() == []
