"""A trial's state on disk: `save` writes it to a new file, renames that, and keeps the state before it.

`load` ignores a state that is damaged or that another version wrote: training is exactly repeatable, so beginning
anew costs time and nothing else.

torch's archive holds a CRC-32 of every record, but not of the bytes between them, and torch.load checks neither: a
flipped bit could go unnoticed. So a SHA-256 of the whole archive follows it; torch.load ignores these extra bytes.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

from asd_ray.files.writing import writing

FORMAT = 2  # raise it when the contents of a state change
_FORMAT_KEY = "format"
_MARK = b"sha256:"
_TRAILER = len(_MARK) + hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write the state; the one before becomes `<name>.previous`. Raises InputError when the disk fails."""
    import torch  # imported late, here and below: it takes seconds, and many processes read no state

    archive = io.BytesIO()
    torch.save({**state, _FORMAT_KEY: FORMAT}, archive)
    data = archive.getvalue()
    with writing(path, keep=previous(path)) as file:
        file.write(data)
        file.write(_trailer(data))


def previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


def load(path: Path) -> dict[str, Any] | None:
    """The newest whole state of this version: the file's, or else the one before it; None if there is neither."""
    for candidate in (path, previous(path)):
        state = _load_one(candidate)
        if state is not None:
            return state
    return None


def load_final(path: Path, *, epochs: int) -> dict[str, Any] | None:
    """The state that a training ended with after `epochs` epochs; None if it is gone or damaged.

    Training could go on from the state before it, but that is another network than the one that was judged.
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
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError):  # another torch wrote it
        return None
    if not isinstance(state, dict) or state.pop(_FORMAT_KEY, None) != FORMAT:
        return None
    return state


def _read_whole(path: Path) -> bytes | None:
    """The archive; None if it is missing or differs from what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    data, trailer = content[:-_TRAILER], content[-_TRAILER:]
    return data if trailer == _trailer(data) else None


def _trailer(data: bytes) -> bytes:
    return _MARK + hashlib.sha256(data).digest()
