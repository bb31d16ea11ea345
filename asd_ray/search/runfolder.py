"""The run folder: what a search was asked, whom it may ask, and where its files lie. No ray.

run.yaml          the resolved config, the search space verbatim, versions, corpus, protocol
clips.parquet     every scored clip with its label and role; the report reads it, the search does not
studies.journal   Optuna's storage
trials/<uid>/     state, metrics and scores of a trial
"""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

import asd_ray
from asd_ray.clip import machine_types
from asd_ray.command import InputError
from asd_ray.config import RunConfig, science
from asd_ray.data.manifest import Manifest, read_labels, read_shard
from asd_ray.files import write_whole, writing
from asd_ray.scoring.protocol import assign_roles, resolve_protocol
from asd_ray.search.space import SearchSpace
from asd_ray.strict_yaml import Strict, dump, load

RUN, CLIPS, JOURNAL, TRIALS = "run.yaml", "clips.parquet", "studies.journal", "trials"
_LIBRARIES = ("torch", "torchaudio", "ray", "optuna")


class Corpus(Strict):
    """What was searched on."""

    path: str
    fingerprint: str
    classes: list[list[str]]  # [machine_type, machine_id] by class index


class Run(Strict):
    """run.yaml."""

    asd_ray: str
    versions: dict[str, str]
    protocol: str
    machine_types: list[str] = Field(description="one study each")
    not_searchable: dict[str, str] = Field(description="machine types without a study, and why")
    corpus: Corpus
    config: RunConfig
    space: SearchSpace
    space_text: str

    def same_science(self, other: "Run") -> str | None:
        """What differs from another run that would change its results; None if nothing does."""
        mine, theirs = science(self.config), science(other.config)
        for section, values in mine.items():
            for key, value in values.items():
                if theirs[section][key] != value:
                    return f"{section}.{key} is {value} there and {theirs[section][key]} now"
        if self.corpus.fingerprint != other.corpus.fingerprint:
            return "the corpus has changed"
        return None if self.space == other.space else "the search space has changed"


def plan_run(shards: Path, config: RunConfig, *, space: SearchSpace, space_text: str) -> tuple[Run, pa.Table]:
    """The run that a call asks for, and its scored clips with their roles. Raises InputError."""
    manifest = Manifest.load(shards)
    clips = read_labels(shards, splits=("test", "eval"))
    columns = {name: clips.column(name).to_pylist() for name in clips.column_names}
    labelled = {
        split for split, label in zip(columns["split"], columns["is_anomaly"], strict=True) if label is not None
    }
    protocol = resolve_protocol(config.score.protocol, labelled)
    roles = assign_roles(
        protocol,
        columns["clip_id"],
        split=columns["split"],
        machine_type=columns["machine_type"],
        machine_id=columns["machine_id"],
        is_anomaly=columns["is_anomaly"],
    )
    present = machine_types(manifest.machines)
    missing = {name: "no labelled clips" for name in present if name not in set(columns["machine_type"])}
    not_searchable = {**missing, **roles.not_searchable}
    searched = [name for name in present if name not in not_searchable]
    if not searched:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in not_searchable.items())
        raise InputError(f"{shards}: no machine type can be searched ({reasons}); add labelled test clips")
    run = Run(
        asd_ray=asd_ray.__version__,
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        protocol=protocol,
        machine_types=searched,
        not_searchable=not_searchable,
        corpus=Corpus(
            path=str(shards),
            fingerprint=manifest.fingerprint,
            classes=[list(names) for names in manifest.classes],
        ),
        config=config,
        space=space,
        space_text=space_text,
    )
    chooses = pa.array(roles.choosing.tolist(), pa.bool_())
    reports = pa.array(roles.reporting.tolist(), pa.bool_())
    table = clips.select(["clip_id", "split", "machine_type", "machine_id", "class_index", "is_anomaly"])
    return run, table.append_column("chooses", chooses).append_column("reports", reports)


def open_run(folder: Path, run: Run, *, clips: pa.Table) -> Run:
    """Begin a run folder, or go on with one. Raises InputError if it holds another search."""
    path = folder / RUN
    if path.exists():
        before = load(path, Run)
        difference = before.same_science(run)
        if difference is not None:
            raise InputError(f"{path}: {difference}; use another --run, or the settings of this one")
    with writing(folder / CLIPS) as file:
        pq.write_table(clips, file, write_page_checksum=True)
    write_whole(path, dump(run.model_dump()))  # last: a folder with run.yaml is a run
    return run


def read_run(folder: Path) -> tuple[Run, pa.Table]:
    """A run folder as it is on disk. Raises InputError when it is none."""
    if not (folder / RUN).exists():
        raise InputError(f"{folder}: no {RUN} there; give the folder of a search")
    return load(folder / RUN, Run), read_shard(folder / CLIPS)


def choosing_clips(clips: pa.Table) -> list[str]:
    """The ids of the clips whose labels the search may see."""
    chosen: Any = clips.filter(clips.column("chooses")).column("clip_id").to_pylist()
    return list(chosen)
