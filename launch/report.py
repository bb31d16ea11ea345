#!/usr/bin/env python
"""Rebuild the report of a search from what is on disk: no cluster, no training.

    python launch/report.py runs/first

Writes report/ (index.html, report.md, summary.json, trials.csv), best/ and models/ anew.
"""

import argparse
import sys

from asd_ray.command import DONE, Parser, run_command
from asd_ray.places import place


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("run", metavar="RUN", type=place, help="run folder")
    parser.add_argument(
        "--storage", metavar="URL", help="PostgreSQL server of the studies (default: $ASD_STORAGE)"
    )
    return parser.parse_args()


def command(arguments: argparse.Namespace) -> int:
    from asd_ray.report.render import rebuild_alone

    summary = rebuild_alone(arguments.run, storage=arguments.storage)
    counts = ", ".join(f"{count} {state}" for state, count in summary.counts().items())
    print(f"{len(summary.trials)} trials ({counts or 'none yet'})")
    for machine in summary.machines:
        for problem in machine.problems:
            print(f"{machine.machine_type}: {problem}", file=sys.stderr)
    print(f"report: {arguments.run / 'report' / 'index.html'}")
    return DONE


if __name__ == "__main__":
    run_command(command, parse())
