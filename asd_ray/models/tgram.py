"""The tgram: a learned time-frequency picture of the wave, of the same size as the sgram.

Axes: B batch, L samples, F mel bins, T frames, H hidden channels.
Source: Liu et al., "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022.
"""

from torch import Tensor, nn

NUM_LAYERS = 3
WINDOW = 1024  # samples that one frame of the learned filters sees: half as many as a frame of the sgram


class Tgram(nn.Module):
    """A strided convolution over the wave (learned filters), then three convolutions along time.

    `hidden` is the number of learned filters; the last layer always gives `num_mels` rows, so that tgram and
    sgram can be stacked. Published: hidden = num_mels = 128.
    """

    def __init__(self, *, num_mels: int, num_frames: int, hop: int, hidden: int) -> None:
        super().__init__()
        self.extract = nn.Conv1d(1, hidden, WINDOW, hop, padding=WINDOW // 2, bias=False)
        widths = [hidden] * NUM_LAYERS + [num_mels]
        self.encode = nn.Sequential(
            *(
                nn.Sequential(
                    nn.LayerNorm(num_frames),  # over time, with a weight per frame: fixes the clip's length
                    nn.LeakyReLU(0.2),
                    nn.Conv1d(widths[layer], widths[layer + 1], 3, padding=1, bias=False),
                )
                for layer in range(NUM_LAYERS)
            )
        )

    def forward(self, wave_BL: Tensor) -> Tensor:
        """tgram_BFT."""
        hidden_BHT = self.extract(wave_BL.unsqueeze(1))
        tgram_BFT: Tensor = self.encode(hidden_BHT)
        return tgram_BFT
