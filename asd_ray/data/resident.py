"""The clips of a worker, by index: int16 PCM and float16 log-mel, resident or streamed.

The arrays may be views of memory that all lanes of a node share; nothing here writes to them.

Axes: N clips, B batch, L samples, F mel bins, T frames.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

PCM_SCALE = 1.0 / 32768.0

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is known about N clips, column by column, in the order of clip_id."""

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

    def class_types(self, num_classes: int) -> list[str]:
        """The machine type of each class; empty where there is no clip of it."""
        types = dict(zip(self.class_index.tolist(), self.machine_type.tolist(), strict=True))
        return [types.get(number, "") for number in range(num_classes)]


class Batch(NamedTuple):
    """pcm in [-32768, 32767] and sgram in dB, both float32, with the class of each clip.

    Batches may share memory: a batch is valid only until the next one is gathered.
    """

    pcm_BL: Tensor  # noqa: N815
    sgram_BFT: Tensor  # noqa: N815
    class_B: Tensor  # noqa: N815

    @property
    def wave_BL(self) -> Tensor:  # noqa: N802
        """The samples in [-1, 1), as networks read them."""
        return self.pcm_BL * PCM_SCALE

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device; the batch itself if it is there already."""
        return Batch(*(tensor.to(device) for tensor in self))


class Block(NamedTuple):
    """Clips that arrived together; read-only views."""

    pcm_NL: npt.NDArray[np.int16]  # noqa: N815
    sgram_NFT: npt.NDArray[np.float16]  # noqa: N815


class Clips(Protocol):
    """The clips of a worker, wherever they are: the interface that training and scoring use."""

    labels: Labels

    def train_batches(
        self, index_N: Index, rng: np.random.Generator, *, batch_size: int, smallest: int
    ) -> Iterator[Batch]:
        """One epoch of the clips at these positions: each once, in an order that the generator determines.

        A last batch below `smallest` is joined to the one before it: batch norm needs two clips per worker.
        """

    def read_batches(self, index_N: Index, *, batch_size: int) -> Iterator[tuple[Index, Batch]]:
        """The clips at these positions in any order, each batch with the positions of its clips."""


class _ByIndex(ABC):
    """Clips with random access."""

    labels: Labels

    @abstractmethod
    def gather(self, index_B: Index) -> Batch:
        """The clips at these positions, converted to float32."""

    def train_batches(
        self, index_N: Index, rng: np.random.Generator, *, batch_size: int, smallest: int
    ) -> Iterator[Batch]:
        for index_B in shuffled(index_N, rng, batch_size=batch_size, smallest=smallest):
            yield self.gather(index_B)

    def read_batches(self, index_N: Index, *, batch_size: int) -> Iterator[tuple[Index, Batch]]:
        for start in range(0, len(index_N), batch_size):
            index_B = index_N[start : start + batch_size]
            yield index_B, self.gather(index_B)


class Resident(_ByIndex):
    """All clips in host memory, in the blocks in which they arrived: a batch is gathered row by row."""

    def __init__(self, labels: Labels, blocks: Sequence[Block], order: Index) -> None:
        """`order[i]` is where clip i lies when the blocks are laid end to end."""
        assert len(labels) == len(order) == sum(len(block.pcm_NL) for block in blocks)
        self.labels = labels
        with warnings.catch_warnings():  # the arrays are read-only, which torch does not support; we never write
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            pcm = [row_L for block in blocks for row_L in torch.from_numpy(block.pcm_NL)]
            sgram = [row_FT for block in blocks for row_FT in torch.from_numpy(block.sgram_NFT)]
        self._pcm = [pcm[place] for place in order]  # views, by clip
        self._sgram = [sgram[place] for place in order]
        self._class_N = torch.from_numpy(labels.class_index)
        self._room = (torch.empty(0), torch.empty(0))

    def row(self, clip: int) -> tuple[Tensor, Tensor]:
        """int16 pcm_L and float16 sgram_FT of one clip: views, not to be written to."""
        return self._pcm[clip], self._sgram[clip]

    def gather(self, index_B: Index) -> Batch:
        size = len(index_B)
        if size > len(self._room[0]):  # reused: allocating memory for every batch would cost more than filling it
            pcm_L, sgram_FT = self.row(0)
            with torch.inference_mode(mode=False):  # otherwise training could not use it after reading
                self._room = torch.empty((size, *pcm_L.shape)), torch.empty((size, *sgram_FT.shape))
        pcm_BL, sgram_BFT = (whole[:size] for whole in self._room)
        for position, clip in enumerate(index_B.tolist()):
            # Copying into float32 converts in the same pass.
            pcm_BL[position].copy_(self._pcm[clip])
            sgram_BFT[position].copy_(self._sgram[clip])
        return Batch(pcm_BL, sgram_BFT, self._class_N[torch.from_numpy(index_B)])


class OnDevice(_ByIndex):
    """All clips in the memory of a GPU, as PCM and float16 log-mel; a batch never touches the host."""

    def __init__(self, resident: Resident, device: torch.device) -> None:
        self.labels = resident.labels
        count = len(self.labels)
        pcm_L, sgram_FT = resident.row(0)
        self._pcm_NL = torch.empty((count, *pcm_L.shape), dtype=torch.int16, device=device)
        self._sgram_NFT = torch.empty((count, *sgram_FT.shape), dtype=torch.float16, device=device)
        for clip in range(count):
            self._pcm_NL[clip], self._sgram_NFT[clip] = resident.row(clip)
        self._class_N = torch.from_numpy(self.labels.class_index).to(device)

    def gather(self, index_B: Index) -> Batch:
        index = torch.from_numpy(index_B).to(self._pcm_NL.device, non_blocking=True)
        return Batch(self._pcm_NL[index].float(), self._sgram_NFT[index].float(), self._class_N[index])


def shuffled(index_N: Index, rng: np.random.Generator, *, batch_size: int, smallest: int = 2) -> Iterator[Index]:
    """One epoch: every clip once, in an order that the generator alone determines.

    A last batch below `smallest` is joined to the one before it: batch norm needs two clips per worker.
    """
    order = rng.permutation(index_N)
    cuts = list(range(0, len(order), batch_size))
    if len(cuts) > 1 and len(order) - cuts[-1] < smallest:
        cuts.pop()
    for start, end in zip(cuts, [*cuts[1:], len(order)], strict=True):
        yield order[start:end]
