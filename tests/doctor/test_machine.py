"""What keeps a search from running on a machine is found, and comes with its mend."""

import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from asd_ray.doctor import machine
from asd_ray.doctor.finding import Finding, examine
from tests.disk import mounted

ROOT = Path(__file__).resolve().parents[2]


def faults(findings: Iterable[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level == "fault"]


def test_another_python_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(machine.check_python()) == []
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.14.1")
    assert faults(machine.check_python()) == ["3.14.1; install Python 3.11, then: make setup PYTHON=python3.11"]


def test_a_folder_that_cannot_be_made_is_mended_by_another_one_not_by_room() -> None:
    (found,) = faults(examine("disk", partial(machine.check_disk, Path("/proc/runs"))))
    assert found.endswith("; choose another folder, or mend this one")


def test_the_packages_of_this_checkout_are_as_locked() -> None:
    assert faults(machine.check_packages(ROOT / "requirements.lock")) == []


def test_a_package_that_is_missing_is_a_fault_and_one_of_another_version_a_note(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("no-such-package==1.0 \\\n    --hash=sha256:0\noptuna==1.2.3 \\\n    --hash=sha256:0\n")
    found = list(machine.check_packages(lock))
    assert faults(found) == ["not installed: no-such-package; run: make setup"]
    (note,) = [finding.text for finding in found if finding.level == "note"]
    assert "(tried with 1.2.3)" in note


def test_a_package_that_cannot_be_imported_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(name: str) -> None:
        if name == "torchaudio":
            raise OSError("Could not load this library:\n_torchaudio.abi3.so")

    monkeypatch.setattr(machine.importlib, "import_module", broken)
    assert faults(machine.check_packages(tmp_path / "none")) == [
        "torchaudio cannot be imported (Could not load this library: _torchaudio.abi3.so); run: make setup"
    ]


def test_too_little_memory_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2e9, total=3e9))
    (text,) = faults(machine.check_memory(shared=Path("/nowhere")))
    assert text.startswith("2.0 GB free of 3.0 GB; end other programs")


def test_a_container_with_little_shared_memory_is_a_fault(tmp_path: Path) -> None:
    with mounted(tmp_path / "shm") as disk:
        (text,) = faults(machine.check_memory(shared=disk.folder))
    assert text.endswith("give a container --shm-size=2g or more")


def test_a_driver_without_a_gpu_for_torch_is_a_fault_and_no_driver_a_note(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (finding,) = machine.check_gpu(driver=tmp_path / "none")
    assert finding.level == "note"
    (text,) = faults(machine.check_gpu(driver=tmp_path))
    assert "update the driver" in text


def test_a_folder_without_room_or_right_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (ok,) = machine.check_disk(tmp_path / "runs" / "new")
    assert ok.level == "ok"
    assert list(tmp_path.iterdir()) == []  # nothing is left there
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2e9))
    (text,) = faults(machine.check_disk(tmp_path))
    assert text.endswith("has 2.0 GB free; free some, or choose another --run")
    (tmp_path / "file").touch()
    monkeypatch.undo()
    (text,) = faults(examine("disk", lambda: machine.check_disk(Path("/proc/1"))))
    assert text.startswith("/proc/1: cannot be written")


def test_a_long_temporary_folder_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: str(deep))
    assert any(
        "too long for Ray's sockets; set TMPDIR=/tmp" in text for text in faults(machine.check_disk(tmp_path))
    )
