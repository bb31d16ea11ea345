"""Which numbers of a config lie at an end of their searched range."""

from collections.abc import Mapping

from asd_ray.config import NUMBERS, Param
from asd_ray.search.ranges import Range
from asd_ray.search.space import StudySpace

EDGE = 0.02  # share of a range, in its sampling scale: a value nearer to the end is at the edge


def edges(space: StudySpace, params: Mapping[str, Param]) -> tuple[str, ...]:
    """`margin at its low end`, ... for numbers so near the end of their range that the best may lie outside.

    A limit beyond which the config accepts no value (0 or 1 for a probability) is no edge: it cannot be widened.
    """
    found = []
    for name in space.searched():
        spec = space.spec(name)
        if not isinstance(spec, Range) or name not in params:
            continue
        place = spec.place(float(params[name]))
        if place < EDGE and spec.low != NUMBERS[name].low:
            found.append(f"{name} at its low end {spec.low:g}")
        if place > 1 - EDGE and spec.high != NUMBERS[name].high:
            found.append(f"{name} at its high end {spec.high:g}")
    return tuple(found)
