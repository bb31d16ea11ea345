"""One live view of a search on a terminal: machine types, lanes, counts, speed, time left."""

import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asd_ray.console.lines import Lines, View, line_of
from asd_ray.console.progress import AtWork, Progress
from asd_ray.deadline import Deadline
from asd_ray.search.events import Event

PER_SECOND = 2.0  # drawings: few, because the machine is for training
OTHER_ROWS = 9  # rows for headings, counts and the bar
LEAST_ROWS = 3
BAR = 20


class LiveView:
    """Draws the present state in place, below one line for each trial that has ended."""

    def __init__(
        self,
        progress: Progress,
        console: Console,
        *,
        deadline: Deadline | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._console, self._deadline = progress, console, deadline or Deadline()
        self._clock, self._began = clock, clock()
        self._lock = threading.Lock()  # events arrive while a thread of the Live draws
        self._farewell = ""
        self._live = Live(self, console=console, refresh_per_second=PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._farewell:
            print(self._farewell, file=sys.stderr)  # the Live has wiped its own drawing of it

    def on_event(self, event: Event) -> None:
        now = self._clock()
        with self._lock:
            self._progress.take(event, now=now)
        # Do not hold the lock here: a drawing thread takes the Live's own lock before this one.
        if line := line_of(event, now - self._began):
            self._console.print(line, markup=False, highlight=False)

    def say(self, farewell: str) -> None:
        """Have the Live draw it within half a second, because a handler of a signal may not print."""
        self._farewell = farewell

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = self._clock()
        with self._lock:
            yield from self._parts(now, rows=max(LEAST_ROWS, options.size.height - OTHER_ROWS))

    def _parts(self, now: float, *, rows: int) -> RenderResult:
        progress, elapsed = self._progress, span(now - self._began)
        if not progress.planned:
            yield Text(f" {elapsed}  {progress.stage}", overflow="ellipsis", no_wrap=True)
        else:
            yield Group(
                best_table(progress, rows=rows - min(len(progress.at_work) + 1, rows // 2)),
                lanes_table(progress, rows=rows // 2, now=now) if progress.at_work else "",
                counts_line(progress),
                self._speed_line(now, elapsed),
            )
        if self._farewell:
            yield Text(f" {self._farewell}", style="bold")

    def _speed_line(self, now: float, elapsed: str) -> RenderableType:
        progress = self._progress
        words = [f"{elapsed} so far", time_left(progress, now, self._deadline)]
        if progress.epochs_per_second:
            words.append(f"{progress.epochs_per_second:.2f} epochs/s, {progress.clips_per_second:.0f} clips/s")
        if progress.idle_lanes and progress.left:
            words.append(f"idle lanes: {progress.idle_lanes}")
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(progress.total, 1), completed=progress.ended, width=BAR)
        line.add_row("", bar, Text("; ".join(filter(None, words)), overflow="ellipsis", no_wrap=True))
        return line


def best_table(progress: Progress, *, rows: int) -> RenderableType:
    table = Table("machine type", "best so far", "trial", box=box.SIMPLE_HEAD, pad_edge=True)
    table.columns[1].justify = "right"
    shown = sorted(progress.best.items(), key=lambda item: item[0].casefold())
    for machine_type, (name, value) in shown[:rows]:
        table.add_row(Text(machine_type), f"{100 * value:.1f}", Text(name))
    if not shown:
        table.add_row(Text("no trial is complete yet", style="dim"))
    if shown[rows:]:
        table.add_row(Text(f"and {len(shown) - rows} more", style="dim"))
    return table


def lanes_table(progress: Progress, *, rows: int, now: float) -> RenderableType:
    table = Table("lane", "trial", "epoch", "", "train loss", "s/epoch", box=box.SIMPLE_HEAD, pad_edge=True)
    for column in (table.columns[2], table.columns[4], table.columns[5]):
        column.justify = "right"
    working = sorted(progress.at_work.values(), key=place_of)
    for trial in working[:rows]:
        table.add_row(*lane_row(trial, progress.epochs, now=now))
    if working[rows:]:
        table.add_row("", Text(f"and {len(working) - rows} more", style="dim"))
    return table


def place_of(trial: AtWork) -> tuple[bool, str, float]:
    """The sort key of trials: by lane; trials that have no lane yet come last."""
    return (not trial.lane, short(trial.lane).zfill(9), trial.began)


def lane_row(trial: AtWork, epochs: int, *, now: float) -> tuple[RenderableType, ...]:
    if not trial.epoch:
        doing = Text(f"begins, {span(now - trial.began)}", style="dim")
        return (Text(short(trial.lane)), Text(trial.name), f"0/{epochs}", doing, "", "")
    loss = "" if trial.train_loss is None else f"{trial.train_loss:.3f}"
    bar = ProgressBar(total=epochs, completed=trial.epoch, width=BAR // 2)
    row = (Text(short(trial.lane)), Text(trial.name), f"{trial.epoch}/{epochs}", bar)
    return (*row, loss, f"{trial.epoch_seconds:.1f}")


def counts_line(progress: Progress) -> RenderableType:
    counts, noun = progress.counts, "trainings that confirm" if progress.confirming else "trials"
    outcomes = [f"{counts['complete']} {'confirmed' if progress.confirming else 'complete'}"]
    outcomes += [] if progress.confirming else [f"{counts['pruned']} pruned"]
    outcomes += [f"{counts['failed']} failed", f"{progress.left} left"]
    earlier = f" ({progress.earlier} in earlier calls)" if progress.earlier and not progress.confirming else ""
    line = Text(f" {progress.ended} of {progress.total} {noun}{earlier}: {', '.join(outcomes)}")
    line.highlight_regex(r"[1-9]\d* failed", "red")
    return line


def time_left(progress: Progress, now: float, deadline: Deadline) -> str:
    seconds = progress.seconds_left(now=now)
    estimate = "" if seconds is None else f"about {span(seconds)} left"
    if deadline.left is not None and (seconds is None or deadline.left < seconds):
        return f"ends in {span(deadline.left)}"
    return estimate


def short(lane: str) -> str:
    """A lane's number: its name without the part that distinguishes it from lanes of other searches.

    >>> short("lane-3-0f1e2d3c")
    '3'
    """
    return lane.split("-")[1] if "-" in lane else lane


def span(seconds: float) -> str:
    """A time in words, with two units at most.

    >>> [span(seconds) for seconds in (7.2, 95, 3 * 3600 + 120, 50 * 3600)]
    ['7 s', '1 min 35 s', '3 h 2 min', '2 d 2 h']
    """
    left, units = int(seconds), ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for (size, name), (smaller, smaller_name) in pairwise(units):
        if left >= size:
            return f"{left // size} {name} {left % size // smaller} {smaller_name}"
    return f"{left} s"


def open_view(progress: Progress, *, deadline: Deadline | None = None) -> View:
    """The view that suits standard output."""
    console = Console()
    live = sys.stdout.isatty() and console.is_interactive  # FORCE_COLOR alone does not count: it is for files, too
    return LiveView(progress, console, deadline=deadline) if live else Lines()
