"""A trial's state on disk: written beside and renamed, the one before kept.

A state that is damaged, or that another version wrote, is passed over as if it were not there: training is exactly
repeatable, so beginning anew costs time and nothing else.

torch's archive carries a CRC-32 of every record, but not of what lies between them, and torch.load checks
neither: a flipped bit could pass unseen. So a SHA-256 of the whole archive follows it; torch.load reads past it.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

from asd_ray.files.writing import writing

FORMAT = 2  # raise it when what a state holds changes
_FORMAT_KEY = "format"
_MARK = b"sha256:"
_TRAILER = len(_MARK) + hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write the state; the one before becomes `<name>.previous`. Raises InputError when the disk fails."""
    import torch  # late, as below: whoever reads no state is spared its seconds

    archive = io.BytesIO()
    torch.save({**state, _FORMAT_KEY: FORMAT}, archive)
    data = archive.getvalue()
    with writing(path, keep=previous(path)) as file:
        file.write(data)
        file.write(_trailer(data))


def previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


def load(path: Path) -> dict[str, Any] | None:
    """The newest whole state of this version: the file, or else the one before it; None when there is neither."""
    for candidate in (path, previous(path)):
        state = _load_one(candidate)
        if state is not None:
            return state
    return None


def load_final(path: Path, *, epochs: int) -> dict[str, Any] | None:
    """The state that a training of so many epochs ended with; None where it is gone or damaged.

    The one before it would do to train on from, but it is another network than the one that was judged.
    """
    state = _load_one(path)
    return state if state is not None and state["epoch"] == epochs else None


def _load_one(path: Path) -> dict[str, Any] | None:
    data = _read_whole(path)
    return None if data is None else _unpack(data)


def _unpack(data: bytes) -> dict[str, Any] | None:
    """The state in a whole archive, unless another version wrote it."""
    import torch

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError):  # of what another torch wrote
        return None
    if not isinstance(state, dict) or state.pop(_FORMAT_KEY, None) != FORMAT:
        return None
    return state


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
