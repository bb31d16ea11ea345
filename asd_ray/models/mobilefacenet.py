"""MobileFaceNet: a small convolutional network from stacked spectrograms to an embedding.

Axes: B batch, K channels, F mel bins, T frames, E embedding.
Source: Chen et al., "MobileFaceNets", 2018, with the bottlenecks of Liu et al., DCASE 2022 Task 2, as the
published TASTgram and STgram networks use it.
"""

import math

import torch
from torch import Tensor, nn

EMBEDDING_DIM = 128

# (expansion, channels, blocks, stride of the first block)
BOTTLENECKS = ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2))
STEM_CHANNELS, LAST_CHANNELS = 64, 512
NUM_HALVINGS = 1 + len(BOTTLENECKS)  # the stem and each stage halve both axes


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, as a multiple of 8 (which GPUs compute fastest), at least 8.

    >>> scaled(64, 1.0), scaled(64, 0.25), scaled(64, 0.01)
    (64, 16, 8)
    """
    return max(8, 8 * round(channels * width / 8))


class ConvBlock(nn.Sequential):
    """Convolution, batch norm and, unless `linear`, PReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = channels_in if depthwise else 1
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        if not linear:
            self.activation = nn.PReLU(channels_out)

    def forward(self, feature_BKFT: Tensor) -> Tensor:
        """The feature convolved, normed and, unless `linear`, activated."""
        if torch.compiler.is_compiling() and self.training and feature_BKFT.device.type == "cpu":
            return norm_and_activate(self.conv(feature_BKFT), self.norm, getattr(self, "activation", None))
        out_BKFT: Tensor = super().forward(feature_BKFT)  # type: ignore[no-untyped-call]
        return out_BKFT


class Bottleneck(nn.Module):
    """Widens (1x1), filters each channel (3x3), narrows again (1x1); has a bypass where the size is unchanged."""

    def __init__(self, channels_in: int, channels_out: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.expand = ConvBlock(channels_in, inner)
        self.depthwise = ConvBlock(inner, inner, kernel=3, stride=stride, padding=1, depthwise=True)
        self.project = ConvBlock(inner, channels_out, linear=True)
        self.bypass = stride == 1 and channels_in == channels_out

    def forward(self, feature_BKFT: Tensor) -> Tensor:
        """feature_BKFT, its F and T divided by the stride."""
        out_BKFT: Tensor = self.project(self.depthwise(self.expand(feature_BKFT)))
        return feature_BKFT + out_BKFT if self.bypass else out_BKFT


class MobileFaceNet(nn.Module):
    """Spectrograms (B, in_channels, num_mels, num_frames) -> embedding_BE, E = 128.

    `width` multiplies every number of channels except the embedding's; 1.0 is the published network. The last
    spatial layer is a depthwise convolution as large as its input, so the size of the spectrograms is fixed.
    """

    def __init__(self, *, in_channels: int, num_mels: int, num_frames: int, width: float = 1.0) -> None:
        super().__init__()
        stem, last = scaled(STEM_CHANNELS, width), scaled(LAST_CHANNELS, width)
        self.stem = ConvBlock(in_channels, stem, kernel=3, stride=2, padding=1)
        self.stem_depthwise = ConvBlock(stem, stem, kernel=3, padding=1, depthwise=True)
        blocks, channels = [], stem
        for expansion, published_channels, num_blocks, first_stride in BOTTLENECKS:
            for block in range(num_blocks):
                stride = first_stride if block == 0 else 1
                channels_out = scaled(published_channels, width)
                blocks.append(Bottleneck(channels, channels_out, expansion=expansion, stride=stride))
                channels = channels_out
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvBlock(channels, last)
        left = (math.ceil(num_mels / 2**NUM_HALVINGS), math.ceil(num_frames / 2**NUM_HALVINGS))
        self.pool = ConvBlock(last, last, kernel=left, depthwise=True, linear=True)
        self.embed = ConvBlock(last, EMBEDDING_DIM, linear=True)
        self._initialise()

    def _initialise(self) -> None:
        """Weights ~ N(0, 2 / (kernel area * output channels)), as published; torch's defaults elsewhere."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                area = module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, std=math.sqrt(2.0 / (area * module.out_channels)))

    def forward(self, picture_BKFT: Tensor) -> Tensor:
        """embedding_BE."""
        feature_BKFT = self.stem_depthwise(self.stem(picture_BKFT))
        feature_BKFT = self.last(self.blocks(feature_BKFT))
        embedding_BE: Tensor = self.embed(self.pool(feature_BKFT)).flatten(1)
        return embedding_BE


def norm_and_activate(feature_BKFT: Tensor, norm: nn.BatchNorm2d, activation: nn.PReLU | None) -> Tensor:
    """`activation(norm(feature_BKFT))` while training; the running statistics are updated."""
    batch, channels, bins, frames = feature_BKFT.shape
    count = batch * bins * frames

    def spread(channel_K: Tensor) -> Tensor:
        return channel_K[:, None, None].expand(batch, channels, bins, 1)

    def mean(value_BKFT: Tensor) -> Tensor:
        return value_BKFT.sum(3).sum((0, 2)) / count

    # Variance of differences from one position: squares of the values themselves could cancel.
    origin_K = feature_BKFT[0, :, 0, 0].detach().float()
    away_BKFT = feature_BKFT - spread(origin_K)
    away_K = mean(away_BKFT)
    mean_K = origin_K + away_K
    var_K = (mean(away_BKFT * away_BKFT) - away_K * away_K).clamp_min(0)
    assert norm.momentum is not None  # with None, the running statistics would be plain means
    with torch.no_grad():
        norm.get_buffer("num_batches_tracked").add_(1)
        norm.get_buffer("running_mean").lerp_(mean_K, norm.momentum)
        norm.get_buffer("running_var").lerp_(var_K * (count / (count - 1)), norm.momentum)
    scale_K = norm.weight * torch.rsqrt(var_K + norm.eps)
    out_BKFT = (feature_BKFT - spread(mean_K)) * spread(scale_K) + spread(norm.bias)
    if activation is not None:
        out_BKFT = torch.where(out_BKFT > 0, out_BKFT, spread(activation.weight) * out_BKFT)
    return out_BKFT.to(feature_BKFT.dtype)
