"""Checks of recordings or shards: whether they can be searched, and if not, why."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from asd_ray.clip import BYTES_PER_CLIP, machine_types
from asd_ray.data.audio import BadRecording, read_recording
from asd_ray.data.corpus import Corpus, read_corpus
from asd_ray.data.manifest import MANIFEST, QUARANTINE, Manifest, note_lines, read_shard
from asd_ray.doctor.finding import Finding
from asd_ray.files.paths import fetched, is_object
from asd_ray.invocation import call_of
from asd_ray.scoring.protocol import why_unusable
from asd_ray.search.forecast import Listed, list_clips, list_data
from asd_ray.search.runfolder import judge_clips

FEW_CHOOSING = 20  # labelled clips of a machine type; with fewer, every figure is coarse
MOST_SHOWN = 5
GB = 1e9


def check_corpus(data: Path) -> Iterator[Finding]:
    """Check a shard folder or a folder of recordings. Raises InputError when it is neither."""
    if (data / MANIFEST).exists():
        manifest = Manifest.load(data)
        for shard in manifest.shards:
            read_shard(data / shard.path, columns=["clip_id"])
        found = list_data(data, valid_fraction=0.0)
        yield Finding("ok", "data", f"{data}: shards of {len(found.clips)} clips, none missing or cut")
        if manifest.quarantined:
            yield Finding("note", "data", f"{manifest.quarantined} recordings were left out: {data / QUARANTINE}")
        for line in note_lines(manifest.notes_by_type):
            yield Finding("note", "data", line)
    else:
        corpus = read_corpus(data)
        found = list_clips(corpus.clips, valid_fraction=0.0, problems=len(corpus.problems))
        yield Finding("ok", "data", f"{data}: {len(found.clips)} recordings of {len(found.machines)} machines")
        yield from _check_recordings(data, corpus)
        yield from _check_room(len(corpus.clips))
    yield from _check_labels(data, found)


def _check_recordings(data: Path, corpus: Corpus) -> Iterator[Finding]:
    """Check the names of all recordings, and the sound of one of each machine type."""
    for problem in corpus.problems[:MOST_SHOWN]:
        yield Finding("note", "data", str(problem))
    if len(corpus.problems) > MOST_SHOWN:
        yield Finding(
            "note", "data", f"and {len(corpus.problems) - MOST_SHOWN} more; {call_of('prepare')} names them"
        )
    for clip in {clip.machine_type: clip for clip in corpus.clips}.values():
        try:
            with fetched(data / clip.clip_id) as path:
                notes = read_recording(path).notes
        except BadRecording as error:
            yield Finding("fault", "data", str(error))
        else:
            for note in notes:
                yield Finding("note", "data", f"{clip.clip_id}: {note}")


def _check_room(clips: int) -> Iterator[Finding]:
    """Check the space in the current folder, to which shards are written by default."""
    need, free = clips * BYTES_PER_CLIP, shutil.disk_usage(".").free
    if need > free:
        yield Finding(
            "fault",
            "data",
            f"its shards need {need / GB:.1f} GB, {free / GB:.1f} GB are free here; "
            f"prepare them elsewhere: {call_of('prepare')} DATASETS --out SHARDS",
        )


def _check_labels(data: Path, found: Listed) -> Iterator[Finding]:
    splits = found.clips.column("split").to_pylist()
    scored = found.clips.filter([split in ("test", "eval") for split in splits])
    protocol, not_searchable, roles = judge_clips(scored, found.machines, protocol_name="auto", where=data)
    yield Finding("ok", "labels", f"protocol {protocol}: labelled clips choose and report")
    for name, reason in not_searchable.items():
        yield Finding("note", "labels", f"{name} would be trained on, not searched: {reason}")
    reporting = roles.filter(roles.column("reports")).to_pylist()
    for name in (name for name in machine_types(found.machines) if name not in not_searchable):
        labels = [(row["machine_id"], row["is_anomaly"]) for row in reporting if row["machine_type"] == name]
        if reason := why_unusable(labels):
            yield Finding(
                "note", "labels", f"{name} can be searched, but its best config not judged: {reason} report"
            )
    choosing = roles.filter(roles.column("chooses")).column("machine_type").to_pylist()
    for name in dict.fromkeys(choosing):
        if (count := choosing.count(name)) < FEW_CHOOSING and name not in not_searchable:
            yield Finding(
                "note", "labels", f"{name} has {count} labelled clips to choose by: its figures are coarse"
            )
    if is_object(data) and not found.to_prepare:
        yield Finding("note", "data", "read from object storage")
