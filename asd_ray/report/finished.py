"""The final output of a search, kept beside the report, so that repeating the call need not judge everything anew.

A search that has nothing left to do writes `report/finished.json` after its report. The file holds what a terminal
shows of the search, and digests of what the report was made from and of what was written. When the call is
repeated, it first checks that nothing has changed: no trial, no file of the report, no file of this package, no
version of a library. Then it shows the kept output and ends. If anything has changed, or cannot be read, the
report is written anew. This module imports nothing slow.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa
from pydantic import ValidationError

from asd_ray.data.manifest import read_shard
from asd_ray.errors import InputError
from asd_ray.files.locks import LOCK
from asd_ray.files.paths import is_object
from asd_ray.files.strict_yaml import Strict
from asd_ray.files.writing import to_json, write_whole
from asd_ray.search.runfolder import CLIPS, Kept, Run
from asd_ray.shipped import PACKAGE

if TYPE_CHECKING:
    from asd_ray.report.summary import MachineSummary, Summary

FINISHED = Path("report") / "finished.json"
# Below the run folder, but neither read nor written by a report.
NOT_OF_THE_REPORT = (LOCK, "tensorboard", ".ray")
MADE = ("report", "best", "models")
# The libraries that make a report's figures and pages, besides those that run.yaml names.
LIBRARIES = ("jinja2", "matplotlib", "numpy", "pyarrow", "safetensors", "scikit-learn", "scipy")


class Ending(Strict):
    """What a terminal shows of a search that has ended."""

    columns: list[str]
    rows: list[list[str]]  # one per machine type
    standing: list[str]  # lines: how far the winners can be trusted
    problems: list[str]  # lines: what is lost, and how to mend it
    machine_types: list[str]
    handed_over: list[str]  # the machine types that have a file in best/

    @property
    def is_whole(self) -> bool:
        """Whether every machine type has a winner that was handed over."""
        return self.handed_over == self.machine_types


class _Finished(Strict):
    """The file: digests of the report's sources and of the files written, and the search's final output."""

    code: str
    run: str
    sources: str
    made: str
    ending: Ending
    lines: list[str]

    @property
    def is_known(self) -> bool:
        """Whether all files could be examined."""
        return bool(self.code and self.sources and self.made)


def ending_of(summary: "Summary") -> Ending:
    from asd_ray.report.summary import baseline_name

    baseline = baseline_name(summary.run)
    return Ending(
        columns=["machine type", "best trial", "choosing", "reporting", baseline],
        rows=[_row(machine, optimistic=summary.optimistic) for machine in summary.machines],
        standing=list(_standing(summary, baseline)),
        problems=[f"{one.machine_type}: {problem}" for one in summary.machines for problem in one.problems],
        machine_types=[machine.machine_type for machine in summary.machines],
        handed_over=[machine.machine_type for machine in summary.machines if machine.handed_over],
    )


def _row(machine: "MachineSummary", *, optimistic: bool) -> list[str]:
    from asd_ray.report.render import cells

    if machine.best is None:
        return [machine.machine_type, "none: see below" if machine.problems else "none is complete"]
    return [machine.machine_type, machine.best.uid, *cells(machine, optimistic=optimistic)]


def _standing(summary: "Summary", baseline: str) -> Iterator[str]:
    from asd_ray.report.render import marked, with_interval
    from asd_ray.report.summary import NOT_CONFIRMED

    if {machine.standing for machine in summary.machines} == {NOT_CONFIRMED}:
        yield f"{NOT_CONFIRMED}: --confirm 3 trains the best of each machine type again with fresh seeds"
    else:
        for machine in summary.machines:
            line = f"{machine.machine_type}: {machine.standing}"
            if machine.confirmed is not None:
                difference = with_interval(machine.confirmed.difference, signed=True)
                against = f"{marked(difference, summary.optimistic)} against the {baseline}: "
                line += f"; {against if machine.confirmed.difference else ''}{machine.confirmed.verdict}"
            yield line
    told = [f"{name} {found}" for name, found in summary.label_free.items() if found.value is not None]
    if told:
        yield f"rank correlation of the objective with the proxy that takes no label: {', '.join(told)}"


def sources_of(folder: Path) -> str:
    """A digest of the files from which this run folder's report is made; take it before writing the report."""
    return "" if is_object(folder) else _digest(folder, leave_out=(*NOT_OF_THE_REPORT, *MADE))


def write_finished(folder: Path, run: Run, *, sources: str, ending: Ending, lines: Sequence[str]) -> None:
    """Keep the ending of a search that has nothing left to do, beside the report just written.

    `run` is what run.yaml says, `sources` what `sources_of` returned before, `lines` what the search said at its
    end. The caller must hold the run's lock. Studies on a server and folders in a bucket change without a trace in
    the run folder, so nothing is kept for them.
    """
    if is_object(folder) or run.storage != Kept():
        return
    finished = _Finished(
        code=_code(), run=_identity(run), sources=sources, made=_made(folder), ending=ending, lines=list(lines)
    )
    if finished.is_known:
        write_whole(folder / FINISHED, to_json(finished.model_dump()))


def read_finished(folder: Path, run: Run, *, clips: pa.Table) -> tuple[Ending, list[str]] | None:
    """The kept ending, and the lines before it; None unless the search is the same and nothing has changed.

    `run` and `clips` are what this call would search on, in the form of run.yaml and clips.parquet. The caller
    must hold the run's lock.
    """
    if is_object(folder) or run.storage != Kept():
        return None
    try:
        found = _Finished.model_validate_json((folder / FINISHED).read_text(encoding="utf-8"))
        same_clips = read_shard(folder / CLIPS).equals(clips)
    except (OSError, UnicodeDecodeError, ValidationError, InputError):
        return None  # whatever is wrong, the caller writes the report and all that belongs to it anew
    now = (_code(), _identity(run), sources_of(folder), _made(folder))
    unchanged = found.is_known and now == (found.code, found.run, found.sources, found.made)
    return (found.ending, found.lines) if unchanged and same_clips else None


def _identity(run: Run) -> str:
    return _sha256([json.dumps(run.model_dump(), sort_keys=True)])


def _made(folder: Path) -> str:
    return _digest(folder, only=MADE, leave_out=(str(FINISHED),))


def _code() -> str:
    """A digest of the code that writes reports: this package's files, editable in a clone, and the libraries."""
    own = _digest(PACKAGE)
    return _sha256([own, *(_version(name) for name in LIBRARIES)]) if own else ""


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def _digest(folder: Path, *, only: Sequence[str] = (".",), leave_out: Sequence[str] = ()) -> str:
    """A digest of the names, sizes and times of all files below a folder; empty if one of them cannot be examined.

    One of the two times is the last change to the file's entry, which no program can set. So the digest shows that
    a file was replaced even if the new one has the same size and modification time.
    """
    try:
        files = {path: (folder / path).stat() for path in _files(folder, only=only, leave_out=leave_out)}
    except OSError:
        return ""
    return _sha256(
        f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}"
        for path, found in sorted(files.items())
    )


def _files(folder: Path, *, only: Sequence[str], leave_out: Sequence[str]) -> Iterator[str]:
    """The paths of the files below a folder, without Python's compiled files."""

    def wanted(where: str, names: list[str]) -> list[str]:
        below = (Path(where).relative_to(folder) / name for name in names)
        return [path.name for path in below if path.name != "__pycache__" and path.as_posix() not in leave_out]

    for start in (folder / name for name in only):
        if start.exists():
            for where, folders, names in os.walk(start, onerror=_raise, followlinks=True):
                folders[:] = wanted(where, folders)
                yield from ((Path(where).relative_to(folder) / name).as_posix() for name in wanted(where, names))


def _raise(error: OSError) -> NoReturn:
    raise error


def _sha256(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
