"""best/<machine_type>.yaml and models/<machine_type>/: what a search hands over."""

import os
from pathlib import Path

from safetensors.torch import save

from asd_ray.command import InputError
from asd_ray.config import RunConfig, with_params
from asd_ray.files import write_whole, writing
from asd_ray.report.summary import Judged, Summary
from asd_ray.scoring.detector import Best, ThresholdEntry, sha256_of
from asd_ray.search.runfolder import TRIALS, Corpus
from asd_ray.strict_yaml import dump
from asd_ray.training import checkpoint
from asd_ray.training.trial import flat

WEIGHTS = "model.safetensors"


def write_winners(folder: Path, summary: Summary) -> list[Path]:
    """One YAML and one file of weights per machine type that has a complete trial; the YAML comes last."""
    paths = []
    for machine in summary.machines:
        if machine.best is not None:
            path = folder / "best" / f"{machine.machine_type}.yaml"
            model = folder / "models" / machine.machine_type / WEIGHTS
            write_weights(folder / TRIALS / machine.best.uid / "state.pt", model)
            write_best(
                path,
                machine.best,
                machine_type=machine.machine_type,
                config=with_params(summary.run.config, machine.best.params),
                protocol=summary.run.protocol,
                corpus=summary.run.corpus,
                model=model,
            )
            paths.append(path)
    return paths


def write_weights(state_path: Path, model: Path) -> None:
    """The network of a trial's state as safetensors. Raises InputError if no whole state is left."""
    state = checkpoint.load(state_path)
    if state is None:
        raise InputError(f"{state_path}: missing or damaged; train the config again with launch/train.py")
    with writing(model) as file:
        file.write(save({name: tensor.contiguous() for name, tensor in state["classifier"].items()}))


def write_best(
    path: Path,
    judged: Judged,
    *,
    machine_type: str,
    config: RunConfig,
    protocol: str,
    corpus: Corpus,
    model: Path,
) -> None:
    threshold = judged.threshold
    best = Best(
        machine_type=machine_type,
        trial=judged.uid,
        seed=config.train.seed,
        epochs=config.train.epochs,
        protocol=protocol,
        objective=config.score.objective,
        choosing={"objective": judged.objective, **flat(judged.choosing)},
        reporting={"objective": judged.reporting_objective, **flat(judged.reporting)},
        params=judged.params,
        threshold=ThresholdEntry(
            value=threshold.value,
            quantile=threshold.quantile,
            method=threshold.method,
            clips=threshold.num_clips,
            fitted_to=judged.threshold_clips,
        ),
        model=os.path.relpath(model, path.parent),
        model_sha256=sha256_of(model),
        classes=corpus.classes,
        data=corpus.path,
        fingerprint=corpus.fingerprint,
        config=config,
    )
    write_whole(path, dump(best.model_dump()))
