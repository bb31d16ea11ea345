"""Mixup of clips and the loss cube, whose corners are ArcFace, Mixup, ArcMix and Noisy-ArcMix.

Clip i is mixed with partner j, x_ij = lam x_i + (1 - lam) x_j, lam ~ Beta(mixup_alpha, mixup_alpha), one lam
per batch. With z(x; y) the logits with the margin on class y, and n ~ Bernoulli(noise_prob):

    L_i = lam CE(z(x_ij; y_i), y_i) + (1 - lam) CE(z(x_ij; n ? y_i : y_j), y_j)

n enters the loss linearly, so we take its expectation in closed form instead of drawing it:

    E L_i = lam CE(z(y_i), y_i) + (1 - lam) [(1 - noise_prob) CE(z(y_j), y_j) + noise_prob CE(z(y_i), y_j)]

| corner       | mix_prob | margin | noise_prob |                                                        |
|--------------|----------|--------|------------|--------------------------------------------------------|
| arcface      | 0        | any    | inert      | nothing is mixed                                       |
| mixup        | 1        | 0      | inert      | cosine softmax with two labels                         |
| arcmix       | 1        | any    | 0          | each label has the margin in its own term              |
| noisy_arcmix | 1        | any    | 1          | the margin stays on y_i: wrong for the term of y_j     |

noise_prob does nothing where margin = 0 or mix_prob = 0. Values of the loss cannot be compared between two
points of the cube: a margin raises the loss, however good the network is.

Axes: B batch, C classes; `...` any axes of a clip.
Sources: Zhang et al., "mixup", 2018; Choi and Choi, "Noisy-ArcMix", 2024. noise_prob, which joins the last
two corners, is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from asd_ray.config import NUMBERS, LossConfig
from asd_ray.errors import InputError
from asd_ray.losses.margin import margin_logits

_DEFAULTS = LossConfig()


class LossTensors(NamedTuple):
    """The numbers of a loss that enter the graph, as 0-d float32 tensors."""

    margin: Tensor
    scale: Tensor
    noise_prob: Tensor
    temperature: Tensor
    pretrains: Tensor  # 1 in the first of two stages, else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """A point of the loss cube; LossConfig says what each number means.

    Raises InputError, naming the number, where one is outside the range that LossConfig gives it.
    """

    margin: float
    scale: float
    mixup_alpha: float
    noise_prob: float = _DEFAULTS.noise_prob
    mix_prob: float = _DEFAULTS.mix_prob
    temperature: float = _DEFAULTS.temperature  # not of the cube
    pretraining: float = _DEFAULTS.pretraining  # not of the cube

    def __post_init__(self) -> None:
        for field in fields(self):
            number, value = NUMBERS[field.name], getattr(self, field.name)
            if not number.allows(value):
                raise InputError(f"{field.name} {value}; use a number {number}")

    def pretraining_epochs(self, epochs: int, *, judged_after: int) -> int:
        """How many epochs belong to the first of two stages.

        The share `pretraining` of all epochs, rounded, and at least one. But the stage ends before the epoch after
        which a trial is first judged, or its head would be untrained: if that is the first epoch, there is none.

        >>> point = LossPoint(margin=0.7, scale=30.0, mixup_alpha=0.5, pretraining=0.3)
        >>> [point.pretraining_epochs(epochs, judged_after=epochs // 3) for epochs in (3, 6, 9, 30)]
        [0, 1, 2, 9]
        """
        wanted = max(1, round(self.pretraining * epochs)) if self.pretraining else 0
        return min(wanted, judged_after - 1)

    def tensors(self, device: torch.device | str = "cpu", *, pretrains: bool = False) -> LossTensors:
        """The numbers as tensors, so that one compiled graph serves every point of the cube."""
        numbers = [self.margin, self.scale, self.noise_prob, self.temperature, float(pretrains)]
        values = torch.tensor(numbers, dtype=torch.float32)
        return LossTensors(*values.to(device, non_blocking=True).unbind())


_PUBLISHED = {"margin": 0.7, "scale": 30.0, "mixup_alpha": 0.5}
CORNERS: Mapping[str, LossPoint] = MappingProxyType(
    {
        "arcface": LossPoint(**_PUBLISHED, noise_prob=0.0, mix_prob=0.0),
        "mixup": LossPoint(**_PUBLISHED | {"margin": 0.0}, noise_prob=0.0),
        "arcmix": LossPoint(**_PUBLISHED, noise_prob=0.0),
        "noisy_arcmix": LossPoint(**_PUBLISHED, noise_prob=1.0),
    }
)


class Mix(NamedTuple):
    """Which clips of a batch are mixed with which, and how much of the first is kept."""

    lam_B: Tensor  # noqa: N815 - float32 in [0, 1]; 1 where the clip is not mixed
    partner_B: Tensor  # noqa: N815 - int64, position of the partner in the batch

    def to(self, device: torch.device | str) -> "Mix":
        """The same on another device, copied without waiting."""
        return Mix(self.lam_B.to(device, non_blocking=True), self.partner_B.to(device, non_blocking=True))


def draw_mix(rng: np.random.Generator, size: int, *, mixup_alpha: float, mix_prob: float) -> Mix:
    """Draw one lam for the batch, a permutation for the partners, and which clips are mixed at all.

    The generator advances equally far for any mixup_alpha and mix_prob (lam is a uniform number put through the
    inverse of the Beta distribution), so all trials with the same seed see the same partners.
    """
    from scipy.special import betaincinv  # here: only training draws, and it takes a quarter of a second

    lam = betaincinv(mixup_alpha, mixup_alpha, rng.random())
    partner_B = rng.permutation(size)
    mixed_B = rng.random(size) < mix_prob
    lam_B = np.where(mixed_B, lam, 1.0).astype(np.float32)
    return Mix(torch.from_numpy(lam_B), torch.from_numpy(partner_B))


def mix_clips(clips: Tensor, mix: Mix, *, gain: float = 1.0) -> Tensor:
    """gain * (lam_B * clip + (1 - lam_B) * partner), for clips of shape (B, ...), at least in float32.

    A gain that is a power of two gives the same result, to the last bit, as scaling the clips first.
    """
    assert clips.is_floating_point(), f"convert {clips.dtype} to floating point before mixing"
    lam = mix.lam_B.reshape(-1, *[1] * (clips.ndim - 1))
    return (gain * lam) * clips + (gain * (1.0 - lam)) * clips[mix.partner_B]


def cube_loss(
    cosine_BC: Tensor,
    class_B: Tensor,
    *,
    partner_class_B: Tensor,
    lam_B: Tensor,
    loss: LossPoint | LossTensors,
) -> Tensor:
    """loss_B, the expected loss of each mixed clip (formula above); train on its mean."""
    own_BC = margin_logits(cosine_BC, class_B, margin=loss.margin, scale=loss.scale)
    partner_BC = margin_logits(cosine_BC, partner_class_B, margin=loss.margin, scale=loss.scale)
    own_log_BC = F.log_softmax(own_BC, dim=1)
    own_B = F.nll_loss(own_log_BC, class_B, reduction="none")
    noisy_B = F.nll_loss(own_log_BC, partner_class_B, reduction="none")
    clean_B = F.cross_entropy(partner_BC, partner_class_B, reduction="none")
    other_B = (1.0 - loss.noise_prob) * clean_B + loss.noise_prob * noisy_B
    return lam_B * own_B + (1.0 - lam_B) * other_B
