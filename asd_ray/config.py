"""The typed, strict, frozen configuration of a run; the defaults are the published ones.

Published: Choi & Choi, "Noisy-ArcMix: additive noisy angular margin loss combined with mixup for anomalous
sound detection", and its code (AdamW 1e-4, cosine to 1e-5, batch 64, margin 0.7, scale 30, alpha 0.5).
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BeforeValidator, Field

from asd_ray.clip import is_plain
from asd_ray.errors import InputError, suggestion
from asd_ray.files.strict_yaml import KeyPath, Strict, check, dotted, load, read_yaml

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _check_plain(name: str) -> str:
    if not is_plain(name):
        raise ValueError("a name of letters, digits, '-' and '_' is wanted")
    return name


# The name of a machine type, machine id or trial, wherever one is read from a file: it is used in paths and pages.
PlainName = Annotated[str, AfterValidator(_check_plain)]
STORAGE_VARIABLE = "ASD_STORAGE"  # environment variable: URL of a PostgreSQL server that keeps the studies
METRICS = ("auc", "pauc", "mauc")  # objectives that may be searched side by side


class ModelConfig(Strict):
    name: str = "tastgram"
    width: Annotated[float, Field(gt=0, le=4)] = 1.0  # factor on the backbone's channels; 1.0 = as published


class LossConfig(Strict):
    """The numbers of the losses. The defaults are those of Noisy-ArcMix; some numbers act on single systems only.

    The range of each number is stated here and nowhere else: see NUMBERS.
    """

    margin: Annotated[float, Field(ge=0, le=1.57)] = Field(
        default=0.7,
        description="angle in radians that is added between a clip and its own class; at most a right one",
    )
    scale: Annotated[float, Field(ge=1e-3, le=1e4)] = Field(
        default=30.0, description="factor of the cosines before the softmax"
    )
    mixup_alpha: Annotated[float, Field(ge=1e-3, le=1e3)] = Field(
        default=0.5,
        description="shares of two mixed clips are drawn from Beta(mixup_alpha, mixup_alpha): "
        "towards 0 nearly nothing is mixed, 1 draws them uniformly, a large value mixes half and half",
    )
    noise_prob: Probability = Field(
        default=1.0, description="probability that the margin stays on the first label of a mixed clip"
    )
    mix_prob: Probability = Field(default=1.0, description="probability that a clip is mixed with another one")
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)] = Field(
        default=0.02, description="the contrast of os_scl and clp_scf divides cosines by it; 0.02 as in OS-SCL"
    )
    pretraining: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.25,
        description="share of its epochs in which clp_scf learns by contrast alone, rounded to whole epochs, one "
        "at least; this stage ends before trials are first judged",
    )


class TrainConfig(Strict):
    epochs: Count = 300
    batch_size: Annotated[int, Field(ge=2)] = 64  # batch norm needs two clips
    learning_rate: Positive = 1e-4
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-5  # end of the cosine; never above its beginning
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 2023
    # bfloat16 is quicker on GPUs and on newer CPUs, tf32 on GPUs; both round, so compare AUCs first.
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    compile: Literal["auto", "always", "never"] = "auto"  # compile the training step; auto: where it pays off


def check_objective(value: object) -> object:
    """One objective, or several that are searched side by side: `auc,pauc`."""
    names = value.split(",") if isinstance(value, str) else []
    ordered = [name for name in METRICS if name in names]
    if names in (["mean"], ["proxy"]):
        return value
    if not ordered or len(ordered) != len(names):
        several = "or several of the last three: auc,pauc"
        raise ValueError(f"got {value!r}; use mean, auc, pauc or mauc, {several}; or proxy")
    return ",".join(ordered)


class ScoreConfig(Strict):
    # The default is the published score; auto gives every machine type the one that is best on its choosing clips.
    name: str = "margin_cross_entropy"
    protocol: Literal["auto", "dcase", "split", "paper"] = "auto"
    objective: Annotated[str, BeforeValidator(check_objective)] = "mean"  # of AUC and pAUC, as DCASE ranks
    max_fpr: Annotated[float, Field(gt=0, le=1)] = 0.1
    threshold_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.9  # of normal scores

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.objective.split(","))


def patience_of(text: str) -> int:
    """The number of a stopping rule. Raises ValueError naming the one form that there is.

    >>> patience_of("no gain for 20 trials")
    20
    """
    found = re.fullmatch(r"no gain for ([1-9]\d{0,5}) trials", text)
    if found is None:
        raise ValueError(f"got {text!r}; write it as 'no gain for 20 trials'")
    return int(found[1])


def check_stop_when(value: object) -> object:
    if value is not None:
        patience_of(str(value))
    return value


class SearchConfig(Strict):
    trials: Annotated[int, Field(ge=0)] = 60  # over all studies together
    scope: Literal["joint", "own"] = "joint"
    sampler: Literal["auto", "gp", "tpe", "random"] = "auto"
    eta: Annotated[int, Field(ge=2)] = 3  # a rung keeps 1/eta of the trials
    prune: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    hours: Positive | None = None  # time limit of one call; unfinished trials resume in the next call
    stop_when: Annotated[str | None, BeforeValidator(check_stop_when)] = None  # such as "no gain for 20 trials"
    warm_start: list[str] = []  # run folders to learn from
    enqueue: list[str] = []  # configs to try right after the published one
    confirm: Annotated[int, Field(ge=0)] = 0  # best configs of each machine type to confirm after the search
    seeds: Annotated[int, Field(ge=2)] = 5  # fresh seeds with which each of them is trained again


class LaneConfig(Strict):
    """How the machine is shared out. Only `workers` changes what a trial learns: batch norm sees one's part."""

    count: Annotated[int, Field(ge=0)] = 0  # 0: as many as fit
    workers: Count = 1  # per lane; more than one train data-parallel
    cpus: Positive = 1.0  # per worker
    gpus: Annotated[float, Field(ge=0, le=1)] | None = None  # per worker; 0.5: two share one; None: 1 if present
    resident: Literal["auto", "shared", "device", "stream"] = "auto"  # where the clips are kept
    deadline: Positive | None = None  # seconds for one epoch; None: ten times the slowest so far
    inline: bool = False  # train inside Tune's own processes, without Ray Train


class RunConfig(Strict):
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    score: ScoreConfig = ScoreConfig()
    search: SearchConfig = SearchConfig()
    lanes: LaneConfig = LaneConfig()


# These may differ between two calls on one run folder: more trials continue it, other lanes give the same results.
NOT_SCIENCE: tuple[KeyPath, ...] = (
    ("search", "trials"),
    ("search", "hours"),
    ("search", "stop_when"),
    ("search", "warm_start"),
    ("search", "enqueue"),
    ("search", "confirm"),
    ("search", "seeds"),
    *(("lanes", name) for name in LaneConfig.model_fields if name != "workers"),
)
Param = float | str
Params = dict[str, Param]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that may be searched: where it stands in the config, and what it may be."""

    path: tuple[str, str]
    low: float
    high: float
    excludes_low: bool = False
    excludes_high: bool = False
    is_whole: bool = False  # samplers propose only floats

    def allows(self, value: float) -> bool:
        """Whether the config takes the value. NaN is never taken."""
        over = self.low < value if self.excludes_low else self.low <= value
        under = value < self.high if self.excludes_high else value <= self.high
        return over and under and math.isfinite(value)

    def __str__(self) -> str:
        """The range in words.

        >>> str(NUMBERS["margin"]), str(NUMBERS["learning_rate"]), str(NUMBERS["pretraining"])
        ('from 0 to 1.57', 'above 0', 'from 0 to below 1')
        """
        low = f"{'above' if self.excludes_low else 'from'} {self.low:g}"
        return low if math.isinf(self.high) else f"{low} to {'below ' if self.excludes_high else ''}{self.high:g}"


def _number(model: type[Strict], section: str, name: str) -> Number:
    """The range of a field, read from what pydantic checks it by."""
    field = model.model_fields[name]
    low, high, excludes = -math.inf, math.inf, {}
    for bound in field.metadata:
        if isinstance(bound, Ge | Gt):
            low, excludes["excludes_low"] = _limit(bound), isinstance(bound, Gt)
        elif isinstance(bound, Le | Lt):
            high, excludes["excludes_high"] = _limit(bound), isinstance(bound, Lt)
    return Number(path=(section, name), low=low, high=high, is_whole=field.annotation is int, **excludes)


def _limit(bound: Ge | Gt | Le | Lt) -> float:
    value: Any = next(getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name))
    return float(value)


# Every number that may be searched, by its name in search spaces. A system states which loss numbers act on it.
NUMBERS: Mapping[str, Number] = MappingProxyType(
    {
        **{name: _number(LossConfig, "loss", name) for name in LossConfig.model_fields},
        **{name: _number(TrainConfig, "train", name) for name in ("learning_rate", "weight_decay", "batch_size")},
    }
)
# What may be searched, and where in the config a sampled value goes.
TUNABLE: Mapping[str, KeyPath] = MappingProxyType(
    {"system": ("model", "name"), **{name: number.path for name, number in NUMBERS.items()}}
)
NAMES = frozenset({"system"})  # the searched settings that are not numbers


def science(config: RunConfig) -> dict[str, Any]:
    """The part of a config that can change a result, as plain values."""
    plain = config.model_dump()
    for *parents, last in NOT_SCIENCE:
        holder = plain
        for parent in parents:
            holder = holder[str(parent)]
        del holder[str(last)]
    return plain


def signature(config: RunConfig, *more: object) -> str:
    """Eight hex digits over all that can change a result; `more` joins in what lies outside the config."""
    text = json.dumps([science(config), *more], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def replace(config: RunConfig, values: dict[KeyPath, Any], *, where: str) -> RunConfig:
    """A copy with some values set, checked; `where` begins the error line. What nobody has set stays so."""
    plain, given = config.model_dump(), config.model_dump(exclude_unset=True)
    for path, value in values.items():
        holder, mine = plain, given
        for depth, part in enumerate(path[:-1]):
            if not isinstance(holder.get(str(part)), dict):
                near = suggestion(str(part), [key for key in holder if isinstance(holder[key], dict)])
                raise InputError(f"{where}: {dotted(path[: depth + 1])}: unknown key{near}")
            holder, mine = holder[str(part)], mine.setdefault(str(part), {})
        mine[str(path[-1])] = value
    return check(given, RunConfig, where=lambda _: where)


def with_params(config: RunConfig, params: Mapping[str, Param], *, where: str = "search space") -> RunConfig:
    """The config of one trial: the searched values in their places, checked; `where` begins the error line."""
    values = {
        TUNABLE[name]: int(value)
        if name not in NAMES and NUMBERS[name].is_whole and float(value).is_integer()
        else value
        for name, value in params.items()
    }
    return replace(config, values, where=where)


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same config, trained with another seed."""
    return replace(config, {("train", "seed"): seed}, where="train.seed")


def with_score(config: RunConfig, name: str) -> RunConfig:
    """The same config, its clips scored by this score."""
    return replace(config, {("score", "name"): name}, where="score.name")


def params_of(config: RunConfig) -> Params:
    """The system and all searchable numbers of a config: the point that a search starts from."""
    plain = config.model_dump()
    values = {name: plain[str(section)][str(key)] for name, (section, key) in TUNABLE.items()}
    return {name: value if name in NAMES else float(value) for name, value in values.items()}


def load_config(path: Path | None, settings: Sequence[str] = ()) -> RunConfig:
    """The config of a command: defaults, then a file, then `--set a.b=c`.

    A `best/<machine_type>.yaml` or `run.yaml` is read too: its `config:` part counts.
    Raises InputError naming file, line and the nearest known key.
    """
    config = RunConfig()
    if path is not None:
        document, lines = read_yaml(path)
        if isinstance(document, dict) and isinstance(document.get("config"), dict):
            config = check(
                document["config"], RunConfig, where=lambda key: f"{path}:{lines.get(('config', *key), 1)}"
            )
        else:
            config = load(path, RunConfig)
    return replace_settings(config, settings)


def replace_settings(config: RunConfig, settings: Iterable[str]) -> RunConfig:
    """Apply `a.b=c` texts; c is read as YAML, so `1e-4`, `true` and `joint` mean what they look like."""
    for text in settings:
        name, equals, value_text = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set {text}: expected key=value, e.g. train.epochs=20")
        try:
            value = yaml.safe_load(value_text)
        except (yaml.YAMLError, ValueError):  # an impossible date raises ValueError
            raise InputError(f"--set {text}: {value_text!r} is not a value") from None
        if isinstance(value, str):
            value = _read_number(value)
        config = replace(config, {tuple(name.split(".")): value}, where=f"--set {text}")
    return config


def _read_number(text: str) -> float | str:
    """PyYAML reads `1e-4` as text."""
    try:
        return float(text)
    except ValueError:
        return text
