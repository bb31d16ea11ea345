"""The built-in corpus: whole or not there, the same for the same seed, and neither trivial nor hopeless."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.data import synthetic
from asd_ray.data.corpus import read_corpus
from asd_ray.data.machines import KINDS, record
from asd_ray.data.synthetic import write_corpus
from asd_ray.errors import InputError

SMALL = {"ids_per_type": 2, "train_per_id": 1, "test_normal_per_id": 1, "test_anomaly_per_id": 1}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data") / "synthetic", **SMALL)


def test_it_is_a_corpus_of_six_machine_types_in_the_dcase_layout(small: Path) -> None:
    corpus = read_corpus(small)
    assert corpus.problems == ()
    assert Counter((clip.split, clip.is_anomaly) for clip in corpus.clips) == {
        ("train", False): 12,
        ("test", False): 12,
        ("test", True): 12,
    }
    assert {clip.machine_type for clip in corpus.clips} == {
        "fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor"
    }  # fmt: skip
    for clip in corpus.clips:
        info = soundfile.info(small / clip.clip_id)
        assert (info.frames, info.samplerate, info.channels, info.subtype) == (
            NUM_SAMPLES,
            SAMPLE_RATE,
            1,
            "PCM_16",
        )


def test_every_clip_sounds_different_and_none_is_mostly_clipped_or_faint(small: Path) -> None:
    sounds = [soundfile.read(small / clip.clip_id, dtype="int16")[0] for clip in read_corpus(small).clips]
    assert len({sound.tobytes() for sound in sounds}) == len(sounds)
    for sound in sounds:
        assert 200 < np.sqrt(np.mean(sound.astype(float) ** 2)) < 16_000
        assert np.mean(np.abs(sound.astype(int)) >= 32767) < 0.01


def test_the_same_call_gives_the_same_files_and_another_seed_others(small: Path, tmp_path: Path) -> None:
    again = contents(write_corpus(tmp_path / "again", **SMALL))
    assert again == contents(small)
    other = contents(write_corpus(tmp_path / "other", **SMALL, seed=1))
    assert other.keys() == again.keys()
    assert all(other[path] != again[path] for path in again)


def test_a_larger_corpus_contains_the_smaller_one(small: Path, tmp_path: Path) -> None:
    larger = contents(write_corpus(tmp_path / "larger", **(SMALL | {"train_per_id": 2})))
    sounds = {path: content for path, content in contents(small).items() if path.endswith(".wav")}
    assert sounds.items() <= larger.items()
    assert len(set(larger.values())) == len(larger)


def test_a_whole_folder_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "x", **SMALL)
    monkeypatch.setattr(synthetic, "record", None)  # making one clip would now fail
    assert write_corpus(tmp_path / "x", **SMALL) == tmp_path / "x"


def test_other_parameters_or_a_missing_file_renew_the_folder(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "x", **SMALL)
    before = contents(root)
    (root / "fan/train/normal_id_01_00000000.wav").unlink()
    assert contents(write_corpus(root, **SMALL)) == before
    write_corpus(root, **(SMALL | {"ids_per_type": 1}))
    assert json.loads((root / "corpus.json").read_text())["ids_per_type"] == 1
    assert len(contents(root)) == 6 * 3 + 1
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_interrupted_call_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def interrupted(*args: object, **how: object) -> object:
        nonlocal made
        made += 1
        if made == 4:
            raise KeyboardInterrupt
        return record(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(synthetic, "record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "x", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_call_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".x.4194305.part/fan").mkdir(parents=True)  # beyond the largest process number
    (tmp_path / ".x.1.part").mkdir()  # of a live process
    write_corpus(tmp_path / "x", **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.1.part", "x"]


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="is in the way and was not made here"):
        write_corpus(tmp_path, **SMALL)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("machine_type", KINDS)
def test_a_severe_fault_is_heard_over_what_varies_between_healthy_clips(machine_type: str) -> None:
    """Mean distance of spectra to those of healthy clips: further for severe faults than for healthy clips."""
    machine = KINDS[machine_type].build(np.random.default_rng([1, 0]))

    def spectrum(seed: int, fault: float) -> np.ndarray:
        wave = record(machine, np.random.default_rng([2, seed]), fault=fault)
        power_KB = np.abs(np.fft.rfft(wave.astype(np.float32).reshape(-1, 1000), axis=1)[:, 1:]) ** 2
        level_B = 10 * np.log10(np.concatenate([power_KB.mean(0), power_KB.std(0)]) + 1)
        return level_B - level_B.mean()

    usual = np.stack([spectrum(seed, 0.0) for seed in range(12)])

    def distance(found: np.ndarray) -> float:
        return float(np.sqrt(((usual - found) ** 2).mean(axis=1)).min())

    healthy = np.mean([distance(spectrum(100 + seed, 0.0)) for seed in range(8)])
    severe = np.mean([distance(spectrum(100 + seed, 1.0)) for seed in range(8)])
    assert severe > 1.1 * healthy
