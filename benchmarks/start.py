#!/usr/bin/env python
"""How long a search takes before and beside its training, against stock Ray Tune with one TorchTrainer per trial.

    python benchmarks/start.py                # five turns, some twelve minutes on two idle cores
    python benchmarks/start.py --turns 1      # a look
    python benchmarks/start.py --processes    # and what each process of one search took

Every command runs in a process of its own, ours and stock alternately; figures are medians. Seconds are those of
the clock, so the machine must be idle; processor seconds are those of the command and of all that it started.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from asd_ray.data.prepare import prepare
from asd_ray.data.synthetic import BUILT_IN, write_corpus

HERE = Path(__file__).parent
MARK = "ASD_BENCH_MARK"
LOOK_S = 0.1
TINY = ("model.width=0.0625", "train.batch_size=16")
EPOCHS = 2
TRIALS = 3


@dataclass
class Seen:
    """A process of a command: what it is called, and what it has taken so far."""

    name: str
    born: float  # seconds after the command
    cpu: float = 0.0


@dataclass
class Ran:
    """One command that was run."""

    seconds: float
    first_batch: float | None = None  # seconds after the command
    processes: list[Seen] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return sum(one.cpu for one in self.processes)


def watched(command: Sequence[object], folder: Path) -> Ran:
    """Run a command to its end, with an eye on the processes that it starts. Raises SystemExit if it fails."""
    mark, note = uuid.uuid4().hex, folder / f"first-{uuid.uuid4().hex}"
    environment = os.environ | {
        MARK: mark,
        "ASD_BENCH_FIRST_BATCH": str(note),
        "PYTHONPATH": os.pathsep.join([str(HERE / "start_hook"), str(HERE.parent)]),
    }
    seen: dict[tuple[int, float], Seen] = {}
    others: set[tuple[int, float]] = set()
    ended = threading.Event()
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def look() -> None:
        while not ended.wait(LOOK_S):
            for one in psutil.process_iter():
                _look_at(one, mark, began, seen, others)

    watcher = threading.Thread(target=look)
    watcher.start()
    printed, _ = process.communicate()
    seconds = time.time() - began
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))} ended with status {process.returncode}:\n{printed[-3000:]}"
        )
    first = (
        min((float(line) - began for line in note.read_text().split()), default=None) if note.exists() else None
    )
    return Ran(seconds, first, sorted(seen.values(), key=lambda one: one.born))


def _look_at(
    one: psutil.Process, mark: str, began: float, seen: dict[Any, Seen], others: set[tuple[int, float]]
) -> None:
    try:
        key = (one.pid, one.create_time())
        if key in others:
            return
        if key not in seen:
            if one.environ().get(MARK) != mark:
                others.add(key)
                return
            seen[key] = Seen("", one.create_time() - began)
        times, words = one.cpu_times(), one.cmdline()
        seen[key].cpu = times.user + times.system
        seen[key].name = _name(words) or seen[key].name
    except psutil.Error:
        return  # it has ended meanwhile


def _name(words: Sequence[str]) -> str:
    """`ray::Mailbox`, `raylet`, `tune.py`: what a process is called here.

    >>> _name(["ray::RayTrainWorker.poll_status"]), _name(["/usr/bin/python", "-u", "/a/launch/tune.py", "--run"])
    ('ray::RayTrainWorker', 'tune.py')
    """
    if not words:
        return ""
    if words[0].startswith("ray::"):
        return words[0].split(".")[0]
    scripts = [Path(word).name for word in words if word.endswith(".py")]
    return scripts[0] if scripts else Path(words[0]).name


def tune(shards: Path, run: Path, *, lanes: int, trials: int = TRIALS) -> list[object]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    options = ("--trials", trials, "--epochs", EPOCHS, "--lanes", lanes, *settings)
    return ["-m", "asd_ray", "tune", "--data", shards, "--run", run, *options]


def stock(recordings: Path, *, lanes: int) -> list[object]:
    options = ("--at-once", lanes, "--width", 0.0625, "--batch-size", 16, "--score-at", EPOCHS)
    return [HERE / "baseline_tune.py", "--data", recordings, "--epochs", *[EPOCHS] * TRIALS, *options]


def training_seconds(run: Path) -> float:
    """Of all epochs of a run; a lane trains on one thread, so that they are processor seconds, too."""
    reports = [one for path in run.glob("trials/*/metrics.json") for one in json.loads(path.read_text())]
    return sum(float(one["seconds"]) for one in reports)


def measure(folder: Path, *, turns: int) -> tuple[list[dict[str, Any]], Ran]:
    built_in = write_corpus(
        folder / "built-in",
        train_per_id=BUILT_IN.train_per_id,
        test_normal_per_id=BUILT_IN.test_normal_per_id,
        test_anomaly_per_id=BUILT_IN.test_anomaly_per_id,
    )
    small = write_corpus(
        folder / "small", ids_per_type=2, train_per_id=5, test_normal_per_id=4, test_anomaly_per_id=4
    )
    for corpus in (built_in, small):
        prepare(corpus, corpus.with_name(f"{corpus.name}-shards"), valid_fraction=0.25)
    shards, small_shards = folder / "built-in-shards", folder / "small-shards"
    found: dict[str, list[Ran]] = {name: [] for name in ("help", "two", "three", "stock", "again")}
    training = []
    for turn in range(turns):
        run = folder / f"three-{turn}"
        found["help"].append(watched(["-m", "asd_ray", "--help"], folder))
        found["two"].append(watched(tune(shards, folder / f"two-{turn}", lanes=2), folder))
        found["three"].append(watched(tune(small_shards, run, lanes=1), folder))
        found["stock"].append(watched(stock(small, lanes=1), folder))
        found["again"].append(watched(tune(small_shards, run, lanes=1), folder))
        training.append(training_seconds(run))
    beside = [one.cpu - trained for one, trained in zip(found["three"], training, strict=True)]
    beside_stock = [one.cpu - trained for one, trained in zip(found["stock"], training, strict=True)]
    first = [one.first_batch for one in found["two"] if one.first_batch is not None]

    def row(name: str, values: Sequence[float], unit: str, *, against: Sequence[float] = ()) -> dict[str, Any]:
        ratio = round(median(against) / median(values), 2) if against else None
        return {
            "name": name,
            "median": round(median(values), 2),
            "all": [round(value, 2) for value in values],
            "unit": unit,
            "stock": round(median(against), 2) if against else None,
            "ratio": ratio,
        }

    rows = [
        row("asd-ray --help", [one.seconds for one in found["help"]], "s"),
        row("command to first trained batch, built-in corpus, two lanes", first, "s"),
        row(
            f"{TRIALS} trials of {EPOCHS} epochs, one lane, report included",
            [one.seconds for one in found["three"]],
            "s",
            against=[one.seconds for one in found["stock"]],
        ),
        row("the same with the run finished already", [one.seconds for one in found["again"]], "s"),
        row("processor seconds beside training", beside, "cpu s", against=beside_stock),
    ]
    return rows, found["two"][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="how often each command is run (default 5)")
    parser.add_argument("--processes", action="store_true", help="what each process of a search of two lanes took")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        rows, last = measure(Path(folder), turns=arguments.turns)
    for row in rows:
        ratio = f"{row['ratio']:5.1f}x" if row["ratio"] is not None else "      "
        print(f"{ratio} {row['median']:8.2f} {row['unit']:6} {row['name']}")
        print(json.dumps(row), flush=True)
    if arguments.processes:
        for one in last.processes:
            print(f"{one.born:7.1f} s  {one.cpu:6.2f} cpu s  {one.name}")
        print(f"{len(last.processes)} processes, {last.cpu:.1f} processor seconds")


if __name__ == "__main__":
    main()
