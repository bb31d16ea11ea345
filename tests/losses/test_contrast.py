"""Supervised contrast: its value by hand, and how the two systems that have it use it."""

import math

import pytest
import torch

from asd_ray.losses.contrast import OneStage, TwoStages, contrast
from asd_ray.losses.mixing import LossPoint
from asd_ray.losses.system_loss import MarginLoss, Said
from asd_ray.training.rungs import rungs

POINT = LossPoint(margin=0.4, scale=30.0, mixup_alpha=0.5, temperature=0.5)


def said() -> Said:
    class_B = torch.tensor([0, 0, 1, 1])
    embedding_BE = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    cosine_BC = torch.randn(4, 2, generator=torch.Generator().manual_seed(1)).tanh()
    return Said(embedding_BE, cosine_BC, class_B, class_B.flip(0), torch.full((4,), 0.7))


def test_the_contrast_is_the_formula_worked_by_hand() -> None:
    """Angles 0, 60 and 90 degrees, of classes 0, 0, 1: the third has no other of its class and does not count."""
    angle_B = torch.tensor([0.0, math.pi / 3, math.pi / 2])
    embedding_BE = torch.stack([angle_B.cos(), angle_B.sin()], dim=1) * 7  # length does not matter
    first = -math.log(math.exp(0.5 / 0.1) / (math.exp(0.5 / 0.1) + math.exp(0.0)))
    near = math.cos(math.pi / 6)
    second = -math.log(math.exp(0.5 / 0.1) / (math.exp(0.5 / 0.1) + math.exp(near / 0.1)))
    found = contrast(embedding_BE, torch.tensor([0, 0, 1]), torch.tensor(0.1))
    assert found.item() == pytest.approx((first + second) / 2, rel=1e-4)


def test_a_batch_without_pairs_contrasts_nothing_and_still_has_a_gradient() -> None:
    embedding_BE = torch.randn(3, 4, requires_grad=True)
    contrast(embedding_BE, torch.tensor([0, 1, 2]), torch.tensor(0.1)).backward()
    assert embedding_BE.grad is None or not embedding_BE.grad.any()


def test_one_stage_adds_the_contrast_to_the_loss_cube() -> None:
    words, numbers = said(), POINT.tensors()
    more = contrast(words.embedding_BE, words.class_B, numbers.temperature)
    assert more > 0
    torch.testing.assert_close(OneStage().loss(words, numbers), MarginLoss().loss(words, numbers) + more)
    assert OneStage().mixes


def test_two_stages_are_the_contrast_and_then_the_margin() -> None:
    words = said()
    first, second = (TwoStages().loss(words, POINT.tensors(pretrains=pretrains)) for pretrains in (True, False))
    more = contrast(words.embedding_BE, words.class_B, POINT.tensors().temperature)
    torch.testing.assert_close(first, more.expand(4))
    torch.testing.assert_close(second, MarginLoss().loss(words, POINT.tensors()))
    assert not TwoStages().mixes


@pytest.mark.parametrize(
    ("share", "epochs", "judged_after", "expected"),
    [
        (0.25, 9, 9, 2),
        (0.3, 9, 3, 2),
        (0.05, 9, 3, 1),
        (0.0, 9, 9, 0),
        (0.5, 1, 1, 0),
        (0.9, 2, 2, 1),
        (0.5, 3, 1, 0),
    ],
)
def test_the_first_stage_is_whole_epochs_and_ends_before_a_trial_is_judged(
    share: float, epochs: int, judged_after: int, expected: int
) -> None:
    point = LossPoint(margin=0.4, scale=30.0, mixup_alpha=0.5, pretraining=share)
    assert point.pretraining_epochs(epochs, judged_after=judged_after) == expected


@pytest.mark.parametrize("share", [0.05, 0.25, 0.3, 0.9])
def test_the_first_stage_acts_wherever_there_is_an_epoch_before_the_rung(share: float) -> None:
    point = LossPoint(margin=0.4, scale=30.0, mixup_alpha=0.5, pretraining=share)
    for epochs in range(2, 31):
        (rung,) = rungs(epochs, 3)
        assert min(1, rung - 1) <= point.pretraining_epochs(epochs, judged_after=rung) < rung
        assert 1 <= point.pretraining_epochs(epochs, judged_after=epochs) < epochs
