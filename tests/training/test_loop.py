"""The loop: repeatable bit for bit, blind to labels, and loud when a loss is not finite."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_ray.config import RunConfig, TrainConfig
from asd_ray.data.resident import Block, Resident
from asd_ray.scoring.metrics import MachineMetrics, machine_metrics
from asd_ray.training import checkpoint, scored
from asd_ray.training.loop import (
    DivergedError,
    EpochResult,
    Training,
    fit,
    learning_rate,
    score_clips,
)
from asd_ray.training.scored import Scored, choosing_metrics, reference_clips
from tests.training.conftest import block_of

MakeTraining = Callable[..., Training]
TYPES = ("fan", "pump")


def labelled(clips: Resident, is_anomaly: np.ndarray) -> Resident:
    """The same clips with other labels."""
    labels = replace(clips.labels, is_anomaly=is_anomaly.astype(np.int8))
    return Resident(labels, [block_of(clips)], np.arange(len(labels)))


def run(training: Training, *, score_at: tuple[int, ...] = (3,)) -> list[EpochResult]:
    return list(fit(training, score_at=score_at))


def scored_last(results: list[EpochResult]) -> Scored:
    found = results[-1].scored
    assert found is not None
    return found


def weights(training: Training) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in training.module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses(results: list[EpochResult]) -> list[tuple[float, float | None]]:
    return [(result.train_loss, result.valid_loss) for result in results]


def test_a_trial_that_goes_on_from_its_file_ends_bit_for_bit_as_one_without_a_break(
    make_training: MakeTraining, tmp_path: Path
) -> None:
    whole = make_training()
    expected = run(whole)
    first = make_training()
    before = next(fit(first, score_at=()))
    checkpoint.save(tmp_path / "state.pt", first.state_dict())
    state = checkpoint.load(tmp_path / "state.pt")
    assert state is not None
    rest = make_training()
    rest.load_state_dict(state)
    found = [before, *run(rest)]
    assert losses(found) == losses(expected)
    assert [result.epoch for result in found] == [1, 2, 3]
    assert same(weights(rest), weights(whole))
    for name, scores in scored_last(found).by_score.items():
        assert np.array_equal(scores, scored_last(expected).by_score[name]), name
    moments = [training.optimizer.state_dict()["state"] for training in (rest, whole)]
    assert all(
        torch.equal(one[k], other[k])
        for one, other in zip(*(m.values() for m in moments), strict=True)
        for k in one
    )


def test_one_seed_gives_one_result_and_another_seed_another(make_training: MakeTraining) -> None:
    first, again, other = make_training(), make_training(), make_training("train.seed=1")
    assert losses(run(first)) == losses(run(again)) != losses(run(other))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_reading_and_scoring_between_epochs_changes_nothing(make_training: MakeTraining) -> None:
    assert losses(run(make_training(), score_at=(1, 2, 3))) == losses(run(make_training(), score_at=()))


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (1, 1.0),  # 0.1 + 0.45 * (1 + cos 0)
        (2, 0.775),  # cos(pi / 3) = 1/2
        (3, 0.325),  # cos(2 pi / 3) = -1/2
    ],
)
def test_the_learning_rate_follows_half_a_cosine(epoch: int, expected: float) -> None:
    train = TrainConfig(epochs=3, learning_rate=1.0, final_learning_rate=0.1)
    assert learning_rate(train, epoch) == pytest.approx(expected)


def test_the_optimizer_uses_the_rate_that_is_reported(make_training: MakeTraining) -> None:
    training = make_training()
    for result in fit(training, score_at=()):
        assert [group["lr"] for group in training.optimizer.param_groups] == [result.learning_rate]
        assert result.learning_rate == learning_rate(training.config.train, result.epoch)


def test_the_optimizer_is_adamw_with_the_configured_decay(make_training: MakeTraining) -> None:
    training = make_training("train.weight_decay=0.25")
    assert type(training.optimizer) is torch.optim.AdamW
    assert [group["weight_decay"] for group in training.optimizer.param_groups] == [0.25]
    held = {id(parameter) for group in training.optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in training.module.parameters()}


def test_the_loss_falls(make_training: MakeTraining) -> None:
    results = run(
        make_training("train.epochs=12", "train.learning_rate=3e-3", "loss.mix_prob=0.0", "loss.margin=0.1")
    )
    assert results[-1].train_loss < 0.5 * results[0].train_loss


def test_a_loss_that_is_not_finite_ends_the_trial(make_training: MakeTraining, clips: Resident) -> None:
    pcm_NL, sgram_NFT = block_of(clips)
    sgram_NFT[clips.labels.split == "train", 0, 0] = np.nan
    broken = Resident(clips.labels, [Block(pcm_NL, sgram_NFT)], np.arange(len(pcm_NL)))
    with pytest.raises(DivergedError, match="the loss is nan in epoch 1"):
        run(make_training(clips=broken))


def test_scores_that_are_not_finite_end_the_trial(make_training: MakeTraining, clips: Resident) -> None:
    pcm_NL, sgram_NFT = block_of(clips)
    sgram_NFT[np.flatnonzero(clips.labels.split == "test")[:3], 0, 0] = np.nan
    broken = Resident(clips.labels, [Block(pcm_NL, sgram_NFT)], np.arange(len(pcm_NL)))
    with pytest.raises(DivergedError, match="3 scores are not finite in epoch 3"):
        run(make_training(clips=broken))


def test_scored_are_the_test_clips_and_the_normal_clips_that_set_the_threshold(
    make_training: MakeTraining, clips: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = clips.labels.split
    assert sorted(make_training().scorer.scored_index.tolist()) == list(range(20))  # two held out: too few alone
    monkeypatch.setattr(scored, "MIN_REFERENCE", 2)
    assert sorted(make_training().scorer.scored_index.tolist()) == np.flatnonzero(split != "train").tolist()
    for name in TYPES:
        chosen = reference_clips(clips.labels, name)
        assert set(clips.labels.machine_type[chosen]) == {name}
        assert set(split[chosen]) == {"valid"}


def test_scores_come_only_after_the_epochs_asked_for(make_training: MakeTraining) -> None:
    results = run(make_training(), score_at=(1, 3))
    assert [result.scored is not None for result in results] == [True, False, True]
    assert results[0].scored is not None
    assert len(results[0].scored.index) == 20


def test_labels_never_reach_the_training(make_training: MakeTraining, clips: Resident) -> None:
    other = labelled(clips, 1 - clips.labels.is_anomaly)
    one, two = run(make_training()), run(make_training(clips=other))
    assert losses(one) == losses(two)
    for name, scores in scored_last(one).by_score.items():
        assert np.array_equal(scores, scored_last(two).by_score[name]), name


def test_choosing_sees_visible_labels_alone(make_training: MakeTraining, clips: Resident) -> None:
    hidden = np.flatnonzero((clips.labels.split == "test") & (clips.labels.machine_id == "id_02"))
    is_anomaly = clips.labels.is_anomaly.copy()
    is_anomaly[hidden] = -1
    training = make_training(clips=labelled(clips, is_anomaly))
    every = score_clips(training)
    index, scores, labels = every.index, every.by_score["margin_cross_entropy"], training.clips.labels

    def metrics(scores: np.ndarray) -> dict[str, MachineMetrics]:
        config = training.config.score
        return {
            name: choosing_metrics(labels, index, scores=scores, machine_type=name, config=config)
            for name in TYPES
        }

    found = metrics(scores)
    assert found == every.counted
    shuffled = scores.copy()
    shuffled[np.isin(index, hidden)] = np.random.default_rng(0).permutation(1e3 * scores[np.isin(index, hidden)])
    assert metrics(shuffled) == found
    for name in TYPES:
        clip = np.flatnonzero(
            (clips.labels.machine_type == name) & (clips.labels.split == "test") & (is_anomaly >= 0)
        )
        expected = machine_metrics(
            name,
            clips.labels.machine_id[clip],
            is_anomaly=is_anomaly[clip],
            score=[scores[index.tolist().index(one)] for one in clip],
        )
        assert found[name] == expected
        assert (found[name].num_normal, found[name].num_anomaly) == (1, 1)
        assert list(found[name].per_id) == ["id_00"]


def test_with_all_labels_hidden_every_metric_is_undefined(make_training: MakeTraining, clips: Resident) -> None:
    (*_, last) = run(make_training(clips=labelled(clips, np.full(20, -1))))
    assert last.scored is not None
    assert [metrics.averaged.auc for metrics in last.scored.counted.values()] == [None, None]


def test_only_the_machine_types_asked_for_are_trained_on_and_scored(clips: Resident, config: RunConfig) -> None:
    training = Training(config, clips, num_classes=4, machine_types=("pump",))
    used = np.concatenate([training.train_index, training.valid_index, training.scorer.scored_index])
    assert set(clips.labels.machine_type[used]) == {"pump"}
    assert set(scored_last(run(training)).metrics) == {"pump"}


class Recorder(nn.Module):
    """A network that notes the waves that it was given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.waves = network, []

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor, class_B: Tensor) -> tuple[Tensor, Tensor]:
        self.waves.append(wave_BL.clone())
        return self.network(wave_BL, sgram_BFT, class_B)


def record(clips: Resident, config: RunConfig, *, rank: int, world: int) -> list[Tensor]:
    recorders: list[Recorder] = []

    def wrap(module: nn.Module) -> nn.Module:
        recorders.append(Recorder(module))
        return recorders[0]

    Training(config, clips, num_classes=4, machine_types=TYPES, rank=rank, world=world, wrap=wrap).train_epoch()
    return recorders[0].waves


def test_the_parts_of_two_workers_make_up_the_batch_of_one(clips: Resident, config: RunConfig) -> None:
    whole = record(clips, config, rank=0, world=1)
    parts = [record(clips, config, rank=rank, world=2) for rank in (0, 1)]
    assert len(whole) == len(parts[0]) == len(parts[1]) == 2
    for batch, even, odd in zip(whole, *parts, strict=True):
        assert torch.equal(torch.stack([even, odd], dim=1).flatten(0, 1), batch)


def test_only_the_first_worker_validates_and_scores(clips: Resident, config: RunConfig) -> None:
    training = Training(config, clips, num_classes=4, machine_types=TYPES, rank=1, world=2)
    (*_, last) = run(training)
    assert (last.valid_loss, last.valid_accuracy, last.scored) == (None, None, None)


def test_without_held_out_clips_validation_is_left_out(make_training: MakeTraining, clips: Resident) -> None:
    labels = replace(clips.labels, split=np.where(clips.labels.split == "valid", "train", clips.labels.split))
    training = make_training(clips=Resident(labels, [block_of(clips)], np.arange(20)))
    assert next(fit(training, score_at=())).valid_loss is None
