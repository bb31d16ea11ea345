"""The command as a user runs it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.data.manifest import Manifest
from asd_ray.data.synthetic import write_corpus

SCRIPT = Path(__file__).parents[2] / "launch/prepare.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "120"}
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_corpus(
        tmp_path / "datasets", ids_per_type=2, train_per_id=4, test_normal_per_id=1, test_anomaly_per_id=2
    )


def test_help_does_not_wait_for_ray_or_torch() -> None:
    start = time.perf_counter()
    shown = run("--help")
    assert shown.returncode == 0
    assert "SHARDS" in shown.stdout
    imports = [sys.executable, "-X", "importtime", str(SCRIPT), "--help"]
    told = subprocess.run(imports, capture_output=True, text=True, check=True).stderr
    assert not any(f" {name}\n" in told for name in ("ray", "torch", "pyarrow", "numpy"))
    assert time.perf_counter() - start < 20  # a wide margin: test machines are busy


def test_a_corpus_with_one_bad_file_of_each_kind_is_prepared_and_each_is_named(root: Path, tmp_path: Path) -> None:
    fan = root / "fan/train"
    second = np.ones(16_000, np.int16)
    (fan / "normal_id_00_90000000.wav").write_bytes(b"")
    (fan / "normal_id_00_90000001.wav").write_text("<html>404</html>")
    (fan / "normal_id_00_90000002.wav").symlink_to("nowhere.wav")
    (fan / "normal_id_00_90000003.wav").mkdir()
    (fan / "normal_id_00_90000004.wav").write_bytes((fan / "normal_id_00_00000000.wav").read_bytes()[:99_999])
    soundfile.write(fan / "normal_id_00_90000005.wav", second, 48_000)
    soundfile.write(fan / "normal_id_00_90000006.wav", np.full(9, np.nan), 16_000, subtype="FLOAT")
    (fan / "normal_id_00_90000007.mp3").touch()
    (fan / "wrong_name.wav").touch()
    soundfile.write(fan / "normal_id_00_90000008.wav", np.stack([second * 7] * 8, axis=1), 16_000)

    done = run(root, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "left out, 9 in all:" in done.stdout
    for name, cause in [
        ("0.wav", "is empty"),
        ("1.wav", "is not a sound file"),
        ("2.wav", "is a link to nowhere.wav, which is missing"),
        ("3.wav", "is a folder"),
        ("4.wav", "header says 320000 bytes"),
        ("5.wav", "has 48000 Hz, not 16000 Hz; convert it, or prepare with --resample"),
        ("6.wav", "NaN"),
        ("7.mp3", ".mp3 files are not read"),
    ]:
        (line,) = [line for line in done.stdout.splitlines() if f"normal_id_00_9000000{name}:" in line]
        assert cause in line
    assert "wrong_name.wav: name; use normal_id_XX_NNNN" in done.stdout
    assert "1 recording: 8 channels: channel 0 used" in done.stdout
    (fans,) = [line.split() for line in done.stdout.splitlines() if line.startswith("  fan ")]
    assert fans == ["fan", "2", "8", "1", "2", "4", "9"]  # of the two held out, one was bad
    assert f"manifest: {tmp_path / 'out/manifest.json'}" in done.stdout
    assert Manifest.load(tmp_path / "out").quarantined == 9
    assert "checked 92 of 92 recordings" in done.stderr

    again = run(root, "--out", tmp_path / "out")
    assert again.stdout == done.stdout
    assert again.stderr == ""


def test_a_long_list_of_bad_files_is_cut_short(root: Path, tmp_path: Path) -> None:
    for number in range(23):
        (root / f"pump/test/normal_id_00_9{number:07d}.wav").touch()
    done = run(root, "--out", tmp_path / "out")
    assert done.stdout.count("is empty") == 20
    assert f"and 3 more, see {tmp_path / 'out/quarantine.csv'}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "out"], "error: nowhere: no such folder"),
        (["{root}", "--out", "{root}"], "is the dataset folder itself"),
        (["{root}", "--out", "{out}", "--valid-fraction", "2"], "valid_fraction 2.0"),
        (["{root}", "--out", "{out}", "--valid-fractoin", "0.1"], "did you mean --valid-fraction?"),
        (["{root}", "--out", "{out}", "--strict"], "is empty; copy or download it again"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_two(
    root: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (root / "fan/test/normal_id_00_90000000.wav").touch()
    failed = run(*(text.format(root=root, out=tmp_path / "out") for text in arguments))
    assert failed.returncode == 2
    assert message in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr


def test_the_shards_of_another_sample_rate_are_made_on_request(root: Path, tmp_path: Path) -> None:
    soundfile.write(root / "fan/test/normal_id_00_90000000.wav", np.ones(441_000, np.int16), 44_100)
    done = run(root, "--out", tmp_path / "out", "--resample")
    assert "resampled from 44100 Hz" in done.stdout
    assert Manifest.load(tmp_path / "out").options.resample is True
