"""The clips that a detector ranks worst, and their log-mels if the shards of the search still exist."""

import base64
import io
from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import matplotlib.image
import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.data.resident import PCM_SCALE
from asd_ray.errors import InputError
from asd_ray.files.paths import is_object, place
from asd_ray.models.sgram import LogMel
from asd_ray.report.judging import Judged
from asd_ray.search.runfolder import Run

EACH = 2  # of the missed anomalies and of the false alarms
COLOURS, QUALITY = "magma", 45  # with these, a log-mel takes some 6 kB
DARKEST = 5  # per cent of a picture's values become black


@dataclass(frozen=True, slots=True, kw_only=True)
class Misranked:
    """A clip on the wrong side of `wrong` clips; `others` counts all clips of the other kind of its machine id."""

    clip_id: str
    machine_id: str
    is_anomaly: bool
    score: float
    wrong: int
    others: int


def worst_ranked(judged: Judged, *, each: int = EACH) -> tuple[Misranked, ...]:
    """The reporting clips that cost the most AUC: anomalies that score low, then normal clips that score high.

    They are ranked within their machine id, as in the AUC. A clip on the right side of all others is left out.
    """
    found = []
    for machine_id in sorted({row[1] for row in judged.reported}):
        rows = [row for row in judged.reported if row[1] == machine_id]
        normal, anomalous = (np.sort([row[3] for row in rows if row[2] is kind]) for kind in (False, True))
        for clip_id, _, is_anomaly, score in rows:
            if is_anomaly:
                wrong = len(normal) - int(np.searchsorted(normal, score))
            else:
                wrong = int(np.searchsorted(anomalous, score, side="right"))
            others = len(normal if is_anomaly else anomalous)
            if wrong:
                found.append(
                    Misranked(
                        clip_id=clip_id,
                        machine_id=machine_id,
                        is_anomaly=is_anomaly,
                        score=score,
                        wrong=wrong,
                        others=others,
                    )
                )
    found.sort(key=lambda clip: (-clip.wrong / clip.others, clip.clip_id))
    return tuple(
        clip for kind in (True, False) for clip in [one for one in found if one.is_anomaly is kind][:each]
    )


class Recordings:
    """The clips in the shards that a search used. `why_not` says why there are none; else it is empty."""

    def __init__(self, run: Run) -> None:
        self._folder, self.why_not = place(run.corpus.path), ""
        try:
            self._manifest = Manifest.load(self._folder)
        except (InputError, OSError):
            self.why_not = f"the shards are not at {run.corpus.path}"
            return
        if self._manifest.fingerprint != run.corpus.fingerprint:
            self.why_not = f"the shards at {run.corpus.path} have changed"

    @cached_property
    def _log_mel(self) -> LogMel:
        return LogMel()

    def pictures(self, machine_type: str, clip_ids: Collection[str]) -> dict[str, str]:
        """A data URL of the log-mel of each of these clips, except those that are damaged or gone."""
        found: dict[str, str] = {}
        for shard in () if self.why_not else self._manifest.shards_of(["test", "eval"], machine_type=machine_type):
            wanted = set(clip_ids) - found.keys()
            if wanted:
                try:
                    with _one_thread():
                        found |= self._pictures_in(self._folder / shard.path, wanted)
                except InputError:
                    continue
        return found

    def _pictures_in(self, path: Path, wanted: Collection[str]) -> dict[str, str]:
        """Read a shard's clip ids, and then only the recordings of row groups that hold a wanted clip."""
        clip_ids = read_shard(path, columns=["clip_id"]).column("clip_id").to_pylist()
        positions = [position for position, clip_id in enumerate(clip_ids) if clip_id in wanted]
        ends = list(accumulate(_rows_by_group(path))) if positions else []
        found: dict[str, str] = {}
        for group in sorted({bisect_right(ends, position) for position in positions}):
            rows = read_shard(path, columns=["clip_id", "pcm"], row_group=group).to_pylist()
            found |= {row["clip_id"]: self._picture(row["pcm"]) for row in rows if row["clip_id"] in wanted}
        return found

    def _picture(self, pcm: bytes) -> str:
        wave_L = torch.from_numpy(np.frombuffer(pcm, dtype="<i2").astype(np.float32) * PCM_SCALE)
        return picture(self._log_mel(wave_L).numpy())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: one clip is too little work to split, and on busy cores, waiting threads cost tenfold."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def picture(sgram_FT: NDArray[np.float32]) -> str:
    """A data URL of a log-mel, low frequencies below; its loudest value is white, its quietest are black."""
    low, high = np.percentile(sgram_FT, [DARKEST, 100])
    image = io.BytesIO()
    matplotlib.image.imsave(
        image,
        sgram_FT,
        vmin=low,
        vmax=max(high, low + 1.0),  # in digital silence all values are equal
        cmap=COLOURS,
        origin="lower",
        format="webp",
        pil_kwargs={"quality": QUALITY},
    )
    return f"data:image/webp;base64,{base64.b64encode(image.getvalue()).decode()}"


def _rows_by_group(path: Path) -> list[int]:
    try:
        with pq.ParquetFile(path.open("rb") if is_object(path) else path) as file:
            metadata = file.metadata
            return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error})") from None
