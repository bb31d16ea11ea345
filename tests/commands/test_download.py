"""The command as a user runs it, against a server that drops connections and sends a wrong byte."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray.data.corpus import read_corpus
from asd_ray.data.zenodo import PIECE
from tests.zenodo import Server, put_dcase2020, serving

SCRIPT = Path(__file__).parents[2] / "launch/download.py"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        put_dcase2020(server, ["fan", "pump"])
        yield server


def run(server: Server, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "dcase2020", "--zenodo", server.api, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_corpus_arrives_over_a_bad_line_and_the_next_call_has_nothing_to_do(
    server: Server, tmp_path: Path
) -> None:
    root = tmp_path / "datasets"
    server.faults["dev_data_fan.zip"].drop_after = [6 * PIECE]
    server.faults["eval_data_test_pump.zip"].wrong_bytes = 1
    asked = ("--to", root, "--machine-types", "fan", "pump", "--accept-licence")
    done = run(server, *asked)
    assert done.returncode == 0, done.stderr
    assert ("dev_data_fan.zip", 6 * PIECE) in server.asked
    assert server.asked.count(("eval_data_test_pump.zip", 0)) == 2
    assert "CC BY-NC-SA 4.0" in done.stdout
    assert "7 files, 0.0 GB, by Zenodo's records:" in done.stdout
    assert "dev_data_fan.zip: 4 recordings of fan" in done.stderr
    assert f"next:   python {SCRIPT.with_name('tune.py')} --data {root}" in done.stdout
    assert len(read_corpus(root).clips) == 16

    server.asked.clear()
    assert run(server, *asked).returncode == 0
    assert {name for name, _ in server.asked} == {"listing"}


def test_nothing_is_asked_for_before_the_licence_is_accepted(server: Server, tmp_path: Path) -> None:
    refused = run(server, "--to", tmp_path)
    assert refused.returncode == 2
    assert "CC BY-NC-SA 4.0" in refused.stdout
    assert refused.stderr == "error: nothing is fetched until you accept the licence by --accept-licence\n"
    assert server.asked == []


def test_what_cannot_be_fetched_is_one_line_and_status_one(server: Server, tmp_path: Path) -> None:
    server.faults["eval_data_train_fan.zip"].statuses = [(410, {})]
    failed = run(server, "--to", tmp_path, "--machine-types", "fan", "--accept-licence")
    assert failed.returncode == 1
    assert "eval_data_train_fan.zip/content: the server answers 410 Gone\n" in failed.stderr
    assert failed.stderr.endswith("the same call goes on with what has arrived\n")
    assert (tmp_path / "fan/train/normal_id_00_00000000.wav").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "s3://bucket/datasets", "--accept-licence"], "archives are unpacked on a disk; give a folder"),
        (["--to", "{tmp}", "--machine-types", "fann", "--accept-licence"], "did you mean 'fan'?"),
        (["--to", "{tmp}", "--accept-license"], "did you mean --accept-licence?"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_two(
    server: Server, tmp_path: Path, arguments: list[str], message: str
) -> None:
    failed = run(server, *(text.format(tmp=tmp_path) for text in arguments))
    assert failed.returncode == 2
    assert message in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr
