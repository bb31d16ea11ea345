"""What a search prints at its end: the winners, where the report is, and what to do next."""

import shlex
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from asd_ray.invocation import call_of
from asd_ray.report.finished import Ending


def print_end(folder: Path, ending: Ending) -> None:
    table = Table(*ending.columns, box=box.SIMPLE)
    for row in ending.rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
    print("in per cent, chance is 50; choosing: on the clips that chose the config; reporting: on the others,")
    print("on which the configuration that the search started from is judged, too")
    for line in ending.standing:
        print(line)
    for problem in ending.problems:
        print(problem, file=sys.stderr)
    print(f"report: {folder / 'report' / 'index.html'}")
    if ending.handed_over:
        detector = folder / "best" / f"{ending.handed_over[0]}.yaml"
        print(f"next:   {call_of('score')} {shlex.quote(str(detector))} RECORDINGS")
