"""What the command notes of recordings before it scores them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from asd_ray.commands import score
from asd_ray.scoring.detector import Scored


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


def test_notes_stand_in_the_line_of_their_recording(capsys: pytest.CaptureFixture[str]) -> None:
    odd, plain = (
        Scored(path=Path(name), machine_id="id_00", score=1.0, threshold=2.0, notes=notes)
        for name, notes in [("a.wav", ("8 channels: channel 0 used", "silent")), ("b.wav", ())]
    )
    score.print_table([odd, plain], "validation clips")
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split("normal")[1].strip() == "(8 channels: channel 0 used; silent)"
    assert second.endswith("normal")
    score.print_csv([odd, plain])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "a.wav,id_00,1,2,normal,8 channels: channel 0 used; silent",
        "b.wav,id_00,1,2,normal,",
    ]
