"""A trial's state on disk: written beside and renamed, the one before kept.

The file is torch's zip archive, which carries a CRC-32 of every record; torch.load does not check them, so a
flipped bit would pass unseen. They are checked here.
"""

import zipfile
from pathlib import Path
from typing import Any

import torch

from asd_ray.command import InputError
from asd_ray.files import writing


def save(path: Path, state: dict[str, Any]) -> None:
    """Write the state; the one before becomes `<name>.previous`. Raises InputError when the disk fails."""
    try:
        with writing(path, keep=previous(path)) as file:
            torch.save(state, file)
    except RuntimeError as error:  # torch's word for a full disk: "... unexpected pos ..."
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be written ({reason}); free some space there") from error


def previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


def load(path: Path) -> dict[str, Any] | None:
    """The newest whole state: the file, or else the one before it; None when there is neither."""
    for candidate in (path, previous(path)):
        if is_whole(candidate):
            state: dict[str, Any] = torch.load(candidate, map_location="cpu", weights_only=True)
            return state
    return None


def is_whole(path: Path) -> bool:
    """Whether the file is a complete archive whose every record has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
