"""Ways of doing the same work, side by side: each in a process of its own, by turns, medians of their ratios.

A process of its own, because an allocator is set up before a process starts, and memory that one way has faulted
in would serve the next one.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asd_ray.cluster.allocator import ALLOCATOR, lane_allocator
from asd_ray.cluster.runtime import QUIET

PLAIN, ALLOCATED, OURS = "plain", "plain, our allocator", "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison: the ratio of plain to ours (above 1: ours is faster)."""

    work: str
    against: str
    ratio: float
    low: float  # of the ratios of single pairs
    high: float
    ours: float
    unit: str
    more: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.ratio:6.1f}x [{self.low:.1f}, {self.high:.1f}] {self.ours:9.2f} {self.unit:12} {self.work}"


def run(script: Path, *options: object, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """The last line that a script printed, JSON; of Ray's and the allocator's settings it has these alone.

    This process has them all, by the import of the runtime; a plain one must not inherit them.
    """
    environment = {name: value for name, value in os.environ.items() if name not in (*ALLOCATOR, *QUIET)}
    done = subprocess.run(
        [sys.executable, str(script), *map(str, options)],
        env=environment | {"PYTHONWARNINGS": "ignore"} | (settings or {}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{script.name} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@dataclass(frozen=True, slots=True)
class Way:
    """One way of ours of doing a work, and what its row is called."""

    way: str
    name: str


def compare(
    script: Path, work: str, ways: Sequence[Way], *, unit: str, turns: int, plain: str = PLAIN
) -> Iterator[Row]:
    """Plain, then each of ours, and again; one row per way of ours, by the ratios within a turn."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in (plain, *(one.way for one in ways))}
    for _ in range(turns):
        for way, runs in found.items():
            settings = {} if way == PLAIN else lane_allocator()
            runs.append(run(script, "--work", work, "--way", way, settings=settings))
    for one in ways:
        yield row_of(one.name, found[plain], found[one.way], against=plain, unit=unit)


def row_of(
    name: str, plain: Sequence[dict[str, float]], ours: Sequence[dict[str, float]], *, against: str, unit: str
) -> Row:
    """
    >>> print(row_of("work", [{"value": 6.0}, {"value": 9.0}], [{"value": 3.0}] * 2, against=PLAIN, unit="ms"))
       2.5x [2.0, 3.0]      3.00 ms           work
    """
    ratios = [before["value"] / after["value"] for before, after in zip(plain, ours, strict=True)]
    last = ours[-1]
    return Row(
        work=name,
        against=against,
        ratio=round(statistics.median(ratios), 2),
        low=round(min(ratios), 2),
        high=round(max(ratios), 2),
        ours=round(statistics.median(one["value"] for one in ours), 3),
        unit=unit,
        more={key: value for key, value in last.items() if key != "value"},
    )
