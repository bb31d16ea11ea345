#!/usr/bin/env python
"""Speed against the plain way of doing the same work, side by side in one run.

    make bench                                  # the pieces of a trial: four minutes
    python benchmarks/run.py --full             # and compiled steps, lanes, a whole search, sizes: half an hour
    python benchmarks/run.py --json speed.json  # and the rows in a file

Every way runs in a process of its own, plain and ours by turns; a ratio is the median over pairs, and above 1 is
faster. Pieces are measured in processor time of one thread, whatever has to do with Ray in wall-clock time.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pairs import ALLOCATED, OURS, PLAIN, Row, compare

HERE = Path(__file__).parent
PIECES = HERE / "pieces.py"
# work, ours, plain, what it is called, unit
QUICK = (
    ("log_mel", OURS, PLAIN, "log-mel of a clip", "ms/clip"),
    ("preparation", OURS, PLAIN, "decode, check and log-mel of a clip", "ms/clip"),
    ("preparation", "ours with shards", PLAIN, "the same, with its shard written and read back", "ms/clip"),
    ("host_batch", OURS, PLAIN, "batch of 64 in host memory", "ms/batch"),
    ("reading", OURS, PLAIN, "scoring, float32", "ms/clip"),
    ("reading", "ours bfloat16", PLAIN, "scoring, bfloat16", "ms/clip"),
)
STEPS = (
    ("step", OURS, PLAIN, "training step of 32, float32, eager", "ms/clip"),
    ("step", "ours compiled", PLAIN, "training step of 32, float32, compiled", "ms/clip"),
    ("step", "ours compiled", ALLOCATED, "the same, against plain with our allocator settings", "ms/clip"),
    ("step", "ours compiled bfloat16", PLAIN, "training step of 32, bfloat16, compiled", "ms/clip"),
)
WITH_RAY = ("lanes.py", "scale.py")  # each prints its own table


def pieces(*, full: bool) -> Iterator[Row]:
    wanted = [*QUICK, *(STEPS if full else STEPS[:1])]
    for work, ours, plain, name, unit in wanted:
        turns = (2 if work == "step" else 3) if full else 1 if work == "step" else 2
        yield compare(PIECES, work, ours=ours, plain=plain, name=name, unit=unit, turns=turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="everything")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; one thread, processor time", flush=True)
    rows = []
    for row in pieces(full=arguments.full):
        print(row, *(f"{name} {value:g}" for name, value in row.more.items()), flush=True)
        rows.append(asdict(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    for script in WITH_RAY if arguments.full else ():
        print(f"\n{script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=True)


if __name__ == "__main__":
    main()
