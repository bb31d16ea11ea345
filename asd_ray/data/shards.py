"""Clips -> Parquet shards and their manifest, one (machine type, split) per folder. Without Ray.

    plans = plan_shards(corpus, out, valid_fraction=0.05, resample=False)
    results = [write_shard(plan) for plan in plans]      # in any order, in any process, any number of times
    manifest = finish(plans, results, out, corpus=usable(corpus, plans, results), ...)

The name of a shard ends in a hash of everything that decides its content. So a shard that exists and is whole
need not be made again, and a changed recording gives a shard with another name.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asd_ray.clip import SPLITS, Clip, Split, class_table, machine_types
from asd_ray.data.audio import SILENT, BadRecording, read_recording
from asd_ray.data.corpus import Corpus, Problem, hold_out, scorable
from asd_ray.data.manifest import (
    LABEL_COLUMNS,
    METADATA_KEY,
    NOTES,
    QUARANTINE,
    SCHEMA,
    SHARD_PATH,
    Manifest,
    Options,
    ShardEntry,
    fingerprint,
    list_digests,
    read_shard,
    write_quarantine,
    write_table,
)
from asd_ray.errors import InputError
from asd_ray.files.paths import ObjectPath, fetched, place
from asd_ray.files.writing import writing

CLIPS_PER_SHARD = 128  # 41 MB: small enough for memory, large enough that opening a file costs little
CLIPS_PER_ROW_GROUP = 16
_CONTENT_VERSION = 2  # part of every shard's name: raise it when decoding, notes, columns or metadata change
DUPLICATE = "the same sound as another recording"
_Numbered = tuple[tuple[Clip, int], ...]  # clips with their class indices
_Marks = dict[str, tuple[int, int]]  # bytes and time of change (ns) by clip id


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """Everything that a process needs to write one shard: paths, clips, class indices."""

    root: str
    out: str
    path: str  # below out
    machine_type: str
    split: Split
    clips: _Numbered
    resample: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """The result of a plan. `reused`: the shard was already there and whole."""

    path: str
    rows: int
    bytes: int
    digest: str
    quarantined: tuple[Problem, ...]
    notes: tuple[tuple[str, str], ...]  # clip_id, what was odd
    sounds: tuple[tuple[str, str], ...]  # clip_id, digest of its samples
    reused: bool


def plan_shards(corpus: Corpus, out: Path, *, valid_fraction: float, resample: bool) -> tuple[ShardPlan, ...]:
    """Plan shards of up to CLIPS_PER_SHARD clips, in the order of class table and splits."""
    clips = hold_out(corpus.clips, fraction=valid_fraction)
    classes = class_table(clip.machine for clip in clips if clip.split == "train")
    index = {machine: number for number, machine in enumerate(classes)}
    types = machine_types(classes)
    marks = _sizes_and_times(corpus.root, clips)

    def position(clip: Clip) -> tuple[int, int]:
        return types.index(clip.machine_type), SPLITS.index(clip.split)

    plans = []
    for _, group in groupby(sorted(clips, key=lambda clip: (*position(clip), clip.clip_id)), key=position):
        members = [(clip, index[clip.machine]) for clip in group]
        for start in range(0, len(members), CLIPS_PER_SHARD):
            chosen = tuple(members[start : start + CLIPS_PER_SHARD])
            plans.append(
                _plan(corpus.root, out, chosen, marks=marks, number=start // CLIPS_PER_SHARD, resample=resample)
            )
    return tuple(plans)


def _plan(root: Path, out: Path, clips: _Numbered, *, marks: _Marks, number: int, resample: bool) -> ShardPlan:
    first = clips[0][0]
    content = [
        [clip.clip_id, clip.split, clip.is_anomaly, class_index, *marks[clip.clip_id]]
        for clip, class_index in clips
    ]
    key = hashlib.sha256(json.dumps([_CONTENT_VERSION, resample, content]).encode()).hexdigest()[:12]
    return ShardPlan(
        root=str(root.resolve()),
        out=str(out.resolve()),
        path=f"{first.machine_type}/{first.split}/{number:05d}-{key}.parquet",
        machine_type=first.machine_type,
        split=first.split,
        clips=clips,
        resample=resample,
    )


def source_signature(corpus: Corpus, *, options: Options) -> str:
    """A hash of the options and of a corpus's files (names, sizes, times, labels), without opening any of them."""
    marks = _sizes_and_times(corpus.root, corpus.clips)
    files = [[clip.clip_id, clip.is_anomaly, *marks[clip.clip_id]] for clip in corpus.clips]
    problems = [[problem.path, problem.cause] for problem in corpus.problems]
    listing = json.dumps([_CONTENT_VERSION, options.model_dump(), files, problems])
    return hashlib.sha256(listing.encode()).hexdigest()


def _sizes_and_times(root: Path, clips: Iterable[Clip]) -> _Marks:
    if isinstance(root, ObjectPath):
        return root.listing()
    return {clip.clip_id: _size_and_time(root / clip.clip_id) for clip in clips}


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # such as a link to nothing: reading it reports that later
        return -1, -1
    return status.st_size, status.st_mtime_ns


def write_shard(plan: ShardPlan) -> ShardResult:
    """Decode, check and write the clips of one shard, unless it is there and reads back whole.

    Bad recordings are left out, and listed in the result and in the file. Raises InputError if the disk fails.
    """
    path = place(plan.out) / plan.path
    with suppress(InputError):  # if missing or damaged, the shard is made below
        return _read_back(path, plan)
    rows, quarantined, notes = _decode(plan)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    about = {
        "path": plan.path,
        "digest": digest_of(table),
        "quarantined": [asdict(problem) for problem in quarantined],
        "notes": notes,
        "sounds": [[row["clip_id"], hashlib.sha256(row["pcm"]).hexdigest()[:32]] for row in rows],
    }
    _write_table(path, table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}))
    return _result(path, plan, about=about, rows=len(rows), reused=False)


def _decode(plan: ShardPlan) -> tuple[list[dict[str, Any]], list[Problem], list[list[str]]]:
    rows: list[dict[str, Any]] = []
    quarantined: list[Problem] = []
    notes: list[list[str]] = []
    for clip, class_index in plan.clips:
        try:
            with fetched(place(plan.root) / clip.clip_id) as path:
                recording = read_recording(path, resample=plan.resample)
        except BadRecording as bad:
            quarantined.append(Problem(clip.clip_id, bad.cause, bad.mend))
            continue
        notes += [[clip.clip_id, note] for note in recording.notes]
        pcm = recording.pcm.astype("<i2", copy=False).tobytes()
        found = {"class_index": class_index, "num_samples": recording.num_samples, "pcm": pcm}
        rows.append(asdict(clip) | found)
    return rows, quarantined, notes


def digest_of(table: pa.Table) -> str:
    """SHA-256 over the rows: identity, label, class and sound."""
    digest = hashlib.sha256()
    labels = table.select(LABEL_COLUMNS).to_pylist()
    for label, pcm in zip(labels, table.column("pcm"), strict=True):
        digest.update(json.dumps(label, sort_keys=True).encode())
        digest.update(pcm.as_buffer())
    return digest.hexdigest()


def _write_table(path: Path, table: pa.Table) -> None:
    with writing(path) as file:
        pq.write_table(
            table,
            file,
            row_group_size=CLIPS_PER_ROW_GROUP,
            compression="none",  # sound hardly compresses, and reading must be fast
            use_dictionary=["machine_type", "machine_id", "split"],
            write_statistics=list(LABEL_COLUMNS),  # minima and maxima of pcm are of no use
            write_page_checksum=True,
        )


def _read_back(path: Path, plan: ShardPlan) -> ShardResult:
    """The result of a shard that was written before. Raises InputError if the shard has changed since."""
    table = read_shard(path)
    try:
        about = json.loads((table.schema.metadata or {})[METADATA_KEY])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a shard of asd_ray; delete it") from error
    if about["digest"] != digest_of(table):
        raise InputError(f"{path}: its content is not what was written; delete it")
    return _result(path, plan, about=about, rows=len(table), reused=True)


def _result(path: Path, plan: ShardPlan, *, about: dict[str, Any], rows: int, reused: bool) -> ShardResult:
    return ShardResult(
        path=plan.path,
        rows=rows,
        bytes=path.stat().st_size,
        digest=about["digest"],
        quarantined=tuple(Problem(**problem) for problem in about["quarantined"]),
        notes=tuple((clip_id, note) for clip_id, note in about["notes"]),
        sounds=tuple((clip_id, digest) for clip_id, digest in about["sounds"]),
        reused=reused,
    )


def usable(corpus: Corpus, plans: Sequence[ShardPlan], results: Sequence[ShardResult]) -> Corpus:
    """The corpus itself, if each machine still has a usable training clip; else a corpus without the machines that
    lost all of theirs, to be planned again. Raises InputError when fewer than two machines are left."""
    bad = {problem.path: problem for result in results for problem in result.quarantined}
    clips = [clip for plan in plans for clip, _ in plan.clips]
    trained = {clip.machine for clip in clips if clip.split == "train" and clip.clip_id not in bad}
    if trained == {clip.machine for clip in clips}:
        return corpus
    without_bad = replace(
        corpus,
        clips=tuple(clip for clip in corpus.clips if clip.clip_id not in bad),
        problems=(*corpus.problems, *bad.values()),
    )
    try:
        return scorable(without_bad)
    except InputError as error:
        out = place(plans[0].out)
        write_quarantine(out, without_bad.problems)
        raise InputError(f"{error} ({len(bad)} cannot be used: see {out / QUARANTINE})") from error


def without_duplicates(corpus: Corpus, plans: Sequence[ShardPlan], results: Sequence[ShardResult]) -> Corpus:
    """The corpus itself, if all labelled clips can judge; else a corpus without those whose sound another clip
    shares in a way that forbids it, to be planned again. They become problems.

    A test clip that was trained on tests nothing, and one sound under both labels tells nothing. Of several
    labelled clips with one sound, where one might choose and another report, one is kept, preferably that of the
    evaluation set.
    """
    clips = {clip.clip_id: clip for plan in plans for clip, _ in plan.clips}
    problems: dict[str, Problem] = {}
    for names in _same_sounds(results):
        same = sorted((clips[name] for name in names), key=lambda clip: (_FIRST.index(clip.split), clip.clip_id))
        for number, clip in enumerate(same):
            if cause := _why_no_judge(clip, same, before=same[:number]):
                problems[clip.clip_id] = Problem(clip.clip_id, cause, "remove one of them")
    if not problems:
        return corpus
    return replace(
        corpus,
        clips=tuple(clip for clip in corpus.clips if clip.clip_id not in problems),
        problems=tuple(sorted({*corpus.problems, *problems.values()}, key=lambda problem: problem.path)),
    )


_FIRST: tuple[Split, ...] = ("train", "valid", "eval", "test")  # of clips with one sound, the first stays


def _why_no_judge(clip: Clip, same: Sequence[Clip], *, before: Sequence[Clip]) -> str:
    """Why a clip must not judge, given all clips with its sound and those that come before it; empty if it may."""
    if clip.split not in ("test", "eval"):
        return ""
    for other in same:
        if other.split in ("train", "valid"):
            return f"the same sound as {other.clip_id}, which is trained on"
        if None not in (clip.is_anomaly, other.is_anomaly) and other.is_anomaly != clip.is_anomaly:
            return f"the same sound as {other.clip_id}, which has the other label"
    for other in before:
        if None in (clip.is_anomaly, other.is_anomaly):
            continue
        if other.split != clip.split or other.machine == clip.machine:
            return f"the same sound as {other.clip_id}, which is judged by already"
    return ""


def _same_sounds(results: Iterable[ShardResult]) -> list[list[str]]:
    """Groups of clips that share their samples; silent clips are noted elsewhere."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    for result in results:
        silent = {clip_id for clip_id, note in result.notes if note == SILENT}
        for clip_id, digest in result.sounds:
            if clip_id not in silent:
                by_digest[digest].append(clip_id)
    return [names for names in by_digest.values() if len(names) > 1]


def finish(
    plans: Sequence[ShardPlan],
    results: Iterable[ShardResult],
    out: Path,
    *,
    corpus: Corpus,
    options: Options,
    source: str,
) -> Manifest:
    """Write the lists of quarantined files and notes, remove shards that no plan has, write the manifest last.

    `corpus` is one that `usable` and `without_duplicates` returned unchanged; `source` is the signature of the
    corpus as it was first read.
    """
    by_path = {result.path: result for result in results}
    ordered = [by_path[plan.path] for plan in plans]
    problems = {*corpus.problems, *(problem for result in ordered for problem in result.quarantined)}
    write_quarantine(out, sorted(problems, key=lambda problem: problem.path))
    repeated = [(name, DUPLICATE) for names in _same_sounds(ordered) for name in names]
    notes = sorted([*(note for result in ordered for note in result.notes), *repeated])
    write_table(out / NOTES, [("path", "note"), *notes])
    machines = class_table(clip.machine for plan in plans for clip, _ in plan.clips)
    classes = tuple((machine.machine_type, machine.machine_id) for machine in machines)
    manifest = Manifest(
        classes=classes,
        shards=tuple(_entry(plan, by_path[plan.path]) for plan in plans),
        quarantined=len(problems),
        notes=dict(sorted(Counter(note for _, note in notes).items())),
        notes_by_type={
            name: dict(sorted(Counter(note for clip_id, note in notes if clip_id.startswith(f"{name}/")).items()))
            for name in dict.fromkeys(clip_id.split("/")[0] for clip_id, _ in notes)
        },
        lists=list_digests(out),
        options=options,
        source=source,
        fingerprint=fingerprint(classes, digests=[result.digest for result in ordered]),
    )
    _remove_stale(out, keep=frozenset(by_path))
    manifest.save(out)
    return manifest


def _entry(plan: ShardPlan, result: ShardResult) -> ShardEntry:
    return ShardEntry(
        path=plan.path,
        rows=result.rows,
        bytes=result.bytes,
        machine_type=plan.machine_type,
        split=plan.split,
        digest=result.digest,
    )


def _remove_stale(out: Path, *, keep: frozenset[str]) -> None:
    """Remove shards of earlier calls and half-written files of killed calls; touch no other file."""
    for file in [*out.glob("*/*/*.parquet"), *out.glob("*/*/.*.parquet.*.part")]:
        path = file.relative_to(out).as_posix()
        unfinished = file.name.endswith(".part")
        if unfinished or (path not in keep and re.fullmatch(SHARD_PATH, path)):
            file.unlink(missing_ok=True)
