"""Whole searches by launch/tune.py, with real Ray, real kills and real signals."""

import csv
import json
import os
import re
import shutil
import signal
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from asd_ray.report.render import rebuild
from tests.conftest import searched
from tests.end_to_end.conftest import ROOT, SMALL, Call, finished, run, run_on_terminal, start, studies_of

TYPES = ["fan", "pump"]  # of `small_shards`
ALL_TYPES = [*TYPES, "slider", "ToyCar", "ToyConveyor", "valve"]

pytestmark = pytest.mark.timeout(900)
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


def assert_said_nothing_bad(call: Call) -> None:
    assert "Traceback" not in call.output
    assert "WARNING" not in call.output


@pytest.fixture(scope="module")
def first(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Call]:
    """A finished search of three trials on one lane, and its call, on a terminal. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("first") / "run"
    call = run_on_terminal(*tune(small_shards, folder, trials=3), "--lanes", 1)
    assert call.process.returncode == 0, call.output
    return folder, call


@pytest.mark.slow
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
    assert_said_nothing_bad(call)


@pytest.mark.slow
def test_a_terminal_shows_the_trials_live(first: tuple[Path, Call]) -> None:
    shown = first[1].output
    assert re.search(r" 0 +fan-0 +1/2 ", shown), shown  # lane 0, its trial, the epoch
    assert "2 of 3 trials: " in shown
    assert re.search(r"\[3/3\] \S+ (complete|pruned)", shown)
    assert shown.rstrip().splitlines()[-1].startswith("next:")


@pytest.mark.slow
def test_a_lane_trains_the_same_trials_to_the_same_values_as_a_loop_without_ray(
    first: tuple[Path, Call], small_shards: Path, tmp_path: Path
) -> None:
    """So a seed gives the same search twice, and nothing between the searcher and the loop changes it."""
    rebuild(searched(small_shards, tmp_path / "run", "train.epochs=2", "search.trials=3"))
    tables = []
    for folder in (first[0], tmp_path / "run"):
        with (folder / "report" / "trials.csv").open() as file:
            tables.append([row[:-1] for row in csv.reader(file)])  # without the time
    assert tables[0] == tables[1]
    assert len(tables[0]) == 4


@pytest.mark.slow
def test_a_search_that_is_extended_killed_and_interrupted_goes_on_by_the_same_call_and_loses_nothing(
    first: tuple[Path, Call], small_shards: Path, tmp_path: Path
) -> None:
    """The finished one; nothing more to do; more trials; SIGKILL; Ctrl-C once: all is put away; twice: at once."""
    folder = shutil.copytree(first[0], tmp_path / "run")
    before = finished(folder)
    again = run(*tune(small_shards, folder, trials=3), "--lanes", 2)
    assert again.process.returncode == 0, again.output
    assert "starting" not in again.output
    assert_said_nothing_bad(again)
    assert finished(folder) == before
    assert_nothing_is_lost_or_repeated(folder, trials=3)

    command = [*tune(small_shards, folder, trials=12), "--lanes", 2]
    killed = start(*command)
    killed.read_until(lambda line: "[2/9]" in line)
    killed.process.send_signal(signal.SIGKILL)
    killed.finish()
    kept = finished(folder)
    assert before.items() < kept.items()
    assert len(kept) >= (3 + 2) * len(TYPES) - len(TYPES)  # the last line may have come before all studies knew
    for sent, when, status in (
        ([signal.SIGINT], "[1/", 130),
        ([signal.SIGINT, signal.SIGINT], "[1/", 130),
        ([signal.SIGTERM], "starting 2 lanes", 143),
        ([signal.SIGHUP], "[1/", 129),
    ):
        call = start(*command)
        call.read_until(lambda line, when=when: when in line)
        # A terminal sends to all that runs there, `docker stop` to the command alone.
        send = os.kill if sent == [signal.SIGTERM] else os.killpg
        send(call.process.pid, sent[0])
        call.read_until(lambda line: "go on with: python launch/tune.py" in line)
        for again_sent in sent[1:]:
            send(call.process.pid, again_sent)
        assert call.finish(timeout=60) == status, call.output
        assert_said_nothing_bad(call)
        assert call.survivors() == []
        assert len(sent) == 2 or temporary_files(folder) == []
        states = {trial.state for found in studies_of(folder).values() for trial in found}
        assert states >= {TrialState.RUNNING}
        assert kept.items() <= finished(folder).items()
        kept = finished(folder)
    more = run(*command)
    assert more.process.returncode == 0, more.output
    assert_said_nothing_bad(more)
    assert_nothing_is_lost_or_repeated(folder, trials=12)
    assert kept.items() < finished(folder).items()
    assert more.survivors() == []
    # Ray's own agents take up to two minutes to notice that a killed driver took the raylet with it.
    assert killed.survivors(patience=150) == []
    assert temporary_files(folder) == []


@pytest.mark.extra
def test_trials_that_diverge_without_lanes_fail_with_the_reason_and_leave_nothing(
    small_shards: Path, tmp_path: Path
) -> None:
    """Each machine type by itself."""
    folder, diverges = tmp_path / "run", "train.learning_rate=1e30"
    call = run(*tune(small_shards, folder, trials=3), "--inline", "--scope", "own", "--set", diverges)
    assert call.process.returncode == 1, call.output
    assert names(folder) == {"fan": ["fan-0", "fan-1"], "pump": ["pump-0"]}
    for name, found in studies_of(folder).items():
        assert found[0].params["margin"] == 0.7, name
        assert {trial.state for trial in found} == {TrialState.FAIL}
        assert all(re.search("nan|not finite", trial.user_attrs["reason"]) for trial in found)
    assert "no complete" in (folder / "report" / "report.md").read_text()
    assert list((folder / "best").glob("*.yaml")) == []
    assert temporary_files(folder) == []
    assert call.survivors() == []
    assert "Traceback" not in call.output


@pytest.mark.extra
@pytest.mark.skipif("ASD_SAMPLE" not in os.environ, reason="ASD_SAMPLE: folder of the real sample corpus, not set")
def test_real_recordings_are_prepared_and_searched_by_one_call(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    call = run(
        *(ROOT / "launch" / "tune.py", *tune(Path(os.environ["ASD_SAMPLE"]), folder, trials=2, epochs=1)[1:]),
        *("--lanes", 1),
        cwd=tmp_path,
    )
    assert call.process.returncode == 0, call.output
    assert "6 machine types, 23 machines" in call.output
    assert sorted(path.stem for path in (folder / "best").glob("*.yaml")) == sorted(ALL_TYPES)
    for known in names(folder).values():
        assert known == names(folder)["fan"]
        assert len(known) == 2
    assert call.survivors() == []
