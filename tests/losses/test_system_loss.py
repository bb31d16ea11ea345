"""Losses of systems: what they take from a readout, and what scores then read."""

import math
from dataclasses import replace

import pytest
import torch

from asd_ray.losses.mixing import CORNERS, cube_loss
from asd_ray.losses.system_loss import MarginLoss, OwnError, Said

ARCFACE = CORNERS["arcface"]


def said(readout: list[list[float]], classes: list[int]) -> Said:
    class_B = torch.tensor(classes)
    return Said(torch.zeros(len(classes), 2), torch.tensor(readout), class_B, class_B.flip(0), torch.tensor(0.75))


def test_the_margin_loss_is_the_loss_cube_of_the_cosines() -> None:
    words = said([[0.9, -0.2], [0.1, 0.4]], [0, 1])
    expected_B = cube_loss(
        words.readout_BK, words.class_B, partner_class_B=words.partner_class_B, lam_B=words.lam_B, loss=ARCFACE
    )
    assert torch.equal(MarginLoss().loss(words, ARCFACE.tensors()), expected_B)


def test_the_margin_loss_validates_with_margin_and_counts_without() -> None:
    """cos 0.8 and 0.7: right by 0.1, but not by the largest margin, with which the own one is about -0.6."""
    point = replace(ARCFACE, margin=1.57, scale=1.0)
    loss, accuracy = MarginLoss().validate(torch.tensor([[0.8, 0.7]]), torch.tensor([0]), point)
    assert accuracy == 1.0
    assert loss == pytest.approx(math.log(1 + math.exp(0.7 - math.cos(math.acos(0.8) + 1.57))), rel=1e-5)


def test_an_own_error_is_trained_on_its_first_column_and_scored_by_the_second() -> None:
    words, loss = said([[1.0, 5.0], [3.0, 7.0]], [0, 1]), OwnError()
    assert loss.loss(words, ARCFACE.tensors()).tolist() == [1.0, 3.0]
    assert loss.logits(words.readout_BK, words.class_B, ARCFACE).tolist() == [[5.0], [7.0]]
    assert loss.validate(words.readout_BK, words.class_B, ARCFACE) == (2.0, None)
    assert not loss.mixes
