"""Weights & Biases, offline: a file per trial that `wandb sync` sends later."""

import sys
from pathlib import Path

import pytest
import wandb

from asd_ray.errors import InputError
from asd_ray.search.events import Event
from asd_ray.search.runfolder import Run
from asd_ray.tracking.desk import tracked
from asd_ray.tracking.wandb import WandB
from tests.tracking.conftest import begun, ended, epoch_done

pytestmark = pytest.mark.filterwarnings("ignore")  # of its own parts


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)


def test_two_trials_side_by_side_become_two_files_of_their_numbers(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "first"
    folder.mkdir()
    seen: list[Event] = []
    names = ("fan-1", "fan-2")
    events = [*map(begun, names), *(epoch_done(name, epoch) for epoch in (1, 2) for name in names)]
    with tracked([WandB()], folder, run, seen.append) as tell:
        for event in [*events, *map(ended, names)]:
            tell(event)
    assert [event for event in seen if isinstance(event, str)] == []
    wandb.teardown()  # as at the end of every process: its service has written all then
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    content = [file.read_bytes() for file in files]
    for name in names:
        (own,) = [one for one in content if name.encode() in one]
        for word in (b"asd_ray", b"first", b"margin", b"objective/fan", b"0.125", b"0.25", b"complete"):
            assert word in own
    assert capfd.readouterr() == ("", "")


def test_where_nobody_has_signed_in_nothing_is_asked_and_the_mend_is_told() -> None:
    with pytest.raises(InputError, match="run `wandb login`, or set WANDB_MODE=offline"):
        WandB()


def test_without_the_package_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"--wandb: .*pip install 'asd-ray\[wandb\]'"):
        WandB()
