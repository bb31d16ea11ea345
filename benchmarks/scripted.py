"""A search of ours whose pruning is known beforehand, and which says when each trial was proposed and had a batch.

    python benchmarks/scripted.py --data datasets/synthetic --epochs 2 2 6 --at-once 2

The counterpart of `baseline_tune.py`: the same recordings and numbers of epochs, one per trial, in the order in
which trials are proposed. Everything else is the search as it is: studies, Tune, warm lanes, state files, report.
Prints JSON.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Batch
from asd_ray.lanes import lane
from asd_ray.lanes.controller import WORK
from asd_ray.lanes.handover import LaneWork
from asd_ray.lanes.serve import serve
from asd_ray.search import tuner
from asd_ray.search.runfolder import TRIALS
from asd_ray.search.searcher import StudySearcher
from asd_ray.search.trial_runner import step_of
from asd_ray.training import server, trial
from asd_ray.training.loop import EpochResult, Training
from asd_ray.training.messages import EpochTrained
from asd_ray.training.trial import Trial
from benchmarks.options import search_options

FIRST_BATCH = "first_batch.json"


class NotingTraining(Training):
    """Knows when its first batch was in hand."""

    first_batch = 0.0

    def _step(self, batch: Batch, rng: Any) -> Tensor:
        self.first_batch = self.first_batch or time.time()
        return super()._step(batch, rng)


class NotingTrial(Trial):
    """Says so in a file beside its own."""

    def _write(self, result: EpochResult) -> None:
        (self.folder / FIRST_BATCH).write_text(json.dumps(self.training.first_batch))  # type: ignore[attr-defined]
        super()._write(result)


def noting_serve(loop_config: dict[str, LaneWork]) -> None:
    """The Train loop of a lane's worker, as it is, with trials that note."""
    with patch.object(trial, "Training", NotingTraining), patch.object(server, "Trial", NotingTrial):
        serve(loop_config[WORK])


class ScriptedSearcher(StudySearcher):
    """Stops the k-th proposed trial after the epochs that are written down for it."""

    script: list[int]
    notes: list[dict[str, Any]]  # of each trial, in the order of their proposals

    def suggest(self, trial_id: str) -> Any:
        proposed = time.time()
        suggestion = super().suggest(trial_id)
        if isinstance(suggestion, dict):
            self.notes.append({"trial": trial_id, "proposed": proposed, "training_s": 0.0})
        return suggestion

    def judge(self, trial_id: str, result: dict[str, Any]) -> bool:
        stop = bool(super().judge(trial_id, result))
        step = step_of(result)
        if not isinstance(step, EpochTrained):
            return stop
        report = step.report
        number = next(at for at, note in enumerate(self.notes) if note["trial"] == trial_id)
        note = self.notes[number]
        if report.epoch != note.get("epoch"):
            note["training_s"] += report.seconds
        name = self._assigned[trial_id].assignment.name
        first_batch = json.loads((self._folder / TRIALS / name / FIRST_BATCH).read_text())
        note |= {"epoch": report.epoch, "first_batch": first_batch, "lane": step.lane}
        if report.epoch >= self.script[number] and not result["done"]:
            self._assigned[trial_id].pruned = True
            return True
        return stop


def search(data: Path, folder: Path, *, script: list[int], settings: list[str]) -> dict[str, Any]:
    """Prepare the recordings and run the trials; seconds of the whole and of each trial, and the epochs."""
    ScriptedSearcher.script, ScriptedSearcher.notes = script, []
    config = replace_settings(RunConfig(), [*settings, f"search.trials={len(script)}", "search.prune=false"])
    began = time.time()
    api.prepare(data, folder / "shards", valid_fraction=0.0)
    prepared = time.time()
    # patch.object refuses names that are no longer there.
    noting = patch.object(lane, "serve_in_worker", noting_serve)
    with patch.object(tuner, "StudySearcher", ScriptedSearcher), noting:
        api.search(
            folder / "shards", folder / "run", config, space_name="noisy_arcmix", on_event=lambda event: None
        )
    ended = time.time()
    notes = ScriptedSearcher.notes
    if [note["epoch"] for note in notes] != script:
        raise RuntimeError(f"trained {[note['epoch'] for note in notes]} epochs, not {script}")
    return {
        "seconds": ended - began,
        "epochs": sum(script),
        "prepare_s": prepared - began,
        "start_s": min(note["first_batch"] for note in notes) - prepared,
        "first_batch_s": [note["first_batch"] - note["proposed"] for note in notes],
        "lane": [note["lane"] for note in notes],
        "training_s": [note["training_s"] for note in notes],
    }


def main() -> None:
    arguments = search_options(__doc__).parse_args()
    settings = [
        f"train.epochs={max(arguments.epochs)}",
        f"model.width={arguments.width}",
        f"train.batch_size={arguments.batch_size}",
        "train.learning_rate=1e-3",
        f"lanes.count={arguments.at_once}",
        "search.sampler=random",
        "score.protocol=paper",
    ]
    with tempfile.TemporaryDirectory(prefix="ours-") as folder:
        found = search(arguments.data, Path(folder), script=arguments.epochs, settings=settings)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
