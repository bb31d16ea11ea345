"""Search spaces: which numbers are searched, and in what ranges. One YAML per question.

    question: Which margin and scale?
    params:
      margin: {low: 0.1, high: 1.0}
      noise_prob: {low: 0.0, high: 1.0, when: {margin: {above: 0.0}}}   # inert without a margin
      mix_prob: 1.0                                                     # a plain value is held
    machine_types:
      valve: {margin: {low: 0.3, high: 1.2}}
    start:
      - {margin: 0.7, noise_prob: 1.0}

`machine_types` replaces ranges for one machine type's study. `start` lists points to try early, after the
configuration that the search starts from.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import Discriminator, Field, Tag, model_validator

from asd_ray.command import InputError
from asd_ray.config import TUNABLE, WHOLE_NUMBERS, RunConfig, with_params
from asd_ray.places import place
from asd_ray.spelling import nearest, suggestion
from asd_ray.strict_yaml import KeyPath, Strict, WrongValueError, load

Params = dict[str, float]
SPACES_DIR = Path(__file__).resolve().parents[2] / "search_spaces"


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

    def contains(self, value: float) -> bool:
        if not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-8  # as Optuna has it

    def limits(self) -> list[float]:
        return [self.low, self.high]

    def place(self, value: float) -> float:
        """Where a value lies between low (0) and high (1), in the scale that it is sampled in.

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

    def contains(self, value: float) -> bool:
        return value in self.choices

    def limits(self) -> list[float]:
        return self.choices

    def __str__(self) -> str:
        return " or ".join(f"{value:g}" for value in self.choices)


def _kind(value: Any) -> str:
    if isinstance(value, Choices) or (isinstance(value, Mapping) and "choices" in value):
        return "<choices>"
    return "<range>" if isinstance(value, (Range, Mapping)) else "<constant>"


Spec = Annotated[
    Annotated[Range, Tag("<range>")] | Annotated[Choices, Tag("<choices>")] | Annotated[float, Tag("<constant>")],
    Discriminator(_kind),
]


class SearchSpace(Strict):
    """A file of `search_spaces/`."""

    question: str = Field(description="what this search asks, in one line")
    params: dict[str, Spec] = Field(min_length=1, json_schema_extra={"propertyNames": {"enum": list(TUNABLE)}})
    machine_types: dict[str, dict[str, Spec]] = {}
    start: list[dict[str, float]] = []

    @model_validator(mode="after")
    def _check(self) -> "SearchSpace":
        for name in self.params:
            if name not in TUNABLE:
                raise WrongValueError(("params", name), f"not a searchable number{suggestion(name, TUNABLE)}")
        for machine_type, specs in self.machine_types.items():
            for name in set(specs) - set(self.params):
                near = suggestion(name, self.params)
                raise WrongValueError(("machine_types", machine_type, name), f"not among params{near}")
        groups = {("params",): self.params} | {
            ("machine_types", machine_type): specs for machine_type, specs in self.machine_types.items()
        }
        for path, specs in groups.items():
            for name, spec in specs.items():
                self._check_spec((*path, name), spec)
        for index, point in enumerate(self.start):
            self._check_start(index, point)
        return self

    def _check_spec(self, path: KeyPath, spec: Range | Choices | float) -> None:
        """A condition may look only at parameters written above it, so that sampling goes top to bottom."""
        name = str(path[-1])
        earlier = list(self.params)[: list(self.params).index(name)]
        for other in () if isinstance(spec, float) else spec.when:
            if other not in earlier:
                raise WrongValueError((*path, "when", other), f"write {other} above {name}")
        if name in WHOLE_NUMBERS and isinstance(spec, Range):
            steps = (spec.low, spec.step or 0.5)
            if not all(value.is_integer() for value in steps):
                raise WrongValueError(path, "needs whole numbers; give choices, or a whole low and step")

    def _check_start(self, index: int, point: Params) -> None:
        """A point that no study would take is a mistake; it would be left out without a word."""
        for name in point:
            if name not in self.params:
                near = suggestion(name, self.params)
                raise WrongValueError(("start", index, name), f"not among params{near}")
        spaces = [self.of(machine_type) for machine_type in ("", *self.machine_types)]
        if not any(space.contains(point) for space in spaces):
            lacking = [name for name in spaces[0].searched() if name not in point]
            cause = f"lacks {', '.join(lacking)}" if lacking else "outside the ranges"
            raise WrongValueError(("start", index), cause)

    def of(self, machine_type: str) -> "StudySpace":
        """The ranges of one machine type's study."""
        return StudySpace({**self.params, **self.machine_types.get(machine_type, {})})

    def check_against(self, base: RunConfig, machine_types: tuple[str, ...], *, where: str) -> None:
        """Raises InputError for values that the config refuses, and for what looks like a typo of a machine type.

        Ranges for machine types that the corpus lacks are no error: a space serves many corpora.
        """
        for name in set(self.machine_types) - set(machine_types):
            if near := nearest(name, machine_types, cutoff=0.8):
                raise InputError(f"{where}: machine_types.{name}: not in the corpus; did you mean {near!r}?")
        for machine_type in machine_types:
            for name, spec in self.of(machine_type).specs.items():
                for value in [spec] if isinstance(spec, float) else spec.limits():
                    with_params(base, {name: value}, where=f"{where}: {machine_type}: {name}")


class StudySpace:
    """The ranges of one study: sampling, membership, and what is inert where."""

    def __init__(self, specs: Mapping[str, Range | Choices | float]) -> None:
        self.specs = dict(specs)

    def searched(self) -> list[str]:
        return [name for name, spec in self.specs.items() if not isinstance(spec, float)]

    @property
    def conditional(self) -> bool:
        return any(not isinstance(spec, float) and spec.when for spec in self.specs.values())

    def active(self, params: Mapping[str, float]) -> Params:
        """The part of `params` that can change the result: inert ones are left out, held ones are put in."""
        kept: Params = {}
        for name, spec in self.specs.items():
            if isinstance(spec, float):
                kept[name] = spec
            elif name in params and _holds(spec, kept):
                kept[name] = params[name]
        return kept

    def distributions(self, params: Mapping[str, float]) -> dict[str, BaseDistribution]:
        """Of the searched, active parameters among `params`."""
        return {name: self.spec(name).distribution() for name in self.active(params) if name in self.searched()}

    def suggest(self, trial: optuna.Trial) -> Params:
        """Sample a point, top to bottom; inert parameters are never asked for."""
        kept: Params = {}
        for name, spec in self.specs.items():
            if isinstance(spec, float):
                kept[name] = spec
            elif _holds(spec, kept):
                kept[name] = spec.suggest(trial, name)
        return kept

    def contains(self, params: Mapping[str, float]) -> bool:
        """Whether the point could have been sampled here."""
        return self.outside(params) is None

    def outside(self, params: Mapping[str, float]) -> str | None:
        """The first number that could not have been sampled here, and its range: `scale is 100, not 8 to 64`."""
        params = {name: spec for name, spec in self.specs.items() if isinstance(spec, float)} | dict(params)
        for name, spec in self.specs.items():
            if isinstance(spec, float):
                if params[name] != spec:
                    return f"{name} is {params[name]:g}, held at {spec:g}"
            elif _holds(spec, params):
                if name not in params:
                    return f"{name} is not given, and searched in {spec}"
                if not spec.contains(params[name]):
                    return f"{name} is {params[name]:g}, not {spec}"
        return None

    def spec(self, name: str) -> Range | Choices:
        spec = self.specs[name]
        assert not isinstance(spec, float)
        return spec


def _holds(spec: Range | Choices, params: Mapping[str, float]) -> bool:
    return all(params.get(name, float("-inf")) > limit.above for name, limit in spec.when.items())


def load_space(name_or_path: str) -> tuple[SearchSpace, str]:
    """A space by path, or by its name in `search_spaces/`; with its text, verbatim, for the run folder."""
    path = place(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        shipped = sorted(item.stem for item in SPACES_DIR.glob("*.yaml"))
        if name_or_path not in shipped:
            near = suggestion(name_or_path, shipped)
            raise InputError(
                f"--space {name_or_path}: no such search space{near}; or give the path of a YAML file"
            )
        path = SPACES_DIR / f"{name_or_path}.yaml"
    space = load(path, SearchSpace)
    return space, path.read_text(encoding="utf-8")


def json_schema() -> str:
    """The schema that editors check search spaces against (`search_spaces/schema.json`)."""
    return json.dumps(SearchSpace.model_json_schema(), indent=2) + "\n"
