#!/usr/bin/env python
"""How good are the searches? Samplers, choices of the winner and pruning on scripted objectives, without training.

    python benchmarks/quality/search.py --quick            # under a minute: a few seeds of the cheap arms
    python benchmarks/quality/search.py                    # every arm; goes on where an earlier call ended
    python benchmarks/quality/search.py --arms "tpe" --seeds 10
    python benchmarks/quality/search.py --report           # tables and plot of what is there

Every finished search is one line of `--out`, so a call may be cut off at any time.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = (
    "1"  # read when torch and numpy are imported; small matrices gain nothing from more
)

import optuna

from benchmarks.quality.arms import ARMS, QUICK
from benchmarks.quality.choice import judge
from benchmarks.quality.drive import Arm, search
from benchmarks.quality.report import write_report

RESULTS = Path(__file__).parents[1] / "results" / "search_quality.jsonl"
QUICK_RESULTS = Path(__file__).parents[2] / "build" / "search_quality_quick.jsonl"
PLOT = Path(__file__).parents[2] / "docs" / "search_quality.svg"


@dataclass(frozen=True, slots=True)
class Line:
    """One search: at each cost the trials finished and, per rule, mean regret and share within the goal."""

    arm: str
    seed: int
    seconds: float
    moments: dict[str, dict[str, object]]


def run(arm: Arm, seed: int) -> Line:
    began = time.process_time()
    world = arm.world(seed)
    asked = 0.0
    moments: dict[str, dict[str, object]] = {}
    if arm.stock:
        from benchmarks.quality.stock import search_stock  # imports ray, which takes seconds

        moments_of = search_stock(arm, seed)
    else:
        moments_of = search(arm, seed)
    for moment in moments_of:
        asked += time.process_time() - began
        moments[str(moment.cost)] = {"finished": moment.finished, **judge(moment, arm.rules, world=world)}
        began = time.process_time()
    return Line(arm.name, seed, round(asked, 2), moments)


def done(path: Path) -> set[tuple[str, int]]:
    if not path.exists():
        return set()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(line["arm"], line["seed"]) for line in lines}


def run_all(arms: Iterable[Arm], path: Path, *, seeds: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = done(path)
    for arm in arms:
        for seed in range(arm.seeds if seeds is None else seeds):
            if (arm.name, seed) not in known:
                line = run(arm, seed)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(line)) + "\n")
        print(f"{arm.name}: done", flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seeds of a few arms")
    parser.add_argument(
        "--arms", default="", help="regular expression: run only the arms it matches from the start"
    )
    parser.add_argument("--seeds", type=int, help="seeds per arm (default: as each arm says)")
    parser.add_argument("--out", type=Path, help="JSON lines, one per search (default: benchmarks/results)")
    parser.add_argument("--plot", type=Path, help="where the picture goes (default: docs/search_quality.svg)")
    parser.add_argument("--report", action="store_true", help="run nothing, write tables and plot")
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    default = QUICK_RESULTS if options.quick else RESULTS
    out = options.out or default
    plot = options.plot or (default.with_suffix(".svg") if options.quick else PLOT)
    if not options.report:
        arms = QUICK if options.quick else ARMS
        run_all([arm for arm in arms if re.match(options.arms, arm.name)], out, seeds=options.seeds)
    write_report(out, svg=plot)


if __name__ == "__main__":
    main(sys.argv[1:])
