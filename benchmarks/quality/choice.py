"""Which trial a search would hand over, by several rules, and how far its true value lies below the best."""

from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.space import Params
from asd_ray.search.studies.surface import smoothed, unit_points
from benchmarks.quality.drive import Moment
from benchmarks.quality.worlds import PUBLISHED, World

CANDIDATES, SEEDS = 3, 5  # a confirmation trains so many configurations with so many fresh seeds
GOAL = 0.5  # points


def ranked(moment: Moment, machine_type: str, rule: str, *, world: World) -> list[FrozenTrial]:
    """Complete trials, best first, by what was observed or by the posterior mean."""
    complete = [trial for trial in moment.studies.trials(machine_type) if trial.state is TrialState.COMPLETE]
    values = np.array([trial.value for trial in complete])
    if rule == "posterior":
        values = smoothed(unit_points(complete, world.space.of(machine_type)), values)
    return [complete[index] for index in np.argsort(-values, kind="stable")]


def confirmed(
    machine_type: str, candidates: Sequence[FrozenTrial], world: World, *, rng: np.random.Generator
) -> FrozenTrial:
    """The candidate with the best mean over fresh trainings."""
    means = [world.retrained(machine_type, whole(trial), seeds=SEEDS, rng=rng) for trial in candidates]
    return candidates[int(np.argmax(means))]


def whole(trial: FrozenTrial) -> Params:
    return {"mix_prob": 1.0, **trial.params}


def chosen(
    machine_type: str, rule: str, order: Sequence[FrozenTrial], *, world: World, rng: np.random.Generator
) -> Params:
    """The first of an order; or, of a `confirmed` rule, the best of its first few when trained again."""
    if not order:
        return PUBLISHED
    if rule.startswith("confirmed"):
        return whole(confirmed(machine_type, order[:CANDIDATES], world, rng=rng))
    return whole(order[0])


def judge(moment: Moment, rules: Sequence[str], *, world: World) -> dict[str, list[float]]:
    """Per rule: the mean regret over machine types in points, and the share of them within GOAL of the best.

    Rules: `observed`, `posterior`, `confirmed` (the best observed, trained again), `confirmed posterior`.
    """
    by = {"posterior" if rule.endswith("posterior") else "observed" for rule in rules}
    orders = {(name, key): ranked(moment, name, key, world=world) for name in world.optimum for key in by}
    found = {}
    for rule in rules:
        rng = np.random.default_rng([world.seed, 4, moment.cost])
        key = "posterior" if rule.endswith("posterior") else "observed"
        points = {name: chosen(name, rule, orders[name, key], world=world, rng=rng) for name in world.optimum}
        regrets = np.array([world.best(name) - world.truth(name, point) for name, point in points.items()])
        found[rule] = [round(float(regrets.mean()), 3), round(float((regrets <= GOAL).mean()), 3)]
    return found
