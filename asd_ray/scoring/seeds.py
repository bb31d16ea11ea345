"""How far a mean over training seeds may be off, even where the same seeds chose the config.

A config that won by its mean over some seeds was lucky in them, and its networks stay lucky on other clips, so
fresh clips do not help. Resampling a few seeds (a bootstrap) makes their spread too small by the factor
sqrt((S - 1) / S), and ignores how badly so few seeds determine it. So a margin is the wider of two:

- Student's t of the config's own values, S - 1 degrees of freedom: it holds whatever the other configs do;
- Student's t of the spread pooled over all configs that it was chosen from, at the level divided by their number
  (Bonferroni): it allows for the luckiest of several equal configs. Differences pool the residual of the two-way
  layout of configs and seeds, as Dunnett's comparison with a control in randomised blocks does.

Axes: S seeds, C configs.
"""

import numpy as np

from asd_ray.scoring.roc import Floats


def seed_margins(value_S: Floats, contender_CS: Floats, *, paired: bool, confidence: float) -> tuple[float, float]:
    """How far the true mean may lie below the mean of `value_S`, and how far above it.

    `contender_CS`: the values of all configs that this one was chosen from, including itself; with one or none,
    there was no choice. `paired`: `value_S` is the difference to one of them. With one seed, both results are 0.

    >>> seed_margins(np.array([9.0]), np.empty((0, 1)), paired=False, confidence=0.95)
    (0.0, 0.0)
    """
    seeds, rest = len(value_S), (1 - confidence) / 2
    if seeds < 2:
        return 0.0, 0.0
    from scipy.special import stdtrit  # Student's t; here, because only a report on several seeds needs it

    below = above = float(stdtrit(seeds - 1, 1 - rest) * value_S.std(ddof=1))
    if len(contender_CS) > 1:
        sd, freedom, count = _pooled(contender_CS, paired=paired)
        below = max(below, float(stdtrit(freedom, 1 - rest / count) * sd))
        above = max(above, float(stdtrit(freedom, 1 - rest) * sd))
    return below / seeds**0.5, above / seeds**0.5


def _pooled(contender_CS: Floats, *, paired: bool) -> tuple[float, int, int]:
    """The standard deviation of a value or difference, its degrees of freedom, and the number of comparisons."""
    configs, seeds = contender_CS.shape
    rest_CS = contender_CS - contender_CS.mean(axis=1, keepdims=True)
    if not paired:
        freedom = configs * (seeds - 1)
        return float(np.sqrt((rest_CS**2).sum() / freedom)), freedom, configs
    rest_CS = rest_CS - rest_CS.mean(axis=0)
    freedom = (configs - 1) * (seeds - 1)
    return float(np.sqrt(2 * (rest_CS**2).sum() / freedom)), freedom, configs - 1
