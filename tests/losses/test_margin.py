"""Angular-margin logits on numbers worked by hand, and at the points where the formula is delicate."""

import math

import pytest
import torch
from torch.nn import functional as F

from asd_ray.losses.margin import MarginHead, margin_logits


def test_the_margin_touches_only_the_class_of_the_clip():
    cosine_BC = torch.tensor([[0.6, 0.1, -0.2], [0.3, 0.8, 0.0], [-0.5, 0.2, 0.4]])
    class_B = torch.tensor([0, 1, 2])
    with_margin = margin_logits(cosine_BC, class_B, margin=0.5, scale=30.0)
    moved = (with_margin - 30 * cosine_BC).abs() > 1e-4
    assert torch.equal(moved, torch.eye(3, dtype=torch.bool))


@pytest.mark.parametrize("theta", [0.01, 0.5, 1.5, 2.4])
def test_below_pi_minus_margin_the_logit_is_the_cosine_of_the_widened_angle(theta):
    logits = margin_logits(torch.tensor([[math.cos(theta)]]), torch.tensor([0]), margin=0.7, scale=30.0)
    assert logits.item() == pytest.approx(30 * math.cos(theta + 0.7), abs=1e-2 if theta < 0.1 else 1e-4)


@pytest.mark.parametrize("theta", [2.5, 3.0, math.pi])
def test_beyond_it_the_logit_is_the_cosine_less_a_constant(theta):
    logits = margin_logits(torch.tensor([[math.cos(theta)]]), torch.tensor([0]), margin=0.7, scale=30.0)
    assert logits.item() == pytest.approx(30 * (math.cos(theta) - 0.7 * math.sin(math.pi - 0.7)), abs=1e-4)


def test_the_logit_of_the_own_class_falls_with_the_angle_everywhere():
    cosine_BC = torch.linspace(-1, 1, 2001, dtype=torch.float64)[:, None]
    for margin in (0.0, 0.3, 0.7, 1.2, math.pi / 2):
        logits_BC = margin_logits(cosine_BC, torch.zeros(2001, dtype=torch.long), margin=margin, scale=1.0)
        assert (logits_BC.diff(dim=0) > 0).all(), margin


def test_no_margin_leaves_scaled_cosines():
    cosine_BC = torch.tensor([[1.0, -1.0, 0.3]])
    for class_index in range(3):
        logits_BC = margin_logits(cosine_BC, torch.tensor([class_index]), margin=0.0, scale=8.0)
        torch.testing.assert_close(logits_BC, 8 * cosine_BC)


@pytest.mark.parametrize("margin", [0.0, 0.7, math.pi])
@pytest.mark.parametrize("cosine", [1.0, -1.0, 1.0 + 1e-6, 0.99999994])
def test_the_gradient_is_finite_where_embedding_and_centre_are_parallel(cosine, margin):
    cosine_BC = torch.tensor([[cosine, 0.0]], requires_grad=True)
    logits_BC = margin_logits(cosine_BC, torch.tensor([0]), margin=margin, scale=30.0)
    F.cross_entropy(logits_BC, torch.tensor([1])).backward()
    assert logits_BC.isfinite().all()
    assert cosine_BC.grad.isfinite().all()


def test_numbers_and_tensors_give_the_same_logits():
    cosine_BC = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    class_B = torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(
        margin_logits(cosine_BC, class_B, margin=0.7, scale=30.0),
        margin_logits(cosine_BC, class_B, margin=torch.tensor(0.7), scale=torch.tensor(30.0)),
    )


def test_the_head_gives_the_cosine_with_each_class_centre():
    head = MarginHead(3, embedding_dim=2)
    with torch.no_grad():
        head.weight_CE.copy_(torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, -1.0]]))
    cosine_BC = head(torch.tensor([[3.0, 4.0]]))
    expected = torch.tensor([[0.6, 0.8, -1.4 / math.sqrt(2)]])
    torch.testing.assert_close(cosine_BC, expected)


def test_the_head_computes_in_float32_under_autocast():
    torch.manual_seed(0)
    head, embedding_BE = MarginHead(5), torch.randn(4, 128)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cosine_BC = head(embedding_BE)
    assert cosine_BC.dtype == torch.float32
    torch.testing.assert_close(cosine_BC, head(embedding_BE))


def test_class_centres_start_within_the_xavier_bounds():
    head = MarginHead(41)
    bound = math.sqrt(6 / (41 + 128))
    assert 0.95 * bound < head.weight_CE.abs().max() <= bound
