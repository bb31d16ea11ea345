"""What the command notes of recordings before it scores them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from asd_ray.commands import score


@pytest.mark.parametrize(
    ("folder", "others"), [("pump/test", ["pump"]), ("pump/fan/test", []), ("new", []), ("fan/pump", ["pump"])]
)
def test_recordings_filed_under_another_machine_type_are_noted(
    folder: str, others: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classes = [["fan", "id_00"], ["pump", "id_00"]]
    detector = SimpleNamespace(best=SimpleNamespace(machine_type="fan", classes=classes))
    found = score.other_types(detector, [Path(folder) / "a_id_00.wav", Path(folder) / "b_id_00.wav"])
    assert found == others
