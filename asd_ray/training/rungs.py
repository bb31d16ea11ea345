"""When the search judges trials: the rungs of successive halving. `standings` decides which trials go on."""

from asd_ray.config import SearchConfig


def rungs(epochs: int, eta: int) -> tuple[int, ...]:
    """The epochs at which the search judges trials; the last epoch of the budget is not a rung.

    There is one rung. Rungs at epochs 1, eta, eta^2, ... judge by values that are mostly noise, and prune good
    configs that learn slowly: measured at the same number of epochs spent, they cost up to 1.3 AUC points, while
    the one rung at 1/eta gained 0.1 to 0.35 or made no difference (docs/LOG.md).

    >>> rungs(30, 3)
    (10,)
    """
    rung = max(1, epochs // eta)
    return (rung,) if rung < epochs else ()


def rungs_of(search: SearchConfig, epochs: int) -> tuple[int, ...]:
    """The rungs of a search; empty if it does not prune."""
    return rungs(epochs, search.eta) if search.prune else ()
