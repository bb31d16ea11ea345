"""One trial as a lane serves it: start, epoch(to=n), and its files. Plain torch, no ray.

<folder>/state.pt           what the next epoch depends on, with the history; state.pt.previous: one epoch older
<folder>/metrics.json       every epoch so far
<folder>/scores.parquet     the latest scores of every scored clip: `score`, which counts, and each by its name
<folder>/stand_ins.parquet  the same for the stand-ins of anomalies, if these choose
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from asd_ray.config import signature
from asd_ray.data.resident import Clips, Labels
from asd_ray.files.paths import place
from asd_ray.files.writing import in_checked_folder, to_json, write_whole, writing
from asd_ray.scoring.metrics import PROXY, MachineMetrics, objective_value
from asd_ray.scoring.scores import AUTO, best_score
from asd_ray.training import checkpoint
from asd_ray.training.loop import EpochResult, Training, fit
from asd_ray.training.messages import EpochReport, IdMetrics, TrialOrder, TypeMetrics, from_plain, to_plain
from asd_ray.training.scored import Scored


class Trial:
    """Serves the epochs of one order. It answers for an epoch that is done already from the trial's history."""

    def __init__(
        self,
        order: TrialOrder,
        clips: Clips,
        *,
        num_classes: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    ) -> None:
        self.folder = place(order.folder)
        new_training = partial(
            Training,
            order.config,
            clips,
            num_classes=num_classes,
            machine_types=order.machine_types,
            systems=order.systems,
            device=device,
            rank=rank,
            world=world,
            wrap=wrap,
        )
        self.training = new_training()
        self.history: dict[int, EpochReport] = {}
        self._signature = signature(order.config, order.machine_types, order.corpus)
        if not self._resume():
            self.training = new_training()  # loading a state that does not fit may have changed parts of the first
        self._epochs = fit(self.training, score_at=order.score_at)

    def epoch(self, to: int) -> EpochReport:
        """Train up to epoch `to`, and return its report. A second call for the same epoch trains nothing.

        Raises DivergedError and EnvironmentFailure.
        """
        while to not in self.history:
            began = monotonic()
            result = next(self._epochs)
            report = self._report(result, seconds=monotonic() - began)
            self.history[result.epoch] = report
            if self.training.rank == 0:
                with in_checked_folder():
                    self._write(result)
        return self.history[to]

    def _report(self, result: EpochResult, *, seconds: float) -> EpochReport:
        name, scored = self.training.config.score.objective, result.scored
        values = {
            machine_type: {score: objective_value(metrics, name) for score, metrics in found.items()}
            for machine_type, found in (scored.metrics if scored else {}).items()
        }
        chosen = scored.chosen if scored else {}
        return EpochReport(
            epoch=result.epoch,
            learning_rate=result.learning_rate,
            train_loss=result.train_loss,
            valid_loss=result.valid_loss,
            valid_accuracy=result.valid_accuracy,
            seconds=round(seconds, 3),
            objective={
                machine_type: value
                for machine_type, score in chosen.items()
                if (value := values[machine_type][score]) is not None
            },
            choosing={name: metrics_of(found) for name, found in (scored.counted if scored else {}).items()},
            score=chosen,
            objective_by_score=values,
            proxy=self._proxy(scored) if scored else {},
        )

    def _proxy(self, scored: Scored) -> dict[str, float]:
        """The objective on stand-ins, for each machine type that has some.

        It uses the score that counts. If that score is itself a choice, it uses the one that stand-ins would
        choose, because no label may take part.
        """
        config, found = self.training.config.score, {}
        for machine_type, one in scored.stand_ins.items():
            names = list(one.by_score) if config.name == AUTO else [scored.chosen[machine_type]]
            values = {
                name: objective_value(one.metrics(name, machine_type=machine_type, max_fpr=config.max_fpr), PROXY)
                for name in names
            }
            if (value := values[best_score(values)]) is not None:
                found[machine_type] = value
        return found

    def _write(self, result: EpochResult) -> None:
        if result.scored is not None:
            write_scores(self.folder / "scores.parquet", self.training.clips.labels, result.scored)
            if self.training.config.score.objective == PROXY:
                write_stand_ins(self.folder / "stand_ins.parquet", result.scored)
        # Write the state last: once it says that an epoch is done, the epoch's other files are on disk.
        history = [to_plain(report) for report in self.history.values()]
        write_whole(self.folder / "metrics.json", to_json(history))
        state = {"signature": self._signature, "history": history, **self.training.state_dict()}
        if result.scored is not None and result.scored.normals is not None:
            state["normals"] = result.scored.normals._asdict()
        checkpoint.save(self.folder / "state.pt", state)

    def _resume(self) -> bool:
        """Go on from the folder's state if it belongs to this order; otherwise the trial begins anew.

        False if loading the state failed, because its parts do not fit.
        """
        state = checkpoint.load(self.folder / "state.pt")
        if state is None or state.get("signature") != self._signature:
            return True
        try:
            self.training.load_state_dict(state)
            reports = [from_plain(EpochReport, report) for report in state["history"]]
            self.history = {report.epoch: report for report in reports}
        except (KeyError, TypeError, ValueError, RuntimeError):
            return False
        return True


def metrics_of(metrics: MachineMetrics) -> TypeMetrics:
    """The metrics of a machine type, as an EpochReport holds them."""
    return TypeMetrics(
        auc=metrics.averaged.auc,
        pauc=metrics.averaged.pauc,
        pooled_auc=metrics.pooled.auc,
        pooled_pauc=metrics.pooled.pauc,
        mauc=metrics.minimum,
        per_id={name: IdMetrics(auc=found.auc, pauc=found.pauc) for name, found in metrics.per_id.items()},
        num_normal=metrics.num_normal,
        num_anomaly=metrics.num_anomaly,
    )


def write_scores(path: Path, labels: Labels, scored: Scored) -> None:
    """Write the scores of an epoch, without any label."""
    index = scored.index
    columns = {
        "clip_id": labels.clip_id[index].tolist(),
        "machine_type": labels.machine_type[index].tolist(),
        "split": labels.split[index].tolist(),
        "score": scored.of_record(labels.machine_type[index]),
        **scored.by_score,
    }
    _write_table(path, pa.table(columns))


def write_stand_ins(path: Path, scored: Scored) -> None:
    """Write the scores of held-out clips heard as their own and as other machine ids, without any label."""
    tables = [
        pa.table(
            {
                "clip_id": found.clip_id.tolist(),
                "machine_type": [machine_type] * len(found.clip_id),
                "machine_id": found.machine_id.tolist(),
                "is_stand_in": found.is_stand_in,
                "score": found.by_score[scored.chosen[machine_type]],
                **found.by_score,
            }
        )
        for machine_type, found in scored.stand_ins.items()
    ]
    _write_table(path, pa.concat_tables(tables))


def _write_table(path: Path, table: pa.Table) -> None:
    with writing(path) as file:
        pq.write_table(table, file, write_page_checksum=True)
