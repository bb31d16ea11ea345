"""A folded network says what the network says."""

import pytest
import torch
from torch import nn

from asd_ray.models import build_module
from asd_ray.models.classifier import Classifier
from asd_ray.models.folding import folded


@pytest.fixture
def classifier() -> Classifier:
    """With running statistics and affine weights of batch norm far from their start."""
    torch.manual_seed(0)
    classifier = build_module("tastgram", width=0.0625, class_types=["fan"] * 5)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr,operator]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr,operator]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return classifier


def test_no_batch_norm_is_left_and_the_cosines_differ_by_rounding_alone(classifier: Classifier) -> None:
    wave_BL, sgram_BFT = torch.randn(3, 160_000) * 0.1, torch.randn(3, 128, 313) * 10 - 30
    quick = folded(classifier)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    with torch.inference_mode():
        _, expected_BC = classifier.eval()(wave_BL, sgram_BFT)
        _, cosine_BC = quick(wave_BL, sgram_BFT)
    torch.testing.assert_close(cosine_BC, expected_BC, rtol=0, atol=1e-5)


def test_the_network_itself_stays_as_it_is(classifier: Classifier) -> None:
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    folded(classifier)
    assert classifier.training
    assert before.keys() == classifier.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


def test_a_convolution_that_no_batch_norm_follows_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.PReLU(), nn.BatchNorm2d(2))
    assert [type(module) for module in folded(network)] == [nn.Conv2d, nn.PReLU, nn.BatchNorm2d]
