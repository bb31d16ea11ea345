"""The driver of a search: what is left to do, Ray to do it on, and why a call ends.

A search that was stopped, however hard, goes on by the same call. What takes seconds to import, torch and Ray's
libraries, is imported where it is needed: a call that finds nothing to do is spared it, and Ray starts before.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.cluster.runtime import QUIET, environment
from asd_ray.data.ahead import ahead, fulfilled, promised
from asd_ray.data.manifest import FEWEST_CLIPS_FOR_RAY, Manifest
from asd_ray.deadline import Deadline
from asd_ray.files.paths import place, remove_folder
from asd_ray.models import mels_of
from asd_ray.search import runfolder
from asd_ray.search.confirmation import count_to_confirm, open_confirmation
from asd_ray.search.events import OnEvent
from asd_ray.search.runfolder import Run
from asd_ray.search.studies.storage import Store, open_studies
from asd_ray.search.studies.studies import Studies
from asd_ray.search.warm_start import Starts, begin_from

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from asd_ray.search.searcher import StudySearcher

SCRATCH = ".ray"  # Train's and Tune's own files, below the run folder; nothing reads them after a search


def run_search(
    folder: Path,
    run: Run,
    *,
    visible_labels: list[str],
    on_event: OnEvent,
    store: Store | None = None,
    starts: Starts | None = None,
    deadline: Deadline | None = None,
    address: str | None = None,
) -> tuple[str, ...] | None:
    """Run the trials that the run's total still lacks, then the trainings that confirm the best of them.

    Gives what the same call again would say at its end, once nothing is left to do; None while something is.

    On this machine, or on the cluster at `address`, where lanes come and go with its nodes. Call it while holding
    the run's lock.

    Raises InputError for what a user can mend, EnvironmentFailure, KeyboardInterrupt when interrupted; call again
    to go on.
    """
    studies, cut = open_studies(folder, run, take_over=True, store=store)
    if cut:
        on_event(f"the journal ended in {cut} torn bytes of a killed writer; kept in {runfolder.JOURNAL}.torn")
    for line in begin_from(starts or Starts(), studies):
        on_event(line)
    deadline, missing = deadline or Deadline(), studies.num_missing
    to_confirm = count_to_confirm(folder, run, studies)
    if deadline.over or (not missing and not to_confirm):
        return _end(folder, run, studies, deadline=deadline, on_event=on_event)
    with scratch_folder(folder) as scratch, environment(QUIET):
        searcher = _run_on_ray(
            folder,
            run,
            studies,
            trials=max(missing, to_confirm),
            visible_labels=visible_labels,
            scratch=scratch,
            on_event=on_event,
            deadline=deadline,
            address=address,
        )
    return _end(folder, run, studies, deadline=deadline, on_event=on_event, searcher=searcher)


def _run_on_ray(
    folder: Path,
    run: Run,
    studies: Studies,
    *,
    trials: int,
    visible_labels: list[str],
    scratch: Path,
    on_event: OnEvent,
    deadline: Deadline,
    address: str | None,
) -> "StudySearcher | None":
    """Have trials run; on this machine few clips are read while Ray starts."""
    from asd_ray.lanes.sizes import ray_with_room

    shards = place(run.corpus.path)
    clips = Manifest.load(shards).count_clips()

    def tables() -> "Iterable[pa.Table]":
        from asd_ray.lanes.opening import source_of

        return source_of(shards, run.systems, visible_labels=visible_labels).tables()

    early = address is None and clips < FEWEST_CLIPS_FOR_RAY and run.config.lanes.resident != "stream"
    with (
        ahead(tables) if early else nullcontext() as begun,
        ray_with_room(address, clips, run.config.lanes, log_mels=len(mels_of(run.systems))) as room,
        ExitStack() as stack,
    ):
        from asd_ray.data.bank import Bank, Kept
        from asd_ray.lanes.opening import read_clips
        from asd_ray.search.tuner import run_trials

        read = partial(read_clips, shards, run.systems, visible_labels=visible_labels, streams=room.streams)

        def keep(tables: "Iterable[pa.Table]") -> Bank:
            return Kept.of(tables)

        promise = stack.enter_context(promised(begun, keep)) if begun and not room.streams else None
        return run_trials(
            folder,
            run,
            studies,
            trials=trials,
            room=room,
            read=(lambda: promise) if promise else (lambda: fulfilled(read())),
            scratch=scratch,
            on_event=on_event,
            deadline=deadline,
            address=address,
        )


def _end(
    folder: Path,
    run: Run,
    studies: Studies,
    *,
    deadline: Deadline,
    on_event: OnEvent,
    searcher: "StudySearcher | None" = None,
) -> tuple[str, ...] | None:
    """Say why the call ends, if it does so before its work is done; without a searcher, nothing was to run.

    Gives the lines that are said of a search that is finished; None where it is not.
    """
    search, left = run.config.search, searcher.left if searcher else []
    confirmation = searcher.confirmation if searcher else None
    unfinished = bool(left or studies.num_missing)
    if search.confirm and confirmation is None and not unfinished:
        # All trials have ended, and nobody has decided what to confirm: the report says how far that has come.
        confirmation = open_confirmation(folder, run, studies)
    stopped: tuple[str, ...] = ()
    if studies.resting and studies.count() < search.trials:
        stopped = (
            f"{search.stop_when}, for any machine type: ended after {studies.count()} of {search.trials} trials",
        )
    if deadline.over and (unfinished or (confirmation is not None and confirmation.waiting())):
        what = f"{', '.join(left)} left at the end of an epoch" if left else "nothing was running"
        on_event(f"{deadline.hours:g} hours are over, {what}; the same call goes on")
    else:
        for line in stopped:
            on_event(line)
    return None if unfinished or count_to_confirm(folder, run, studies) else stopped


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    path = (folder / SCRATCH).resolve()
    remove_folder(path)  # of a killed driver
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        remove_folder(path)
