"""Ways of doing the same work, side by side: each in a process of its own, by turns, medians of their ratios.

A process of its own, because an allocator is set up before a process starts, and memory that one way has faulted
in would serve the next one.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from asd_ray.runtime import ALLOCATOR

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


def run_way(script: Path, work: str, way: str) -> dict[str, float]:
    """What one way took, as its process printed it: `value`, and whatever else is worth knowing."""
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    if way != PLAIN:
        environment |= ALLOCATOR
    # GLIBC_TUNABLES must not come back by the import of the runtime: a plain process never has it.
    done = subprocess.run(
        [sys.executable, str(script), "--work", work, "--way", way],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(script: Path, work: str, *, ours: str, plain: str, name: str, unit: str, turns: int) -> Row:
    """Plain, ours, plain, ours ... and the median of the ratios of neighbours."""
    pairs = [(run_way(script, work, plain), run_way(script, work, ours)) for _ in range(turns)]
    ratios = [before["value"] / after["value"] for before, after in pairs]
    last = pairs[-1][1]
    return Row(
        work=name,
        against=plain,
        ratio=round(statistics.median(ratios), 2),
        low=round(min(ratios), 2),
        high=round(max(ratios), 2),
        ours=round(statistics.median(after["value"] for _, after in pairs), 3),
        unit=unit,
        more={key: value for key, value in last.items() if key != "value"},
    )
