"""Which trials go on: successive halving by best standing.

A trial's standing at a rung is a tuple: its percentile ranks in its studies, best first. A rank is the share of
the other trials that are worse, ties counting half, among those that have arrived and have a value in the same
study. Standings are compared as whole tuples because ties of the best ranks are common: with six studies, up to
six trials are first somewhere. So a trial that is promising for any one machine type goes on, and still only 1/eta
of all trials do.

The rule is asynchronous (Li et al., "A system for massively parallel hyperparameter tuning", 2020): a trial is
judged when it arrives, against those that arrived before it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from asd_ray.scoring.roc import Floats

ABSENT = -1.0  # below every rank: of two standings that are otherwise equal, the shorter is the lesser


class Standings:
    """The trials that have arrived at one rung, ranked all at once: fast enough for ten thousand.

    Axes: N trials in the order of their arrival, T machine types.
    """

    def __init__(self, machine_types: Sequence[str]) -> None:
        self._column = {name: number for number, name in enumerate(machine_types)}
        self._row: dict[str, int] = {}
        self._values_NT: Floats = np.full((16, len(self._column)), np.nan)

    def __len__(self) -> int:
        return len(self._row)

    def arrive(self, uid: str, values: Mapping[str, float]) -> None:
        """Note a trial's objective per machine type; a second call replaces the first."""
        row = self._row.setdefault(uid, len(self._row))
        if row == len(self._values_NT):
            self._values_NT = np.concatenate([self._values_NT, np.full_like(self._values_NT, np.nan)])
        for name, value in values.items():
            self._values_NT[row, self._column[name]] = value

    def survives(self, uid: str, *, eta: int) -> bool:
        """Whether the trial is among the best 1/eta of those that have arrived, itself included."""
        standings_NT = self._standings()
        mine_T = standings_NT[self._row[uid]]
        # Rows compare as tuples do: by the first place where they differ.
        differs_NT = standings_NT != mine_T
        first_N = differs_NT.argmax(axis=1)
        greater_NT = standings_NT > mine_T
        better = int(np.take_along_axis(greater_NT, first_N[:, None], axis=1).sum())
        return better < -(-len(self) // eta)

    def _standings(self) -> Floats:
        """Every trial's percentile ranks over its machine types, best first, ABSENT where it has no value."""
        values_NT = self._values_NT[: len(self)]
        ranks_NT = np.full_like(values_NT, ABSENT)
        for column in range(values_NT.shape[1]):
            has_N = ~np.isnan(values_NT[:, column])
            values = values_NT[has_N, column]
            ordered = np.sort(values)
            worse = np.searchsorted(ordered, values, side="left")
            equal = np.searchsorted(ordered, values, side="right") - worse - 1  # itself left out
            others = len(values) - 1
            ranks_NT[has_N, column] = (worse + 0.5 * equal) / others if others else 1.0
        ranks_NT.sort(axis=1)
        return ranks_NT[:, ::-1]
