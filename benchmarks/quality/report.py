"""Tables and the plot of what the searches of quality/search.py found."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LABELS = {"observed": "best observed", "posterior": "posterior mean"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm at one cost by one rule of choice, over its seeds."""

    seeds: int
    regret: float
    error: float  # standard error of `regret`
    quartiles: tuple[float, float]
    within: float  # share of machine types within the goal
    finished: float

    def text(self) -> str:
        return f"{self.regret:.2f} ± {self.error:.2f}"


Cells = dict[tuple[str, int, str], Cell]


def cells_of(lines: Iterable[dict]) -> Cells:
    """(arm, cost, rule) -> Cell."""
    found: dict[tuple[str, int, str], list[tuple[float, float, int]]] = {}
    for line in lines:
        for cost, moment in line["moments"].items():
            for rule, pair in moment.items():
                if rule != "finished":
                    key = (line["arm"], int(cost), rule)
                    found.setdefault(key, []).append((*pair, moment["finished"]))
    return {key: _cell(rows) for key, rows in found.items()}


def _cell(rows: Sequence[tuple[float, float, int]]) -> Cell:
    regrets, within, finished = map(list, zip(*rows, strict=True))
    many = len(rows) > 1
    quarters = statistics.quantiles(regrets, n=4) if many else [regrets[0]] * 3
    return Cell(
        seeds=len(rows),
        regret=statistics.fmean(regrets),
        error=statistics.stdev(regrets) / math.sqrt(len(rows)) if many else math.nan,
        quartiles=(quarters[0], quarters[2]),
        within=statistics.fmean(within),
        finished=statistics.fmean(finished),
    )


def table(cells: Cells, arms: Sequence[str], rule: str, *, within: bool = False) -> str:
    """Rows are arms, columns costs in full trainings; regret ± standard error, or the share within the goal."""
    costs = sorted({cost for arm, cost, by in cells if arm in arms and by == rule})
    lines = ["| arm (seeds) | " + " | ".join(map(str, costs)) + " |", "|---" * (len(costs) + 1) + "|"]
    for arm in arms:
        row = [cells.get((arm, cost, rule)) for cost in costs]
        seeds = [cell.seeds for cell in row if cell]
        if seeds:
            texts = ["" if cell is None else f"{cell.within:.0%}" if within else cell.text() for cell in row]
            lines.append(f"| {arm} ({min(seeds)}) | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def reach_table(lines: Sequence[dict], *, goals: Sequence[float] = (1.0, 0.5)) -> str:
    """How many searches come within the goals (mean over the machine types), and what the median one spends on it.

    Spent: full trainings (times the epochs of one: epochs) when it was first seen there; in brackets the trials
    that had ended by then.
    """
    rows = []
    for arm, rule in dict.fromkeys((line["arm"], rule) for line in lines for rule in _rules(line)):
        own = [line for line in lines if line["arm"] == arm]
        texts = [_reached(own, rule, goal) for goal in goals]
        rows.append(f"| {arm} | {LABELS.get(rule, rule)} | " + " | ".join(texts) + " |")
    head = "| arm | chosen by | " + " | ".join(f"within {goal:g} points" for goal in goals) + " |"
    return "\n".join([head, "|---" * (2 + len(goals)) + "|", *rows]) + "\n"


def _rules(line: dict) -> list[str]:
    return [rule for rule in next(iter(line["moments"].values())) if rule != "finished"]


def _reached(lines: Sequence[dict], rule: str, goal: float) -> str:
    """`7 of 10, 24 (23 trials)`; where fewer than half come there, there is no median."""
    firsts = []
    for line in lines:
        reached = [
            (int(cost), found["finished"]) for cost, found in line["moments"].items() if found[rule][0] <= goal
        ]
        firsts.append(min(reached, default=(math.inf, 0)))
    count = sum(cost < math.inf for cost, _ in firsts)
    cost, finished = sorted(firsts)[(len(firsts) - 1) // 2]
    return f"{count} of {len(firsts)}" + (f", {cost} ({finished} trials)" if cost < math.inf else "")


def seconds_table(lines: Iterable[dict]) -> str:
    """Mean processor seconds of a whole search, by arm."""
    spent: dict[str, list[float]] = {}
    for line in lines:
        spent.setdefault(line["arm"], []).append(line["seconds"])
    rows = [f"| {arm} | {statistics.fmean(values):.1f} |" for arm, values in spent.items()]
    return "\n".join(["| arm | processor seconds of a search |", "|---|---|", *rows]) + "\n"


def plot(cells: Cells, path: Path) -> None:
    """Regret against cost: the samplers, the rules of choice, and pruning; bands are quartiles over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "search_quality"  # the same figures give the same file
    from matplotlib import pyplot

    panels: dict[str, list[tuple[str, str, str]]] = {
        "Samplers (chosen after confirmation)": [
            (f"smooth {scope} {name}", "confirmed", f"{scope} {name}")
            for scope in ("joint", "own")
            for name in ("random", "tpe", "noisy gp")
        ],
        "Choice of the winner (joint TPE)": [
            ("smooth joint tpe", rule, LABELS.get(rule, rule))
            for rule in ("observed", "posterior", "confirmed", "confirmed posterior")
        ],
        "Pruning (chosen after confirmation)": [
            (f"{kind} tpe, {way}", "confirmed", f"{kind}, {way}")
            for kind in ("early", "late")
            for way in ("not pruned", "pruned", "pruned from 3")
        ],
    }
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), sharey=True)
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for number, (arm, rule, label) in enumerate(curves):
            _curve(
                axis,
                cells,
                (arm, rule),
                label=label,
                style="-" if number < 3 else "--",
                color=f"C{number % 3 if len(curves) > 4 else number}",
            )
        axis.set(title=title, xlabel="epochs spent, in full trainings", ylim=(0, 4))
        axis.axhline(0.5, color="0.7", linewidth=0.8)
        if len(axis.lines) > 1:
            axis.legend(fontsize=7, frameon=False)
            costs = sorted({float(x) for line in axis.lines[:-1] for x in line.get_xdata()})
            axis.set_xscale("log")
            axis.set_xticks(costs, labels=[f"{cost:g}" for cost in costs], minor=False)
            axis.set_xticks([], minor=True)
    axes[0].set_ylabel("regret of the chosen point, AUC points")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _curve(axis, cells: Cells, which: tuple[str, str], *, label: str, style: str, color: str) -> None:
    points = sorted((cost, cell) for (arm, cost, rule), cell in cells.items() if (arm, rule) == which)
    if not points:
        return
    costs = [cost for cost, _ in points]
    axis.plot(costs, [cell.regret for _, cell in points], style, label=label, color=color, linewidth=1.4)
    low, high = ([cell.quartiles[side] for _, cell in points] for side in (0, 1))
    axis.fill_between(costs, low, high, color=color, alpha=0.08, linewidth=0)


def write_report(path: Path, *, svg: Path) -> None:
    """Print every table, and draw the plot."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    cells = cells_of(lines)
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    for rule in ("observed", "posterior", "confirmed", "confirmed posterior"):
        of_rule = [arm for arm in arms if any((arm, rule) == (name, by) for name, _, by in cells)]
        if of_rule:
            chosen = LABELS.get(rule, rule)
            print(f"\nRegret in AUC points, chosen by: {chosen}\n\n{table(cells, of_rule, rule)}")
            shares = table(cells, of_rule, rule, within=True)
            print(f"\nShare of machine types within 0.5 points, chosen by: {chosen}\n\n{shares}")
    print(f"\nWhen searches first come within the goals\n\n{reach_table(lines)}")
    print(f"\n{seconds_table(lines)}")
    plot(cells, svg)
