"""AE and IDNN: the error of a narrow network that reconstructs windows of the log-mel, or predicts their centres.

Axes: B clips, F mel bins, T frames, W windows of all clips, P numbers of a window, E bottleneck.
Sources: the baseline of DCASE 2020 Task 2 (Koizumi et al., 2020), and Suefusa et al., "Anomalous sound detection
based on interpolation deep neural network", ICASSP 2020, in the size that the authors of STgram compare with.
Both were published on raw dB, with minibatches of windows. Here a minibatch is all windows of its clips, so there
are far fewer steps, and constants standardise the log-mel first.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from asd_ray.models.mel import OF_BASELINES as MEL
from asd_ray.models.mobilefacenet import scaled
from asd_ray.models.sgram import standardised

NUM_FRAMES = 5  # per window
HIDDEN, NUM_HIDDEN, BOTTLENECK = 128, 4, 8


def dense(*sizes: int) -> nn.Sequential:
    """Fully connected layers of these sizes, each with batch norm and ReLU."""
    layers = ((nn.Linear(size, after), nn.BatchNorm1d(after), nn.ReLU()) for size, after in pairwise(sizes))
    return nn.Sequential(*(part for layer in layers for part in layer))


class Windows(nn.Module):
    """The mean squared error over windows of five frames, as loss and as evidence; ids are not distinguished."""

    def __init__(self, *, left_out: tuple[int, ...], width: float) -> None:
        """`left_out`: frames to predict from the others; if empty, the network reconstructs all frames."""
        super().__init__()
        self.given = [frame for frame in range(NUM_FRAMES) if frame not in left_out]
        self.told = list(left_out) or self.given
        hidden = [scaled(HIDDEN, width)] * NUM_HIDDEN
        self.narrow = dense(len(self.given) * MEL.num_mels, *hidden, BOTTLENECK)
        self.widen = nn.Sequential(
            *dense(BOTTLENECK, *hidden), nn.Linear(hidden[-1], len(self.told) * MEL.num_mels)
        )

    def forward(self, sgram_BFT: Tensor, id_B: Tensor) -> tuple[Tensor, Tensor]:
        """The mean bottleneck of each clip, embedding_BE with E = 8, and readout_BK."""
        clips = len(sgram_BFT)
        window_BWPF = standardised(sgram_BFT).transpose(1, 2).unfold(1, NUM_FRAMES, 1).transpose(2, 3)
        given_WP = window_BWPF[:, :, self.given].flatten(0, 1).flatten(1)
        bottleneck_WE = self.narrow(given_WP)
        told_WP = self.widen(bottleneck_WE)
        wanted_WP = window_BWPF[:, :, self.told].flatten(0, 1).flatten(1)
        error_B = (told_WP - wanted_WP).square().reshape(clips, -1).mean(dim=1)
        embedding_BE = bottleneck_WE.reshape(clips, -1, BOTTLENECK).mean(dim=1)
        return embedding_BE, torch.stack([error_B, error_B], dim=1)


class Autoencoder(Windows):
    """Reconstructs 640 numbers through a bottleneck of 8. Width 1.0 is the published network."""

    def __init__(self, *, width: float, num_ids: int) -> None:
        super().__init__(left_out=(), width=width)


class Idnn(Windows):
    """Predicts the centre frame from the two before and the two after it. Width 1.0 is the published network."""

    def __init__(self, *, width: float, num_ids: int) -> None:
        super().__init__(left_out=(NUM_FRAMES // 2,), width=width)
