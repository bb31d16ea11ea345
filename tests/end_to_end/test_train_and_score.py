"""launch/train.py and launch/score.py, as a user runs them after a search."""

import csv
import io
import os
import shutil
import signal
from pathlib import Path

import pytest

from asd_ray.files.strict_yaml import load
from asd_ray.report.render import rebuild
from asd_ray.scoring.detector import Best, score
from tests.end_to_end.conftest import run, start

pytestmark = [pytest.mark.extra, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small search, with its report."""
    folder = shutil.copytree(finished_run, tmp_path_factory.mktemp("search") / "run")
    rebuild(folder)
    return folder


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text[text.index("recording,") :])))


def test_recordings_get_a_score_and_a_decision_and_bad_files_one_line_each(
    found: Path, dataset: Path, tmp_path: Path
) -> None:
    clips = sorted((dataset / "fan" / "test").glob("*.wav"))
    bad = {
        "missing": tmp_path / "id_00_missing.wav",
        "empty": tmp_path / "id_00_empty.wav",
        "truncated": tmp_path / "id_00_truncated.wav",
        "text": tmp_path / "id_00_text.wav",
    }
    bad["empty"].touch()
    bad["truncated"].write_bytes(clips[0].read_bytes()[:100_000])
    bad["text"].write_text("not a recording")
    best = load(found / "best" / "fan.yaml", Best)
    machine_id = best.classes[0][1]
    call = run(
        *("launch/score.py", found / "best" / "fan.yaml", "--csv", "--machine-id", machine_id),
        *clips,
        *bad.values(),
    )
    assert call.process.returncode == 2, call.output
    scored = rows(call.output)
    assert len(scored) == len(clips)
    for row in scored:
        assert 0 <= float(row["score"]) < 100
        assert row["decision"] == ("anomaly" if float(row["score"]) > float(row["threshold"]) else "normal")
    errors = [line for line in call.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(bad)
    for path in bad.values():
        assert sum(str(path) in line for line in errors) == 1, call.output
    assert "Traceback" not in call.output


def test_a_best_config_is_trained_in_full_and_goes_on_when_called_again(found: Path, dataset: Path) -> None:
    train = ["launch/train.py", found / "best" / "fan.yaml", "--epochs", 6]
    first = start(*train)
    line = first.read_until(lambda line: line.startswith("epoch 1: loss"))
    os.killpg(first.process.pid, signal.SIGINT)
    assert first.finish(timeout=60) == 130, first.output
    assert "interrupted; the same call goes on" in first.output
    assert "Traceback" not in first.output
    assert first.survivors() == []

    again = run(*train)
    assert again.process.returncode == 0, again.output
    lines = [line for line in again.output.splitlines(keepends=True) if line.startswith("epoch ")]
    assert lines[0] == line  # to the time that it took: it was not trained again
    assert [one.split(":")[0] for one in lines] == [f"epoch {epoch}" for epoch in range(1, 7)]
    assert again.survivors() == []
    detector = found / "full" / "fan" / "fan.yaml"
    assert load(detector, Best).epochs == 6
    clips = sorted((dataset / "fan" / "test").glob("normal*"))[:2]
    assert [one.path for one in score(detector, clips)] == clips


def test_a_lane_that_does_not_fit_is_refused_with_the_numbers(found: Path, tmp_path: Path) -> None:
    call = run("launch/train.py", found / "best" / "fan.yaml", "--workers", 1000, "--out", tmp_path / "many")
    assert call.process.returncode == 2, call.output
    assert "1000 worker(s)" in call.output
    assert "Traceback" not in call.output
    assert call.survivors() == []
