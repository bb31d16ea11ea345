"""What a search may vary: a number within a range or among a few, and the system among several names."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import Discriminator, Field, Tag, model_validator

from asd_ray.config import Param
from asd_ray.files.strict_yaml import Strict


class Above(Strict):
    """A parameter takes part only where another one is above a value."""

    above: float


class Range(Strict):
    """One searched number, sampled in [low, high]."""

    low: float
    high: float
    log: bool = Field(default=False, description="sample evenly in log(value)")
    step: Annotated[float, Field(gt=0)] | None = None
    when: dict[str, Above] = {}

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"need low < high, got low {self.low} and high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range begins above 0, got low {self.low}")
        if self.log and self.step is not None:
            raise ValueError("a log range has no step; drop one of them")
        return self

    def distribution(self) -> BaseDistribution:
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        return trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)

    def contains(self, value: Param) -> bool:
        if isinstance(value, str) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-8  # as Optuna tests it

    def limits(self) -> list[float]:
        return [self.low, self.high]

    def place(self, value: float) -> float:
        """Where a value lies between low (0) and high (1), on the scale on which it is sampled.

        >>> Range(low=1, high=100, log=True).place(10), Range(low=1, high=5).place(2)
        (0.5, 0.25)
        """
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)

    def __str__(self) -> str:
        steps = "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.low:g} to {self.high:g}{steps}"


class Choices(Strict):
    """One searched number out of a few."""

    choices: Annotated[list[float], Field(min_length=2)]
    when: dict[str, Above] = {}

    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.choices)

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        return float(trial.suggest_categorical(name, self.choices))

    def contains(self, value: Param) -> bool:
        return value in self.choices

    def limits(self) -> list[float]:
        return self.choices

    def __str__(self) -> str:
        return " or ".join(f"{value:g}" for value in self.choices)


class Names(Strict):
    """One system out of several."""

    choices: tuple[str, ...]

    @property
    def when(self) -> dict[str, Above]:
        return {}

    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.choices)

    def suggest(self, trial: optuna.Trial, name: str) -> str:
        return str(trial.suggest_categorical(name, self.choices))

    def contains(self, value: Param) -> bool:
        return value in self.choices

    def __str__(self) -> str:
        return " or ".join(self.choices)


def _kind(value: Any) -> str:
    if isinstance(value, Choices) or (isinstance(value, Mapping) and "choices" in value):
        return "<choices>"
    return "<range>" if isinstance(value, (Range, Mapping)) else "<constant>"


Spec = Annotated[
    Annotated[Range, Tag("<range>")] | Annotated[Choices, Tag("<choices>")] | Annotated[float, Tag("<constant>")],
    Discriminator(_kind),
]


Searched = Range | Choices | Names
HELD = (float, str)  # types of a plain value, which a number or a system is held at


def shown(value: Param) -> str:
    """A value as people write it.

    >>> shown(30.0), shown("stgram")
    ('30', 'stgram')
    """
    return value if isinstance(value, str) else f"{value:g}"
