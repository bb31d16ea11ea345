"""What a search would do is told so that it can be checked against the corpus, and so are its costs."""

import re
import shutil
from pathlib import Path

import pytest
import soundfile
from rich.console import Console

from asd_ray.config import RunConfig, replace_settings
from asd_ray.console import dry_run
from asd_ray.console.dry_run import print_forecast
from asd_ray.data.prepare import prepare
from asd_ray.models import SYSTEMS
from asd_ray.search import forecast
from asd_ray.search.forecast import list_data, make_forecast
from asd_ray.training.warmup import Pace


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a tenth of a second and 3 GB."""
    measured = Pace(train_s=0.1, read_s=0.01, host_bytes=3 * 10**9, gpu_bytes=0)
    monkeypatch.setattr(forecast, "measure_pace", lambda *_, **__: measured)


def printed(data: Path, *settings: str, space_name: str = "noisy_arcmix") -> str:
    config = replace_settings(RunConfig(), ["lanes.count=1", "lanes.gpus=0", *settings])
    found = make_forecast(list_data(data, valid_fraction=0.25), config, space_name=space_name, where=data)
    console = Console(width=120, markup=False, highlight=False)
    with console.capture() as capture:
        print_forecast(found, console)
    return capture.get()


def test_clips_studies_space_lanes_time_and_memory_are_told(small_dataset: Path) -> None:
    text = printed(small_dataset, "search.trials=6", "train.epochs=3", "search.confirm=1", "search.seeds=2")
    rows = [line.split() for line in text.splitlines() if re.match(r"  +(fan|pump)? +id_", line)]
    assert rows == [
        ["fan", "id_00", "4", "1", "2", "+", "2", "2", "+", "2"],
        ["id_01", "4", "1", "2", "+", "2", "2", "+", "2"],
        ["pump", "id_00", "4", "1", "2", "+", "2", "2", "+", "2"],
        ["id_01", "4", "1", "2", "+", "2", "2", "+", "2"],
    ]
    for line in [
        "classes   4, one per machine id",
        "prepare   52 recordings would be checked and written to shards first",
        "studies   2: fan, pump",
        "system    tastgram\n",
        "          scale: 8 to 64 by ratios",
        "trials    6 of up to 3 epochs, judged after 1: one in 3 goes on; each trains on all machine types",
        "confirm   the best 1 of each machine type and the starting point, 2 seeds each",
        "pace      100 ms to train on a clip, 10 ms to read one",
        "memory    3.3 GB: 0.3 GB for clips, 3.0 GB for each lane's worker",
    ]:
        assert line in text
    assert re.search(r"^time      about \d+ s; \d+ s if no trial were pruned$", text, flags=re.MULTILINE)


def test_what_cannot_be_searched_or_judged_is_named_with_the_reason(small_dataset: Path, tmp_path: Path) -> None:
    data = shutil.copytree(small_dataset, tmp_path / "machines")
    for path in (data / "pump/test").glob("anomaly*"):
        path.unlink()
    for path in sorted((data / "fan/test").glob("anomaly_id_00*"))[1:]:
        path.unlink()  # an odd one out chooses
    for path in (data / "fan/test").glob("anomaly_id_01*"):
        path.unlink()
    text = printed(data)
    assert "          pump is trained on but not searched: no anomalous clips\n" in text
    assert "          fan is searched, but its best config cannot be judged: no anomalous clips report\n" in text


def test_odd_recordings_and_a_mixed_protocol_are_told(small_dataset: Path, tmp_path: Path) -> None:
    data = shutil.copytree(small_dataset, tmp_path / "machines")
    pcm, rate = soundfile.read(data / "fan/test/normal_id_00_00000000.wav", dtype="int16")
    soundfile.write(data / "fan/test/normal_id_00_00000000.wav", pcm[:rate], rate)
    (data / "fan/eval").mkdir()
    for path in (data / "fan/test").glob("*_id_01_*"):
        path.rename(data / "fan/eval" / path.name)
    prepare(data, tmp_path / "shards")
    text = printed(tmp_path / "shards")
    assert "noted     fan: recordings that are used though odd: shorter than 10 s: repeated (1)\n" in text
    assert (
        "protocol  mixed: machine types with labelled evaluation clips as in dcase, the others as in split" in text
    )
    assert "cannot be judged" not in text


def test_of_several_systems_all_are_timed(small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def measure(config: RunConfig, *, systems: tuple[str, ...], **_: object) -> Pace:
        asked.append(systems)
        return Pace(train_s=0.1, read_s=0.01, host_bytes=3 * 10**9, gpu_bytes=0)

    monkeypatch.setattr(forecast, "measure_pace", measure)
    text = printed(small_dataset, "model.name=stgram", space_name="systems")
    assert set(asked[0]) == set(SYSTEMS)
    assert re.search(r"^system    tastgram, stgram, .*, glow_aff$", text, flags=re.MULTILINE)
    assert "the mean of all systems" in text
    assert "the mean of all systems" not in printed(small_dataset)


def test_the_largest_batch_that_a_trial_may_have_is_measured(
    small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measure(config: RunConfig, **_: object) -> Pace:
        asked.append(config.train.batch_size)
        return Pace(train_s=0.1, read_s=0.01, host_bytes=3 * 10**9, gpu_bytes=0)

    monkeypatch.setattr(forecast, "measure_pace", measure)
    text = printed(small_dataset, "train.batch_size=8", space_name="ae")
    assert "in batches of 128 clips, the largest that a trial may have" in text
    assert "in batches of" not in printed(small_dataset, "train.batch_size=8")
    assert asked == [128, 8]


def test_without_labels_the_held_out_clips_are_told_to_choose(small_dataset: Path) -> None:
    text = printed(small_dataset, "score.objective=proxy")
    rows = [line.split() for line in text.splitlines() if re.match(r"  +(fan|pump)? +id_", line)]
    assert rows[0] == ["fan", "id_00", "4", "1", "1", "held", "out", "2", "+", "2"]
    assert "no label chooses: held-out clips do, as they are and heard as other machine ids\n" in text
    assert "protocol  split: half of the test clips of each machine id report\n" in text


def test_a_start_outside_the_space_is_told(small_dataset: Path) -> None:
    text = printed(small_dataset, "train.batch_size=7", space_name="ae")
    assert "start     the starting point is not tried: batch_size is 7, not 8 or 16 or 64 or 128;" in text


def test_too_little_memory_is_told_with_the_mend(small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 2 * 10**9

    monkeypatch.setattr(forecast.psutil, "virtual_memory", Memory)
    assert "that is too much: set fewer --lanes, a smaller train.batch_size" in printed(small_dataset)


@pytest.mark.parametrize("known", [True, False])
def test_a_processor_without_bfloat16_is_told(
    small_dataset: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(dry_run, "has_bfloat16", lambda device: known)
    text = printed(small_dataset, "train.precision=bfloat16")
    assert ("has no instructions for bfloat16: train.precision=float32 is much faster" in text) is not known
