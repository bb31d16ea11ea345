"""The journal of a run folder: Optuna's records, one line of JSON each, appended and never changed.

What a record means depends on those before it: studies and trials are numbered by the order in which they were
made, and Optuna skips a record of a trial that it does not know. So the first lines of a journal are always a
state that the search has been in, and it is safe to go on from there. It is not safe to leave a line out of the
middle: that would shift the trials after it, or lose a value, and nobody would notice.
"""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from asd_ray.errors import InputError
from asd_ray.files.locks import folder_lock
from asd_ray.files.writing import cannot_write, in_checked_folder, writing

_CREATE_STUDY, _CREATE_TRIAL, _LAST_OPERATION = 0, 4, 10  # Optuna's numbers


def run_lock(run: Path, *, on_event: Callable[[str], None] = lambda line: None) -> AbstractContextManager[None]:
    """Hold the run folder for this process: see `folder_lock`."""
    return folder_lock(run, mend="wait for it, or use another --run", on_event=on_event)


class Journal(JournalFileBackend):
    """Optuna's file, for one writer that holds the run's lock: records are appended whole or not at all."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(str(path))
        except OSError as error:
            raise cannot_write(path, error) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Raises EnvironmentFailure, and leaves the journal as it was, when the disk fails."""
        path = Path(self._file_path)
        size: int | None = None
        try:
            size = path.stat().st_size
            super().append_logs(logs)
        except OSError as error:
            if size is not None:
                with suppress(
                    OSError
                ):  # a disk that fails at this too leaves a torn line, mended at the next start
                    os.truncate(path, size)
            with in_checked_folder():
                raise cannot_write(path, error) from error


def repair_journal(path: Path) -> int:
    """Make a journal whole again; return how many bytes were cut off its end (kept beside it as `.torn`).

    A killed writer, or a machine that lost its power, leaves a last record without its end, or NUL bytes in its
    place. Optuna reads past that without a word, but the next append is glued onto it and damages the file. So an
    end that holds no whole record is cut. Empty lines hold nothing and are dropped. Any other damage is refused: a
    damaged line that whole lines follow, also one of NUL bytes (a record may have been there); two records in one
    line (the first may or may not have counted for the writer of the second); and records of a trial that no line
    made. Call this only while holding the run's lock. Raises InputError naming the line and the mend.
    """
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()  # left by a dead writer: waiting for it would cost 30 s
    if not path.exists():
        return 0
    data = path.read_bytes()
    *lines, _ = data.split(b"\n")
    count = _count_whole(path, lines)
    end = sum(len(line) + 1 for line in lines[:count])
    torn, records = data[end:], [line for line in lines[:count] if line.strip()]
    if torn:
        _set_aside(path, torn, end=end)
    if len(records) < count:
        with writing(path) as file:
            file.writelines(line + b"\n" for line in records)
    if not records:
        path.unlink()  # Optuna refuses an empty journal
    return len(torn)


def _set_aside(path: Path, torn: bytes, *, end: int) -> None:
    beside = path.with_name(f"{path.name}.torn")
    try:
        with beside.open("ab") as file:
            file.write(torn)
            file.flush()
            os.fsync(file.fileno())
        with path.open("rb+") as journal:
            journal.truncate(end)
            os.fsync(journal.fileno())
    except OSError as error:
        raise cannot_write(beside, error) from error


def _count_whole(path: Path, lines: list[bytes]) -> int:
    """How many lines come before the damaged end. Raises InputError for damage that is not at the end."""
    studies = trials = count = 0
    fault = ""
    for number, line in enumerate(lines, start=1):
        record, wrong = _parse(line)
        if record is not None:
            if fault:
                raise _damaged(path, count, f"{fault}, and whole ones follow it")
            if int(record.get("trial_id", -1)) >= trials or int(record.get("study_id", -1)) >= studies:
                raise _damaged(path, count, "is about a trial or a study that no line before it makes")
            studies += record["op_code"] == _CREATE_STUDY
            trials += record["op_code"] == _CREATE_TRIAL
        fault = fault or wrong
        if not fault:
            count = number
    return count


def _damaged(path: Path, count: int, what: str) -> InputError:
    return InputError(
        f"{path}:{count + 1}: this record {what}; put back a copy of the file, or keep its first {count} lines, "
        "which are whole, and lose the trials that came later"
    )


def _parse(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The record of a line, or None and what is wrong with it; nothing is wrong with an empty line."""
    if not line.strip():
        return None, ""
    if b"\0" in line:
        return None, "holds NUL bytes"
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        return None, "is not text"
    except json.JSONDecodeError as error:
        return None, "has another one in its line" if error.msg == "Extra data" else "is not JSON"
    operation = record.get("op_code") if isinstance(record, dict) else None
    if not isinstance(operation, int) or not 0 <= operation <= _LAST_OPERATION:
        return None, "is not one of Optuna's"
    return record, ""
