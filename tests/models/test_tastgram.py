"""TASTgram: the order of its channels, and what its width does."""

import pytest
import torch
from torch import Tensor

from asd_ray.models.tastgram import Tastgram, attend_time


def picture_of(net: Tastgram, wave_BL: Tensor, sgram_BFT: Tensor) -> Tensor:
    """What the backbone gets to see."""
    seen = []
    hook = net.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(wave_BL, sgram_BFT)
    hook.remove()
    return seen[0]


def test_channels_are_tgram_sgram_tagram():
    net = Tastgram(width=0.125).eval()
    wave_BL, sgram_BFT = torch.randn(2, 160_000), torch.randn(2, 128, 313)
    tgram, sgram, tagram = picture_of(net, wave_BL, sgram_BFT).unbind(dim=1)
    torch.testing.assert_close(tgram, net.tgram(wave_BL))
    torch.testing.assert_close(sgram, sgram_BFT)
    torch.testing.assert_close(tagram, attend_time(sgram_BFT))


def test_a_narrower_network_is_smaller_and_gives_the_same_shape():
    narrow, published = Tastgram(width=0.25), Tastgram()
    assert narrow(torch.randn(2, 160_000), torch.randn(2, 128, 313)).shape == (2, 128)
    for part in ("tgram", "backbone"):
        small, large = (
            sum(weight.numel() for weight in getattr(net, part).parameters()) for net in (narrow, published)
        )
        assert small < large / 3


def test_a_half_precision_sgram_is_widened_first():
    net = Tastgram(width=0.125).eval()
    wave_BL, sgram_BFT = torch.randn(1, 160_000), torch.randn(1, 128, 313).half()
    assert torch.equal(picture_of(net, wave_BL, sgram_BFT), picture_of(net, wave_BL, sgram_BFT.float()))


def test_the_network_runs_in_bfloat16():
    net = Tastgram(width=0.125).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(torch.randn(1, 160_000), torch.randn(1, 128, 313)).isfinite().all()


@pytest.mark.parametrize("samples", [159_000, 176_000])
def test_a_clip_of_another_length_is_refused(samples):
    with pytest.raises(RuntimeError, match="normalized_shape"):
        Tastgram(width=0.125)(torch.randn(1, samples), torch.randn(1, 128, 313))
