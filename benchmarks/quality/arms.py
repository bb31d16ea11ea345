"""The arms that are compared; an arm's name says what differs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import StudySpace
from asd_ray.search.studies.samplers import GP_LIMIT, ViewSampler, build, excerpt
from benchmarks.quality.drive import Arm, MakeSampler, variant
from benchmarks.quality.teach import NoisyGPSampler, with_predictions

ALL_RULES = ("observed", "posterior", "confirmed", "confirmed posterior")


def starting(kind: Any, startup: int) -> MakeSampler:
    """A sampler that is random until a study holds so many finished trials."""

    def make(search: SearchConfig, study: optuna.Study, space: StudySpace, *, stream: int) -> BaseSampler:
        trials = study.get_trials(deepcopy=False)
        return build(kind, trials, seed=_seed(search, trials, stream), startup=startup)

    return make


def noisy(pruned: str) -> MakeSampler:
    """The Gaussian process that expects noise; pruned trials `left out`, or with the `mean` or a value `drawn`."""

    def make(search: SearchConfig, study: optuna.Study, space: StudySpace, *, stream: int) -> BaseSampler:
        trials = study.get_trials(deepcopy=False)
        seed = _seed(search, trials, stream)
        seen = [trial for trial in trials if trial.state is not TrialState.PRUNED]
        if pruned != "left out":
            seen = with_predictions(trials, rng=np.random.default_rng(seed) if pruned == "drawn" else None)
        gp = NoisyGPSampler(seed=seed, startup=8)
        return ViewSampler(gp, excerpt(seen, GP_LIMIT, best=GP_LIMIT // 2))

    return make


def _seed(search: SearchConfig, trials: Sequence[FrozenTrial], stream: int) -> int:
    """As `make_sampler` has it: the start points are the same, and luck with them compares no arms."""
    return (search.seed * 1_000_003 + stream * 10_007 + len(trials)) % 2**32


_TPE = Arm("smooth joint tpe", sampler="tpe", rules=ALL_RULES, costs=(6, 12, 24, 48, 96, 144))
_RANDOM = variant(_TPE, "smooth joint random", sampler="random")
_GP = variant(_TPE, "smooth joint gp", sampler="gp", costs=(6, 12, 24, 48), seeds=20)
_NOISY = variant(_GP, "smooth joint noisy gp", maker=noisy("left out"))
_SAMPLERS = {"random": _RANDOM, "tpe": _TPE, "gp": _GP, "noisy gp": _NOISY}

MAIN = [
    *_SAMPLERS.values(),
    *(
        variant(arm, f"smooth own {name}", scope="own", rules=("observed", "confirmed"))
        for name, arm in _SAMPLERS.items()
    ),
]
WORLDS = [
    variant(
        arm, f"{label} joint {name}", rules=("observed", "posterior", "confirmed"), costs=(12, 24, 48), **changes
    )
    for label, changes in {
        "quiet": {"noise": 0.5},
        "still": {"noise": 0.25},
        "edges": {"kind": "edges"},
        "quiet edges": {"kind": "edges", "noise": 0.5},
        "rough": {"kind": "rough"},
        "cube": {"kind": "cube"},
        "inert": {"kind": "inert"},
        "alike": {"corr": 0.9},
        "unlike": {"corr": 0.0},
    }.items()
    for name, arm in _SAMPLERS.items()
]
STARTS = [
    variant(
        _SAMPLERS[kind],
        f"quiet joint {kind}, {startup} starts",
        noise=0.5,
        rules=("observed", "posterior", "confirmed"),
        costs=(12, 24, 48),
        maker=starting(kind, startup),
    )
    for kind in ("tpe", "gp")
    for startup in (4, 16)
]
_WAYS: dict[str, dict[str, Any]] = {
    "tpe, not pruned": {},
    "tpe, pruned": {"prune": True, "rungs": (1, 3, 9)},
    "tpe, pruned from 3": {"prune": True, "rungs": (3, 9)},
    "tpe, pruned at 9": {"prune": True, "rungs": (9,)},  # what `pruning.rungs` gives
    "ray stock": {"stock": True, "rules": ("observed", "confirmed")},
    "noisy gp, not pruned": {"maker": noisy("left out"), "seeds": 20},
    **{
        f"noisy gp, pruned from 3, {how}": {"prune": True, "rungs": (3, 9), "maker": noisy(how), "seeds": 20}
        for how in ("left out", "mean", "drawn")
    },
}
PRUNING = [
    variant(
        _TPE,
        f"{label} {way}",
        **{
            "kind": label,
            "rules": ("observed", "posterior", "confirmed"),
            "costs": (8, 16, 24),
            **changes,
        },
    )
    for label in ("early", "smooth", "late")
    for way, changes in _WAYS.items()
]
ARMS = [*MAIN, *WORLDS, *STARTS, *PRUNING]
QUICK = [
    variant(arm, f"quick {arm.name}", costs=(6, 12, 24), seeds=seeds, rules=("observed", "confirmed"))
    for arm, seeds in ((_RANDOM, 8), (_TPE, 8), (_GP, 2))
]
