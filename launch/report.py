#!/usr/bin/env python
"""Rebuild the report of a search from what is on disk, or compare several: no cluster, no training.

    python launch/report.py runs/first
    python launch/report.py runs/first runs/second   # side by side: on the terminal, and as a page

Writes report/ (index.html, report.md, summary.json, trials.csv), best/ and models/ of every run anew. Of several,
the first is what the others are compared with.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.command import DONE, InputError, Parser, run_command
from asd_ray.places import place

if TYPE_CHECKING:
    from asd_ray.report.compare import Comparison
    from asd_ray.report.summary import Summary


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("run", metavar="RUN", nargs="+", type=place, help="run folder")
    parser.add_argument(
        "--out", type=place, default=Path("comparison.html"), help="page of several runs (default comparison.html)"
    )
    parser.add_argument(
        "--storage", metavar="URL", help="PostgreSQL server of the studies (default: $ASD_STORAGE)"
    )
    return parser.parse_args()


def command(arguments: argparse.Namespace) -> int:
    from asd_ray.files import write_whole
    from asd_ray.report.compare import compare
    from asd_ray.report.render import comparison_page, rebuild_alone

    runs = arguments.run
    for number, run in enumerate(runs):
        if run in runs[:number]:
            raise InputError(f"{run} is given twice; leave one out")
    found = []
    for run in runs:
        summary = rebuild_alone(run, storage=arguments.storage)
        print_rebuilt(run, summary, name=f"{run}: " if len(runs) > 1 else "")
        found.append((str(run), summary))
    if len(runs) > 1:
        comparison = compare(found)
        print_comparison(comparison)
        write_whole(arguments.out, comparison_page(comparison))
        print(f"comparison: {arguments.out}")
    return DONE


def print_rebuilt(run: Path, summary: "Summary", *, name: str) -> None:
    print(f"{name}{summary.counted}")
    for machine in summary.machines:
        for problem in machine.problems:
            print(f"{name}{machine.machine_type}: {problem}", file=sys.stderr)
    print(f"report: {run / 'report' / 'index.html'}")


def print_comparison(comparison: "Comparison") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from asd_ray.report.render import compared_cells

    table = Table(
        "machine type", "search", "trial", "choosing", "reporting", "difference", "how sure", box=box.SIMPLE
    )
    for machine_type, row in comparison.machine_types.items():
        for one in row:
            shown = compared_cells(one, optimistic=comparison.optimistic[one.run])
            table.add_row(machine_type if one is row[0] else "", one.run, *shown)
    Console(markup=False, highlight=False).print(table)
    print(f"in per cent, chance is 50; differences are to {comparison.runs[0]}, paired by clips and seeds")
    for warning in comparison.warnings:
        print(f"not to be compared as they stand: {warning}")


if __name__ == "__main__":
    run_command(command, parse())
