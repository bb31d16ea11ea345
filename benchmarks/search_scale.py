#!/usr/bin/env python
"""What the studies' own book-keeping costs as a search grows: six joint studies, random proposals, no training.

    python benchmarks/search_scale.py                 # 100, 1,000 and 10,000 finished trials per study
    python benchmarks/search_scale.py --sizes 100 --storage memory

Per size and storage, in a process of its own: seconds to open a search that holds so many finished trials, then
milliseconds for one trial's ask, its four reports and its tell, of the processor and by the clock (a journal waits
for its disk), and the memory that the storage and the studies take.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import load_space
from asd_ray.search.studies.studies import Studies
from asd_ray.training.rungs import rungs

TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
PUBLISHED = {"margin": 0.7, "scale": 30.0, "mixup_alpha": 0.5, "noise_prob": 1.0, "mix_prob": 1.0}
EPOCHS, ETA = 300, 3
SPACE = load_space("noisy_arcmix")[0]
PATIENCE_S, ROUNDS = 60.0, 30


class Lines(BaseJournalBackend):
    """A journal in memory, to be written to a file in one go."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs.extend(json.loads(json.dumps(log)) for log in logs)


def fill(storage: BaseStorage, trials: int) -> None:
    """Finished joint trials as a search leaves them: a third of those at a rung reach the next."""
    rng = random.Random(0)
    for name in TYPES:
        optuna.create_study(study_name=name, storage=storage, direction="maximize")
    studies = {name: storage.get_study_id_from_name(name) for name in TYPES}
    distributions = SPACE.of("fan").distributions(PUBLISHED)
    for number in range(trials):
        owner = TYPES[number % len(TYPES)]
        point = PUBLISHED if number == 0 else {
            "margin": rng.uniform(0.1, 1), "scale": rng.uniform(8, 64),
            "mixup_alpha": rng.uniform(0.1, 2), "noise_prob": rng.random(),
        }  # fmt: skip
        scored = [*rungs(EPOCHS, ETA), EPOCHS]
        if number:
            scored = scored[
                : next((step for step in range(1, len(scored)) if rng.random() > 1 / ETA), len(scored))
            ]
        curves = {name: {epoch: rng.random() for epoch in scored} for name in TYPES}
        state = TrialState.COMPLETE if scored[-1] == EPOCHS else TrialState.PRUNED
        for name in (owner, *(name for name in TYPES if name != owner)):
            attributes = {} if name == owner else {"copy_of": f"{owner}-{number}"}
            running = optuna.create_trial(
                state=TrialState.RUNNING,
                params={key: point[key] for key in distributions},
                distributions=distributions,
                user_attrs=attributes,
            )
            place = storage.create_new_trial(studies[name], running)
            for epoch in scored:
                storage.set_trial_intermediate_value(place, epoch, curves[name][epoch])
            if name == owner:
                text = {
                    key: {str(epoch): value for epoch, value in curve.items()} for key, curve in curves.items()
                }
                storage.set_trial_user_attr(place, "curves", text)
                storage.set_trial_user_attr(place, "reason", "")
            storage.set_trial_state_values(place, state, [curves[name][scored[-1]]])


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(kind: str, size: int, folder: Path) -> dict[str, float]:
    path = folder / "studies.journal"
    if kind == "journal":
        subprocess.run([sys.executable, __file__, "--fill", str(path), "--sizes", str(size)], check=True)
    empty, began = resident_mb(), time.process_time()
    storage: BaseStorage
    if kind == "journal":
        storage = JournalStorage(JournalFileBackend(str(path)))
    else:
        storage = InMemoryStorage()
        fill(storage, size)
        began = time.process_time()
    stored = resident_mb()
    studies = Studies(
        storage,
        machine_types=TYPES,
        space=SPACE,
        search=SearchConfig(trials=10**9, sampler="random"),
        epochs=EPOCHS,
        published=PUBLISHED,
    )
    opened_s, opened, opened_mb = time.process_time() - began, time.monotonic(), resident_mb()
    times = [one_trial(studies, random.Random(size))]
    while len(times) < ROUNDS and time.monotonic() - opened < PATIENCE_S:
        times.append(one_trial(studies, random.Random(size + len(times))))
    return {
        "trials": size,
        "open_s": opened_s,
        "storage_mb": stored - empty,
        "studies_mb": opened_mb - stored,
        "ask_ms": 1000 * statistics.median(parts[0] for parts in times),
        "report_ms": 1000 * statistics.median(parts[1] for parts in times),
        "tell_ms": 1000 * statistics.median(parts[2] for parts in times),
        "trial_ms": 1000 * statistics.median(sum(parts[:3]) for parts in times),
        "wall_ms": 1000 * statistics.median(parts[3] for parts in times),
    }


def one_trial(studies: Studies, rng: random.Random) -> tuple[float, float, float, float]:
    """Processor seconds of ask, of four reports and of tell, and the clock's for all; the trial is then pruned."""
    began, start = time.monotonic(), time.process_time()
    proposal = studies.ask()
    assert proposal is not None
    asked = time.process_time()
    for epoch in rungs(EPOCHS, ETA)[:4]:
        studies.report(proposal.uid, epoch, {name: rng.random() for name in TYPES})
    reported = time.process_time()
    studies.tell(proposal.uid, "pruned")
    return asked - start, reported - asked, time.process_time() - reported, time.monotonic() - began


def write_journal(path: Path, size: int) -> None:
    lines = Lines()
    fill(JournalStorage(lines), size)
    path.write_text("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in lines.logs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--storage", choices=["memory", "journal"], nargs="+", default=["memory", "journal"])
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if arguments.fill:
        write_journal(arguments.fill, arguments.sizes[0])
        return
    if arguments.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments.storage[0], arguments.sizes[0], Path(folder))))
        return
    print("storage  trials  open s  ask ms  reports ms  tell ms  together ms  by clock ms  storage MB  studies MB")
    for kind in arguments.storage:
        for size in arguments.sizes:
            command = [sys.executable, __file__, "--one", "--storage", kind, "--sizes", str(size)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(
                f"{kind:8}{row['trials']:7}{row['open_s']:8.2f}{row['ask_ms']:8.1f}{row['report_ms']:12.1f}"
                f"{row['tell_ms']:9.1f}{row['trial_ms']:13.1f}{row['wall_ms']:13.1f}"
                f"{row['storage_mb']:12.0f}{row['studies_mb']:12.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
