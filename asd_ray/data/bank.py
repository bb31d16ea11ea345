"""Shards -> Ray Data -> the clips of a worker.

Ray Data reads every shard once, checks it, adds the log-mel, and keeps the blocks in the object store of the
node. A worker then holds views of those blocks: one copy per node, however many lanes there are.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import ray.data
import torch

from asd_ray.clip import Split
from asd_ray.command import InputError
from asd_ray.data.blocks import BYTES_PER_CLIP, ToSgram, add_sgram, blank_labels
from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.data.resident import Clips, OnDevice, Resident


def stream_shards(
    folder: Path,
    *,
    to_sgram: Callable[[], ToSgram],
    splits: Collection[Split],
    visible_labels: Collection[str],
) -> ray.data.Dataset:
    """The clips of a shard folder as a dataset, read and turned into log-mels once, here and now.

    Labels of clips that are not in `visible_labels` (clip ids) are blanked before anybody sees them.
    Raises InputError for damaged shards.
    """
    manifest = Manifest.load(folder)
    paths = [str(folder / shard.path) for shard in manifest.shards_of(splits)]
    visible = pa.array(sorted(visible_labels), pa.string())

    def read(rows: dict[str, npt.NDArray[Any]]) -> pa.Table:
        torch.set_num_threads(1)
        tables = [read_shard(Path(str(path))) for path in rows["item"]]
        table = pa.concat_tables([table.replace_schema_metadata() for table in tables])
        return blank_labels(add_sgram(table, to_sgram()), visible)

    items = ray.data.from_items(paths, override_num_blocks=len(paths))
    cpus = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    # No CPU is asked for: blocks that were lost with a node are read again when lanes hold all CPUs.
    read_all = items.map_batches(read, batch_size=1, zero_copy_batch=True, num_cpus=0, concurrency=max(1, cpus))
    try:
        dataset: ray.data.Dataset = read_all.materialize()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
    return dataset


def place(clips: Resident, resident: str, device: torch.device, *, gpu_share: float = 1.0) -> tuple[Clips, str]:
    """Clips where they shall stay, and in words where that is and why.

    `auto` takes the GPU's memory if the clips fill less than 60 % of this worker's share of it, as far as it is
    free.
    """
    need = len(clips.labels) * BYTES_PER_CLIP
    if device.type != "cuda":
        return clips, f"{need / 1e9:.1f} GB of clips in shared memory"
    unused, total = torch.cuda.mem_get_info(device)
    free = min(unused, int(total * gpu_share))
    if resident == "shared" or (resident == "auto" and need > 0.6 * free):
        return clips, f"{need / 1e9:.1f} GB of clips in shared memory (GPU has {free / 1e9:.1f} GB free)"
    return OnDevice(clips, device), f"{need / 1e9:.1f} GB of clips on the GPU ({free / 1e9:.1f} GB free)"
