"""MobileFaceNet: its shapes layer by layer, its size, its initialisation."""

import math

import pytest
import torch

from asd_ray.models.mobilefacenet import Bottleneck, MobileFaceNet, scaled


def network(*, width: float = 1.0, in_channels: int = 3) -> MobileFaceNet:
    return MobileFaceNet(in_channels=in_channels, num_mels=128, num_frames=313, width=width)


def test_every_stage_halves_the_picture_down_to_one_embedding():
    sizes: dict[str, tuple[int, ...]] = {}
    net = network().eval()
    for name, module in net.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])}))
    net(torch.randn(1, 3, 128, 313))
    assert sizes["stem"] == sizes["stem_depthwise"] == (64, 64, 157)
    assert [sizes[f"blocks.{index}"] for index in range(6)] == (
        [(128, 32, 79)] * 2 + [(128, 16, 40)] * 2 + [(128, 8, 20)] * 2
    )
    assert sizes["last"] == (512, 8, 20)
    assert sizes["pool"] == (512, 1, 1)
    assert sizes["embed"] == (128, 1, 1)
    assert sizes[""] == (128,)


def test_published_number_of_weights():
    assert sum(weight.numel() for weight in network().parameters()) == 876_201 - 5_289  # unused second head


@pytest.mark.parametrize("in_channels", [1, 2, 3])
def test_any_number_of_stacked_spectrograms(in_channels):
    net = network(in_channels=in_channels, width=0.125).eval()
    assert net(torch.randn(2, in_channels, 128, 313)).shape == (2, 128)


def test_width_shrinks_every_layer_but_the_embedding():
    sizes = [sum(weight.numel() for weight in network(width=width).parameters()) for width in (1, 0.5, 0.25)]
    assert sizes[0] > 3 * sizes[1] > 6 * sizes[2]
    assert network(width=0.25).embed.conv.out_channels == 128


def test_channels_are_multiples_of_eight_and_at_least_eight():
    assert [scaled(128, width) for width in (1.0, 0.3, 0.5, 2.0, 0.001)] == [128, 40, 64, 256, 8]


def test_a_block_that_keeps_the_size_adds_its_input():
    block = Bottleneck(8, 8, expansion=2, stride=1).eval()
    torch.nn.init.zeros_(block.project.norm.weight)
    feature = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(block(feature), feature)
    assert not Bottleneck(8, 8, expansion=2, stride=2).bypass
    assert not Bottleneck(8, 16, expansion=2, stride=1).bypass


def test_initial_weights_follow_the_published_rule():
    torch.manual_seed(0)
    net = network()
    for conv in (net.stem.conv, net.blocks[2].expand.conv, net.pool.conv):
        area = conv.kernel_size[0] * conv.kernel_size[1]
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (area * conv.out_channels)), rel=0.1)
        assert conv.bias is None
    assert net.last.norm.weight.eq(1).all()
    assert net.last.norm.bias.eq(0).all()
    assert net.last.activation.weight.eq(0.25).all()
