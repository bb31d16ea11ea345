"""Which trials go on: successive halving by best standing.

At a rung, 1/eta of the budget, a trial's standing is its best percentile rank over all studies, so a trial that is
promising for any one machine type lives, and still only 1/eta of them do. The rule is asynchronous (Li et al., "A
system for massively parallel hyperparameter tuning", 2020): a trial is judged when it arrives, against those that
were there before it.
"""

from collections.abc import Mapping

Values = Mapping[str, float]  # machine type -> objective


def rungs(epochs: int, eta: int) -> tuple[int, ...]:
    """The epochs at which trials are judged; the last epoch of the budget is no rung.

    There is one. Rungs at epochs 1, eta, eta^2, ... judge by values that are mostly noise, and where what is good
    learns slowly they prune it: measured, they cost up to 1.3 AUC points at the same epochs spent, where the one
    at 1/eta gained 0.1 to 0.35 or was even (docs/LOG.md).

    >>> rungs(30, 3)
    (10,)
    """
    rung = max(1, epochs // eta)
    return (rung,) if rung < epochs else ()


def standing(uid: str, arrived: Mapping[str, Values]) -> tuple[float, ...]:
    """The trial's percentile ranks among those that arrived at a rung, over its studies, best first.

    A rank is the share of the other trials that are worse, ties counting half; it compares trials only with
    trials that have a value in the same study. Comparing the whole tuple breaks ties of the best ranks, which
    are common: with six studies, up to six trials are first somewhere.
    """
    ranks = []
    for machine_type, value in arrived[uid].items():
        others = [
            values[machine_type] for other, values in arrived.items() if other != uid and machine_type in values
        ]
        if others:
            worse = sum(other < value for other in others) + 0.5 * sum(other == value for other in others)
            ranks.append(worse / len(others))
        else:
            ranks.append(1.0)
    return tuple(sorted(ranks, reverse=True))


def survives(uid: str, arrived: Mapping[str, Values], *, eta: int) -> bool:
    """Whether the trial is among the best 1/eta of those that have arrived at its rung, itself included."""
    mine = standing(uid, arrived)
    better = sum(standing(other, arrived) > mine for other in arrived if other != uid)
    return better < -(-len(arrived) // eta)
