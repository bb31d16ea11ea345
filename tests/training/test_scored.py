"""One network read in several ways: what is fitted to what, who chooses, and what is kept."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from asd_ray.config import ScoreConfig
from asd_ray.data.resident import Labels, Resident
from asd_ray.scoring.scores import OF_EMBEDDINGS, best_score
from asd_ray.training import scored
from asd_ray.training.loop import Training, score_clips
from asd_ray.training.scored import clips_to_fit
from tests.training.conftest import block_of

MakeTraining = Callable[..., Training]
TYPES = ("fan", "pump")


def labels_of(counts: dict[str, int]) -> Labels:
    """So many training clips of each machine id of a fan."""
    ids = np.repeat(list(counts), list(counts.values()))
    size = len(ids)
    return Labels(
        clip_id=np.array([f"{number:05d}" for number in range(size)]),
        split=np.full(size, "train"),
        machine_type=np.full(size, "fan"),
        machine_id=ids,
        class_index=np.unique(ids, return_inverse=True)[1].astype(np.int64),
        is_anomaly=np.full(size, -1, np.int8),
    )


def test_a_tenth_of_the_clips_of_every_id_is_fitted_to_but_sixteen_where_there_are_so_many() -> None:
    labels = labels_of({"id_00": 1000, "id_02": 40, "id_04": 5})
    found = clips_to_fit(labels, ["fan"])
    assert np.unique(labels.machine_id[found], return_counts=True)[1].tolist() == [100, 16, 5]
    assert len(set(found.tolist())) == len(found)
    assert np.ptp(found[:100]) == 999  # from the first to the last: of all recording days
    assert np.array_equal(found, clips_to_fit(labels, ["fan"]))
    assert len(clips_to_fit(labels, ["pump"])) == 0


def test_scores_are_fitted_to_training_clips_alone(make_training: MakeTraining, clips: Resident) -> None:
    for name in TYPES:
        assert set(clips.labels.split[clips_to_fit(clips.labels, [name])]) == {"train"}
        assert set(clips.labels.machine_type[clips_to_fit(clips.labels, [name])]) == {name}
    normals = score_clips(make_training()).normals
    assert normals is not None
    assert len(normals.embedding_NE) == len(clips_to_fit(clips.labels, TYPES))


def test_every_score_of_embeddings_is_there_and_they_differ(make_training: MakeTraining) -> None:
    found = score_clips(make_training())
    assert tuple(found.by_score) == OF_EMBEDDINGS
    orders = {tuple(np.argsort(scores)) for scores in found.by_score.values()}
    assert len(orders) == len(OF_EMBEDDINGS)


def test_a_machine_type_is_scored_alike_whatever_others_are_scored_beside_it(
    make_training: MakeTraining, clips: Resident
) -> None:
    training = make_training()
    both = score_clips(training)
    training.machine_types = ("pump",)
    training.scorer = scored.Scorer(
        training.config, clips.labels, system=training.system, machine_types=training.machine_types
    )
    alone = score_clips(training)
    place = {clip: number for number, clip in enumerate(both.index.tolist())}
    mine = [place[clip] for clip in alone.index.tolist()]
    for name, scores in alone.by_score.items():
        np.testing.assert_allclose(scores, both.by_score[name][mine], rtol=1e-4, atol=1e-6)


def test_the_configured_score_counts_for_every_machine_type(make_training: MakeTraining) -> None:
    found = score_clips(make_training("score.name=centre"))
    assert found.chosen == {"fan": "centre", "pump": "centre"}
    machine_type_N = np.full(len(found.index), "fan")
    assert np.array_equal(found.of_record(machine_type_N), found.by_score["centre"])


def test_auto_takes_the_score_that_is_best_on_the_clips_whose_labels_may_be_seen(
    make_training: MakeTraining, clips: Resident
) -> None:
    training = make_training("score.name=auto")
    found = score_clips(training)
    values = {
        name: {
            score: (metrics.averaged.auc + metrics.averaged.pauc) / 2
            for score, metrics in found.metrics[name].items()
            if metrics.averaged.auc is not None and metrics.averaged.pauc is not None
        }
        for name in TYPES
    }
    assert found.chosen == {name: best_score(values[name]) for name in TYPES}
    assert ScoreConfig().name == "margin_cross_entropy"
    # Other labels, another choice: the opposite ones turn every AUC round.
    turned = replace(
        clips.labels, is_anomaly=np.where(clips.labels.split == "test", 1 - clips.labels.is_anomaly, -1)
    )
    other = make_training("score.name=auto", clips=Resident(turned, [block_of(clips)], np.arange(len(turned))))
    again = score_clips(other)
    assert all(np.array_equal(again.by_score[name], found.by_score[name]) for name in OF_EMBEDDINGS)
    assert again.chosen != found.chosen


def test_machine_types_may_choose_apart(make_training: MakeTraining) -> None:
    found = score_clips(make_training())
    apart = replace(found, chosen={"fan": "centre", "pump": "neighbours"})
    machine_type_N = np.array(["fan", "pump"])[np.arange(len(found.index)) % 2]
    mixed = apart.of_record(machine_type_N)
    assert np.array_equal(mixed[::2], found.by_score["centre"][::2])
    assert np.array_equal(mixed[1::2], found.by_score["neighbours"][1::2])


def test_a_system_with_a_score_of_its_own_is_read_by_no_other(make_training: MakeTraining) -> None:
    training = make_training("score.name=auto")
    system = replace(training.system, score="own_evidence")
    training.scorer = scored.Scorer(training.config, training.clips.labels, system=system, machine_types=TYPES)
    found = score_clips(training)
    assert tuple(found.by_score) == ("own_evidence",)
    assert found.chosen == dict.fromkeys(TYPES, "own_evidence")
    assert found.normals is None


@pytest.mark.parametrize("column", ["embedding_NE", "readout_NK"])
def test_a_reading_can_be_heard_as_other_classes(make_training: MakeTraining, column: str) -> None:
    training = make_training()
    reading = training.read(np.arange(4))
    again = reading.at(np.array([3, 1]), heard_as=np.array([0, 2]))
    assert again.class_N.tolist() == [0, 2]
    assert torch.equal(getattr(again, column), getattr(reading, column)[[3, 1]])
