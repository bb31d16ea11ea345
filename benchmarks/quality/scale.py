#!/usr/bin/env python
"""What one proposal costs as a study grows: processor time of ask and tell, and the memory that an ask takes.

    python benchmarks/quality/scale.py            # 100, 1,000 and 10,000 finished trials, a few minutes
    python benchmarks/quality/scale.py --sizes 100,1000

`plain` is Optuna's sampler, which sees the whole study; `excerpt` is what `make_sampler` gives.
"""

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch and numpy are imported

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import StudySpace, load_space
from asd_ray.search.studies.samplers import make_sampler

RESULTS = Path(__file__).parents[1] / "results" / "search_scale.json"
ROUNDS = 5
PRUNED = 0.7  # share of the trials
PATIENCE_MS = 20_000  # one round of what takes longer is enough
Make = Callable[[optuna.Study], BaseSampler]


def grown(space: StudySpace, size: int) -> optuna.Study:
    """A study of so many finished trials, most of them pruned at epoch 9 of 27."""
    rng = np.random.default_rng(size)
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    point = space.suggest(study.ask())
    study.tell(0, state=TrialState.FAIL)
    distributions = space.distributions(point)
    for _ in range(size):
        params = {
            name: float(
                range_.low * (range_.high / range_.low) ** rng.uniform()
                if range_.log
                else rng.uniform(range_.low, range_.high)
            )
            for name, range_ in distributions.items()
        }
        value = 80 - 20 * (params["margin"] - 0.5) ** 2 + float(rng.normal())
        pruned = rng.uniform() < PRUNED
        curve = {9: value - 2 + float(rng.normal())} | ({} if pruned else {27: value})
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(
                state=state,
                value=None if pruned else value,
                params=params,
                distributions=distributions,
                intermediate_values=curve,
            )
        )
    return study


def measure(study: optuna.Study, space: StudySpace, make: Make) -> dict[str, float]:
    """Median processor milliseconds of ask and tell, and by how many MB the process grew in an ask."""
    asks, tells, grew = [], [], []
    for _ in range(ROUNDS):
        before, began = _resident_mb(peak=False), time.process_time()
        study.sampler = make(study)
        trial = study.ask()
        space.suggest(trial)
        asked = time.process_time()
        grew.append(_resident_mb(peak=True) - before)
        study.tell(trial, 80.0)
        asks.append(1000 * (asked - began))
        tells.append(1000 * (time.process_time() - asked))
        if asks[0] > PATIENCE_MS:
            break
    return {
        "ask_ms": round(statistics.median(asks), 1),
        "tell_ms": round(statistics.median(tells), 2),
        "extra_mb": round(max(grew), 1),
    }


def _resident_mb(*, peak: bool) -> float:
    """Resident memory of this process now, or its peak since the last call with `peak` off (Linux)."""
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")
    name = "VmHWM" if peak else "VmRSS"
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


def makers(space: StudySpace) -> dict[str, Make]:
    def ours(kind: str) -> Make:
        config = SearchConfig.model_validate({"sampler": kind})
        return lambda study: make_sampler(config, study, space, stream=0)

    def plain_gp(_: optuna.Study) -> BaseSampler:
        return GPSampler(seed=1, n_startup_trials=8, deterministic_objective=False)

    return {
        "random, excerpt": ours("random"),
        "tpe, plain": lambda _: TPESampler(seed=1, n_startup_trials=8),
        "tpe, excerpt": ours("tpe"),
        "gp, plain": plain_gp,
        "gp, excerpt": ours("gp"),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    space = load_space("noisy_arcmix")[0].of("fan")
    rows = []
    print("| finished trials | sampler | ask, ms | tell, ms | extra memory, MB |\n|---|---|---|---|---|")
    for size in map(int, options.sizes.split(",")):
        study = grown(space, size)
        for name, make in makers(space).items():
            if name == "gp, plain" and size > 2000:  # minutes and gigabytes
                continue
            row = {"trials": size, "sampler": name, **measure(study, space, make)}
            rows.append(row)
            print("| {trials} | {sampler} | {ask_ms} | {tell_ms} | {extra_mb} |".format(**row), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
