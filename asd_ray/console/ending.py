"""What a search says at its end: the winners, where the report is, what to do next."""

import shlex
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from asd_ray.invocation import call_of
from asd_ray.report.render import cells, marked, with_interval
from asd_ray.report.summary import NOT_CONFIRMED, Summary, baseline_name


def print_end(folder: Path, summary: Summary) -> None:
    baseline = baseline_name(summary.run)
    table = Table("machine type", "best trial", "choosing", "reporting", baseline, box=box.SIMPLE)
    for machine in summary.machines:
        if machine.best is None:
            table.add_row(machine.machine_type, "none: see below" if machine.problems else "none is complete")
        else:
            table.add_row(machine.machine_type, machine.best.uid, *cells(machine, optimistic=summary.optimistic))
    Console(markup=False, highlight=False).print(table)
    print("in per cent, chance is 50; choosing: on the clips that chose the config; reporting: on the others,")
    print("which the configuration that the search started from is judged by too")
    print_standing(summary, baseline)
    print(f"report: {folder / 'report' / 'index.html'}")
    first = next((machine.machine_type for machine in summary.machines if machine.handed_over), None)
    if first is not None:
        detector = folder / "best" / f"{first}.yaml"
        print(f"next:   {call_of('score')} {shlex.quote(str(detector))} RECORDINGS")


def print_standing(summary: Summary, baseline: str) -> None:
    """What may be believed of each winner, and what is lost."""
    standings = {machine.standing for machine in summary.machines}
    if standings == {NOT_CONFIRMED}:
        print(f"{NOT_CONFIRMED}: --confirm 3 trains the best of each machine type again with fresh seeds")
    for machine in summary.machines if standings != {NOT_CONFIRMED} else ():
        print(f"{machine.machine_type}: {machine.standing}", end="")
        if machine.confirmed is not None:
            difference = with_interval(machine.confirmed.difference, signed=True)
            against = f"{marked(difference, summary.optimistic)} against the {baseline}: "
            print(f"; {against if machine.confirmed.difference else ''}{machine.confirmed.verdict}", end="")
        print()
    told = [f"{name} {found}" for name, found in summary.label_free.items() if found.value is not None]
    if told:
        print(f"rank correlation of the objective with the proxy that takes no label: {', '.join(told)}")
    for machine in summary.machines:
        for problem in machine.problems:
            print(f"{machine.machine_type}: {problem}", file=sys.stderr)
