"""Scores that read one network in several ways."""

import math

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from asd_ray.errors import InputError
from asd_ray.scoring.scores import (
    SCORES,
    Centre,
    CrossEntropy,
    Mahalanobis,
    Neighbours,
    Outputs,
    Score,
    best_score,
    check_score,
    make_score,
)

FITTED = [Centre, Neighbours, Mahalanobis]


def outputs(embedding_BE, class_B=None):
    """Of a network whose logits are of no interest."""
    embedding_BE = np.asarray(embedding_BE, dtype=np.float32)
    none_BC = np.zeros((len(embedding_BE), 2))
    class_B = np.zeros(len(embedding_BE), dtype=np.int64) if class_B is None else np.asarray(class_B)
    return Outputs(embedding_BE, none_BC, none_BC, class_B)


def cloud(seed, count, *, around=(1.0, 0.0, 0.0, 0.0), spread=0.05):
    return np.array(around) + spread * np.random.default_rng(seed).standard_normal((count, len(around)))


def fitted(kind: type[Score], embedding_NE, class_N=None) -> Score:
    score = kind()
    score.fit(np.asarray(embedding_NE), np.zeros(len(embedding_NE), dtype=int) if class_N is None else class_N)
    return score


@pytest.mark.parametrize("margin", [True, False])
def test_cross_entropy_reads_the_logits_with_or_without_the_margin(margin):
    with_BC, without_BC = np.log([[0.7, 0.3], [0.7, 0.3]]), np.log([[0.9, 0.1], [0.9, 0.1]])
    said = Outputs(np.zeros((2, 4)), with_BC, without_BC, np.array([0, 1]))
    own = [0.7, 0.3] if margin else [0.9, 0.1]
    np.testing.assert_allclose(CrossEntropy(margin=margin).score(said), [-math.log(value) for value in own])


def test_huge_logits_overflow_nothing_and_small_scores_keep_their_order():
    logits_BC = np.array([[1e4, 0.0], [20.0, 0.0], [19.0, 0.0], [0.0, 1e4]], dtype=np.float32)
    said = Outputs(np.zeros((4, 4)), logits_BC, logits_BC, np.zeros(4, dtype=int))
    score_B = CrossEntropy(margin=True).score(said)
    np.testing.assert_allclose(score_B, [0.0, math.exp(-20), math.exp(-19), 1e4], rtol=1e-4)


@pytest.mark.parametrize("kind", FITTED)
def test_what_lies_further_from_the_normal_clips_scores_higher(kind):
    score = fitted(kind, cloud(0, 40))
    turned = [[math.cos(angle), math.sin(angle), 0.0, 0.0] for angle in (0.0, 0.3, 0.8, 1.6, 3.0)]
    assert (np.diff(score.score(outputs(turned))) > 0).all()


@pytest.mark.parametrize("kind", FITTED)
def test_the_length_of_an_embedding_says_nothing(kind):
    score = fitted(kind, 7.0 * cloud(0, 40))
    clips = cloud(1, 5, spread=0.5)
    np.testing.assert_allclose(score.score(outputs(clips)), score.score(outputs(0.01 * clips)), rtol=1e-4)


@pytest.mark.parametrize("kind", FITTED)
def test_a_clip_is_compared_with_its_own_machine_id(kind):
    first, second = cloud(0, 30), cloud(1, 30, around=(0.0, 1.0, 0.0, 0.0))
    score = fitted(kind, np.concatenate([first, second]), np.repeat([3, 5], 30))
    clips = cloud(2, 6)
    as_first, as_second = (score.score(outputs(clips, np.full(6, number))) for number in (3, 5))
    assert as_first.max() < as_second.min()
    unknown = score.score(outputs(clips, np.full(6, 9)))  # an id without normal clips: all ids count
    assert np.isfinite(unknown).all()


@pytest.mark.parametrize("kind", FITTED)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_clips_that_are_all_alike_give_finite_scores(kind, count):
    score = fitted(kind, np.tile([[0.6, 0.8, 0.0]], (count, 1)))
    score_B = score.score(outputs([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.isfinite(score_B).all()
    assert (score_B >= 0.0).all()
    assert score_B[0] < score_B[1]


@pytest.mark.parametrize("kind", FITTED)
def test_without_normal_clips_a_fitted_score_is_refused(kind):
    with pytest.raises(InputError, match="no normal clips"):
        kind().fit(np.empty((0, 4)), np.empty(0, dtype=int))


def test_the_centre_is_the_mean_direction():
    score = fitted(Centre, [[4.0, 0.0], [0.0, 0.5]])  # of lengths that would draw a mean of vectors aside
    np.testing.assert_allclose(score.score(outputs([[1.0, 1.0], [1.0, 0.0]])), [0.0, 1 - 0.5**0.5], atol=1e-7)


def test_neighbours_take_the_mean_over_the_nearest_two():
    angles = np.array([0.1, 0.3, 1.0])
    score = fitted(Neighbours, np.stack([np.cos(angles), np.sin(angles)], axis=1))
    expected = (1 - math.cos(0.1) + 1 - math.cos(0.3)) / 2
    assert score.score(outputs([[1.0, 0.0]]))[0] == pytest.approx(expected, rel=1e-5)


def test_a_clip_that_was_fitted_is_no_neighbour_of_its_own():
    angles = np.array([0.0, 0.2, 0.5, 2.0])
    clips = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    score = fitted(Neighbours, clips)
    expected = (1 - math.cos(0.2) + 1 - math.cos(0.5)) / 2
    assert score.score(outputs(clips))[0] == pytest.approx(expected, rel=1e-5)
    # as it is for another clip in the same call, and by itself
    assert score.score(outputs(clips[:1]))[0] == pytest.approx(expected, rel=1e-5)
    pair = fitted(Neighbours, clips[:2])  # one neighbour is left
    both = pair.score(outputs(np.concatenate([clips[:1], [[-1.0, 0.0]]])))
    np.testing.assert_allclose(both, [1 - math.cos(0.2), (2 + 1 + math.cos(0.2)) / 2], rtol=1e-5)


def test_mahalanobis_measures_in_the_scatter_around_the_means_of_all_ids():
    rng = np.random.default_rng(0)
    centres = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    class_N = np.repeat([0, 1], 50)
    clips = centres[class_N] + rng.normal(scale=[0.02, 0.02, 0.2], size=(100, 3))
    units = clips / np.linalg.norm(clips, axis=1, keepdims=True)
    means = np.stack([units[class_N == number].mean(axis=0) for number in (0, 1)])
    model = LedoitWolf(assume_centered=True).fit(units - means[class_N])
    score = fitted(Mahalanobis, clips, class_N)
    ours = score.score(outputs(clips, class_N))
    np.testing.assert_allclose(ours**2, model.mahalanobis(units - means[class_N]), rtol=2e-2)
    wide, narrow = [0.98, 0.0, 0.2], [0.98, 0.2, 0.0]
    assert np.diff(score.score(outputs([wide, narrow])))[0] > 0  # as far off, but where nothing scatters


@pytest.mark.parametrize("name", sorted(SCORES))
def test_every_score_of_the_table_gives_one_finite_number_per_clip(name):
    rng, score = np.random.default_rng(0), make_score(name)
    score.fit(rng.normal(size=(20, 8)), rng.integers(3, size=20))
    logits_BC = rng.normal(size=(5, 3))
    score_B = score.score(Outputs(rng.normal(size=(5, 8)), logits_BC, logits_BC, rng.integers(3, size=5)))
    assert score_B.shape == (5,)
    assert np.isfinite(score_B).all()


def test_an_unknown_score_is_refused_with_the_nearest_name():
    check_score("auto")
    for refused in (check_score, make_score):
        with pytest.raises(InputError, match="did you mean 'margin_cross_entropy'"):
            refused("margin_crossentropy")
    with pytest.raises(InputError, match="no machine type has chosen"):
        make_score("auto")


def test_of_equal_scores_the_published_one_is_chosen():
    assert best_score(dict.fromkeys(SCORES, 0.5)) == "margin_cross_entropy"
    assert best_score(dict.fromkeys(SCORES, None)) == "margin_cross_entropy"
    assert best_score({"margin_cross_entropy": 0.5, "centre": 0.6}) == "centre"
