"""Every system through the one loop: trained, broken off, gone on with and scored."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from asd_ray.data.resident import Block, Resident
from asd_ray.models import SYSTEMS
from asd_ray.models.sgram import LogMel, LogMels
from asd_ray.training.averaging import Mean
from asd_ray.training.loop import EpochResult, Training, fit
from tests.training.conftest import block_of

MakeTraining = Callable[..., Training]


def scores_of(result: EpochResult) -> np.ndarray:
    """Of all clips, by the score that counts: own evidence, or the published one."""
    assert result.scored is not None
    (name,) = set(result.scored.chosen.values())
    return result.scored.by_score[name]


HEAVY = pytest.param("mobilenetv2", marks=pytest.mark.extra)  # ten times the work of any other
OTHERS = sorted(set(SYSTEMS) - {"tastgram", "mobilenetv2"})  # tastgram is what the other tests of the loop train


@pytest.mark.parametrize("name", [*OTHERS, HEAVY])
def test_a_system_trains_goes_on_from_its_state_and_scores(make_training: MakeTraining, name: str) -> None:
    settings = (f"model.name={name}", "train.epochs=2", "search.prune=false")  # one epoch of pretraining
    whole, first, rest = (make_training(*settings) for _ in range(3))
    expected = list(fit(whole, score_at=(2,)))
    next(fit(first, score_at=()))
    rest.load_state_dict(first.state_dict())
    found = list(fit(rest, score_at=(2,)))
    assert [result.train_loss for result in found] == [result.train_loss for result in expected[1:]]
    scores = scores_of(found[-1])
    assert np.array_equal(scores, scores_of(expected[-1]))
    assert len(np.unique(scores)) == len(scores) == 20
    assert found[-1].scored is not None
    assert all(metrics.averaged.auc is not None for metrics in found[-1].scored.counted.values())


@pytest.mark.parametrize("name", ["ae", "glow_aff", "idnn", HEAVY])
def test_an_own_error_falls_on_clips_that_are_seen_again(make_training: MakeTraining, name: str) -> None:
    settings = (f"model.name={name}", "train.epochs=4", "train.learning_rate=3e-3")
    results = list(fit(make_training(*settings), score_at=()))
    assert results[-1].train_loss < results[0].train_loss


def test_a_system_hears_its_own_log_mel_among_several(make_training: MakeTraining, clips: Resident) -> None:
    """Clips with two log-mels give the scores that clips with the one alone give."""
    pcm_NL = block_of(clips).pcm_NL
    wave_NL = torch.from_numpy(pcm_NL / 32768.0).float()
    mel = SYSTEMS["stgram"].mel

    def score(sgram_NFT: torch.Tensor, *systems: str) -> np.ndarray:
        block = Block(pcm_NL, sgram_NFT.half().numpy())
        given = Resident(clips.labels, [block], np.arange(len(pcm_NL)))
        training = make_training("model.name=stgram", "train.epochs=1", clips=given, systems=systems)
        return scores_of(next(fit(training, score_at=(1,))))

    alone = score(LogMel(mel)(wave_NL))
    both = score(LogMels([SYSTEMS["tastgram"].mel, mel])(wave_NL), "tastgram", "stgram", "stsasgram")
    assert np.array_equal(alone, both)
    assert not np.allclose(alone, score(LogMel(SYSTEMS["tastgram"].mel)(wave_NL)))


def test_the_mean_of_the_weights_is_what_scores_and_is_handed_over(make_training: MakeTraining) -> None:
    training = make_training("model.name=os_scl")
    training.train_epoch()
    state = training.state_dict()
    name = "head.weight_CE"
    assert torch.equal(training.reads.state_dict()[name], state["module"][name])
    assert torch.equal(training.module.state_dict()[name], state["trained"][name])
    assert not torch.equal(state["module"][name], state["trained"][name])
    reading = training.read(training.valid_index)
    training.module.load_state_dict(state["module"])  # scores do not hear of it
    assert torch.equal(training.read(training.valid_index).readout_NK, reading.readout_NK)


def test_the_mean_begins_quickly_and_becomes_slow() -> None:
    """After the first step 2/11 of the old is kept, after the second 3/12; buffers are those of the module."""
    module = torch.nn.BatchNorm1d(1)
    mean = Mean(module)
    for weight in (2.0, 4.0):
        torch.nn.init.constant_(module.weight, weight)
        module.running_mean.fill_(weight)
        mean.update(module)
    first = 2 / 11 * 1.0 + 9 / 11 * 2.0
    assert mean.module.weight.item() == pytest.approx(3 / 12 * first + 9 / 12 * 4.0)
    assert mean.module.running_mean.item() == 4.0


def test_pretraining_acts_and_ends_before_the_rung(make_training: MakeTraining) -> None:
    def pretrains(*settings: str) -> list[bool]:
        training, seen = make_training("model.name=clp_scf", *settings), []
        training._step = lambda batch, rng: seen.append(training.pretrains) or torch.zeros(())  # type: ignore[func-returns-value]
        for _ in range(training.config.train.epochs):
            training.train_epoch()
        return seen[:: len(seen) // training.config.train.epochs]

    assert pretrains("train.epochs=6", "loss.pretraining=0.05") == [True, *[False] * 5]  # a third of an epoch
    assert pretrains("train.epochs=6", "loss.pretraining=0.9") == [True, *[False] * 5]  # judged after the second
    assert pretrains("train.epochs=6", "loss.pretraining=0.9", "search.prune=false") == [*[True] * 5, False]
    assert pretrains("train.epochs=6", "loss.pretraining=0") == [False] * 6
