"""A search in this process: the searcher, trainings and files of the real one, one trial at a time: no Ray."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from ray.tune.search import Searcher

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.blocks import add_sgram, blank_labels, collect
from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.data.resident import Resident
from asd_ray.models import mels_of
from asd_ray.models.sgram import LogMels
from asd_ray.search import runfolder
from asd_ray.search.confirmation import Confirmation, read_confirmation
from asd_ray.search.events import Event
from asd_ray.search.runfolder import Plan, Run
from asd_ray.search.searcher import StudySearcher
from asd_ray.search.space import load_space
from asd_ray.search.studies.storage import open_studies
from asd_ray.search.trial_runner import TrialRunner
from asd_ray.training.messages import End, Ending, EpochReport, Start, Started, TrainTo, TrialOrder
from asd_ray.training.rungs import rungs
from asd_ray.training.server import Server

SMALL = ["model.width=0.0625", "train.batch_size=16", "train.learning_rate=0.002"]
Change = Callable[[pa.Table], pa.Table]


class KilledError(BaseException):
    """The process ends here: nothing catches it, nothing tidies up."""


class Commander:
    """Serves trials in this process, notes every epoch that is trained, and dies where it is told to."""

    def __init__(self, clips: Resident, *, num_classes: int) -> None:
        torch.set_num_threads(1)
        self._server = Server(clips, num_classes=num_classes, device=torch.device("cpu"))
        self.trained: list[tuple[str, int]] = []  # folder and epoch of every order to train
        self.die_after = -1
        self.fails: Callable[[TrialOrder], str] = lambda order: ""

    def start(self, order: TrialOrder) -> Started | Ending:
        self._order = order
        if reason := self.fails(order):
            return Ending(End.FAILED, reason)
        return self._server.do(Start(order))

    def epoch(self, to: int) -> EpochReport | Ending:
        if len(self.trained) == self.die_after:
            raise KilledError
        trial = self._server._trial
        assert trial is not None
        if to not in trial.history:
            self.trained.append((f"{Path(self._order.folder).parent.name}/{Path(self._order.folder).name}", to))
        return self._server.do(TrainTo(to))

    lane = ""

    def release(self) -> None:
        """Nothing is held."""


class LocalRunner(TrialRunner):
    def connect(self, **fixed: Any) -> Commander:
        commander: Commander = fixed["commander"]
        return commander


def begin(
    shards: Path,
    folder: Path,
    settings: list[str],
    *,
    protocol: str = "auto",
    change: Change | None = None,
    space_name: str = "noisy_arcmix",
) -> tuple[Run, Plan]:
    """The run folder of a search; `change` alters the table of labels that only the report reads."""
    config = replace_settings(RunConfig(), [*SMALL, f"score.protocol={protocol}", *settings])
    space, text = load_space(space_name)
    plan = runfolder.plan_clips(shards, protocol, objective=config.score.objective)
    run = runfolder.plan_run(shards, config, plan=plan, space=space, space_text=text)
    runfolder.open_run(folder, run, clips=change(plan.clips) if change else plan.clips)
    return run, plan


def clips_for(
    shards: Path, plan: Plan, *, change: Change | None = None, systems: Sequence[str] = ("tastgram",)
) -> Resident:
    """What a trainer gets: all clips, the labels blanked that it may not see; `change` alters every shard."""
    visible, to_sgram = pa.array(plan.visible_labels, pa.string()), LogMels(mels_of(systems))
    tables = (read_shard(shards / shard.path) for shard in Manifest.load(shards).shards)
    return collect(
        blank_labels(add_sgram(change(table) if change else table, to_sgram), visible) for table in tables
    )


def search(folder: Path, run: Run, commander: Commander) -> list[Event]:
    """Search and confirm as the driver does, until there is no more to do; all that it tells."""
    told: list[Event] = []
    studies, _ = open_studies(folder, run, take_over=True)
    searcher = StudySearcher(studies, run, folder, on_event=told.append, total=run.config.search.trials)
    runner = LocalRunner.__new__(LocalRunner)
    epochs = run.config.train.epochs
    fixed = {
        "base": run.config,
        "trials": str(folder / runfolder.TRIALS),
        "corpus": run.corpus_identity,
        "systems": run.systems,
        "score_at": (*rungs(epochs, run.config.search.eta), epochs),
        "commander": commander,
    }
    number = 0
    while (suggestion := searcher.suggest(str(number))) != Searcher.FINISHED:
        runner.setup(suggestion, **fixed)
        stop, result = False, {"done": False}
        while not (stop or result["done"]):
            result = runner.step()
            stop = searcher.judge(str(number), result)
        searcher.on_trial_complete(str(number), result)
        number += 1
    return told


def confirmation_of(folder: Path) -> Confirmation:
    found = read_confirmation(folder, runfolder.read_run(folder)[0])
    assert found is not None
    return found
