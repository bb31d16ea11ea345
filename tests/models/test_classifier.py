"""Networks by name, and the classifier made of one."""

import pytest
import torch

from asd_ray.command import InputError
from asd_ray.models import NETWORKS, build_network, find_system
from asd_ray.models.classifier import build_classifier
from asd_ray.models.sgram import MelSettings


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_maps_wave_and_its_own_log_mel_to_an_embedding_of_128(name):
    mel = NETWORKS[name].mel
    network = build_network(name, width=0.125).eval()
    sgram_BFT = torch.randn(2, mel.num_mels, mel.num_frames)
    assert network(torch.randn(2, 160_000), sgram_BFT).shape == (2, 128)


def test_tastgram_wants_the_default_log_mel():
    assert find_system("tastgram").mel == MelSettings()


def test_an_unknown_network_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="'tastgarm' is unknown; did you mean tastgram"):
        build_network("tastgarm", width=1.0)
    with pytest.raises(InputError, match="known: tastgram"):
        build_network("x", width=1.0)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_that_is_no_positive_number_is_refused(width):
    with pytest.raises(InputError, match="width"):
        build_network("tastgram", width=width)


def test_the_published_classifier_of_41_machines_has_1156566_weights():
    classifier = build_classifier("tastgram", width=1.0, num_classes=41)
    assert sum(weight.numel() for weight in classifier.parameters()) == 1_161_855 - 5_289  # less the unused head


def test_one_seed_gives_one_classifier():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_classifier("tastgram", width=0.125, num_classes=3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["head.weight_CE"], states[2]["head.weight_CE"])


def test_the_output_is_an_embedding_and_cosines():
    classifier = build_classifier("tastgram", width=0.125, num_classes=3).eval()
    embedding_BE, cosine_BC = classifier(torch.randn(4, 160_000), torch.randn(4, 128, 313))
    assert embedding_BE.shape == (4, 128)
    assert cosine_BC.shape == (4, 3)
    assert cosine_BC.abs().max() <= 1 + 1e-6
