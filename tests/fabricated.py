"""Finished searches whose trainings were not run: the scores of the clips are drawn instead.

Studies, journal, pruning, confirmation and files are those of a real search (`local_search`), so that a report of
six machine types and hundreds of trials is there within seconds. How well a trial tells anomalies from normal
clips follows from its numbers, another optimum for every machine type, with some luck.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import asd_ray
from asd_ray.config import RunConfig, params_of, replace_settings
from asd_ray.data.resident import Labels
from asd_ray.files.writing import to_json, write_whole
from asd_ray.report.published import TEST_CLIPS
from asd_ray.scoring.metrics import machine_metrics, objective_value
from asd_ray.scoring.protocol import assign_roles, resolve_protocol
from asd_ray.scoring.scores import OF_EMBEDDINGS, PUBLISHED
from asd_ray.search import runfolder
from asd_ray.search.runfolder import Corpus, Run
from asd_ray.search.space import load_space
from asd_ray.training import checkpoint
from asd_ray.training.messages import End, Ending, EpochReport, Started, TrialOrder, to_plain
from asd_ray.training.scored import Scored
from asd_ray.training.trial import write_scores
from tests.local_search import search

Counts = Mapping[str, Mapping[str, tuple[int, int]]]  # machine type -> machine id -> normal, anomalous test clips
NUM_VALID = 40  # of each machine id
EPOCHS = 9
BEST_MARGIN = {"fan": 0.9, "pump": 0.6, "slider": 0.98, "ToyCar": 0.5, "ToyConveyor": 0.3, "valve": 0.7}


def few(normal: int = 8, anomalous: int = 8) -> Counts:
    """The machines of DCASE 2020 with so many clips of each."""
    return {name: dict.fromkeys(ids, (normal, anomalous)) for name, ids in TEST_CLIPS.items()}


def fabricate(
    folder: Path,
    counts: Counts,
    *,
    settings: list[str],
    protocol: str = "split",
    space_name: str = "noisy_arcmix",
) -> Run:
    """A run folder on which the search has ended."""
    labels = _labels(counts)
    config = replace_settings(RunConfig(), [f"train.epochs={EPOCHS}", "search.sampler=random", *settings])
    space, text = load_space(space_name)
    classes = [[name, machine_id] for name, ids in counts.items() for machine_id in ids]
    run = Run(
        asd_ray=asd_ray.__version__,
        versions={name: runfolder.version(name) for name in ("torch", "ray", "optuna")},
        protocol=protocol,
        machine_types=list(counts),
        not_searchable={},
        corpus=Corpus(path="shards/fabricated", fingerprint="0" * 64, classes=classes),
        config=config,
        space=space,
        space_text=text,
    )
    clips = _clips(labels, protocol)
    runfolder.open_run(folder, run, clips=clips)
    search(folder, run, _Drawn(labels, clips))
    return run


def _labels(counts: Counts) -> Labels:
    rows = []
    for class_index, (name, machine_id) in enumerate((name, key) for name, ids in counts.items() for key in ids):
        normal, anomalous = counts[name][machine_id]
        for split, kind, count in (("valid", 0, NUM_VALID), ("test", 0, normal), ("test", 1, anomalous)):
            word = ("normal", "anomaly")[kind]
            folder = "train" if split == "valid" else split
            rows += [
                (
                    f"{name}/{folder}/{word}_{machine_id}_{number:08}.wav",
                    split,
                    name,
                    machine_id,
                    class_index,
                    kind,
                )
                for number in range(count)
            ]
    columns = [np.array(column) for column in zip(*sorted(rows), strict=True)]
    return Labels(
        clip_id=columns[0],
        split=columns[1],
        machine_type=columns[2],
        machine_id=columns[3],
        class_index=columns[4],
        is_anomaly=columns[5].astype(np.int8),
    )


def _clips(labels: Labels, protocol: str) -> pa.Table:
    test = labels.split == "test"
    names = ("clip_id", "split", "machine_type", "machine_id")
    columns: dict[str, Any] = {name: getattr(labels, name)[test].tolist() for name in names}
    columns["is_anomaly"] = (labels.is_anomaly[test] == 1).tolist()
    roles = assign_roles(
        resolve_protocol(protocol, {"fan": {"test"}}),
        columns["clip_id"],
        **{name: columns[name] for name in (*names[1:], "is_anomaly")},
    )
    return pa.table({**columns, "chooses": roles.choosing.tolist(), "reports": roles.reporting.tolist()})


class _Drawn:
    """Serves the epochs of trials as a lane does, without any training."""

    lane = ""

    def __init__(self, labels: Labels, clips: pa.Table) -> None:
        self._labels = labels
        self._chooses = np.isin(
            labels.clip_id, clips.filter(clips.column("chooses")).column("clip_id").to_pylist()
        )
        self._own = np.random.default_rng(0).normal(size=len(labels))  # some clips are harder than others

    def start(self, order: TrialOrder) -> Started | Ending:
        self._order, self._history = order, []
        self._name = "/".join(Path(order.folder).parts[-2:]).encode()  # draws the same wherever the run lies
        return Ending(End.FAILED, "the loss is nan in epoch 1") if zlib.crc32(self._name) % 47 == 0 else Started(0)

    def release(self) -> None:
        """Nothing is held."""

    def epoch(self, to: int) -> EpochReport:
        order, last = self._order, to == self._order.config.train.epochs
        objective: dict[str, float] = {}
        if to in order.score_at:
            scores = self._draw(to)
            objective = {name: self._objective(name, scores) for name in order.machine_types}
        report = EpochReport(
            epoch=to,
            learning_rate=0.001,
            train_loss=1.0 / to,
            valid_loss=None,
            valid_accuracy=None,
            seconds=21.5,
            objective=objective,
            proxy={name: self._proxy(value) for name, value in objective.items()},
        )
        self._history.append(to_plain(report))
        if last:
            self._write(scores)
        return report

    def _objective(self, machine_type: str, scores: np.ndarray) -> float:
        """On the choosing clips."""
        labels = self._labels
        at = self._chooses & (labels.machine_type == machine_type)
        metrics = machine_metrics(
            machine_type, labels.machine_id[at], is_anomaly=labels.is_anomaly[at] == 1, score=scores[at]
        )
        value = objective_value(metrics, "mean")
        assert value is not None
        return value

    def _proxy(self, objective: float) -> float:
        """What needs no labels has something to do with what needs them."""
        rng = np.random.default_rng([zlib.crc32(self._name), int(1e6 * objective)])
        return float(np.clip(objective + 0.1 * rng.normal(), 0, 1))

    def _draw(self, epoch: int) -> np.ndarray:
        """A score for every clip."""
        order, labels = self._order, self._labels
        params = params_of(order.config)
        rng = np.random.default_rng([zlib.crc32(self._name), epoch])
        shift = np.zeros(len(labels))
        for name in order.machine_types:
            off = (params["margin"] - BEST_MARGIN[name]) ** 2 + 0.15 * np.log(params["scale"] / 25) ** 2
            off += 0.05 * (1 - params["noise_prob"])
            skill = (0.5 + BEST_MARGIN[name] - 2 * off + 0.1 * rng.normal()) * (epoch / EPOCHS) ** 0.3
            shift[labels.machine_type == name] = skill
        easier = 0.2 * labels.class_index % 0.9
        place = 0.8 * self._own + 0.5 * rng.normal(size=len(labels)) + (shift + easier) * (labels.is_anomaly == 1)
        return np.log1p(np.exp(2 * place))

    def _write(self, scores: np.ndarray) -> None:
        folder, everything = Path(self._order.folder), np.arange(len(self._labels))
        rng = np.random.default_rng(zlib.crc32(self._name))
        spread = float(scores.std())
        by_score = {name: scores + spread * rng.normal(size=len(scores)) for name in OF_EMBEDDINGS}
        scored = Scored(
            index=everything,
            by_score={**by_score, PUBLISHED: scores},
            metrics={},
            chosen=dict.fromkeys(self._order.machine_types, PUBLISHED),
            normals=None,
            stand_ins={},
        )
        write_scores(folder / "scores.parquet", self._labels, scored)
        write_whole(folder / "metrics.json", to_json(self._history))
        checkpoint.save(folder / "state.pt", {"module": {"weight": torch.zeros(4)}, "epoch": EPOCHS})
