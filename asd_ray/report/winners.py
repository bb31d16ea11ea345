"""Writes what a search hands over: best/<machine_type>.yaml and models/<machine_type>/."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save

from asd_ray.config import RunConfig, with_params, with_score, with_seed
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump
from asd_ray.files.writing import write_whole, writing
from asd_ray.report.confirmed import Confirmed
from asd_ray.report.judging import Judged
from asd_ray.report.summary import MachineSummary, Summary
from asd_ray.scoring.detector import Best, ConfirmedEntry, ThresholdEntry, sha256_of
from asd_ray.scoring.intervals import Estimate
from asd_ray.search.runfolder import TRIALS, Corpus
from asd_ray.training import checkpoint
from asd_ray.training.messages import to_plain
from asd_ray.training.trial import metrics_of

WEIGHTS = "model.safetensors"


def write_winners(folder: Path, summary: Summary) -> dict[str, str]:
    """Write a file of weights and then a YAML for each machine type that has a winner.

    Returns, for machine types whose weights are lost, what is missing and how to mend it; what was handed over
    earlier stays there.
    """
    problems = {}
    read: dict[Path, bytes] = {}  # a joint trial may have won several machine types
    for machine in summary.machines:
        if machine.best is not None:
            try:
                _write_winner(folder, machine, judged=machine.best, summary=summary, read=read)
            except LostWeightsError as error:
                again = "call the search with --confirm again" if machine.confirmed else "or --confirm the winners"
                problems[machine.machine_type] = f"{error}; {again}"
    return problems


class LostWeightsError(InputError):
    """The last state of a training is no longer whole."""


def _write_winner(
    folder: Path, machine: MachineSummary, *, judged: Judged, summary: Summary, read: dict[Path, bytes]
) -> None:
    name = machine.machine_type
    model = folder / "models" / name / WEIGHTS
    state_path = folder / TRIALS / judged.place / "state.pt"
    if state_path not in read:
        read[state_path] = weights_of(state_path, epochs=summary.run.config.train.epochs)
    with writing(model) as file:
        file.write(read[state_path])
    write_best(
        folder / "best" / f"{name}.yaml",
        judged,
        machine_type=name,
        config=with_score(with_seed(with_params(summary.run.config, judged.params), judged.seed), judged.score),
        protocol=summary.run.protocol,
        corpus=summary.run.corpus,
        model=model,
        confirmed=None if machine.confirmed is None else confirmed_entry(machine.confirmed),
    )


def write_weights(state_path: Path, model: Path, *, epochs: int) -> None:
    """Write the weights to `model`. Raises LostWeightsError: see `weights_of`."""
    weights = weights_of(state_path, epochs=epochs)
    with writing(model) as file:
        file.write(weights)


def weights_of(state_path: Path, *, epochs: int) -> bytes:
    """The final network of a training of `epochs` epochs, and what its scores are fitted to, as safetensors.

    Raises LostWeightsError if that state is not whole: an earlier epoch's network is not the one that was scored.
    """
    state = checkpoint.load_final(state_path, epochs=epochs)
    if state is None:
        raise LostWeightsError(f"{state_path}: missing or damaged; train the config again with asd-ray train")
    normals = {f"normals.{name}": tensor for name, tensor in state.get("normals", {}).items()}
    return save({name: tensor.contiguous() for name, tensor in {**state["module"], **normals}.items()})


def write_best(
    path: Path,
    judged: Judged,
    *,
    machine_type: str,
    config: RunConfig,
    protocol: str,
    corpus: Corpus,
    model: Path,
    confirmed: ConfirmedEntry | None = None,
) -> None:
    threshold = judged.threshold
    best = Best(
        machine_type=machine_type,
        trial=judged.uid,
        seed=config.train.seed,
        epochs=config.train.epochs,
        protocol=protocol,
        objective=config.score.objective,
        choosing={"objective": judged.objective, **to_plain(metrics_of(judged.choosing))},
        reporting={"objective": judged.reporting_objective, **to_plain(metrics_of(judged.reporting))},
        confirmed=confirmed,
        params=judged.params,
        threshold=ThresholdEntry(
            value=threshold.value,
            quantile=threshold.quantile,
            method=threshold.method,
            clips=threshold.num_clips,
            fitted_to=judged.threshold_clips,
        ),
        model=os.path.relpath(str(model), str(path.parent)),
        model_sha256=sha256_of(model),
        classes=corpus.classes,
        data=corpus.path,
        fingerprint=corpus.fingerprint,
        notes=corpus.notes.get(machine_type, {}),
        config=config,
    )
    write_whole(path, dump(best.model_dump()))


def confirmed_entry(confirmed: Confirmed) -> ConfirmedEntry | None:
    """The confirmation of a winner, for its best file and for summary.json."""
    if confirmed.winner is None:
        return None
    mean, sd = confirmed.winner.choosing
    return ConfirmedEntry(
        seeds=list(confirmed.seeds),
        choosing={"mean": mean, "sd": sd},
        reporting=plain(confirmed.winner_estimate),
        difference=plain(confirmed.difference),
        verdict=confirmed.verdict,
    )


def plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else asdict(estimate)
