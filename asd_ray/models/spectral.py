"""The sasgram: the output of a transformer over the mel bins of the sgram.

Axes: B batch, F mel bins (the tokens), T frames, D width of a token.
Source: an early state of the published Noisy-ArcMix code (August 2023); the paper has temporal attention alone.
Three things are ours: queries, keys and values have biases, there is one position per mel bin (the code had 500
positions), and `width` narrows the tokens by whole heads.
"""

import math

from torch import Tensor, nn

NUM_LAYERS, NUM_HEADS, HEAD_WIDTH, HIDDEN = 6, 16, 16, 64


class SpectralAttention(nn.Module):
    """sqrt(T) * sgram plus a learnt position per mel bin, through six layers of attention, back to T frames.

    Layers normalise after each sum (post-norm); there is no dropout.
    """

    def __init__(self, *, num_mels: int, num_frames: int, width: float = 1.0) -> None:
        super().__init__()
        heads = max(1, round(NUM_HEADS * width))
        token = heads * HEAD_WIDTH
        self.gain = math.sqrt(num_frames)
        self.position_FT = nn.Embedding(num_mels, num_frames)
        self.widen = nn.Linear(num_frames, token)
        layer = nn.TransformerEncoderLayer(
            token, heads, dim_feedforward=max(8, round(HIDDEN * width)), dropout=0.0, batch_first=True
        )
        self.encode = nn.TransformerEncoder(layer, NUM_LAYERS, enable_nested_tensor=False)
        self.narrow = nn.Linear(token, num_frames)

    def forward(self, sgram_BFT: Tensor) -> Tensor:
        """sasgram_BFT."""
        token_BFD = self.widen(self.gain * sgram_BFT + self.position_FT.weight)
        sasgram_BFT: Tensor = self.narrow(self.encode(token_BFD))
        return sasgram_BFT
