"""The run folder: what a search was asked to do, which clips choose, and where its files are. No ray.

run.yaml          the resolved config, the search space verbatim, versions, corpus, protocol
clips.parquet     every scored clip with its label and role; the report reads it, the search does not
studies.journal   Optuna's storage, unless a server keeps the studies
trials/<uid>/     state, metrics and scores of a trial
"""

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

import asd_ray
from asd_ray.clip import Machine, machine_types
from asd_ray.config import PlainName, RunConfig, science
from asd_ray.data.corpus import SMALLEST_HELD_OUT_FROM
from asd_ray.data.manifest import Manifest, read_labels, read_shard
from asd_ray.errors import InputError, path_suggestion
from asd_ray.files.strict_yaml import Strict, dump, load
from asd_ray.files.writing import write_whole, writing
from asd_ray.scoring.metrics import PROXY
from asd_ray.scoring.protocol import Mask, assign_roles, labelled_splits, resolve_protocol
from asd_ray.search.space import SearchSpace

RUN, CLIPS, JOURNAL, TRIALS = "run.yaml", "clips.parquet", "studies.journal", "trials"
_LIBRARIES = ("torch", "torchaudio", "ray", "optuna")


class Corpus(Strict):
    """What was searched on."""

    path: str
    fingerprint: str
    classes: list[list[PlainName]]  # [machine_type, machine_id] by class index
    notes: dict[PlainName, dict[str, int]] = {}  # machine type -> what is odd -> how many recordings


class Kept(Strict):
    """Where the studies are kept, without any credentials."""

    kind: Literal["journal", "postgresql"] = "journal"
    place: str = JOURNAL  # for a server: host:port/database
    prefix: str = ""  # begins the names of studies, where several runs keep theirs in one place

    @property
    def name(self) -> str:
        return f"PostgreSQL at {self.place}" if self.kind == "postgresql" else "the journal of the run folder"


class Run(Strict):
    """The contents of run.yaml."""

    @property
    def trained_types(self) -> tuple[str, ...]:
        """The machine types that a joint trial is trained on: all those of the corpus, searched or not."""
        return machine_types(Machine(*names) for names in self.corpus.classes)

    @property
    def corpus_identity(self) -> str:
        return f"{self.corpus.fingerprint}-{self.protocol}"

    @property
    def systems(self) -> tuple[str, ...]:
        """Every system that a trial may use."""
        return self.space.systems or (self.config.model.name,)

    asd_ray: str
    versions: dict[str, str]
    protocol: str
    machine_types: list[PlainName] = Field(description="one study each")
    not_searchable: dict[PlainName, str] = Field(description="machine types without a study, and why")
    corpus: Corpus
    storage: Kept = Kept()
    calls: list[str] = Field(default=[], description="the commands that searched here, in their order")
    config: RunConfig
    space: SearchSpace
    space_text: str

    def same_science(self, other: "Run") -> str | None:
        """The first difference from another run that would change results; None if there is none."""
        mine, theirs = science(self.config), science(other.config)
        for section, values in mine.items():
            for key, value in values.items():
                if theirs[section][key] != value:
                    return f"{section}.{key} is {value} there and {theirs[section][key]} now"
        if self.corpus.fingerprint != other.corpus.fingerprint:
            return "the corpus has changed"
        if self.protocol != other.protocol:
            return f"protocol is {self.protocol} there and {other.protocol} now"
        return None if self.space == other.space else "the search space has changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which clips of a corpus choose and which report: every training and every search starts from this."""

    machines: tuple[Machine, ...]  # in the order of their class indices
    fingerprint: str  # of the shards; empty for recordings that are not prepared yet
    num_clips: int
    notes: dict[str, dict[str, int]]  # as in `Corpus`
    protocol: str
    machine_types: tuple[str, ...]
    not_searchable: dict[str, str]
    clips: pa.Table  # every clip to score: clip_id, split, machine_type, ..., is_anomaly, chooses, reports

    @property
    def visible_labels(self) -> list[str]:
        """Ids of the clips whose labels may be seen before the choice is made."""
        chosen: list[str] = self.clips.filter(self.clips.column("chooses")).column("clip_id").to_pylist()
        return chosen

    @property
    def identity(self) -> str:
        """Identifies the clips and the labels that may be seen: a training on others begins anew."""
        return f"{self.fingerprint}-{self.protocol}"

    @property
    def all_types(self) -> tuple[str, ...]:
        """Every machine type with training clips; a joint training uses all of them, searched or not."""
        return machine_types(self.machines)

    @property
    def class_types(self) -> list[str]:
        """The machine type of each class."""
        return [machine.machine_type for machine in self.machines]

    def corpus(self, shards: Path) -> Corpus:
        classes = [[machine.machine_type, machine.machine_id] for machine in self.machines]
        return Corpus(path=str(shards), fingerprint=self.fingerprint, classes=classes, notes=self.notes)


def plan_clips(shards: Path, protocol_name: str, *, objective: str = "mean") -> Plan:
    """Assign roles to the clips of a shard folder. Raises InputError if no machine type can be judged.

    With the objective `proxy` no label chooses, so the clips need no labels.
    """
    manifest = Manifest.load(shards)
    clips = read_labels(shards, splits=("test", "eval"))
    held_out = read_labels(shards, splits=("valid",)) if objective == PROXY else None
    return plan_of(
        clips,
        manifest.machines,
        held_out=held_out,
        protocol_name=protocol_name,
        where=shards,
        fingerprint=manifest.fingerprint,
        num_clips=manifest.count_clips(),
        notes=manifest.notes_by_type,
    )


def plan_of(
    clips: pa.Table,
    machines: tuple[Machine, ...],
    *,
    held_out: pa.Table | None,
    protocol_name: str,
    where: Path,
    fingerprint: str,
    num_clips: int,
    notes: dict[str, dict[str, int]] | None = None,
) -> Plan:
    """Like `plan_clips`, for clips that are already listed, prepared or not; see `judge_clips` for the tables."""
    protocol, not_searchable, table = judge_clips(
        clips, machines, protocol_name=protocol_name, where=where, held_out=held_out
    )
    return Plan(
        machines=machines,
        fingerprint=fingerprint,
        num_clips=num_clips,
        notes=notes or {},
        protocol=protocol,
        machine_types=tuple(name for name in machine_types(machines) if name not in not_searchable),
        not_searchable=not_searchable,
        clips=table,
    )


def judge_clips(
    clips: pa.Table,
    machines: Iterable[Machine],
    *,
    protocol_name: str,
    where: Path,
    held_out: pa.Table | None = None,
) -> tuple[str, dict[str, str], pa.Table]:
    """The protocol, the machine types that cannot be searched and why, and the clips with their roles.

    `clips` are those of the splits test and eval; `held_out` are those of valid, if they are to choose in place of
    labels. Raises InputError, naming `where`, if nothing can be searched.
    """
    columns = {name: clips.column(name).to_pylist() for name in clips.column_names}
    splits_of = labelled_splits(columns["machine_type"], columns["split"], columns["is_anomaly"])
    protocol = resolve_protocol(protocol_name, splits_of)
    roles = assign_roles(
        protocol,
        columns["clip_id"],
        split=columns["split"],
        machine_type=columns["machine_type"],
        machine_id=columns["machine_id"],
        is_anomaly=columns["is_anomaly"],
    )
    machines = tuple(machines)
    present = machine_types(machines)
    missing = {name: "no labelled clips" for name in present if name not in set(columns["machine_type"])}
    not_searchable, choosing = {**missing, **roles.not_searchable}, roles.choosing
    if held_out is not None:
        not_searchable, choosing = _without_stand_ins(held_out, machines), np.zeros_like(roles.choosing)
    if all(name in not_searchable for name in present):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in not_searchable.items())
        mend = "add labelled test clips"
        if held_out is None and any(count > 1 for count in _ids_per_type(machines).values()):
            mend += ", or choose without labels: --objective proxy"
        raise InputError(f"{where}: no machine type can be searched ({reasons}); {mend}")
    table = clips.select(["clip_id", "split", "machine_type", "machine_id", "is_anomaly"])
    for name, mask in (("chooses", choosing), ("reports", roles.reporting)):
        table = table.append_column(name, _flags(mask))
    return protocol, not_searchable, table


def _flags(mask: Mask) -> pa.Array:
    """A mask for Arrow. `pa.array(mask)` would import pandas, which takes a quarter of a second, just to check."""
    bits = pa.py_buffer(np.packbits(mask, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits])


def _ids_per_type(machines: Iterable[Machine]) -> Counter[str]:
    return Counter(machine.machine_type for machine in machines)


def _without_stand_ins(held_out: pa.Table, machines: tuple[Machine, ...]) -> dict[str, str]:
    """The machine types without clips that can stand in for anomalies, and why."""
    held: dict[str, set[str]] = defaultdict(set)
    for row in held_out.select(["machine_type", "machine_id"]).to_pylist():
        held[row["machine_type"]].add(row["machine_id"])
    reasons = {}
    for name, count in _ids_per_type(machines).items():
        if count < 2:
            reasons[name] = "one machine id, and clips of other ids are to stand in for anomalies"
        elif len(held[name]) < 2:
            reasons[name] = (
                f"held-out clips of {len(held[name])} of its {count} machine ids, and of two they are needed: "
                f"prepare it with {SMALLEST_HELD_OUT_FROM} training clips or more of each, and with "
                "--valid-fraction above 0"
            )
    return reasons


def plan_run(shards: Path, config: RunConfig, *, plan: Plan, space: SearchSpace, space_text: str) -> Run:
    """The run that a call asks for. Raises InputError if the space is for other systems than the config."""
    return Run(
        asd_ray=asd_ray.__version__,
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        protocol=plan.protocol,
        machine_types=list(plan.machine_types),
        not_searchable=plan.not_searchable,
        corpus=plan.corpus(shards),
        config=space.adopt(config),
        space=space,
        space_text=space_text,
    )


def refuse_other(path: Path, before: Run, run: Run) -> None:
    """Raises InputError if `before`, the run of a folder, is another search than `run`."""
    difference = before.same_science(run)
    if difference is not None:
        raise InputError(f"{path}: {difference}; use another --run, or the settings of this one")


def continued(folder: Path, run: Run) -> Run:
    """`run` as run.yaml should hold it: with the calls that searched there before.

    Raises InputError if the folder holds another search.
    """
    path = folder / RUN
    if not path.exists():
        return run
    before = load(path, Run)
    refuse_other(path, before, run)
    if before.storage != run.storage:  # no folder lock keeps two drivers from beginning at the same time
        raise InputError(f"{path}: another search has begun there just now; call again")
    return run.model_copy(update={"calls": list(dict.fromkeys([*before.calls, *run.calls]))})


def open_run(folder: Path, run: Run, *, clips: pa.Table) -> Run:
    """Begin a run folder, or go on with one. Raises InputError if it holds another search."""
    run = continued(folder, run)
    with writing(folder / CLIPS) as file:
        pq.write_table(clips, file, write_page_checksum=True)
    write_whole(folder / RUN, dump(run.model_dump()))  # last: a folder with run.yaml is a run
    return run


def read_run(folder: Path) -> tuple[Run, pa.Table]:
    """Read a run folder from disk. Raises InputError if it is no run folder, or if its clips are lost."""
    if not (folder / RUN).exists():
        mend = "" if folder.exists() else path_suggestion(folder)
        raise InputError(f"{folder}: no {RUN} there{mend or '; give the folder of a search'}")
    run = load(folder / RUN, Run)
    try:
        return run, read_shard(folder / CLIPS)
    except InputError:
        mend = "the same call of the search writes it anew"
        raise InputError(f"{folder / CLIPS}: missing or damaged; {mend}") from None
