"""The published way of doing the same work, written plainly: what a user would otherwise run.

File by file with a fresh transform for each, in-memory float32 tensors through a DataLoader with its own collate,
an eager float32 training step that looks at its loss, evaluation clip by clip. The network is the same.
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.losses.margin import margin_logits
from asd_ray.models.classifier import Classifier

MARGIN, SCALE, ALPHA = 0.7, 30.0, 0.5
Item = tuple[Tensor, Tensor, int]


def load(path: Path) -> Tensor:
    """wave_L of the first ten seconds."""
    wave_L, _ = soundfile.read(path, dtype="float32")
    return torch.from_numpy(wave_L[:NUM_SAMPLES])


def log_mel(wave_L: Tensor) -> Tensor:
    """A transform is made for every file."""
    transform = torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=2048, hop_length=512, n_mels=128, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    sgram_FT: Tensor = 10 * torch.log10(transform(wave_L) + 2.0**-52)
    return sgram_FT


class InMemory(Dataset[Item]):
    """Waves and log-mels of all clips as float32."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


def batches(dataset: InMemory, *, batch_size: int, shuffle: bool = True) -> "DataLoader[Item]":
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)


def train_step(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    *,
    wave_BL: Tensor,
    sgram_BFT: Tensor,
    class_B: Tensor,
) -> float:
    """Noisy-ArcMix; the loss."""
    lam = float(np.random.beta(ALPHA, ALPHA))
    partner_B = torch.randperm(len(class_B), device=class_B.device)
    wave_BL = lam * wave_BL + (1 - lam) * wave_BL[partner_B]
    sgram_BFT = lam * sgram_BFT + (1 - lam) * sgram_BFT[partner_B]
    _, cosine_BC = classifier(wave_BL, sgram_BFT)
    logits_BC = margin_logits(cosine_BC, class_B, margin=MARGIN, scale=SCALE)
    loss = lam * F.cross_entropy(logits_BC, class_B) + (1 - lam) * F.cross_entropy(logits_BC, class_B[partner_B])
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def evaluate(classifier: Classifier, dataset: InMemory) -> list[float]:
    """The anomaly score of each clip, one clip at a time."""
    classifier.eval()
    scores = []
    with torch.no_grad():
        for wave_BL, sgram_BFT, class_B in batches(dataset, batch_size=1, shuffle=False):
            _, cosine_BC = classifier(wave_BL, sgram_BFT)
            scores.append(
                F.cross_entropy(margin_logits(cosine_BC, class_B, margin=MARGIN, scale=SCALE), class_B).item()
            )
    return scores
