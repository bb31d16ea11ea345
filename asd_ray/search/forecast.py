"""What a search would do and cost, without doing it: `--dry-run`. It writes nothing and starts no Ray.

It computes time and memory from a few training steps on noise (`training.warmup`) and from the numbers of clips,
epochs, trials and lanes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc

from asd_ray.clip import Clip, Machine, class_table, machine_types
from asd_ray.config import RunConfig, replace
from asd_ray.data.corpus import hold_out, read_corpus
from asd_ray.data.manifest import MANIFEST, SCHEMA, Manifest, note_lines, read_labels
from asd_ray.lanes.sizes import Room, Share, machine_resources, make_room, share_out
from asd_ray.models import mels_of
from asd_ray.search.preflight import check_search
from asd_ray.search.space import SearchSpace
from asd_ray.training.rungs import rungs_of
from asd_ray.training.scored import FIT_SHARE, MIN_REFERENCE
from asd_ray.training.warmup import Pace, measure_pace

BRING_UP_S = 15.0  # to start Ray, read the clips and bring up lanes
PREPARED_PER_S = 200.0  # recordings that one core checks and writes per second
COLUMNS = pa.schema(
    [SCHEMA.field(name) for name in ("clip_id", "split", "machine_type", "machine_id", "is_anomaly")]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The clips of a corpus, prepared or not."""

    machines: tuple[Machine, ...]
    clips: pa.Table  # of COLUMNS
    to_prepare: int  # recordings that a search would check and write to shards first
    problems: int  # files that do not fit the layout
    fingerprint: str = ""  # of the shards; empty until they are prepared
    note_lines: tuple[str, ...] = ()  # on recordings that are odd but used; known once they are prepared

    def count(self, split: str, machine_type: str) -> int:
        clips = self.clips
        chosen = pc.and_(
            pc.equal(clips.column("split"), split), pc.equal(clips.column("machine_type"), machine_type)
        )
        return int(pc.sum(chosen).as_py() or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a search would do. Seconds are for the whole call, bytes for this machine."""

    config: RunConfig
    space: SearchSpace
    listed: Listed
    protocol: str
    not_searchable: dict[str, str]
    roles: pa.Table  # the scored clips, with `chooses` and `reports`
    lines: tuple[str, ...]  # about what the search begins from
    share: Share
    room: Room
    pace: Pace
    likely_s: float  # with as many trials pruned as planned
    most_s: float  # with none pruned
    host_bytes: int
    free_bytes: int

    @property
    def searched(self) -> tuple[str, ...]:
        return tuple(name for name in machine_types(self.listed.machines) if name not in self.not_searchable)


def list_clips(clips: Iterable[Clip], *, valid_fraction: float, problems: int = 0) -> Listed:
    """List the clips of recordings that are not prepared yet."""
    clips = hold_out(clips, fraction=valid_fraction)
    rows = [{name: getattr(clip, name) for name in COLUMNS.names} for clip in clips]
    return Listed(
        machines=class_table(clip.machine for clip in clips),
        clips=pa.Table.from_pylist(rows, schema=COLUMNS),
        to_prepare=len(clips),
        problems=problems,
    )


def list_data(data: Path, *, valid_fraction: float) -> Listed:
    """List the clips of a shard folder, or of a folder of recordings by their names alone. Raises InputError."""
    if not (data / MANIFEST).exists():
        corpus = read_corpus(data)
        return list_clips(corpus.clips, valid_fraction=valid_fraction, problems=len(corpus.problems))
    manifest = Manifest.load(data)
    clips = read_labels(data).select(COLUMNS.names)
    return Listed(
        machines=manifest.machines,
        clips=clips,
        to_prepare=0,
        problems=manifest.quarantined,
        fingerprint=manifest.fingerprint,
        note_lines=note_lines(manifest.notes_by_type),
    )


def make_forecast(
    found: Listed,
    config: RunConfig,
    *,
    space_name: str,
    where: Path,
    folder: Path | None = None,
    storage: str | None = None,
) -> Forecast:
    """Check all that a search would check, then measure. Raises InputError, as the search would.

    `folder`: the run folder that the search would use, if it is known.
    """
    ready = check_search(
        where,
        config,
        space_name=space_name,
        folder=folder,
        storage=storage,
        recordings=None if found.fingerprint else found,
    )
    run, plan = ready.run, ready.plan
    config, space, systems = run.config, run.space, run.systems
    log_mels = len(mels_of(systems))
    room = make_room(len(found.clips), config.lanes, log_mels=log_mels)
    share = share_out(
        config.lanes,
        trials=max(1, config.search.trials),
        clips=0 if room.streams else room.clips,
        log_mels=log_mels,
        have=machine_resources(),
    )
    pace = measure_pace(
        replace(config, {("train", "batch_size"): largest_batch(space, config)}, where=space_name).model_copy(
            update={"lanes": share.lane}
        ),
        systems=systems,
        class_types=plan.class_types,
        lanes=share.count * share.lane.workers,
        on_gpu=bool(share.lane.gpus),
    )
    likely_s, most_s = search_seconds(found, config, share, pace, searched=plan.machine_types)
    return Forecast(
        config=config,
        space=space,
        listed=found,
        protocol=plan.protocol,
        not_searchable=plan.not_searchable,
        roles=plan.clips,
        lines=ready.starts.lines,
        share=share,
        room=room,
        pace=pace,
        likely_s=likely_s,
        most_s=most_s,
        host_bytes=room.store_bytes + share.count * share.lane.workers * pace.host_bytes,
        free_bytes=psutil.virtual_memory().available,
    )


def largest_batch(space: SearchSpace, config: RunConfig) -> int:
    """The largest batch size that a trial may have: it takes the most memory."""
    specs = [
        params["batch_size"] for params in (space.params, *space.machine_types.values()) if "batch_size" in params
    ]
    sizes = [size for spec in specs for size in ([spec] if isinstance(spec, float) else spec.limits())]
    return int(max(sizes, default=config.train.batch_size))


def search_seconds(
    found: Listed, config: RunConfig, share: Share, pace: Pace, *, searched: Sequence[str]
) -> tuple[float, float]:
    """Seconds of a whole search: with 1/eta of the trials kept at the rung, and with all of them kept.

    The count of confirmations assumes that no config is the best of two machine types.
    """
    search, epochs = config.search, config.train.epochs
    joint = search.scope == "joint"
    groups = [machine_types(found.machines)] if joint else [(name,) for name in searched]
    costs = [_epoch_and_scoring(found, group, pace, workers=share.lane.workers) for group in groups]
    epoch_s = sum(cost[0] for cost in costs) / len(costs)
    scoring_s = sum(cost[1] for cost in costs) / len(costs)
    at = rungs_of(search, epochs)
    whole_s = epochs * epoch_s + (len(at) + 1) * scoring_s
    pruned_s = at[0] * epoch_s + scoring_s if at else whole_s
    confirmations = len(searched) * (search.confirm + 1) * search.seeds if search.confirm else 0
    before_s = BRING_UP_S + found.to_prepare / PREPARED_PER_S
    kept = 1 / search.eta

    def seconds(trial_s: float) -> float:
        turns = -(-search.trials // share.count), -(-confirmations // share.count)
        return before_s + turns[0] * trial_s + turns[1] * whole_s

    return seconds(kept * whole_s + (1 - kept) * pruned_s), seconds(whole_s)


def _epoch_and_scoring(found: Listed, types: Iterable[str], pace: Pace, *, workers: int) -> tuple[float, float]:
    """The seconds that an epoch, and scoring after it, take for a network trained on some machine types."""
    clips: Counter[str] = Counter()
    for name in types:
        train, valid = found.count("train", name), found.count("valid", name)
        clips["train"] += train
        clips["valid"] += valid
        clips["scored"] += found.count("test", name) + found.count("eval", name)
        clips["scored"] += valid if valid >= MIN_REFERENCE else train + valid  # the threshold is fitted to them
        clips["scored"] += round(FIT_SHARE * train)  # scores are fitted to these
    return clips["train"] * pace.train_s / workers + clips["valid"] * pace.read_s, clips["scored"] * pace.read_s
