"""Search spaces: which numbers are searched, and in what ranges. One YAML per question.

    question: Which margin and scale?
    system: tastgram                                                  # or several: [tastgram, stgram]
    params:
      margin: {low: 0.1, high: 1.0}
      noise_prob: {low: 0.0, high: 1.0, when: {margin: {above: 0.0}}}   # inert without a margin
      mix_prob: 1.0                                                     # a plain value is held
    machine_types:
      valve: {margin: {low: 0.3, high: 1.2}}
    start:
      - {margin: 0.7, noise_prob: 1.0}

`system` is held, or one of several is chosen as a number is; a number that does not act on the system of a point
is inert there. Without it the config says which. `machine_types` replaces ranges for one machine type's study.
`start` lists points to try early, after the configuration that the search starts from.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import optuna
from optuna.distributions import BaseDistribution
from pydantic import Field, WithJsonSchema, model_validator

from asd_ray.config import NAMES, NUMBERS, Number, Param, Params, RunConfig, with_params
from asd_ray.errors import InputError, nearest, suggestion
from asd_ray.files.paths import place
from asd_ray.files.strict_yaml import KeyPath, Strict, WrongValueError, dotted, load
from asd_ray.models import SYSTEMS, find_system
from asd_ray.search.ranges import HELD, Choices, Names, Range, Searched, Spec, shown
from asd_ray.shipped import search_spaces

__all__ = ["Params", "SearchSpace", "StudySpace", "load_space"]

# In a point, the system is a name, and everything else is a number.
Point = Annotated[
    dict[str, Param],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"system": {"type": "string"}},
            "additionalProperties": {"type": "number"},
        }
    ),
]


class SearchSpace(Strict):
    """A file of `search_spaces/`."""

    question: str = Field(description="what this search asks, in one line")
    system: str | Annotated[list[str], Field(min_length=2)] | None = Field(
        default=None, description="the system to search, or several to choose from; none: that of the config"
    )
    params: dict[str, Spec] = Field(min_length=1)
    machine_types: dict[str, dict[str, Spec]] = {}
    start: list[Point] = []

    @model_validator(mode="after")
    def _check(self) -> "SearchSpace":
        for name in self.systems:
            if name not in SYSTEMS:
                raise WrongValueError(("system",), f"{name!r} is unknown{suggestion(name, SYSTEMS)}")
        for name in self.params:
            if name not in NUMBERS:
                raise WrongValueError(("params", name), f"not a searchable number{suggestion(name, NUMBERS)}")
            if self.systems and not any(acts(name, system) for system in self.systems):
                raise WrongValueError(
                    ("params", name), f"does not act on {' or '.join(self.systems)}; leave it out"
                )
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

    @property
    def systems(self) -> tuple[str, ...]:
        """Those that the space names; none where the config says which."""
        if self.system is None:
            return ()
        return (self.system,) if isinstance(self.system, str) else tuple(self.system)

    @property
    def columns(self) -> tuple[str, ...]:
        """What a table of trials shows: all that the space names, but not a system that is held."""
        return (*(["system"] if len(self.systems) > 1 else []), *self.params)

    def _check_spec(self, path: KeyPath, spec: Range | Choices | float) -> None:
        """A condition may look only at parameters written above it, so that sampling goes top to bottom."""
        name = str(path[-1])
        earlier = list(self.params)[: list(self.params).index(name)]
        for other in () if isinstance(spec, float) else spec.when:
            if other not in earlier:
                raise WrongValueError((*path, "when", other), f"write {other} above {name}")
        if NUMBERS[name].is_whole and isinstance(spec, Range):
            steps = (spec.low, spec.step or 0.5)
            if not all(value.is_integer() for value in steps):
                raise WrongValueError(path, "needs whole numbers; give choices, or a whole low and step")

    def _check_start(self, index: int, point: Params) -> None:
        """A point that no study would take is a mistake; it would be left out without a word."""
        for name, value in point.items():
            if name not in self.params and not (name == "system" and self.systems):
                near = suggestion(name, self.params)
                raise WrongValueError(("start", index, name), f"not among params{near}")
            if isinstance(value, str) != (name in NAMES):
                raise WrongValueError(("start", index, name), f"got {value!r}")
        spaces = [self.of(machine_type) for machine_type in ("", *self.machine_types)]
        if not any(space.contains(point) for space in spaces):
            lacking = [name for name in spaces[0].searched() if name not in point and spaces[0].acts(name, point)]
            cause = f"lacks {', '.join(lacking)}" if lacking else "outside the ranges"
            raise WrongValueError(("start", index), cause)

    def of(self, machine_type: str) -> "StudySpace":
        """The ranges of one machine type's study."""
        specs: dict[str, Searched | Param] = {**self.params, **self.machine_types.get(machine_type, {})}
        if self.systems:  # comes first, for it decides which numbers act
            system = self.systems[0] if len(self.systems) == 1 else Names(choices=self.systems)
            specs = {"system": system, **specs}
        return StudySpace(specs)

    def adopt(self, base: RunConfig) -> RunConfig:
        """The config that a search of this space begins from: of a system that is among its own.

        Numbers that the space searches, and that nobody has set, are those that the system begins with. Raises
        InputError where the config asks for another system.
        """
        asked = base.model.name
        if self.systems and asked not in self.systems:
            if "name" in base.model.model_fields_set:
                raise InputError(
                    f"--system {asked}: the search space is of {' and '.join(self.systems)}; drop one, "
                    f"or give --system {self.systems[0]} where a config names {asked}"
                )
            base = with_params(base, {"system": self.systems[0]})
        start = find_system(base.model.name).start
        free = set(self.of("").searched()) - base.loss.model_fields_set
        begun = {name: value for name, value in start.items() if name in free}
        return with_params(base, begun) if begun else base

    def check_against(
        self,
        base: RunConfig,
        machine_types: tuple[str, ...],
        *,
        where: str,
        lines: Mapping[KeyPath, int] = MappingProxyType({}),
    ) -> None:
        """Raises InputError for values that the config refuses, and for what looks like a typo of a machine type.

        `where` begins the error line, and `lines` knows the line of every key. Ranges for machine types that the
        corpus lacks are no error: a space serves many corpora. Where no machine type is known yet, the ranges that
        are for all of them are checked.
        """

        def at(*key: str) -> str:
            return f"{where}:{lines[key]}: {dotted(key)}" if key in lines else f"{where}: {dotted(key)}"

        for name in set(self.machine_types) - set(machine_types):
            if near := nearest(name, machine_types, cutoff=0.8):
                raise InputError(f"{at('machine_types', name)}: not in the corpus; did you mean {near!r}?")
        for name in self.params:
            if not self.systems and not acts(name, base.model.name):
                raise InputError(f"{at('params', name)}: does not act on {base.model.name}; use another space")
        for machine_type in machine_types or ("",):
            own = self.machine_types.get(machine_type, {})
            for name, spec in {**self.params, **own}.items():
                key = at("machine_types", machine_type, name) if name in own else at("params", name)
                for value in [spec] if isinstance(spec, float) else spec.limits():
                    if not NUMBERS[name].allows(value):
                        raise InputError(f"{key}: got {value:g}; use a number {NUMBERS[name]}")
                    with_params(base, {name: value}, where=key)


class StudySpace:
    """The ranges of one study: sampling, membership, and what is inert where."""

    def __init__(self, specs: Mapping[str, Searched | Param]) -> None:
        self.specs = dict(specs)

    def searched(self) -> list[str]:
        return [name for name, spec in self.specs.items() if not isinstance(spec, HELD)]

    @property
    def conditional(self) -> bool:
        """Whether a searched number is inert in some points."""
        systems = self.specs.get("system")
        names = systems.choices if isinstance(systems, Names) else ()
        return any(
            not isinstance(spec, HELD) and (spec.when or not all(acts(name, system) for system in names))
            for name, spec in self.specs.items()
        )

    def acts(self, name: str, params: Mapping[str, Param]) -> bool:
        """Whether the number can change the result where the others are as in `params`."""
        spec, system = self.specs[name], params.get("system", self.specs.get("system"))
        if isinstance(system, str) and not acts(name, system):
            return False
        return isinstance(spec, HELD) or _holds(spec, params)

    def active(self, params: Mapping[str, Param]) -> Params:
        """The part of `params` that can change the result: inert ones are left out, held ones are put in."""
        kept: Params = {}
        for name, spec in self.specs.items():
            if self.acts(name, kept) and (isinstance(spec, HELD) or name in params):
                kept[name] = spec if isinstance(spec, HELD) else params[name]
        return kept

    def distributions(self, params: Mapping[str, Param]) -> dict[str, BaseDistribution]:
        """Of the searched, active parameters among `params`."""
        return {name: self.spec(name).distribution() for name in self.active(params) if name in self.searched()}

    def suggest(self, trial: optuna.Trial) -> Params:
        """Sample a point, top to bottom; inert parameters are never asked for."""
        kept: Params = {}
        for name, spec in self.specs.items():
            if self.acts(name, kept):
                kept[name] = spec if isinstance(spec, HELD) else spec.suggest(trial, name)
        return kept

    def contains(self, params: Mapping[str, Param]) -> bool:
        """Whether the point could have been sampled here."""
        return self.outside(params) is None

    def outside(self, params: Mapping[str, Param]) -> str | None:
        """The first number that could not have been sampled here, and its range: `scale is 100, not 8 to 64`."""
        params = {name: spec for name, spec in self.specs.items() if isinstance(spec, HELD)} | dict(params)
        for name, spec in self.specs.items():
            if isinstance(spec, HELD):
                if params[name] != spec:
                    return f"{name} is {shown(params[name])}, held at {shown(spec)}"
            elif self.acts(name, params):
                if name not in params:
                    return f"{name} is not given, and searched in {spec}"
                if not spec.contains(params[name]):
                    return f"{name} is {shown(params[name])}, not {spec}"
        return None

    def spec(self, name: str) -> Searched:
        spec = self.specs[name]
        assert not isinstance(spec, HELD)
        return spec


def acts(name: str, system: str) -> bool:
    """Whether a number can change what a system learns: those of the loss may not, those of training do.

    >>> acts("margin", "tastgram"), acts("learning_rate", "tastgram")
    (True, True)
    """
    return name in NAMES or NUMBERS[name].path[0] != "loss" or name in SYSTEMS[system].numbers


def _holds(spec: Searched, params: Mapping[str, Param]) -> bool:
    values = ((params.get(name), limit.above) for name, limit in spec.when.items())
    return all(isinstance(value, float | int) and value > above for value, above in values)


def load_space(name_or_path: str) -> tuple[SearchSpace, str]:
    """A space by path, or by its name in `search_spaces/`; with its text, verbatim, for the run folder."""
    path = find_file(name_or_path)
    return load(path, SearchSpace), path.read_text(encoding="utf-8")


def find_file(name_or_path: str) -> Path:
    """The file of a space. Raises InputError, with the nearest name, for a name that is not shipped."""
    path = place(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        known = {item.stem: item for item in search_spaces().glob("*.yaml")}
        if name_or_path not in known:
            near = suggestion(name_or_path, known)
            raise InputError(
                f"--space {name_or_path}: no such search space{near}; or give the path of a YAML file"
            )
        path = known[name_or_path]
    return path


def json_schema() -> str:
    """The schema that editors check search spaces against (`search_spaces/schema.json`), with every range."""
    schema = SearchSpace.model_json_schema()
    properties = schema["properties"]
    for numbers in (properties["params"], properties["machine_types"]["additionalProperties"]):
        schema["$defs"]["Spec"] = numbers["additionalProperties"]
        numbers["properties"] = {
            name: {"allOf": [{"$ref": "#/$defs/Spec"}, {"$ref": f"#/$defs/{name}"}]} for name in NUMBERS
        }
        numbers["additionalProperties"] = False
    schema["$defs"] |= {name: _limits(number) for name, number in NUMBERS.items()}
    return json.dumps(schema, indent=2) + "\n"


def _limits(number: Number) -> dict[str, Any]:
    """What a value, the ends of a range and every choice may be; who checks passes over what does not apply."""
    value: dict[str, Any] = {"exclusiveMinimum" if number.excludes_low else "minimum": number.low}
    if not math.isinf(number.high):
        value["exclusiveMaximum" if number.excludes_high else "maximum"] = number.high
    return value | {"properties": {"low": value, "high": value, "choices": {"items": value}}}
