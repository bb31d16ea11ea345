"""Rebuild the report of a search, or compare several searches.

    asd-ray report runs/first
    asd-ray report runs/first runs/second   # side by side: on the terminal, and as a page

It writes report/ (index.html, report.md, summary.json, trials.csv), best/ and models/ of every run again from what
is on disk, without a cluster and without training. If you give several runs, all are compared with the first.
"""

import argparse
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.errors import DONE, InputError
from asd_ray.files.paths import place

if TYPE_CHECKING:
    from asd_ray.report.compare import Comparison
    from asd_ray.report.summary import Summary


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="+", type=place, help="run folder of a search")
    parser.add_argument(
        "--out",
        type=place,
        default=Path("comparison.html"),
        help="page to write when several runs are compared (default comparison.html)",
    )
    parser.add_argument(
        "--storage", metavar="URL", help="PostgreSQL server that keeps the studies (default: $ASD_STORAGE)"
    )


def main(arguments: argparse.Namespace) -> int:
    from asd_ray.files.writing import write_whole
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
    from asd_ray.report.render import compared_cells

    def say(text: str, *, indent: int) -> None:
        width = shutil.get_terminal_size().columns
        first = " " * indent
        print(
            textwrap.fill(
                text,
                width,
                initial_indent=first,
                subsequent_indent=first + "  ",
                break_long_words=False,  # the names of runs and trials
                break_on_hyphens=False,
            )
        )

    for machine_type, row in comparison.machine_types.items():
        print(machine_type)
        for one in row:
            trial, choosing, reporting, difference, standing = compared_cells(
                one, optimistic=comparison.optimistic[one.run]
            )
            say(f"{one.run}: {trial}{', ' if standing else ''}{standing}", indent=2)
            if reporting:
                say(f"choosing {choosing}; reporting {reporting}", indent=4)
            if difference:
                say(f"difference {difference}", indent=4)
    print("in per cent, chance is 50; differences are paired by clips and seeds, and to")
    print(comparison.runs[0])
    for warning in comparison.warnings:
        print(f"not to be compared as they stand: {warning}")
