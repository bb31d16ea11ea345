#!/usr/bin/env python
"""Speed against the plain way of doing the same work, side by side in one run.

    make bench                                  # the pieces of a trial: two minutes
    python benchmarks/run.py --full             # and compiled steps, lanes, a whole search, sizes: an hour
    python benchmarks/run.py --json speed.json  # and the rows in a file

Every way runs in a process of its own, plain and ours by turns; a ratio is the median over pairs, and above 1 is
faster. Pieces are measured in processor time of one thread, whatever has to do with Ray in wall-clock time.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from pairs import ALLOCATED, OURS, Row, Way, compare

from asd_ray.models.precision import has_bfloat16

HERE = Path(__file__).parent
PIECES = HERE / "pieces.py"
# work, ways of ours, unit
QUICK = (
    ("log_mel", (Way(OURS, "log-mel of a clip"),), "ms/clip"),
    (
        "preparation",
        (
            Way(OURS, "decode, check and log-mel of a clip"),
            Way("ours with shards", "the same, with its shard written and read back"),
        ),
        "ms/clip",
    ),
    ("host_batch", (Way(OURS, "batch of 64 in host memory"),), "ms/batch"),
    ("reading", (Way(OURS, "scoring, float32"), Way("ours bfloat16", "scoring, bfloat16")), "ms/clip"),
    ("step", (Way(OURS, "training step of 32, float32, eager"),), "ms/clip"),
)
COMPILED = (
    Way("ours compiled", "training step of 32, float32, compiled"),
    Way("ours compiled bfloat16", "training step of 32, bfloat16, compiled"),
)
SAME_ALLOCATOR = (
    Way("ours compiled", "training step of 32, float32, compiled, plain with our allocator settings"),
)
WITH_RAY = ("lanes.py", "scale.py")  # each prints its own table


def pieces(*, full: bool) -> Iterator[Row]:
    for work, ways, unit in QUICK:
        turns = 3 if full else 1 if work == "step" else 2
        yield from compare(PIECES, work, possible(ways), unit=unit, turns=turns)
    if full:
        yield from compare(PIECES, "step", possible(COMPILED), unit="ms/clip", turns=2)
        yield from compare(PIECES, "step", SAME_ALLOCATOR, plain=ALLOCATED, unit="ms/clip", turns=2)


def possible(ways: Sequence[Way]) -> list[Way]:
    """Without bfloat16 where the processor has no instructions for it: a single step would take minutes."""
    known = has_bfloat16(torch.device("cpu"))
    return [way for way in ways if known or "bfloat16" not in way.way]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="everything")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    arguments = parser.parse_args()
    if not has_bfloat16(torch.device("cpu")):
        print("this processor has no instructions for bfloat16: not measured")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; one thread, processor time", flush=True)
    rows = []
    for row in pieces(full=arguments.full):
        print(row, *(f"{name} {value:g}" for name, value in row.more.items()), flush=True)
        rows.append(asdict(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    for script in WITH_RAY if arguments.full else ():
        print(f"\n{script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), "--full"], check=True)


if __name__ == "__main__":
    main()
