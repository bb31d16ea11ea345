"""The driver of a search: one Tuner over all studies, in front of warm lanes.

Tune's own state is disposable; what is known lies in the studies. A search that was stopped, however hard, goes
on by the same call.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from asd_ray.runtime import local_ray  # isort: skip - before ray, whose switches it sets

import ray.data
from ray import tune

from asd_ray.clip import SPLITS
from asd_ray.command import InputError
from asd_ray.config import RunConfig
from asd_ray.data.bank import stream_shards
from asd_ray.data.blocks import BYTES_PER_CLIP
from asd_ray.data.manifest import Manifest
from asd_ray.models import find_system
from asd_ray.models.sgram import LogMel
from asd_ray.search import runfolder
from asd_ray.search.budget import Deadline
from asd_ray.search.confirmation import open_confirmation
from asd_ray.search.mends import mend_out_of_memory
from asd_ray.search.pruning import rungs
from asd_ray.search.resources import Share, share_out
from asd_ray.search.runfolder import Run
from asd_ray.search.searcher import StudyScheduler, StudySearcher, Tell
from asd_ray.search.starts import Starts, begin_from
from asd_ray.search.storage import Store, open_studies
from asd_ray.search.studies import Studies
from asd_ray.search.trainables import InlineTrial, LaneTrial
from asd_ray.training.lane import Lane, LaneSettings

SCRATCH = ".ray"  # Train's and Tune's own files, below the run folder; nothing reads them after a search
QUIT_S = 30.0


class SearchStoppedError(Exception):
    """The machine, not a trial, is at fault: lanes cannot start, a disk is full. The same call goes on later."""


def run_search(
    folder: Path,
    run: Run,
    *,
    visible_labels: list[str],
    tell: Tell,
    store: Store | None = None,
    starts: Starts | None = None,
    deadline: Deadline | None = None,
) -> None:
    """Run the trials that the run's total still lacks, then the trainings that confirm the best of them.

    Call it while holding the run's lock.

    Raises InputError for what a user can mend, SearchStoppedError, KeyboardInterrupt when interrupted; call again
    to go on.
    """
    studies, cut = open_studies(folder, run, take_over=True, store=store)
    if cut:
        tell(f"the journal ended in {cut} torn bytes of a killed writer; kept in {runfolder.JOURNAL}.torn")
    for line in begin_from(starts or Starts(), studies):
        tell(line)
    deadline, missing = deadline or Deadline(), studies.num_missing
    to_confirm = _count_to_confirm(folder, run, studies, missing=missing)
    if deadline.over or (not missing and not to_confirm):
        _say_why(folder, run, studies, deadline=deadline, left=[], tell=tell)
        return
    config = run.config
    shards = Path(run.corpus.path)
    clips = sum(shard.rows for shard in Manifest.load(shards).shards)
    with scratch_folder(folder) as scratch, local_ray(object_store_bytes=store_size(clips)):
        share = share_out(config.lanes, trials=max(missing, to_confirm), clips=clips)
        tell(f"reading {clips} clips into shared memory ({clips * BYTES_PER_CLIP / 1e9:.1f} GB)")
        dataset = read_clips(shards, config, visible_labels=visible_labels)
        tell(f"starting {share}")
        with warm_lanes(share, dataset, num_classes=len(run.corpus.classes), scratch=scratch) as lanes:
            searcher = StudySearcher(studies, run, folder, tell=tell, total=missing, deadline=deadline)
            _tune(folder, run, searcher, share=share, lanes=lanes, clips=dataset, scratch=scratch)
            _say_why(folder, run, studies, deadline=deadline, left=searcher.left, tell=tell)


def _say_why(folder: Path, run: Run, studies: Studies, *, deadline: Deadline, left: list[str], tell: Tell) -> None:
    """Say why the call ends, if it does so before its work is done; `left` are the trials that it left running."""
    search, missing = run.config.search, studies.num_missing
    if deadline.over and (left or missing or _count_to_confirm(folder, run, studies, missing=missing)):
        what = f"{', '.join(left)} left at the end of an epoch" if left else "nothing was running"
        tell(f"{deadline.hours:g} hours are over, {what}; the same call goes on")
    elif studies.resting and studies.count() < search.trials:
        tell(f"{search.stop_when}, for any machine type: ended after {studies.count()} of {search.trials} trials")


def _count_to_confirm(folder: Path, run: Run, studies: Studies, *, missing: int) -> int:
    """Trainings that are left to confirm the best with; at least so many where trials are still to come."""
    if not run.config.search.confirm:
        return 0
    return run.config.search.seeds if missing > 0 else len(open_confirmation(folder, run, studies).waiting())


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
        for lane in lanes:
            lane.ask_to_quit()
        for lane in lanes:
            lane.join(QUIT_S)
    finally:
        # Ray is shut down next; no thread may wait in it then.
        for lane in lanes:
            lane.abandon()
        for lane in lanes:
            lane.join(QUIT_S)


def _tune(
    folder: Path,
    run: Run,
    searcher: StudySearcher,
    *,
    share: Share,
    lanes: list[Lane],
    clips: ray.data.Dataset,
    scratch: Path,
) -> None:
    """Run trials until the searcher has no more. Raises SearchStoppedError."""
    mend_out_of_memory()
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
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher has them begun again
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
