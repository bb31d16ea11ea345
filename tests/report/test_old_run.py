"""A run folder that the code of November 2026 has written is read by this one, and says the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray.config import RunConfig, params_of, replace_settings
from asd_ray.report.reading import summarise
from asd_ray.report.summary_file import summary_file
from asd_ray.scoring.detector import score
from asd_ray.search.confirmation import read_confirmation
from asd_ray.search.runfolder import read_run
from asd_ray.search.studies.storage import reading
from asd_ray.search.warm_start import read_starts
from asd_ray.training.messages import EpochReport, from_plain, to_plain

OLD = Path(__file__).parents[1] / "golden" / "run_of_2026_11"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "run")


def assert_says(found: Any, said: Any, where: str) -> None:
    """What was said is still said: the same words, and the same numbers but for how a processor rounds."""
    if isinstance(said, dict):
        for name, value in said.items():
            assert_says(found[name], value, f"{where}.{name}")
    elif isinstance(said, list):
        assert len(found) == len(said), where
        for number, value in enumerate(said):
            assert_says(found[number], value, f"{where}[{number}]")
    else:
        assert found == (pytest.approx(said, abs=1e-12) if isinstance(said, float) else said), where


def test_its_summary_is_the_one_that_was_written_then(folder: Path) -> None:
    run, clips = read_run(folder)
    with reading(folder, run) as studies:
        found = summary_file(summarise(folder, run, clips=clips, studies=studies)).model_dump()
    said = json.loads((folder / "report" / "summary.json").read_text())
    for machine in said["machine_types"].values():
        del machine["response"]  # of a surface that is fitted anew
    assert_says(found, said, "summary")


def test_its_trials_have_ended_as_they_had(folder: Path) -> None:
    run, _ = read_run(folder)
    with reading(folder, run) as studies:
        ended = [[trial.state.name for trial in studies.trials(name)] for name in run.machine_types]
        assert ended == [["COMPLETE", "COMPLETE", "PRUNED"]] * 6
        assert studies.num_missing == 0
    confirmation = read_confirmation(folder, run)
    assert confirmation is not None
    assert confirmation.waiting() == []


def test_every_row_of_its_histories_is_a_report(folder: Path) -> None:
    histories = sorted((folder / "trials").rglob("metrics.json"))
    assert len(histories) == 5
    for path in histories:
        for row in json.loads(path.read_text()):
            assert to_plain(from_plain(EpochReport, row)) == row


def test_another_search_learns_from_it(folder: Path, tmp_path: Path) -> None:
    run, clips = read_run(folder)
    config = replace_settings(run.config, [f"search.warm_start=[{folder}]"])
    starts = read_starts(tmp_path / "new", run.model_copy(update={"config": config}), clips=clips)
    assert len(starts.lessons) == 18  # three trials, each in the studies of six machine types


def test_its_detector_still_scores(folder: Path, tmp_path: Path) -> None:
    wave = np.random.default_rng(0).normal(scale=0.1, size=160_000)
    path = tmp_path / "normal_id_00_00000000.wav"
    soundfile.write(path, wave, 16_000, subtype="PCM_16")
    (found,) = score(folder / "best" / "fan.yaml", [path])
    assert (found.machine_id, np.isfinite(found.score)) == ("id_00", True)
    assert params_of(RunConfig())["margin"] == 0.7
