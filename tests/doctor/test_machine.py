"""What keeps a search from running on a machine is found, and comes with its mend."""

import importlib.metadata
import shutil
import tomllib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from packaging.specifiers import SpecifierSet

from asd_ray.doctor import machine
from asd_ray.doctor.finding import Finding, examine
from asd_ray.errors import InputError
from tests.disk import mounted

ROOT = Path(__file__).resolve().parents[2]


def faults(findings: Iterable[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level == "fault"]


def test_another_python_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(machine.check_python()) == []
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.15.0")
    assert faults(machine.check_python()) == [
        "3.15.0; install Python 3.11 to 3.14, then, for example: make clean setup PYTHON=python3.14"
    ]


def test_the_versions_of_python_are_said_alike_wherever_they_are_said() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = SpecifierSet(project["project"]["requires-python"])
    assert tuple(f"3.{minor}" for minor in range(30) if f"3.{minor}.5" in wanted) == machine.PYTHONS
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert project["tool"]["mypy"]["python_version"] == machine.PYTHONS[0]
    assert f"\nPYTHONS := {' '.join(machine.PYTHONS)}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    range_of_them = f"Python {machine.PYTHONS[0]} to {machine.PYTHONS[-1]}"
    for page in ("README.md", "docs/clusters.md"):
        assert range_of_them in (ROOT / page).read_text(encoding="utf-8")


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


def test_packages_that_are_locked_for_another_python_or_system_are_not_missed(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    version = importlib.metadata.version("numpy")
    lock.write_text(
        f"numpy==0.1 ; python_full_version < '3' \\\n    --hash=sha256:0\n"
        f"numpy=={version} ; python_full_version >= '3' \\\n    --hash=sha256:0\n"
        "no-such-package==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n    # via numpy\n"
    )
    assert [(one.level, one.text) for one in machine.check_packages(lock)] == [("ok", "1, as locked")]


@pytest.mark.parametrize(
    ("package", "level", "mend"),
    [
        ("ray", "fault", "run: make setup"),
        ("torchaudio", "note", "its mel filters are computed without it, to the same digits"),
    ],
)
def test_a_package_that_cannot_be_imported_is_a_fault_unless_we_do_without(
    package: str, level: str, mend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(name: str) -> None:
        if name == package:
            raise OSError("Could not load this library:\n_C.abi3.so")

    monkeypatch.setattr(machine.importlib, "import_module", broken)
    (finding,) = machine.check_packages(tmp_path / "none")
    assert finding.level == level
    assert finding.text == f"{package} cannot be imported (Could not load this library: _C.abi3.so); {mend}"


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


def test_a_temporary_folder_that_will_not_do_for_sessions_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse() -> Path:
        raise InputError("/tmp: everybody may replace what others keep there")

    monkeypatch.setattr(machine, "temporary_folder", refuse)
    found = examine("disk", lambda: machine.check_disk(tmp_path))
    assert faults(found) == ["/tmp: everybody may replace what others keep there"]
