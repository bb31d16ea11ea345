"""Batch norm and PReLU of a compiled step: torch's own numbers, by other sums."""

import copy

import pytest
import torch
from torch import Tensor, nn

from asd_ray.models.mobilefacenet import ConvBlock, norm_and_activate

CHANNELS = 16


def make_block(*, linear: bool) -> ConvBlock:
    torch.manual_seed(0)
    block = ConvBlock(CHANNELS, CHANNELS, linear=linear)
    for parameter in block.parameters():
        nn.init.uniform_(parameter, -1.0, 1.5)
    return block.to(memory_format=torch.channels_last)


def feature(*, level: float = 0.0) -> Tensor:
    """Five clips: of sizes that no number of rows divides."""
    generator = torch.Generator().manual_seed(1)
    feature_BKFT = torch.randn(5, CHANNELS, 7, 11, generator=generator) + level
    return feature_BKFT.to(memory_format=torch.channels_last).requires_grad_()


def gradients(block: ConvBlock, feature_BKFT: Tensor) -> list[Tensor]:
    """Output, and gradients of the feature and of all that is learned."""
    out_BKFT = block(feature_BKFT)
    generator = torch.Generator().manual_seed(2)
    learned = [feature_BKFT, *block.parameters()]
    return [out_BKFT, *torch.autograd.grad(out_BKFT, learned, torch.randn(out_BKFT.shape, generator=generator))]


@pytest.mark.parametrize("linear", [False, True])
def test_output_gradients_and_statistics_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, *, linear: bool
) -> None:
    plain = make_block(linear=linear)
    compiled = copy.deepcopy(plain)
    expected = gradients(plain, feature())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found = gradients(compiled, feature())
    for mine, torchs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-4, atol=1e-4)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(compiled.get_buffer(name), buffer, msg=name)


def test_a_network_that_is_read_keeps_its_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    block = make_block(linear=False).eval()
    expected = block(feature())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(block(feature()), expected)
    assert block.norm.num_batches_tracked == 0


def test_a_level_far_above_the_spread_does_not_cancel() -> None:
    """In float32 the mean of squares less the square of the mean would be off by several units here."""
    norm = nn.BatchNorm2d(CHANNELS)
    norm_and_activate(feature(level=5000.0), norm, None)
    var_K = feature().detach().double().var((0, 2, 3))
    torch.testing.assert_close((norm.running_var - 0.9) / 0.1, var_K.float(), rtol=1e-2, atol=0)


def test_bfloat16_is_normed_in_float32_and_stays_bfloat16() -> None:
    block = make_block(linear=False)
    rounded_BKFT = feature().detach().bfloat16()
    out_BKFT = norm_and_activate(rounded_BKFT, block.norm, block.activation)
    expected = norm_and_activate(rounded_BKFT.float(), copy.deepcopy(block.norm), block.activation)
    assert out_BKFT.dtype == torch.bfloat16
    assert torch.equal(out_BKFT, expected.bfloat16())
