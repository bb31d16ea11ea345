"""The tagram: the sgram with its loud frames kept and its quiet ones faded. No weights.

Axes: B batch, F mel bins, T frames.
Source: Choi and Choi, "Noisy-ArcMix", 2024, temporal attention.
"""

from torch import Tensor


def attend_time(sgram_BFT: Tensor) -> Tensor:
    """sigmoid(max over mels + mean over mels) * sgram, as tagram_BFT.

    The weight of a frame is computed from raw dB, so a frame whose maximum and mean sum to -10 dB or less is
    all but zero, and one above +10 dB passes unchanged.
    """
    weight_B1T = (sgram_BFT.amax(dim=1, keepdim=True) + sgram_BFT.mean(dim=1, keepdim=True)).sigmoid()
    return weight_B1T * sgram_BFT
