"""The driver of a search: one Tuner over all studies, in front of warm lanes.

Tune's own state is disposable; what is known lies in the studies. A search that was stopped, however hard, goes
on by the same call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune

from asd_ray.data.bank import Bank
from asd_ray.data.manifest import MANIFEST, Manifest
from asd_ray.placement import on_this_node, seen_from_all_nodes
from asd_ray.places import place, ray_storage, remove_folder
from asd_ray.search import runfolder
from asd_ray.search.budget import Deadline
from asd_ray.search.confirmation import count_to_confirm, open_confirmation
from asd_ray.search.events import Planned, Tell
from asd_ray.search.inline import InlineTrial
from asd_ray.search.lanes import (
    SearchStoppedError,
    lanes_of_cluster,
    lanes_of_machine,
    ray_with_room,
    read_clips,
)
from asd_ray.search.mends import mend_out_of_memory
from asd_ray.search.resources import Share
from asd_ray.search.runfolder import Run
from asd_ray.search.scheduler import StudyScheduler
from asd_ray.search.searcher import StudySearcher
from asd_ray.search.starts import Starts, begin_from
from asd_ray.search.storage import Store, open_studies
from asd_ray.search.studies import Studies
from asd_ray.search.trainables import LaneTrial
from asd_ray.training.rungs import rungs

SCRATCH = ".ray"  # Train's and Tune's own files, below the run folder; nothing reads them after a search


def run_search(
    folder: Path,
    run: Run,
    *,
    visible_labels: list[str],
    tell: Tell,
    store: Store | None = None,
    starts: Starts | None = None,
    deadline: Deadline | None = None,
    address: str | None = None,
) -> None:
    """Run the trials that the run's total still lacks, then the trainings that confirm the best of them.

    On this machine, or on the cluster at `address`, where lanes come and go with its nodes. Call it while holding
    the run's lock.

    Raises InputError for what a user can mend, SearchStoppedError, KeyboardInterrupt when interrupted; call again
    to go on.
    """
    studies, cut = open_studies(folder, run, take_over=True, store=store)
    if cut:
        tell(f"the journal ended in {cut} torn bytes of a killed writer; kept in {runfolder.JOURNAL}.torn")
    for line in begin_from(starts or Starts(), studies):
        tell(line)
    deadline, missing = deadline or Deadline(), studies.num_missing
    to_confirm = count_to_confirm(folder, run, studies)
    if deadline.over or (not missing and not to_confirm):
        _end(folder, run, studies, deadline=deadline, tell=tell)
        return
    shards = place(run.corpus.path)
    clips = Manifest.load(shards).count_clips()
    here = address is None or run.config.lanes.inline
    with (
        scratch_folder(folder) as scratch,
        ray_with_room(address, clips, run) as room,
        seen_from_all_nodes(folder.resolve(), shards.resolve() / MANIFEST, address, tell=tell) as sight,
        (lanes_of_machine if here else partial(lanes_of_cluster, deadline=deadline, sight=sight))(
            run,
            room,
            trials=max(missing, to_confirm),
            read=partial(read_clips, shards, run.systems, visible_labels=visible_labels, streams=room.streams),
            scratch=scratch,
            tell=tell,
        ) as found,
    ):
        if found is None:
            _end(folder, run, studies, deadline=deadline, tell=tell)
            return
        share, bank, lanes = found
        searcher = StudySearcher(studies, run, folder, tell=tell, total=missing, deadline=deadline, lanes=lanes)
        tell(Planned.of(studies, total=missing))
        _tune(folder, run, searcher, share=share, clips=bank, scratch=scratch)
        _end(folder, run, studies, deadline=deadline, tell=tell, searcher=searcher)


def _end(
    folder: Path,
    run: Run,
    studies: Studies,
    *,
    deadline: Deadline,
    tell: Tell,
    searcher: StudySearcher | None = None,
) -> None:
    """Say why the call ends, if it does so before its work is done; without a searcher, nothing was to run."""
    search, left = run.config.search, searcher.left if searcher else []
    confirmation = searcher.confirmation if searcher else None
    unfinished = bool(left or studies.num_missing)
    if search.confirm and confirmation is None and not unfinished:
        # All trials have ended, and nobody has decided what to confirm: the report says how far that has come.
        confirmation = open_confirmation(folder, run, studies)
    if deadline.over and (unfinished or (confirmation is not None and confirmation.waiting())):
        what = f"{', '.join(left)} left at the end of an epoch" if left else "nothing was running"
        tell(f"{deadline.hours:g} hours are over, {what}; the same call goes on")
    elif studies.resting and studies.count() < search.trials:
        tell(f"{search.stop_when}, for any machine type: ended after {studies.count()} of {search.trials} trials")


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    path = (folder / SCRATCH).resolve()
    remove_folder(path)  # of a killed driver
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        remove_folder(path)


def _tune(
    folder: Path,
    run: Run,
    searcher: StudySearcher,
    *,
    share: Share,
    clips: Bank,
    scratch: Path,
) -> None:
    """Run trials until the searcher has no more. Raises SearchStoppedError."""
    mend_out_of_memory()
    tune.Tuner(
        _trainable(folder, run, share=share, clips=clips),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=StudyScheduler(searcher),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            **ray_storage(scratch),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher has them begun again
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own state
        ),
    ).fit()
    if searcher.trouble:
        raise SearchStoppedError(searcher.trouble)


def _trainable(folder: Path, run: Run, *, share: Share, clips: Bank) -> Any:
    """What Tune runs: a thin client of the lanes, or, inline, the training itself."""
    epochs = run.config.train.epochs
    fixed: dict[str, Any] = {
        "base": run.config.model_copy(update={"lanes": share.lane}),
        "trials": str((folder / runfolder.TRIALS).resolve()),
        "corpus": run.corpus_identity,
        "systems": run.systems,
        # Also where nothing is pruned: the report shows how far trials had come there.
        "score_at": (*rungs(epochs, run.config.search.eta), epochs),
    }
    if share.inline:
        fixed |= {"clips": clips, "num_classes": len(run.corpus.classes)}
        return tune.with_resources(tune.with_parameters(InlineTrial, **fixed), share.resources)
    # A sliver of memory: Tune insists on some resource, and any CPU could be one that the lanes need. Here, for
    # this node stays, and no other may be kept from being given back.
    sliver = tune.PlacementGroupFactory([{"CPU": 0, "memory": 1}], bundle_label_selector=[on_this_node()])
    return tune.with_resources(tune.with_parameters(LaneTrial, **fixed), sliver)


def _trial_name(trial: Any) -> str:
    return str(trial.config["uid"])
