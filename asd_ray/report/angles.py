"""How far embeddings point away from the centre of their machine id: the picture of Noisy-ArcMix's README.

The centre is the mean direction of the id's normal training clips, as the score `centre` has it.
"""

from pathlib import Path

import numpy as np

from asd_ray.data.manifest import read_shard
from asd_ray.errors import InputError
from asd_ray.report.judging import Judged

CENTRE = "centre"  # column of scores.parquet: 1 - cosine with the centre


def angles_of(scores: Path, judged: Judged) -> tuple[float, ...]:
    """Degrees from 0 to 180 of each reporting clip, in their order; empty where the training has not kept them."""
    try:
        table = read_shard(scores)
    except InputError:
        return ()  # lost after it was judged
    if CENTRE not in table.column_names:
        return ()
    distance_of = dict(zip(table.column("clip_id").to_pylist(), table.column(CENTRE).to_pylist(), strict=True))
    distance = np.array([distance_of[row[0]] for row in judged.reported], dtype=np.float64)
    if not np.isfinite(distance).all():
        return ()
    return tuple(np.degrees(np.arccos(np.clip(1.0 - distance, -1.0, 1.0))).tolist())
