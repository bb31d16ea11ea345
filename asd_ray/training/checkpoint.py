"""A trial's state on disk: written beside and renamed, the one before kept.

torch's archive carries a CRC-32 of every record, but not of what lies between them, and torch.load checks
neither: a flipped bit could pass unseen. So a SHA-256 of the whole archive follows it; torch.load reads past it.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from asd_ray.files import writing

_MARK = b"sha256:"
_TRAILER = len(_MARK) + hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write the state; the one before becomes `<name>.previous`. Raises InputError when the disk fails."""
    archive = io.BytesIO()
    torch.save(state, archive)
    data = archive.getvalue()
    with writing(path, keep=previous(path)) as file:
        file.write(data)
        file.write(_trailer(data))


def previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


def load(path: Path) -> dict[str, Any] | None:
    """The newest whole state: the file, or else the one before it; None when there is neither."""
    for candidate in (path, previous(path)):
        data = _read_whole(candidate)
        if data is not None:
            state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            return state
    return None


def _read_whole(path: Path) -> bytes | None:
    """The archive, if it is there and as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    data, trailer = content[:-_TRAILER], content[-_TRAILER:]
    return data if trailer == _trailer(data) else None


def _trailer(data: bytes) -> bytes:
    return _MARK + hashlib.sha256(data).digest()
