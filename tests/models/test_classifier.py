"""The classifier made of a network, and names that there are none of."""

import pytest
import torch

from asd_ray.errors import InputError
from asd_ray.models import build_module, find_system
from asd_ray.models.sgram import MelSettings


def test_tastgram_wants_the_default_log_mel():
    assert find_system("tastgram").mel == MelSettings()


def test_an_unknown_system_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="'tastgarm' is unknown; did you mean 'tastgram'"):
        build_module("tastgarm", width=1.0, class_types=["fan"])
    with pytest.raises(InputError, match=r"known: .*tastgram"):
        build_module("x", width=1.0, class_types=["fan"])


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_that_is_no_positive_number_is_refused(width):
    with pytest.raises(InputError, match="width"):
        build_module("tastgram", width=width, class_types=["fan"])


def test_the_published_classifier_of_41_machines_has_1156566_weights():
    classifier = build_module("tastgram", width=1.0, class_types=["fan"] * 41)
    assert sum(weight.numel() for weight in classifier.parameters()) == 1_161_855 - 5_289  # less the unused head


def test_one_seed_gives_one_classifier():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_module("tastgram", width=0.125, class_types=["fan"] * 3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["head.weight_CE"], states[2]["head.weight_CE"])


def test_the_output_is_an_embedding_and_cosines():
    classifier = build_module("tastgram", width=0.125, class_types=["fan"] * 3).eval()
    embedding_BE, cosine_BC = classifier(torch.randn(4, 160_000), torch.randn(4, 128, 313))
    assert embedding_BE.shape == (4, 128)
    assert cosine_BC.shape == (4, 3)
    assert cosine_BC.abs().max() <= 1 + 1e-6
