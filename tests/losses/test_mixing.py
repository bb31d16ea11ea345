"""The loss cube: its corners are the four published losses, its inside is their expectation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asd_ray.errors import InputError
from asd_ray.losses.mixing import CORNERS, LossPoint, Mix, cube_loss, draw_mix, mix_clips

POINT = LossPoint(margin=0.7, scale=30.0, mixup_alpha=0.5, noise_prob=0.25)
NUM_CLIPS, NUM_CLASSES = 12, 5


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """cosine_BC, class_B, partner_class_B."""
    generator = torch.Generator().manual_seed(seed)
    cosine_BC = torch.rand(NUM_CLIPS, NUM_CLASSES, generator=generator) * 1.9 - 0.95
    classes = torch.randint(NUM_CLASSES, (2, NUM_CLIPS), generator=generator)
    return cosine_BC, classes[0], classes[1]


def term(cosine_BC: Tensor, *, margin_on: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    """Cross entropy with the margin on one class and the label on another, one clip and angle at a time."""
    losses = []
    for cosine_C, class_index, label in zip(cosine_BC, margin_on.tolist(), target.tolist(), strict=True):
        logits = [scale * float(cosine) for cosine in cosine_C]
        theta = math.acos(float(cosine_C[class_index]))
        if theta < math.pi - margin:
            logits[class_index] = scale * math.cos(theta + margin)
        else:
            logits[class_index] = scale * (math.cos(theta) - margin * math.sin(margin))
        losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[label])
    return torch.tensor(losses)


def corner_loss(name: str, lam: float, seed: int = 0) -> Tensor:
    """The formulas of the papers, written apart from the code under test."""
    cosine_BC, own, other = batch(seed)
    numbers = {"margin": 0.0 if name == "mixup" else 0.7, "scale": 30.0}
    first = term(cosine_BC, margin_on=own, target=own, **numbers)
    if name == "arcface":
        return first
    if name == "noisy_arcmix":
        return lam * first + (1 - lam) * term(cosine_BC, margin_on=own, target=other, **numbers)
    return lam * first + (1 - lam) * term(cosine_BC, margin_on=other, target=other, **numbers)


@pytest.mark.parametrize("name", ["arcface", "mixup", "arcmix", "noisy_arcmix"])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_corner_of_the_cube_is_its_published_loss(name, seed):
    cosine_BC, own, other = batch(seed)
    point = CORNERS[name]
    mix = draw_mix(np.random.default_rng(seed), NUM_CLIPS, mixup_alpha=0.5, mix_prob=point.mix_prob)
    ours = cube_loss(cosine_BC, own, partner_class_B=other, lam_B=mix.lam_B, loss=point)
    torch.testing.assert_close(ours, corner_loss(name, mix.lam_B[0].item(), seed), rtol=1e-4, atol=1e-3)


def test_the_loss_inside_the_cube_is_the_mean_over_the_bernoulli_draws():
    cosine_BC, own, other = batch()
    rng, draws, lam = np.random.default_rng(0), 4000, 0.3
    noisy = torch.from_numpy(rng.random((draws, NUM_CLIPS)) < POINT.noise_prob)
    numbers = {"margin": POINT.margin, "scale": POINT.scale}
    first = term(cosine_BC, margin_on=own, target=own, **numbers)
    clean = term(cosine_BC, margin_on=other, target=other, **numbers)
    wrong = term(cosine_BC, margin_on=own, target=other, **numbers)
    drawn = lam * first + (1 - lam) * torch.where(noisy, wrong, clean)
    expected = cube_loss(cosine_BC, own, partner_class_B=other, lam_B=torch.full((NUM_CLIPS,), lam), loss=POINT)
    standard_error = drawn.std(dim=0) / math.sqrt(draws)
    assert ((drawn.mean(dim=0) - expected).abs() <= 5 * standard_error + 1e-3).all()


@pytest.mark.parametrize("inert", [replace(POINT, margin=0.0), replace(POINT, mix_prob=0.0)])
def test_noise_prob_is_inert_without_margin_or_without_mixing(inert):
    cosine_BC, own, other = batch()
    mix = draw_mix(np.random.default_rng(0), NUM_CLIPS, mixup_alpha=0.5, mix_prob=inert.mix_prob)
    losses = [
        cube_loss(cosine_BC, own, partner_class_B=other, lam_B=mix.lam_B, loss=replace(inert, noise_prob=noise))
        for noise in (0.0, 1.0)
    ]
    torch.testing.assert_close(*losses)


def test_a_clip_mixed_with_one_of_its_own_class_has_one_loss_whatever_lam_and_noise():
    cosine_BC, own, _ = batch()
    losses = [
        cube_loss(
            cosine_BC,
            own,
            partner_class_B=own,
            lam_B=torch.full((NUM_CLIPS,), lam),
            loss=replace(POINT, noise_prob=noise),
        )
        for lam, noise in ((1.0, 0.0), (0.2, 0.6))
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.extra
def test_one_graph_serves_every_point_of_the_cube():
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(
        lambda cosine, own, other, lam, numbers: cube_loss(
            cosine, own, partner_class_B=other, lam_B=lam, loss=numbers
        ),
        backend=count,
        fullgraph=True,
        dynamic=False,
    )
    cosine_BC, own, other = batch()
    for point in CORNERS.values():
        lam_B = torch.rand(NUM_CLIPS)
        torch.testing.assert_close(
            compiled(cosine_BC, own, other, lam_B, point.tensors()),
            cube_loss(cosine_BC, own, partner_class_B=other, lam_B=lam_B, loss=point),
        )
    assert len(graphs) == 1


def test_clips_are_mixed_with_their_partners_axis_by_axis():
    mix = Mix(torch.tensor([0.25, 1.0]), torch.tensor([1, 0]))
    mixed = mix_clips(torch.tensor([[[4.0, 8.0]], [[0.0, 100.0]]]), mix)
    assert mixed.tolist() == [[[1.0, 77.0]], [[0.0, 100.0]]]


def test_half_precision_clips_are_mixed_in_single_precision():
    mix = Mix(torch.tensor([0.3]), torch.tensor([0]))
    assert mix_clips(torch.ones(1, 2, dtype=torch.float16), mix).dtype == torch.float32


def test_integer_clips_are_not_mixed():
    with pytest.raises(AssertionError, match="int16"):
        mix_clips(torch.ones(1, 2, dtype=torch.int16), Mix(torch.tensor([0.3]), torch.tensor([0])))


def test_one_lam_per_batch_and_every_clip_partner_once():
    mix = draw_mix(np.random.default_rng(3), 64, mixup_alpha=0.5, mix_prob=1.0)
    assert mix.lam_B.dtype == torch.float32
    assert mix.lam_B.unique().numel() == 1
    assert sorted(mix.partner_B.tolist()) == list(range(64))


def test_lam_follows_the_beta_distribution():
    rng = np.random.default_rng(0)
    for alpha in (0.1, 0.5, 2.0):
        lam = [draw_mix(rng, 1, mixup_alpha=alpha, mix_prob=1.0).lam_B.item() for _ in range(4000)]
        assert np.mean(lam) == pytest.approx(0.5, abs=0.03)
        assert np.var(lam) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_a_share_of_the_clips_is_left_alone():
    mix = draw_mix(np.random.default_rng(0), 10_000, mixup_alpha=0.5, mix_prob=0.3)
    assert (mix.lam_B < 1).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert draw_mix(np.random.default_rng(0), 64, mixup_alpha=0.5, mix_prob=0.0).lam_B.eq(1).all()


@pytest.mark.parametrize("changed", [{"mix_prob": 0.0}, {"mix_prob": 0.4}, {"mixup_alpha": 0.01}])
def test_partners_and_what_follows_do_not_depend_on_the_searched_numbers(changed):
    rngs = [np.random.default_rng(5), np.random.default_rng(5)]
    plain = draw_mix(rngs[0], 32, mixup_alpha=0.5, mix_prob=1.0)
    other = draw_mix(rngs[1], 32, **{"mixup_alpha": 0.5, "mix_prob": 1.0} | changed)
    assert torch.equal(plain.partner_B, other.partner_B)
    assert rngs[0].random() == rngs[1].random()


def test_the_extremes_of_mixup_alpha_give_proper_lams():
    for alpha in (1e-3, 1e3):
        lams = torch.cat(
            [
                draw_mix(np.random.default_rng(seed), 1, mixup_alpha=alpha, mix_prob=1.0).lam_B
                for seed in range(200)
            ]
        )
        assert ((lams >= 0) & (lams <= 1)).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("margin", -0.1),
        ("margin", 40.0),
        ("scale", 0.0),
        ("scale", math.inf),
        ("mixup_alpha", 0.0),
        ("noise_prob", 1.1),
        ("noise_prob", math.nan),
        ("mix_prob", -1e-9),
    ],
)
def test_a_number_out_of_range_is_refused_by_name_and_value(field, value):
    with pytest.raises(InputError, match=rf"^{field} {value}; use a number from"):
        replace(POINT, **{field: value})


def test_the_gradient_is_the_same_as_that_of_the_plain_formula():
    cosine_BC, own, other = batch()
    cosine_BC.requires_grad_()
    lam_B = torch.full((NUM_CLIPS,), 0.4)
    mixup = CORNERS["mixup"]
    cube_loss(cosine_BC, own, partner_class_B=other, lam_B=lam_B, loss=mixup).mean().backward()
    plain_BC = cosine_BC.detach().clone().requires_grad_()
    (0.4 * F.cross_entropy(30 * plain_BC, own) + 0.6 * F.cross_entropy(30 * plain_BC, other)).backward()
    torch.testing.assert_close(cosine_BC.grad, plain_BC.grad)
