"""Which numbers of a config lie at an end of what was searched."""

from collections.abc import Mapping

from asd_ray.config import LARGEST_MARGIN, Param
from asd_ray.search.ranges import Range
from asd_ray.search.space import StudySpace

NATURAL_LIMITS = {"noise_prob": (0.0, 1.0), "mix_prob": (0.0, 1.0), "margin": (0.0, LARGEST_MARGIN)}
EDGE = 0.02  # of a range, in the scale it is sampled in: nearer than this counts as at its edge


def edges(space: StudySpace, params: Mapping[str, Param]) -> tuple[str, ...]:
    """`margin at its low end`, ... for numbers so near the end of their range that the best may lie outside.

    A limit that is the end of what the number can be (0 or 1 for a probability) is no edge to widen.
    """
    found = []
    for name in space.searched():
        spec = space.spec(name)
        if not isinstance(spec, Range) or name not in params:
            continue
        place = spec.place(float(params[name]))
        if place < EDGE and not (name in NATURAL_LIMITS and spec.low == NATURAL_LIMITS[name][0]):
            found.append(f"{name} at its low end {spec.low:g}")
        if place > 1 - EDGE and not (name in NATURAL_LIMITS and spec.high == NATURAL_LIMITS[name][1]):
            found.append(f"{name} at its high end {spec.high:g}")
    return tuple(found)
