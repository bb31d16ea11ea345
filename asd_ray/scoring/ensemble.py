"""Several trained networks as one detector: the mean of their rank-normalised scores.

Scores of different networks have different units; their ranks have none. A rank is relative to the clips that are
judged together, so an ensemble scores a batch of recordings, not one recording alone.

Axes: M members, S seeds, B clips.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
LEAST_GAIN = 1e-9  # of the objective; smaller gains are rounding


def rank_normalised(score_SB: npt.ArrayLike) -> Doubles:
    """Each clip's rank among the clips of its row, in (0, 1); equal scores share their mean rank.

    >>> rank_normalised([[3.0, 1.0, 1.0, 9.0]])
    array([[0.625, 0.25 , 0.25 , 0.875]])
    """
    from scipy import stats  # here: half a second to import, and only a confirmed search has an ensemble

    score_SB = np.asarray(score_SB, dtype=np.float64)
    ranks_SB: Doubles = (stats.rankdata(score_SB, axis=-1) - 0.5) / score_SB.shape[-1]
    return ranks_SB


def combined(score_MSB: Sequence[npt.ArrayLike]) -> Doubles:
    """score_SB of all members together: for each seed, the mean of their ranks.

    >>> combined([[[1.0, 2.0]], [[200.0, 100.0]]])
    array([[0.5, 0.5]])
    """
    mean_SB: Doubles = np.mean([rank_normalised(score_SB) for score_SB in score_MSB], axis=0)
    return mean_SB


def choose_members(
    score_CSB: Sequence[npt.ArrayLike], objective: Callable[[Doubles], float], *, first: int = 0
) -> tuple[int, ...]:
    """Which configs to combine: starting from `first`, add in turn the config that raises the objective most.

    It ends when no config raises it (Caruana et al., "Ensemble selection from libraries of models", 2004, without
    replacement), so there may be only one member. `objective` takes score_SB.
    """
    members = [first]
    best = objective(combined([score_CSB[first]]))
    while len(members) < len(score_CSB):
        tried = {
            one: objective(combined([score_CSB[member] for member in (*members, one)]))
            for one in range(len(score_CSB))
            if one not in members
        }
        candidate = max(tried, key=lambda one: tried[one])  # the first of equals
        if tried[candidate] <= best + LEAST_GAIN:
            break
        members.append(candidate)
        best = tried[candidate]
    return tuple(members)
