"""What a folder of shards holds: the columns of a shard, and `manifest.json`, which is written last.

A folder without a manifest is unfinished; a folder with one is whole. This module neither uses Ray nor decodes.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE, SPLITS, Machine, Split
from asd_ray.config import PlainName
from asd_ray.data.corpus import Problem
from asd_ray.errors import InputError
from asd_ray.files.paths import is_object, sizes
from asd_ray.files.writing import write_whole
from asd_ray.invocation import call_of

MANIFEST, QUARANTINE, NOTES = "manifest.json", "quarantine.csv", "notes.csv"
# Ray and its libraries take five to twenty seconds to start; a core prepares or reads some 200 clips in a second.
FEWEST_CLIPS_FOR_RAY = 2048
SHARD_PATH = r"[A-Za-z0-9][A-Za-z0-9_-]*/(train|valid|test|eval)/\d{5}-[0-9a-f]{12}\.parquet"
METADATA_KEY = b"asd_ray"  # holds a shard's own path, the digest of its rows, and what was found in its recordings
WINDOW_RULE = (
    f"{NUM_SAMPLES} samples at {SAMPLE_RATE} Hz; longer recordings keep their first samples, "
    "shorter ones are repeated to length"
)
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("machine_type", pa.string()),
        ("machine_id", pa.string()),
        ("split", pa.string()),
        ("class_index", pa.int32()),
        ("is_anomaly", pa.bool_()),  # null where the label is unknown
        ("num_samples", pa.int32()),  # length of the recording at 16 kHz, before cropping or repeating
        ("pcm", pa.binary()),  # int16 little endian, 2 * NUM_SAMPLES bytes; an int16 list takes twice as many
    ]
)
LABEL_COLUMNS = tuple(name for name in SCHEMA.names if name != "pcm")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Options(_Strict):
    """What the user decides about shards: the fraction of training clips held out, and resampling."""

    valid_fraction: float = Field(default=0.05, ge=0, lt=1, allow_inf_nan=False)
    resample: bool = False


class ShardEntry(_Strict):
    """One Parquet file: its path below the manifest's folder, its rows, and the digest of their content."""

    path: str = Field(pattern=f"^{SHARD_PATH}$")
    rows: int = Field(ge=0)
    bytes: int = Field(gt=0)
    machine_type: PlainName
    split: Split
    digest: str


class Manifest(_Strict):
    """The whole folder. `fingerprint` depends on its content alone, `source` on the recordings."""

    format: Literal[1] = 1
    sample_rate: int = Field(default=SAMPLE_RATE, ge=SAMPLE_RATE, le=SAMPLE_RATE)
    num_samples: int = Field(default=NUM_SAMPLES, ge=NUM_SAMPLES, le=NUM_SAMPLES)
    window: str = WINDOW_RULE
    classes: tuple[tuple[PlainName, PlainName], ...] = Field(
        min_length=2
    )  # (machine_type, machine_id) by class index
    shards: tuple[ShardEntry, ...]
    quarantined: int
    notes: dict[str, int]  # what was odd but usable -> number of recordings
    notes_by_type: dict[str, dict[str, int]] = {}  # the same by machine type; absent from older manifests
    lists: dict[str, str] = {}  # SHA-256 of quarantine.csv and notes.csv, by name; absent from older manifests
    options: Options
    source: str
    fingerprint: str

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines in the order of their class indices."""
        return tuple(Machine(*names) for names in self.classes)

    def shards_of(self, splits: Iterable[Split], *, machine_type: str | None = None) -> tuple[ShardEntry, ...]:
        """The shards that hold clips of these splits, of one machine type or of all."""
        wanted = set(splits)
        return tuple(
            shard
            for shard in self.shards
            if shard.rows and shard.split in wanted and machine_type in (None, shard.machine_type)
        )

    def count_clips(self, *splits: Split) -> int:
        """How many clips these splits have; without splits, how many there are in all."""
        return sum(shard.rows for shard in self.shards_of(splits or SPLITS))

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read and check the manifest of a folder, and check that each shard is there in its full size."""
        path = folder / MANIFEST
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: missing; prepare the shards with {call_of('prepare')}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); prepare the shards again") from error
        manifest = cls.parse(text, where=str(path))
        found = sizes(folder, (shard.path for shard in manifest.shards))
        for shard in manifest.shards:
            if found.get(shard.path) != shard.bytes:
                state = "cut or changed" if shard.path in found else "missing"
                raise InputError(f"{folder / shard.path}: this shard is {state}; prepare the shards again")
        return manifest

    @classmethod
    def parse(cls, text: str, *, where: str) -> "Manifest":
        """Check and read the text of a manifest. Raises an InputError that names `where` and the first fault."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(f"{where}: {field}: {first['msg']}; prepare the shards again") from error

    def save(self, folder: Path) -> None:
        write_whole(folder / MANIFEST, self.model_dump_json(indent=1) + "\n")


def note_lines(notes_by_type: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """One line for each machine type with odd recordings, for readers of a result that rests on them.

    >>> note_lines({"fan": {"silent": 2, "longer than 10 s: its first 10 s used": 1}})
    ('fan: recordings that are used though odd: silent (2); longer than 10 s: its first 10 s used (1)',)
    """
    return tuple(
        f"{name}: recordings that are used though odd: "
        + "; ".join(f"{note} ({count})" for note, count in notes.items())
        for name, notes in notes_by_type.items()
        if notes
    )


def fingerprint(classes: Sequence[tuple[str, str]], *, digests: Iterable[str]) -> str:
    """A hash of the content of all shards: the same clips, labels and classes give the same fingerprint."""
    content = json.dumps([NUM_SAMPLES, list(classes), list(digests)])
    return hashlib.sha256(content.encode()).hexdigest()


def read_shard(path: Path, *, columns: Sequence[str] | None = None, row_group: int | None = None) -> pa.Table:
    """The rows of one shard, or of one of its row groups, after verifying checksums.

    Raises InputError, naming the file, for a damaged shard and for one that lies where another belongs.
    """
    names = list(columns) if columns is not None else None
    try:
        source = path.open("rb") if is_object(path) else path
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            _refuse_displaced(path, file.schema_arrow.metadata or {})
            return file.read(names) if row_group is None else file.read_row_group(row_group, names)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: damaged ({reason}); delete it and prepare the shards again") from error


def _refuse_displaced(path: Path, metadata: dict[bytes, bytes]) -> None:
    try:
        own = json.loads(metadata.get(METADATA_KEY, b"{}")).get("path")
    except ValueError as error:
        raise pa.ArrowInvalid(f"its metadata is no JSON: {error}") from error
    if own is not None and not path.as_posix().endswith(f"/{own}"):
        raise InputError(f"{path}: holds the shard {own}; delete it and prepare the shards again")


def read_labels(folder: Path, *, splits: Iterable[Split] = SPLITS) -> pa.Table:
    """All columns except pcm of the clips of some splits, in the order of the manifest."""
    manifest = Manifest.load(folder)
    tables = [read_shard(folder / shard.path, columns=LABEL_COLUMNS) for shard in manifest.shards_of(splits)]
    if not tables:
        return pa.schema([SCHEMA.field(name) for name in LABEL_COLUMNS]).empty_table()
    return pa.concat_tables([table.replace_schema_metadata() for table in tables])


def write_quarantine(folder: Path, problems: Iterable[Problem]) -> None:
    rows = [("path", "cause", "mend"), *((problem.path, problem.cause, problem.mend) for problem in problems)]
    write_table(folder / QUARANTINE, rows)


def read_quarantine(folder: Path) -> tuple[Problem, ...]:
    """The files that `prepare` could not use, as quarantine.csv lists them. Raises InputError if that is lost."""
    path = folder / QUARANTINE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; prepare the shards again, which writes it anew") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it and prepare the shards again") from error
    if any(len(row) != 3 for row in rows) or not rows:
        raise InputError(f"{path}: is not the list that was written; delete it and prepare the shards again")
    return tuple(Problem(*row) for row in rows[1:])


def lists_are_whole(folder: Path, manifest: Manifest) -> bool:
    """Whether quarantine.csv and notes.csv are unchanged since they were written."""
    try:
        return all(_sha256(folder / name) == digest for name, digest in manifest.lists.items())
    except OSError:  # missing or unreadable: the caller writes them anew
        return False


def list_digests(folder: Path) -> dict[str, str]:
    return {name: _sha256(folder / name) for name in (QUARANTINE, NOTES)}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file beside its place, then rename it."""
    lines: list[str] = []
    writer = csv.writer(_Lines(lines), lineterminator="\n")
    writer.writerows(rows)
    write_whole(path, "".join(lines))


class _Lines:
    """The target that csv.writer writes to."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
