"""TensorBoard's files hold what a trial told."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from asd_ray.search.runfolder import Run
from asd_ray.tracking.desk import tracked
from asd_ray.tracking.tensorboard import TensorBoard
from tests.tracking.conftest import begun, ended, epoch_done


def events_in(folder: Path) -> Iterator[Event]:
    """The records of TensorFlow's format: length, its checksum, an event, its checksum."""
    (path,) = folder.iterdir()
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def scalars_in(folder: Path) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events_in(folder)
        for value in event.summary.value
        if not value.HasField("metadata")
    }


def track(folder: Path, run: Run, *, epochs: int, ends: bool = True) -> None:
    warnings: list[object] = []
    with tracked([TensorBoard()], folder, run, warnings.append) as tell:
        tell(begun())
        for epoch in range(1, epochs + 1):
            tell(epoch_done("fan-1", epoch))
        if ends:
            tell(ended())
    assert [line for line in warnings if isinstance(line, str)] == []


def test_every_trial_has_a_file_of_its_own_with_its_defined_numbers(tmp_path: Path, run: Run) -> None:
    track(tmp_path, run, epochs=2)
    found = scalars_in(tmp_path / "tensorboard" / "fan-1")
    assert found[("objective/fan", 2)] == pytest.approx(0.25)
    assert found[("train_loss", 1)] == 1.0
    names = {name for name, _ in found}
    assert names == {"train_loss", "learning_rate", "seconds", "objective/fan", "auc/fan", "mauc/fan"}


def test_its_point_is_there_as_hyperparameters(tmp_path: Path, run: Run) -> None:
    track(tmp_path, run, epochs=1)
    plugins = [
        value.metadata.plugin_data
        for event in events_in(tmp_path / "tensorboard" / "fan-1")
        for value in event.summary.value
        if value.HasField("metadata")
    ]
    assert {plugin.plugin_name for plugin in plugins} == {"hparams"}
    assert any(b"margin" in plugin.content for plugin in plugins)
    assert any(b"objective/fan" in plugin.content for plugin in plugins)


def test_a_trial_that_another_call_goes_on_with_is_there_once(tmp_path: Path, run: Run) -> None:
    track(tmp_path, run, epochs=2, ends=False)
    track(tmp_path, run, epochs=3)
    found = scalars_in(tmp_path / "tensorboard" / "fan-1")  # of the only file
    assert sorted(step for name, step in found if name == "train_loss") == [1, 2, 3]
