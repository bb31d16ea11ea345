"""The published network, weights, losses and gradients against ours (numbers: tests/golden/README.md)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_ray.errors import InputError
from asd_ray.losses.margin import margin_logits
from asd_ray.losses.mixing import CORNERS, Mix, cube_loss, mix_clips
from asd_ray.losses.system_loss import MarginLoss
from asd_ray.models import build_module
from asd_ray.models.classifier import Classifier
from asd_ray.models.reference import load_reference_state_dict
from asd_ray.models.sgram import LogMel
from asd_ray.scoring.scores import make_score, outputs_of


@pytest.fixture
def classifier(published_state) -> Classifier:
    built = build_module("tastgram", width=1.0, class_types=["fan"] * 41)
    load_reference_state_dict(built, published_state)
    return built


def assert_close(ours: Tensor, published, *, relative: float) -> None:
    np.testing.assert_allclose(ours.detach(), published, rtol=0, atol=relative * np.abs(published).max())


def test_every_stage_of_the_network_gives_the_published_numbers(classifier, case):
    classifier.eval()
    seen = {}
    classifier.network.backbone.register_forward_pre_hook(lambda _, inputs: seen.update(picture=inputs[0]))
    with torch.no_grad():
        embedding_BE, cosine_BC = classifier(case.wave_BL, LogMel()(case.wave_BL))
    logits_BC = margin_logits(cosine_BC, case.class_B, margin=case.margin, scale=case.scale)
    assert_close(seen["picture"][:, 0, ::8, ::16], case.published("tgram"), relative=1e-4)
    assert_close(seen["picture"][:, 2, ::8, ::16], case.published("tagram"), relative=1e-4)
    assert_close(embedding_BE, case.published("embedding"), relative=1e-4)
    assert_close(logits_BC, case.published("logits"), relative=1e-4)
    point = replace(CORNERS["noisy_arcmix"], margin=case.margin, scale=case.scale)
    outputs = outputs_of(
        MarginLoss(), point, embedding_BE=embedding_BE, readout_BK=cosine_BC, class_B=case.class_B
    )
    score_B = make_score("margin_cross_entropy").score(outputs)
    np.testing.assert_allclose(score_B, case.published("score"), rtol=1e-4)


@pytest.mark.parametrize(
    "corner",
    [
        pytest.param("arcface", marks=pytest.mark.extra),
        pytest.param("arcmix", marks=pytest.mark.extra),
        "noisy_arcmix",
    ],
)
def test_losses_and_gradients_are_the_published_ones(classifier, case, corner):
    classifier.train()
    point = replace(CORNERS[corner], margin=case.margin, scale=case.scale)
    lam = 1.0 if point.mix_prob == 0 else case.lam
    mix = Mix(torch.full((len(case.class_B),), lam), case.partner_B)
    _, cosine_BC = classifier(mix_clips(case.wave_BL, mix), mix_clips(LogMel()(case.wave_BL), mix))
    loss = cube_loss(
        cosine_BC,
        case.class_B,
        partner_class_B=case.class_B[case.partner_B],
        lam_B=mix.lam_B,
        loss=point,
    ).mean()
    loss.backward()
    weights = (
        classifier.head.weight_CE,
        classifier.network.tgram.extract.weight,
        classifier.network.backbone.stem.conv.weight,
        classifier.network.backbone.embed.conv.weight,
    )
    assert loss.item() == pytest.approx(float(case.published(f"loss_{corner}")), rel=1e-4)
    norms = [weight.grad.norm().item() for weight in weights]
    np.testing.assert_allclose(norms, case.published(f"gradnorm_{corner}"), rtol=1e-3)


def test_every_one_of_our_weights_is_taken_from_the_published_ones(published_state):
    classifier = build_module("tastgram", width=1.0, class_types=["fan"] * 41)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    load_reference_state_dict(classifier, published_state)
    after = classifier.state_dict()
    assert [key for key in before if torch.equal(before[key], after[key]) and "num_batches" not in key] == []


def refuse(state: dict[str, Tensor], *, num_classes: int = 41, width: float = 1.0) -> str:
    classifier = build_module("tastgram", width=width, class_types=["fan"] * num_classes)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    with pytest.raises(InputError) as refused:
        load_reference_state_dict(classifier, state)
    assert all(torch.equal(before[key], value) for key, value in classifier.state_dict().items())
    return str(refused.value)


def test_a_missing_tensor_is_named(published_state):
    short = {key: value for key, value in published_state.items() if key != "mobilefacenet.conv2.bn.bias"}
    assert "network.backbone.last.norm.bias is missing" in refuse(short)


def test_another_number_of_classes_is_named_with_both_shapes(published_state):
    message = refuse(published_state, num_classes=23)
    assert "arcface.weight has shape (41, 128), here it is (23, 128)" in message


def test_an_unknown_tensor_is_named(published_state):
    assert "sagramnet.weight has no place" in refuse(published_state | {"sagramnet.weight": torch.zeros(1)})


def test_many_faults_are_counted_in_one_line(published_state):
    message = refuse(published_state, width=0.5)
    assert "more; use a state_dict of TASTgramMFN" in message
    assert "\n" not in message
    assert len(message) < 600


def test_the_unused_second_head_may_be_absent(published_state, classifier):
    load_reference_state_dict(
        classifier, {key: value for key, value in published_state.items() if "fc_out" not in key}
    )
