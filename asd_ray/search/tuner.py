"""The tuner of a search: one Tuner over all studies, in front of warm lanes.

Tune's own state is disposable: all that is known is in the studies.
"""

from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune

from asd_ray.cluster.placement import on_this_node, seen_from_all_nodes
from asd_ray.cluster.ray_internals import mend_out_of_memory
from asd_ray.data.bank import Bank
from asd_ray.data.manifest import MANIFEST
from asd_ray.deadline import Deadline
from asd_ray.errors import EnvironmentFailure
from asd_ray.files.paths import place, ray_storage
from asd_ray.lanes.opening import Read, lanes_of_cluster, lanes_of_machine
from asd_ray.lanes.sizes import Room, Share
from asd_ray.search import runfolder
from asd_ray.search.events import OnEvent, Planned
from asd_ray.search.inline import InlineTrial
from asd_ray.search.runfolder import Run
from asd_ray.search.searcher import StudyScheduler, StudySearcher
from asd_ray.search.studies.studies import Studies
from asd_ray.search.trial_runner import ASSIGNMENT, LaneTrial
from asd_ray.training.messages import Assignment, from_text
from asd_ray.training.rungs import rungs


def run_trials(
    folder: Path,
    run: Run,
    studies: Studies,
    *,
    trials: int,
    room: Room,
    read: Read,
    scratch: Path,
    on_event: OnEvent,
    deadline: Deadline,
    address: str | None = None,
) -> StudySearcher | None:
    """Run the missing work on the running Ray, at most `trials` at a time; None if no lane came in time.

    The returned searcher knows what the deadline left undone. Raises InputError, EnvironmentFailure.
    """
    shards, missing = place(run.corpus.path), studies.num_missing
    here = address is None or run.config.lanes.inline
    with (
        seen_from_all_nodes(folder.resolve(), shards.resolve() / MANIFEST, address, on_event=on_event) as sight,
        (lanes_of_machine if here else partial(lanes_of_cluster, deadline=deadline, sight=sight))(
            run.config.lanes,
            room,
            trials=trials,
            systems=run.systems,
            num_classes=len(run.corpus.classes),
            read=read,
            scratch=scratch,
            on_event=on_event,
        ) as found,
    ):
        if found is None:
            return None
        share, bank, lanes = found
        searcher = StudySearcher(
            studies, run, folder, on_event=on_event, total=missing, deadline=deadline, lanes=lanes
        )
        on_event(Planned.of(studies, total=missing))
        _tune(folder, run, searcher, share=share, clips=bank, scratch=scratch)
        return searcher


def _tune(
    folder: Path,
    run: Run,
    searcher: StudySearcher,
    *,
    share: Share,
    clips: "Future[Bank]",
    scratch: Path,
) -> None:
    """Run trials until the searcher has no more. Raises EnvironmentFailure."""
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
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher lets trials begin again
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own state
        ),
    ).fit()
    if searcher.trouble:
        raise EnvironmentFailure(searcher.trouble)


def _trainable(folder: Path, run: Run, *, share: Share, clips: "Future[Bank]") -> Any:
    """What Tune runs: a thin client of the lanes, or, inline, the training itself."""
    epochs = run.config.train.epochs
    fixed: dict[str, Any] = {
        "base": run.config.model_copy(update={"lanes": share.lane}),
        "trials": str((folder / runfolder.TRIALS).resolve()),
        "corpus": run.corpus_identity,
        "systems": run.systems,
        # Score at the rungs even if nothing is pruned: the report shows how far trials had come there.
        "score_at": (*rungs(epochs, run.config.search.eta), epochs),
    }
    if share.inline:
        fixed |= {"clips": clips.result(), "num_classes": len(run.corpus.classes)}
        return tune.with_resources(tune.with_parameters(InlineTrial, **fixed), share.resources)
    # Ask for a sliver of memory: Tune insists on some resource, and the lanes may need every CPU. Ask for it on
    # this node, which stays: on another, it would keep the cluster from giving that node back.
    sliver = tune.PlacementGroupFactory([{"CPU": 0, "memory": 1}], bundle_label_selector=[on_this_node()])
    return tune.with_resources(tune.with_parameters(LaneTrial, **fixed), sliver)


def _trial_name(trial: Any) -> str:
    return from_text(Assignment, trial.config[ASSIGNMENT]).name
