"""Arrow tables of clips <-> the arrays of a worker, without copies.

Axes: N clips, L samples, F mel bins, T frames.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from asd_ray.clip import NUM_FRAMES, NUM_SAMPLES
from asd_ray.data.resident import PCM_SCALE, Batch, Block, Index, Labels, Resident

ToSgram = Callable[[torch.Tensor], torch.Tensor]  # wave (L,) float32 -> sgram (F, T) float32
_TEXT = ("split", "machine_type", "machine_id")


def add_sgram(table: pa.Table, to_sgram: ToSgram) -> pa.Table:
    """Add a column with the log-mel of each clip, or several stacked on the mel axis, as float16 bytes."""
    pcm_NL = _rows(table.column("pcm"), np.dtype("<i2")).reshape(len(table), NUM_SAMPLES)
    sgrams = []
    for pcm_L in pcm_NL:  # a single clip at a time fits in the processor's cache
        wave_L = torch.from_numpy(pcm_L.astype(np.float32) * np.float32(PCM_SCALE))
        sgrams.append(to_sgram(wave_L).half().numpy().astype("<f2", copy=False).tobytes())
    return table.append_column("sgram", pa.array(sgrams, pa.binary()))


def blank_labels(table: pa.Table, visible: pa.Array) -> pa.Table:
    """Set the labels of all clips that are not in `visible` (clip ids) to null."""
    labels, ids = table.column("is_anomaly"), table.column("clip_id")
    seen = pc.is_in(ids, value_set=visible)
    blank = pc.if_else(seen, labels, pa.scalar(None, pa.bool_()))
    return table.set_column(table.schema.get_field_index("is_anomaly"), "is_anomaly", blank)


def collect(tables: Iterable[pa.Table]) -> Resident:
    """The clips of a worker, from the blocks that Ray Data hands over; the arrays stay views of the blocks."""
    parts = [table for table in tables if len(table)]
    blocks = [
        Block(_rows(part.column("pcm"), np.dtype("<i2")), _rows(part.column("sgram"), np.dtype("<f2")))
        for part in (_one_chunk(part) for part in parts)
    ]
    labels, order = labels_of(pa.concat_tables([part.drop_columns(["pcm", "sgram"]) for part in parts]))
    shaped = [
        Block(pcm.reshape(-1, NUM_SAMPLES), sgram.reshape(len(pcm) // NUM_SAMPLES, -1, NUM_FRAMES))
        for pcm, sgram in blocks
    ]
    return Resident(labels, shaped, order)


def labels_of(columns: pa.Table) -> tuple[Labels, Index]:
    """What the rows say about their clips, in the order of clip_id, and the row of each clip."""
    clip_id = np.asarray(columns.column("clip_id").to_pylist(), dtype=str)
    order = np.argsort(clip_id)
    text = {name: np.asarray(columns.column(name).to_pylist(), dtype=str)[order] for name in _TEXT}
    is_anomaly = columns.column("is_anomaly").fill_null(False).to_numpy().astype(np.int8)
    is_anomaly[columns.column("is_anomaly").is_null().to_numpy()] = -1
    labels = Labels(
        clip_id=clip_id[order],
        class_index=columns.column("class_index").to_numpy().astype(np.int64)[order],
        is_anomaly=is_anomaly[order],
        **text,
    )
    return labels, order


def batch_of(table: pa.Table) -> Batch:
    """The clips of a table, converted to float32."""
    table = table.combine_chunks()
    pcm_BL = _rows(table.column("pcm"), np.dtype("<i2")).reshape(len(table), -1)
    sgram_BFT = _rows(table.column("sgram"), np.dtype("<f2")).reshape(len(table), -1, NUM_FRAMES)
    class_B = table.column("class_index").to_numpy().astype(np.int64)
    arrays = (pcm_BL.astype(np.float32), sgram_BFT.astype(np.float32), class_B)
    return Batch(*map(torch.from_numpy, arrays))


def _one_chunk(table: pa.Table) -> pa.Table:
    """The table as one chunk. The blocks of one shard are one chunk already, and are not copied."""
    return table if table.column("pcm").num_chunks == 1 else table.combine_chunks()


def _rows(column: pa.ChunkedArray, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The bytes of a binary column without nulls, laid end to end, as a read-only view."""
    assert column.num_chunks == 1
    chunk = column.chunk(0)
    _, offsets, data = chunk.buffers()
    wide = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
    ends = np.frombuffer(offsets, wide)[chunk.offset : chunk.offset + len(chunk) + 1]
    rows = np.frombuffer(data, np.uint8)[int(ends[0]) : int(ends[-1])].view(dtype)
    rows.flags.writeable = False  # Arrow's own memory may be writable; other lanes read it too
    return rows
