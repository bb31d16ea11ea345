"""Shards -> the clips of a worker, through Ray's object store, or streamed by Ray Data.

Kept: every shard is read and checked once, its log-mels are added, and the tables stay in the node's object
store. A worker then holds views of them (one copy per node, however many lanes there are), or copies them to its
GPU. Ray Data reads with all cores; when there are few clips, the driver reads them itself while Ray starts.
Streamed: for a corpus that fits nowhere, shards are read and log-mels computed anew for every epoch.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray
import torch

from asd_ray.clip import SPLITS
from asd_ray.cluster.placement import on_this_node, plain_errors, quiet_data_context
from asd_ray.data.blocks import ToSgram, add_sgram, batch_of, blank_labels, collect, labels_of
from asd_ray.data.manifest import FEWEST_CLIPS_FOR_RAY, Manifest, ShardEntry, read_labels, read_shard
from asd_ray.data.resident import Batch, Clips, Index, OnDevice, Resident
from asd_ray.data.shards import CLIPS_PER_ROW_GROUP

if TYPE_CHECKING:
    from ray.data import Dataset

PIECES_PER_TASK = 8  # row groups that one task reads: 128 clips, 50 MB
CLIPS_PER_READER = 256  # per reading process: fewer than these are read before another process has started
SHUFFLED_CLIPS = 512  # a streaming worker draws its batches from so many: 0.3 GB


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The clips of a shard folder, and whose labels may be seen: all other labels are blanked on reading."""

    folder: Path
    to_sgram: Callable[[], ToSgram]
    visible_labels: tuple[str, ...]  # clip ids

    def labels(self) -> pa.Table:
        """All columns except the sound."""
        return self._blank(read_labels(self.folder))

    def read(self, path: str, *, row_group: int | None = None, wanted: pa.Array | None = None) -> pa.Table:
        """The clips of one shard with their log-mels: all of them, or those whose ids are `wanted`."""
        torch.set_num_threads(1)
        table = read_shard(self.folder / path, row_group=row_group).replace_schema_metadata()
        if wanted is not None:
            table = table.filter(pc.is_in(table.column("clip_id"), value_set=wanted)).combine_chunks()
        return self._blank(add_sgram(table, self.to_sgram()))

    def tables(self) -> Iterator[pa.Table]:
        """All clips, a table per shard, each with its log-mels. Raises InputError."""
        threads = torch.get_num_threads()  # the setting of the calling program, which may use torch for more
        try:
            yield from (self.read(shard.path) for shard in Manifest.load(self.folder).shards_of(SPLITS))
        finally:
            torch.set_num_threads(threads)

    def kept(self) -> "Kept":
        """Read all clips and compute their log-mels, once and right away. Raises InputError."""
        if Manifest.load(self.folder).count_clips() < FEWEST_CLIPS_FOR_RAY:
            return Kept.of(self.tables())
        return self._kept_by_ray_data()

    def _kept_by_ray_data(self) -> "Kept":
        manifest = Manifest.load(self.folder)
        paths = [shard.path for shard in manifest.shards_of(SPLITS)]
        readers = -(-manifest.count_clips() // CLIPS_PER_READER)

        def read(rows: dict[str, npt.NDArray[Any]]) -> pa.Table:
            return pa.concat_tables([self.read(str(path)) for path in rows["item"]])

        with plain_errors():
            dataset = _tasks(paths, read, per_task=1, here=True, readers=readers).materialize()
        return Kept(tuple(dataset.to_arrow_refs()))

    def _blank(self, table: pa.Table) -> pa.Table:
        return blank_labels(table, pa.array(self.visible_labels, pa.string()))


@dataclass(frozen=True, slots=True)
class Kept:
    """Clips in the object store of this node, which keeps them as long as this object lives."""

    tables: tuple["ray.ObjectRef[pa.Table]", ...]

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> "Kept":
        return cls(tuple(ray.put(table) for table in tables))


Bank = Kept | Source  # clips that are kept, or to be streamed


def _tasks(
    items: list[Any],
    read: Callable[..., Any],
    *,
    per_task: int,
    here: bool = False,
    readers: int | None = None,
) -> "Dataset":
    """A dataset of what `read` makes of these items, `per_task` at a time.

    `here` reads on this node only: blocks that are kept must not vanish with another node. At most `readers`
    tasks run at once, and at most one for each CPU.
    """
    import ray.data  # imported here: most processes that use a bank do not need it

    quiet_data_context()
    count = -(-len(items) // per_task)
    # Ray counts no CPUs on the head of a cluster; it nonetheless has some to read with.
    cpus = int(ray.cluster_resources().get("CPU", 0)) or os.cpu_count() or 1  # type: ignore[no-untyped-call]
    cpus = min(cpus, os.cpu_count() or 1) if here else cpus
    # The tasks request no CPU, because lanes hold all of them.
    return ray.data.from_items(items, override_num_blocks=count).map_batches(
        read,
        batch_size=per_task,
        zero_copy_batch=True,
        num_cpus=0,
        concurrency=max(1, min(cpus, count, readers or count)),
        label_selector=on_this_node() if here else None,
    )


class Streamed:
    """Clips that are read from their shards anew for every epoch; only some hundreds are in memory at a time."""

    def __init__(self, source: Source, device: torch.device) -> None:
        self._source, self._device = source, device
        self.labels, _ = labels_of(source.labels())
        self._shards = Manifest.load(source.folder).shards_of(SPLITS)

    def train_batches(
        self, index_N: Index, rng: np.random.Generator, *, batch_size: int, smallest: int
    ) -> Iterator[Batch]:
        """One epoch, shuffled twice: first the row groups, then the clips that are in memory."""
        pieces = self._pieces(index_N)
        shuffled = [pieces[place] for place in rng.permutation(len(pieces))]
        tables: Iterable[pa.Table] = self._stream(shuffled, index_N).iter_batches(
            batch_size=batch_size,
            batch_format="pyarrow",
            local_shuffle_buffer_size=max(SHUFFLED_CLIPS, batch_size),
            local_shuffle_seed=int(rng.integers(2**31)),
        )
        with plain_errors():
            for table in _without_small_end(tables, smallest):
                yield self._batch(table)

    def read_batches(self, index_N: Index, *, batch_size: int) -> Iterator[tuple[Index, Batch]]:
        stream = self._stream(self._pieces(index_N), index_N)
        tables: Iterable[pa.Table] = stream.iter_batches(batch_size=batch_size, batch_format="pyarrow")
        with plain_errors():
            for table in tables:
                clip_id = np.array(table.column("clip_id").to_pylist())
                yield np.searchsorted(self.labels.clip_id, clip_id), self._batch(table)

    def _pieces(self, index_N: Index) -> list[tuple[str, int]]:
        """The row groups in which clips at these positions may lie."""
        pairs = set(zip(self.labels.machine_type[index_N], self.labels.split[index_N], strict=True))
        shards = [shard for shard in self._shards if (shard.machine_type, shard.split) in pairs]
        return [(shard.path, number) for shard in shards for number in range(_row_groups(shard))]

    def _stream(self, pieces: Sequence[tuple[str, int]], index_N: Index) -> "Dataset":
        context = quiet_data_context()
        context.execution_options.preserve_order = True  # otherwise an epoch could not be repeated
        read = partial(_read_pieces, source=self._source, wanted=pa.array(self.labels.clip_id[index_N].tolist()))
        items = [{"path": path, "row_group": row_group} for path, row_group in pieces]
        return _tasks(items, read, per_task=PIECES_PER_TASK)

    def _batch(self, table: pa.Table) -> Batch:
        return batch_of(table).to(self._device)


def _row_groups(shard: ShardEntry) -> int:
    return -(-shard.rows // CLIPS_PER_ROW_GROUP)


def _read_pieces(rows: dict[str, npt.NDArray[Any]], *, source: Source, wanted: pa.Array) -> Iterator[pa.Table]:
    """One table per row group: the blocks are small, so that a small object store holds several."""
    for path, row_group in zip(rows["path"], rows["row_group"], strict=True):
        yield source.read(str(path), row_group=int(row_group), wanted=wanted)


def _without_small_end(tables: Iterable[pa.Table], smallest: int) -> Iterator[pa.Table]:
    """The same tables, except that a last one of fewer than `smallest` rows is joined to the one before it."""
    held: pa.Table | None = None
    for table in tables:
        if held is not None and len(table) < smallest:
            held = pa.concat_tables([held, table])
            continue
        if held is not None:
            yield held
        held = table
    if held is not None:
        yield held


def take_in(clips: Bank, resident: str, device: torch.device, *, gpu_share: float = 1.0) -> Clips:
    """The clips of one worker, in the memory from which its trials use them."""
    if isinstance(clips, Source):
        return Streamed(clips, device)
    tables: list[pa.Table] = ray.get(list(clips.tables))  # views of the object store, not copies
    return place(collect(tables), resident, device, gpu_share=gpu_share)


def place(clips: Resident, resident: str, device: torch.device, *, gpu_share: float = 1.0) -> Clips:
    """Put kept clips where they will stay: in shared memory, or on the GPU.

    `auto` chooses the GPU if the clips fill less than 60 % of this worker's share of its memory, counting only
    what is free.
    """
    if device.type != "cuda" or resident == "shared":
        return clips
    unused, total = torch.cuda.mem_get_info(device)
    free = min(unused, int(total * gpu_share))
    if resident == "auto" and len(clips.labels) * sum(part.nbytes for part in clips.row(0)) > 0.6 * free:
        return clips
    return OnDevice(clips, device)
