"""The driver of a search: one Tuner over all studies, in front of warm lanes.

Tune's own state is disposable; what is known lies in the studies. A search that was stopped, however hard, goes
on by the same call.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from asd_ray.runtime import joined_ray, local_ray  # isort: skip - before ray, whose switches it sets

from ray import tune

from asd_ray.config import LaneConfig
from asd_ray.data.bank import Bank, Source
from asd_ray.data.manifest import MANIFEST, Manifest
from asd_ray.models import mels_of
from asd_ray.models.sgram import LogMels
from asd_ray.placement import on_this_node, seen_from_all_nodes
from asd_ray.places import place, ray_storage, remove_folder
from asd_ray.search import runfolder
from asd_ray.search.budget import Deadline
from asd_ray.search.confirmation import count_to_confirm, open_confirmation
from asd_ray.search.elastic import FixedLanes, Lanes
from asd_ray.search.events import Planned, Tell
from asd_ray.search.inline import InlineTrial
from asd_ray.search.mends import mend_out_of_memory
from asd_ray.search.pool import LanePool, pool_of_lanes
from asd_ray.search.pruning import rungs
from asd_ray.search.resources import Room, Share, make_room, room_on_cluster, share_cluster, share_out
from asd_ray.search.runfolder import Run
from asd_ray.search.scheduler import StudyScheduler
from asd_ray.search.searcher import StudySearcher
from asd_ray.search.starts import Starts, begin_from
from asd_ray.search.storage import Store, open_studies
from asd_ray.search.studies import Studies
from asd_ray.search.trainables import LaneTrial
from asd_ray.sight import Sight
from asd_ray.training.lane import Lane, LaneSettings, name_lane
from asd_ray.training.link import list_lanes

SCRATCH = ".ray"  # Train's and Tune's own files, below the run folder; nothing reads them after a search
QUIT_S = 30.0
LOOK_S = 1.0  # for nodes of a cluster


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
        _ray_with_room(address, clips, run) as room,
        seen_from_all_nodes(folder.resolve(), shards.resolve() / MANIFEST, address) as sight,
        (_lanes_of_machine if here else partial(_lanes_of_cluster, sight=sight))(
            run,
            room,
            trials=max(missing, to_confirm),
            read=partial(
                read_clips,
                shards,
                run.systems,
                visible_labels=visible_labels,
                streams=room.streams,
            ),
            scratch=scratch,
            deadline=deadline,
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


@contextmanager
def _ray_with_room(address: str | None, clips: int, run: Run) -> Iterator[Room]:
    """Ray for the length of a block: a local one with room for the clips, or a cluster with what it has."""
    lanes, log_mels = run.config.lanes, len(mels_of(run.systems))
    if address is not None:
        with joined_ray(address):
            yield room_on_cluster(clips, lanes, log_mels=log_mels)
        return
    room = make_room(clips, lanes, log_mels=log_mels)
    with local_ray(object_store_bytes=room.store_bytes):
        yield room


@contextmanager
def _lanes_of_machine(
    run: Run,
    room: Room,
    *,
    trials: int,
    read: Callable[[], Bank],
    scratch: Path,
    deadline: Deadline,
    tell: Tell,
) -> Iterator[tuple[Share, Bank, Lanes] | None]:
    """As many lanes as fit what there is, for the length of a block; with the clips that they train on."""
    clips = 0 if room.streams else room.clips
    share = share_out(run.config.lanes, trials=trials, clips=clips, log_mels=len(mels_of(run.systems)))
    tell(room.words)
    bank = read()
    tell(f"starting {share}")
    with warm_lanes(share, bank, num_classes=len(run.corpus.classes), scratch=scratch):
        yield share, bank, FixedLanes(share.count)


@contextmanager
def _lanes_of_cluster(
    run: Run,
    room: Room,
    *,
    trials: int,
    read: Callable[[], Bank],
    scratch: Path,
    deadline: Deadline,
    tell: Tell,
    sight: Sight | None = None,
) -> Iterator[tuple[Share, Bank, Lanes] | None]:
    """Lanes that come and go with the nodes of a cluster; None when the deadline comes before the first of them.

    Raises SearchStoppedError when no lane can live on the nodes that come.
    """
    share = _wait_for_share(run.config.lanes, deadline=deadline, tell=tell)
    if share is None:
        yield None
        return
    tell(f"lanes of {share.each}, as many as the cluster has room for")
    with pool_of_lanes(LanePool(share, trials=trials, tell=tell)) as pool:
        tell(room.words)
        bank = read()  # machines take minutes to come: they are asked for before
        num_classes = len(run.corpus.classes)
        settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch, sight=sight)
        pool.serve(lambda name: Lane(name, bank, settings))
        pool.wait(deadline)
        if pool.trouble:
            raise SearchStoppedError(pool.trouble)
        yield None if deadline.over else (share, bank, pool)


def _wait_for_share(lanes: LaneConfig, *, deadline: Deadline, tell: Tell) -> Share | None:
    """What each lane is to be; waits for a first node where nothing tells. None when the deadline came first."""
    share, told = share_cluster(lanes), False
    while share is None and not deadline.over:
        if not told:
            tell("the cluster has no node for trials yet: waiting for the first")
            told = True
        time.sleep(LOOK_S)
        share = share_cluster(lanes)
    return share


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


def read_clips(shards: Path, systems: Sequence[str], *, visible_labels: list[str], streams: bool = False) -> Bank:
    """All clips of a shard folder with the log-mels that the systems want: read now, or to be streamed."""
    source = Source(
        folder=shards.resolve(),
        to_sgram=partial(LogMels, mels_of(systems)),
        visible_labels=tuple(visible_labels),
    )
    return source if streams else source.kept()


@contextmanager
def warm_lanes(share: Share, clips: Bank, *, num_classes: int, scratch: Path) -> Iterator[list[Lane]]:
    """Warm lanes for the length of a block; they quit one beside the other."""
    if share.inline:
        yield []
        return
    settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch)
    lanes = [Lane(name_lane(number), clips, settings) for number in range(share.count)]
    list_lanes([lane.name for lane in lanes])
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
