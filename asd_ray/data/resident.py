"""The clips of a worker, by index: int16 PCM and float16 log-mel, resident or streamed.

The arrays may be views of memory that all lanes of a node share; nothing here writes to them.

Axes: N clips, B batch, L samples, F mel bins, T frames.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

PCM_SCALE = 1.0 / 32768.0

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is known of N clips, column by column, in the order of clip_id."""

    clip_id: npt.NDArray[np.str_]
    split: npt.NDArray[np.str_]
    machine_type: npt.NDArray[np.str_]
    machine_id: npt.NDArray[np.str_]
    class_index: Index
    is_anomaly: npt.NDArray[np.int8]  # 1, 0, or -1 where the label may not be seen here

    def __len__(self) -> int:
        return len(self.clip_id)

    def where(self, *, splits: Collection[str], machine_types: Collection[str]) -> Index:
        """Positions of the clips of these splits and machine types, ascending."""
        chosen = np.isin(self.split, list(splits)) & np.isin(self.machine_type, list(machine_types))
        return np.flatnonzero(chosen)


class Batch(NamedTuple):
    """wave in [-1, 1) and sgram in dB, both float32, with the class of each clip."""

    wave_BL: Tensor  # noqa: N815
    sgram_BFT: Tensor  # noqa: N815
    class_B: Tensor  # noqa: N815


class Block(NamedTuple):
    """Clips that arrived together; read-only views."""

    pcm_NL: npt.NDArray[np.int16]  # noqa: N815
    sgram_NFT: npt.NDArray[np.float16]  # noqa: N815


class Resident:
    """All clips in host memory, in the blocks they came in: a batch is a gather of rows."""

    def __init__(self, labels: Labels, blocks: Sequence[Block], order: Index) -> None:
        """`order[i]` is where clip i lies when the blocks are laid end to end."""
        assert len(labels) == len(order) == sum(len(block.pcm_NL) for block in blocks)
        self.labels = labels
        self._blocks = tuple(blocks)
        starts = np.cumsum([0, *(len(block.pcm_NL) for block in blocks)])
        self._block_of = np.searchsorted(starts, order, side="right") - 1
        self._row_of = order - starts[self._block_of]
        self._class = torch.from_numpy(labels.class_index)

    def gather(self, index_B: Index) -> Batch:
        """The clips at these positions, converted to float32."""
        first = self._blocks[0]
        wave_BL = torch.empty((len(index_B), first.pcm_NL.shape[1]))
        sgram_BFT = torch.empty((len(index_B), *first.sgram_NFT.shape[1:]))
        # Assigning into float32 converts in the same pass that copies.
        wave, sgram = wave_BL.numpy(), sgram_BFT.numpy()
        for position, clip in enumerate(index_B):
            block, row = self._blocks[self._block_of[clip]], self._row_of[clip]
            np.multiply(block.pcm_NL[row], np.float32(PCM_SCALE), out=wave[position])
            sgram[position] = block.sgram_NFT[row]
        return Batch(wave_BL, sgram_BFT, self._class[torch.from_numpy(index_B)])


class OnDevice:
    """All clips in the memory of a GPU, as PCM and float16 log-mel; a batch never touches the host."""

    def __init__(self, resident: Resident, device: torch.device) -> None:
        self.labels = resident.labels
        count = len(self.labels)
        first = resident._blocks[0]
        self._pcm_NL = torch.empty((count, first.pcm_NL.shape[1]), dtype=torch.int16, device=device)
        self._sgram_NFT = torch.empty((count, *first.sgram_NFT.shape[1:]), dtype=torch.float16, device=device)
        for clip in range(count):
            block, row = resident._blocks[resident._block_of[clip]], resident._row_of[clip]
            # A copy: the source is a read-only view, which torch would warn about.
            self._pcm_NL[clip] = torch.from_numpy(block.pcm_NL[row].copy())
            self._sgram_NFT[clip] = torch.from_numpy(block.sgram_NFT[row].copy())
        self._class = torch.from_numpy(self.labels.class_index).to(device)

    def gather(self, index_B: Index) -> Batch:
        index = torch.from_numpy(index_B).to(self._pcm_NL.device, non_blocking=True)
        return Batch(self._pcm_NL[index].float() * PCM_SCALE, self._sgram_NFT[index].float(), self._class[index])


Clips = Resident | OnDevice


def shuffled(index_N: Index, rng: np.random.Generator, *, batch_size: int, smallest: int = 2) -> Iterator[Index]:
    """One epoch: every clip once, in an order that follows from the generator alone.

    A last batch below `smallest` is joined to the one before it: batch norm needs two clips per worker.
    """
    order = rng.permutation(index_N)
    cuts = list(range(0, len(order), batch_size))
    if len(cuts) > 1 and len(order) - cuts[-1] < smallest:
        cuts.pop()
    for start, end in zip(cuts, [*cuts[1:], len(order)], strict=True):
        yield order[start:end]
