"""The messages between the processes of a search, and the one way to turn them into text and back.

    driver -> Tune's process    Assignment: a trial to run, or a training that confirms one
    Tune's process -> lane      Start, TrainTo, Quit, with a TrialOrder
    lane -> Tune's process      Started, EpochReport, Ending
    Tune's process -> driver    EpochTrained, Ending

Ray carries the messages between actors as they are. On disk, and where Ray takes only plain values (a trial's
config and its result), they are text. This module does not import torch: processes that only pass messages on
would import it for nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum, auto
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, with_config

from asd_ray.config import Params, RunConfig

LENIENT = with_config(ConfigDict(extra="ignore"))  # another version may have written a history
Message = TypeVar("Message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a trial of Tune has to train: a trial of the search, or a training that confirms one.

    A training that confirms has its own folder below the trials, its own seed, and its own epochs to score at. For
    a trial these are None: its folder is its name, and it uses the search's seed and epochs.
    """

    name: str
    params: Params
    machine_types: tuple[str, ...]
    folder: str | None = None
    seed: int | None = None
    score_at: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """What a lane has to train."""

    config: RunConfig
    machine_types: tuple[str, ...]
    score_at: tuple[int, ...]  # epochs after which test clips are scored
    folder: str
    name: str = ""  # the trial's name, for people who watch
    corpus: str = ""  # identifies the clips, and the labels that the trial may see
    systems: tuple[str, ...] = ()  # the clips carry their log-mels in this order; empty: only the config's


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a trial, or go on with one from its state."""

    order: TrialOrder

    def __str__(self) -> str:
        return "start"


@dataclass(frozen=True, slots=True)
class TrainTo:
    """Train the started trial up to this epoch."""

    epoch: int

    def __str__(self) -> str:
        return f"epoch {self.epoch}"


@dataclass(frozen=True, slots=True)
class Quit:
    """Stop serving commands."""


@dataclass(frozen=True, slots=True)
class Started:
    """A trial has begun, or goes on after this epoch."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMetrics:
    """AUC and pAUC of one machine id; None where they are undefined."""

    auc: float | None
    pauc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeMetrics:
    """Metrics of one machine type, as `asd_ray.scoring.metrics` defines them; None where they are undefined."""

    auc: float | None
    pauc: float | None
    pooled_auc: float | None
    pooled_pauc: float | None
    mauc: float | None
    per_id: Mapping[str, IdMetrics]
    num_normal: int
    num_anomaly: int


@LENIENT
@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """How an epoch went: its losses and, if clips were scored, each machine type's metrics on the choosing clips.

    It is also a row of a trial's metrics.json. Accuracies and metrics are fractions, not per cent.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    valid_loss: float | None
    valid_accuracy: float | None
    seconds: float = 0.0
    objective: Mapping[str, float] = field(default_factory=dict)
    choosing: Mapping[str, TypeMetrics] = field(default_factory=dict)
    score: Mapping[str, str] = field(default_factory=dict)  # machine type -> score that counts
    objective_by_score: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    proxy: Mapping[str, float] = field(default_factory=dict)  # the objective on stand-ins for anomalies


class End(StrEnum):
    """Why a trial cannot go on here."""

    FAILED = auto()  # through its own fault
    LOST = auto()  # its workers died or hung too often; they may not at another try
    BROKEN = auto()  # the disk, a server or the machine has failed, as it would for every other trial
    LANE_ENDED = auto()  # its lane has ended; another lane can go on with it
    LANE_STUCK = auto()  # its lane fell silent over a command of this trial


@dataclass(frozen=True, slots=True)
class Ending:
    """A trial cannot go on here; `reason` is one line for people."""

    end: End
    reason: str


@dataclass(frozen=True, slots=True)
class EpochTrained:
    """An epoch of a trial, and the lane that trained it; no name if the trial's own process trained it."""

    report: EpochReport
    lane: str = ""


Command = Start | TrainTo | Quit
Answer = Started | EpochReport | Ending
Step = EpochTrained | Ending


_adapter: Callable[[Any], Any] = cache(TypeAdapter)


def to_plain(message: Any) -> dict[str, Any]:
    """A message as plain values, which JSON and checkpoints can hold."""
    return asdict(message)


def to_text(message: Any) -> str:
    """A message as JSON."""
    return json.dumps(asdict(message))


def from_text(kind: type[Message], text: str) -> Message:
    """The message of this kind in a text. Raises pydantic's ValidationError if it holds none."""
    message: Message = _adapter(kind).validate_json(text)
    return message


def from_plain(kind: type[Message], values: Mapping[str, Any]) -> Message:
    """The message of this kind in plain values. Raises pydantic's ValidationError if they hold none."""
    message: Message = _adapter(kind).validate_python(values)
    return message
