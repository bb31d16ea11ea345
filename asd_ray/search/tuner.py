"""The driver of a search: one Tuner over all studies, in front of warm lanes.

Tune's own state is disposable; what is known lies in the studies. A search that was stopped, however hard, goes
on by the same call.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asd_ray.runtime import local_ray  # isort: skip - before ray, whose switches it sets

import ray.data
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from asd_ray.clip import SPLITS
from asd_ray.command import InputError
from asd_ray.config import RunConfig
from asd_ray.data.bank import stream_shards
from asd_ray.data.blocks import BYTES_PER_CLIP
from asd_ray.data.manifest import Manifest
from asd_ray.models import find_system
from asd_ray.models.sgram import LogMel
from asd_ray.search import runfolder
from asd_ray.search.pruning import rungs
from asd_ray.search.resources import Share, share_out
from asd_ray.search.runfolder import Run
from asd_ray.search.storage import open_studies
from asd_ray.search.studies import Outcome, Proposal, Studies
from asd_ray.search.trainables import InlineTrial, LaneTrial
from asd_ray.training.lane import Lane, LaneSettings

SCRATCH = ".ray"  # Train's and Tune's own files, below the run folder; nothing reads them after a search
RETRIES = 5  # of a trial whose lane, or whose Tune actor, has died
QUIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A trial that has ended: for whoever shows progress."""

    proposal: Proposal
    outcome: Outcome
    reason: str
    epochs: int
    values: dict[str, float]  # objective per machine type, as last scored
    number: int  # of trials ended in this call
    total: int  # of trials this call will run


Tell = Callable[[str | Ended], None]


def run_search(folder: Path, run: Run, *, visible_labels: list[str], tell: Tell) -> None:
    """Run the trials that the run's total still lacks. Call it while holding the run's lock.

    Raises InputError for what a user can mend, SearchStoppedError, KeyboardInterrupt when interrupted; call again
    to go on.
    """
    studies, cut = open_studies(folder, run, take_over=True)
    if cut:
        tell(f"the journal ended in {cut} torn bytes of a killed writer; kept in {runfolder.JOURNAL}.torn")
    missing = run.config.search.trials - studies.count() + studies.num_adopted
    if missing <= 0:
        return
    config = run.config
    shards = Path(run.corpus.path)
    clips = sum(shard.rows for shard in Manifest.load(shards).shards)
    with scratch_folder(folder) as scratch, local_ray(object_store_bytes=store_size(clips)):
        share = share_out(config.lanes, trials=missing, clips=clips)
        tell(f"reading {clips} clips into shared memory ({clips * BYTES_PER_CLIP / 1e9:.1f} GB)")
        dataset = read_clips(shards, config, visible_labels=visible_labels)
        tell(f"starting {share}")
        with warm_lanes(share, dataset, num_classes=len(run.corpus.classes), scratch=scratch) as lanes:
            searcher = StudySearcher(studies, run, tell=tell, total=missing)
            _tune(folder, run, searcher, share=share, lanes=lanes, clips=dataset, scratch=scratch)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    path = (folder / SCRATCH).resolve()
    shutil.rmtree(path, ignore_errors=True)  # of a killed driver
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def read_clips(shards: Path, config: RunConfig, *, visible_labels: list[str]) -> ray.data.Dataset:
    """All clips of a shard folder with the log-mel that the network wants."""
    return stream_shards(
        shards,
        to_sgram=partial(LogMel, find_system(config.model.name).mel),
        splits=SPLITS,
        visible_labels=visible_labels,
    )


def store_size(clips: int) -> int:
    """Room for every clip once, and as much again for what Ray Data has in hand. Raises InputError."""
    size = max(256 * 2**20, 2 * clips * BYTES_PER_CLIP)
    shared = os.statvfs("/dev/shm") if Path("/dev/shm").exists() else None
    free = shared.f_bavail * shared.f_frsize if shared else size
    if size > free:
        raise InputError(
            f"{clips} clips need {size / 1e9:.1f} GB of shared memory, /dev/shm has {free / 1e9:.1f} GB free; "
            "search fewer recordings, or on a machine with more memory"
        )
    return size


@contextmanager
def warm_lanes(share: Share, clips: ray.data.Dataset, *, num_classes: int, scratch: Path) -> Iterator[list[Lane]]:
    """Warm lanes for the length of a block; they quit one beside the other."""
    if share.inline:
        yield []
        return
    settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch)
    lanes = [Lane(f"lane-{number}", clips, settings) for number in range(share.count)]
    try:
        yield lanes
    except BaseException:
        # Ray is shut down next, which ends all processes without waiting for the epoch in hand.
        for lane in lanes:
            lane.abandon()
        raise
    for lane in lanes:
        lane.ask_to_quit()
    for lane in lanes:
        lane.join(QUIT_S)


def _tune(
    folder: Path,
    run: Run,
    searcher: "StudySearcher",
    *,
    share: Share,
    lanes: list[Lane],
    clips: ray.data.Dataset,
    scratch: Path,
) -> None:
    """Run trials until the searcher has no more. Raises SearchStoppedError."""
    tune.Tuner(
        _trainable(folder, run, share=share, lanes=lanes, clips=clips),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=StudyScheduler(searcher),
            num_samples=-1,
            max_concurrent_trials=share.count,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own state
        ),
    ).fit()
    if searcher.trouble:
        raise SearchStoppedError(searcher.trouble)


def _trainable(folder: Path, run: Run, *, share: Share, lanes: list[Lane], clips: ray.data.Dataset) -> Any:
    """What Tune runs: a thin client of the lanes, or, inline, the training itself."""
    epochs = run.config.train.epochs
    fixed: dict[str, Any] = {
        "base": run.config.model_copy(update={"lanes": share.lane}),
        "trials": str((folder / runfolder.TRIALS).resolve()),
        "corpus": run.corpus_identity,
        "score_at": (*rungs(epochs, run.config.search.eta), epochs),
    }
    if share.inline:
        fixed |= {"clips": clips, "num_classes": len(run.corpus.classes)}
        return tune.with_resources(tune.with_parameters(InlineTrial, **fixed), share.resources)
    fixed |= {"mailboxes": [lane.mailbox for lane in lanes]}
    # A sliver of memory: Tune insists on some resource, and any CPU could be one that the lanes need.
    return tune.with_resources(tune.with_parameters(LaneTrial, **fixed), {"CPU": 0, "memory": 1})


def _trial_name(trial: Any) -> str:
    return str(trial.config["uid"])


class SearchStoppedError(Exception):
    """The machine, not a trial, is at fault: lanes cannot start, a disk is full. The same call goes on later."""


class StudySearcher(Searcher):
    """Tune's search algorithm: asks the studies, and tells them how trials ended."""

    def __init__(self, studies: Studies, run: Run, *, tell: Tell, total: int) -> None:
        super().__init__(metric="training_iteration", mode="max")
        self.studies, self._tell, self._total = studies, tell, total
        self._joint = run.trained_types if run.config.search.scope == "joint" else ()
        self._running: dict[str, Proposal] = {}
        self._pruned: set[str] = set()
        self._last: dict[str, dict[str, Any]] = {}
        self._ended = 0
        self.trouble = ""  # why the search cannot go on

    def __reduce__(self) -> Any:
        """Tune pickles its searcher; the studies are the state, and they are on disk."""
        return StudySearcher.__new__, (StudySearcher,)

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        proposal = None if self.trouble else self.studies.ask()
        if proposal is None:
            return Searcher.FINISHED
        self._running[trial_id] = proposal
        return {
            "uid": proposal.uid,
            "params": proposal.params,
            "machine_types": list(self._joint or proposal.machine_types),
        }

    def judge(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass an epoch's report on to the studies; True when the trial is to be stopped."""
        if "report" not in result:
            return False
        report = json.loads(result["report"])
        self._last[trial_id] = report
        uid = self._running[trial_id].uid
        if not report["objective"] or not self.studies.report(uid, report["epoch"], report["objective"]):
            return False
        self._pruned.add(trial_id)
        return True

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial whose process or lane failed, time after time, stays running: the next call adopts it."""
        proposal = self._running.pop(trial_id, None)
        if proposal is None or error:
            return
        report = self._last.pop(trial_id, {"epoch": 0, "objective": {}})
        reason = (result or {}).get("failed", "")
        outcome: Outcome = "failed" if reason else "pruned" if trial_id in self._pruned else "complete"
        self.studies.tell(proposal.uid, outcome, reason=reason)
        self._ended += 1
        ended = Ended(
            proposal=proposal,
            outcome=outcome,
            reason=reason,
            epochs=report["epoch"],
            values=report["objective"],
            number=self._ended,
            total=self._total,
        )
        self._tell(ended)

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise InputError("a search is resumed by calling it again, not by Tuner.restore")


class StudyScheduler(FIFOScheduler):
    """Stops a trial when the studies say so."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._searcher.judge(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """It has failed as often as it may be tried: something is wrong that another trial would meet too."""
        lines = str(trial.get_error() or "its process died").strip().splitlines()
        self._searcher.trouble = self._searcher.trouble or lines[-1]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The last epoch comes this way."""
        self._searcher.judge(trial.trial_id, result)
