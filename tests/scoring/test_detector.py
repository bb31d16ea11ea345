"""A found detector scores a recording as the trial that found it did, and refuses weights that are not its own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump, read_yaml
from asd_ray.report.render import rebuild
from asd_ray.scoring.detector import Detector, Scored, score
from asd_ray.search.runfolder import TRIALS


@pytest.fixture(scope="module")
def built(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(finished_run, tmp_path_factory.mktemp("detector") / "run")
    rebuild(folder)
    return folder


@pytest.fixture
def best(built: Path, tmp_path: Path) -> Path:
    """best/fan.yaml of a run folder of this test's own."""
    return shutil.copytree(built, tmp_path / "run") / "best" / "fan.yaml"


@pytest.mark.parametrize("machine_type", ["fan", "ToyCar"])
def test_a_recording_gets_the_score_that_its_trial_gave_it(built: Path, dataset: Path, machine_type: str) -> None:
    detector = Detector(built / "best" / f"{machine_type}.yaml")
    table = pq.read_table(built / TRIALS / detector.best.trial / "scores.parquet").to_pylist()
    rows = [row for row in table if row["machine_type"] == machine_type and row["split"] == "test"]
    for row in rows[::5]:
        scored = detector.score(dataset / row["clip_id"])
        assert scored.score == pytest.approx(row["score"], rel=1e-4, abs=1e-4)
        assert scored.machine_id in row["clip_id"]
        assert scored.threshold == detector.best.threshold.value
        assert scored.is_anomaly == (scored.score > scored.threshold)


def test_a_score_that_equals_the_threshold_is_normal() -> None:
    assert not Scored(path=Path("x"), machine_id="id_00", score=1.0, threshold=1.0).is_anomaly
    assert Scored(path=Path("x"), machine_id="id_00", score=1.01, threshold=1.0).is_anomaly


def test_the_machine_id_is_given_or_read_from_the_name(best: Path, dataset: Path, tmp_path: Path) -> None:
    detector = Detector(best)
    assert detector.machine_ids == ["id_00", "id_01"]
    recording = dataset / "fan" / "test" / "normal_id_01_00000000.wav"
    nameless = Path(shutil.copy(recording, tmp_path / "monday.wav"))
    assert detector.score(nameless, machine_id="id_01").score == detector.score(recording).score
    assert detector.score(nameless, machine_id="id_00").score != detector.score(recording).score
    with pytest.raises(InputError, match=r"no machine id .* give --machine-id, one of id_00, id_01"):
        detector.score(nameless)
    with pytest.raises(InputError, match=r"no such file; check the path"):
        detector.score(tmp_path / "id_00.wav")


def test_a_name_with_the_id_in_another_word_or_with_two_ids(best: Path, dataset: Path, tmp_path: Path) -> None:
    detector = Detector(best)
    recording = dataset / "fan" / "test" / "normal_id_01_00000000.wav"
    solenoid = Path(shutil.copy(recording, tmp_path / "solenoid_00_id_01_1.wav"))
    assert detector.score(solenoid) == replace(detector.score(recording), path=solenoid)
    both = Path(shutil.copy(recording, tmp_path / "id_00_id_01.wav"))
    with pytest.raises(InputError, match=r"several machine ids \(id_00, id_01\); give --machine-id, one of id_00"):
        detector.score(both)
    assert detector.score(both, machine_id="id_00").machine_id == "id_00"


def test_what_is_odd_about_a_recording_goes_with_its_score_and_silence_has_none(
    best: Path, dataset: Path, tmp_path: Path
) -> None:
    recording = dataset / "fan" / "test" / "normal_id_01_00000000.wav"
    pcm, rate = soundfile.read(recording, dtype="int16")
    short, silent = tmp_path / "id_00_short.wav", tmp_path / "id_00_silent.wav"
    soundfile.write(short, pcm[:48_000], rate)
    soundfile.write(silent, 0 * pcm, rate)
    refused: list[InputError] = []
    scored = score(best, [recording, silent, short], on_refused=refused.append)
    assert [one.notes for one in scored] == [(), ("shorter than 10 s: repeated",)]
    assert [str(error) for error in refused] == [
        f"{silent}: is silent: all of its samples are the same; see to the microphone"
    ]


def test_a_single_recording_may_be_given_as_it_is(best: Path, dataset: Path) -> None:
    recording = dataset / "fan" / "test" / "normal_id_01_00000000.wav"
    assert score(best, str(recording)) == score(best, recording) == score(best, [recording])


def test_a_machine_that_it_was_not_trained_on_is_refused_by_name_and_by_option(
    best: Path, dataset: Path, tmp_path: Path
) -> None:
    detector = Detector(best)
    recording = dataset / "fan" / "test" / "normal_id_01_00000000.wav"
    other = Path(shutil.copy(recording, tmp_path / "normal_id_07_00000000.wav"))
    with pytest.raises(InputError, match=r"id_07 is no fan it was trained on \(id_00, id_01\)"):
        detector.score(other)
    with pytest.raises(InputError, match=r"id_07 is no fan it was trained on \(id_00, id_01\)"):
        detector.score(recording, machine_id="id_07")


def test_damaged_weights_are_refused(best: Path) -> None:
    weights = best.parent.parent / "models" / "fan" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match=r"model\.safetensors: not the weights that .*fan\.yaml was written with"):
        Detector(best)
    weights.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: missing; it holds the weights of .*fan\.yaml"):
        Detector(best)


def test_weights_of_another_network_are_refused(best: Path) -> None:
    document, _ = read_yaml(best)
    document["config"]["model"]["width"] = 0.125
    best.write_text(dump(document))
    with pytest.raises(InputError, match=r"model\.safetensors: "):
        Detector(best)


def test_a_file_that_is_no_best_file_is_refused(best: Path) -> None:
    best.write_text("machine_type: fan\n")
    with pytest.raises(InputError, match=r"fan\.yaml:1: \w+: missing"):
        Detector(best)
