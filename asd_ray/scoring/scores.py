"""Ways to read one trained network as an anomaly score: all from the same outputs, without further training.

| score                | what a clip is compared with                                    | fitted to normal clips |
|----------------------|-----------------------------------------------------------------|------------------------|
| margin_cross_entropy | the other classes, with the margin of training on its own class | no (published)         |
| cross_entropy        | the other classes, without a margin                             | no                     |
| centre               | the mean direction of its machine id                            | yes                    |
| neighbours           | the nearest clips of its machine id                             | yes                    |
| mahalanobis          | the mean of its machine id, in units of the scatter around it   | yes                    |
| own_evidence         | nothing: the system states its own evidence; its only score     | no                     |

The fitted scores use only the direction of an embedding, as the margin head does.

Scores are computed once per clip, after the network, in numpy and float64.
Axes: N normal clips to fit on, B clips to score, E embedding, C classes, K neighbours.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from asd_ray.errors import InputError, suggestion

if TYPE_CHECKING:  # a search uses the scores' names before importing torch
    from torch import Tensor

    from asd_ray.losses.mixing import LossPoint
    from asd_ray.losses.system_loss import SystemLoss

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]

NEIGHBOURS = 2  # a single one may be an odd recording
SAME = 1e-9  # below this cosine distance, two embeddings belong to one clip: an angle of 0.003 degrees
RIDGE = 1e-6  # variance that is added per axis of unit vectors (their own: 1 / E), so that any scatter inverts


class Outputs(NamedTuple):
    """A network's outputs for B clips, each scored as one class, usually its own."""

    embedding_BE: Floats  # noqa: N815
    logits_BC: Floats  # noqa: N815 - with the margin of training on the class of the clip
    plain_logits_BC: Floats  # noqa: N815 - without
    class_B: Ints  # noqa: N815


def outputs_of(
    loss: "SystemLoss", point: "LossPoint", *, embedding_BE: "Tensor", readout_BK: "Tensor", class_B: "Tensor"
) -> Outputs:
    """What scores need from a module's outputs, at a point of the loss cube; takes tensors on the CPU."""
    logits_BC = loss.logits(readout_BK, class_B, point)
    plain_BC = loss.logits(readout_BK, class_B, replace(point, margin=0.0))
    return Outputs(embedding_BE.numpy(), logits_BC.numpy(), plain_BC.numpy(), class_B.numpy())


class Score(Protocol):
    """One way to score a clip; higher is more anomalous.

    `fit` gets the embeddings of one machine type's normal clips once; then `score` may be called on any clips of
    that machine type.
    """

    fitted: bool  # whether it needs normal clips at all

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None: ...

    def score(self, outputs: Outputs) -> Doubles:
        """score_B."""
        ...


class CrossEntropy:
    """-log softmax(logits)[own class]; the published score has the margin of training on the own class.

    >>> logits = np.log([[1.0, 3.0]])
    >>> CrossEntropy(margin=True).score(Outputs(np.zeros((1, 2)), logits, logits, np.array([0]))).round(6)
    array([1.386294])
    """

    fitted = False

    def __init__(self, *, margin: bool) -> None:
        self._margin = margin

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None:
        """Nothing to fit."""

    def score(self, outputs: Outputs) -> Doubles:
        """score_B."""
        from scipy import special  # here: a driver needs only the names of scores

        logits_BC = (outputs.logits_BC if self._margin else outputs.plain_logits_BC).astype(np.float64)
        own_B = np.take_along_axis(logits_BC, outputs.class_B[:, None], axis=1)[:, 0]
        score_B: Doubles = special.logsumexp(logits_BC, axis=1) - own_B
        return score_B.clip(min=0.0)  # rounding can leave -1e-16


class OwnEvidence:
    """The system's own evidence against a clip, (B, 1) in place of logits: an error, or how unlikely the clip is.

    >>> evidence = np.array([[3.5]])
    >>> OwnEvidence().score(Outputs(np.zeros((1, 2)), evidence, evidence, np.array([0])))
    array([3.5])
    """

    fitted = False

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None:
        """Nothing to fit."""

    def score(self, outputs: Outputs) -> Doubles:
        """score_B."""
        score_B: Doubles = outputs.logits_BC[:, 0].astype(np.float64)
        return score_B


class _Fitted:
    """A score that is fitted to the normal clips of each machine id.

    Clips of a machine id without normal clips are compared with those of all ids.
    """

    fitted = True

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None:
        """Raises InputError without clips."""
        if not len(class_N):
            raise InputError("no normal clips to fit a score to; use margin_cross_entropy, which needs none")
        self._unit_NE, self._class_N = unit(embedding_NE), np.asarray(class_N)

    def _of(self, class_index: int) -> Doubles:
        own_N = self._class_N == class_index
        return self._unit_NE[own_N] if own_N.any() else self._unit_NE

    def score(self, outputs: Outputs) -> Doubles:
        """score_B."""
        unit_BE = unit(outputs.embedding_BE)
        score_B = np.empty(len(unit_BE))
        for class_index in np.unique(outputs.class_B).tolist():
            mine_B = outputs.class_B == class_index
            score_B[mine_B] = self._distance(unit_BE[mine_B], class_index)
        return score_B.clip(min=0.0)

    def _distance(self, unit_BE: Doubles, class_index: int) -> Doubles:
        raise NotImplementedError


class Centre(_Fitted):
    """1 - cosine with the mean direction of the normal clips of the machine id.

    >>> score = Centre()
    >>> score.fit(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 0]))
    >>> score.score(Outputs(np.array([[3.0, 3.0]]), np.empty((1, 0)), np.empty((1, 0)), np.array([0]))).round(6)
    array([0.])
    """

    def _distance(self, unit_BE: Doubles, class_index: int) -> Doubles:
        centre_E = self._of(class_index).mean(axis=0)
        distance_B: Doubles = 1.0 - unit_BE @ unit(centre_E)
        return distance_B


class Neighbours(_Fitted):
    """The mean cosine distance to the nearest NEIGHBOURS normal clips of the machine id.

    A clip that the score was fitted to does not count as its own neighbour.
    """

    def _distance(self, unit_BE: Doubles, class_index: int) -> Doubles:
        from sklearn.neighbors import NearestNeighbors  # here: scikit-learn takes a second to import

        unit_NE = self._of(class_index)
        wanted = min(NEIGHBOURS + 1, len(unit_NE))
        search = NearestNeighbors(n_neighbors=wanted, metric="cosine", algorithm="brute").fit(unit_NE)
        distance_BK, _ = search.kneighbors(unit_BE)
        itself_B = distance_BK[:, 0] < SAME
        distance_BK[itself_B] = np.roll(distance_BK[itself_B], -1, axis=1)
        count_B = np.minimum(NEIGHBOURS, wanted - itself_B)
        counts_BK = np.arange(wanted) < count_B[:, None]
        mean_B: Doubles = (distance_BK * counts_BK).sum(axis=1) / count_B.clip(min=1)
        return mean_B


class Mahalanobis(_Fitted):
    """The distance to the mean of the machine id, in units of the scatter of normal clips around their means.

    All machine ids of the machine type share one covariance, shrunk towards a multiple of the identity (Ledoit and
    Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004), because one id seldom
    has many more clips than there are axes.
    """

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None:
        """Raises InputError without clips."""
        from sklearn.covariance import ledoit_wolf  # here, as above

        super().fit(embedding_NE, class_N)
        rest_NE = self._unit_NE.copy()
        for class_index in np.unique(self._class_N).tolist():
            rest_NE[self._class_N == class_index] -= self._of(class_index).mean(axis=0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Only one sample available")  # then only the ridge counts
            scatter_EE = ledoit_wolf(rest_NE, assume_centered=True)[0]
        self._precision_EE = np.linalg.inv(scatter_EE + RIDGE * np.eye(len(scatter_EE)))

    def _distance(self, unit_BE: Doubles, class_index: int) -> Doubles:
        rest_BE = unit_BE - self._of(class_index).mean(axis=0)
        squared_B = np.einsum("be,ef,bf->b", rest_BE, self._precision_EE, rest_BE, optimize=True)
        distance_B: Doubles = np.sqrt(squared_B.clip(min=0.0))
        return distance_B


def unit(vectors: Floats) -> Doubles:
    """The vectors along the last axis, scaled to length 1, in float64; a vector of length 0 stays.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Doubles = vectors / np.where(length > 0.0, length, 1.0)
    return units


AUTO = "auto"  # every machine type gets the score that is best on its choosing clips
PUBLISHED = "margin_cross_entropy"
OWN = "own_evidence"
SCORES: dict[str, Callable[[], Score]] = {
    PUBLISHED: lambda: CrossEntropy(margin=True),
    "cross_entropy": lambda: CrossEntropy(margin=False),
    "centre": Centre,
    "neighbours": Neighbours,
    "mahalanobis": Mahalanobis,
    OWN: OwnEvidence,
}
OF_EMBEDDINGS = tuple(name for name in SCORES if name != OWN)


def check_score(name: str) -> None:
    """Raises InputError, with the nearest name, for a name that is neither a score nor `auto`."""
    known = (AUTO, *SCORES)
    if name not in known:
        raise InputError(f"score {name!r} is unknown{suggestion(name, known)}")


def make_score(name: str) -> Score:
    """A new score object. Raises InputError, with the nearest name, for an unknown name."""
    check_score(name)
    if name == AUTO:
        raise InputError("score auto: no machine type has chosen one yet; name one of them")
    return SCORES[name]()


def best_score(values: Mapping[str, float | None]) -> str:
    """The score with the best value; the first if several are equal or none has a value.

    >>> best_score({"centre": None, "neighbours": 0.7, "mahalanobis": 0.7})
    'neighbours'
    """
    return max(values, key=lambda name: -1.0 if (value := values[name]) is None else value)
