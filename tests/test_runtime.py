"""Folders of Ray's sessions: those of the living stay, those of the dead go."""

import tempfile
from pathlib import Path

import pytest

from asd_ray import runtime
from asd_ray.locks import folder_lock


def test_only_folders_that_nobody_holds_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held, left = tmp_path / "asd_ray-1-held", tmp_path / "asd_ray-1-left"
    left.mkdir()
    with folder_lock(held, mend=""), runtime._session_folder() as session:
        assert sorted(tmp_path.iterdir()) == sorted([held, session])
    assert list(tmp_path.iterdir()) == [held]
