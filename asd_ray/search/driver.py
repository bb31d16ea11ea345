"""The driver of a search: it finds what is left to do, does it on Ray, and says why a call ends.

The same call resumes a search that was stopped, even by a kill. Importing torch and Ray's libraries takes seconds,
so functions import them where they need them: a call with nothing left to do is spared that, and Ray starts first.
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

    Returns None while work is left; once none is, the lines that the same call would report again at its end.

    The search runs on this machine, or on the cluster at `address`, where lanes come and go with the nodes. Hold
    the run's lock while calling.

    Raises InputError for what a user can mend, EnvironmentFailure, and KeyboardInterrupt when interrupted; another
    call goes on.
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
    """Run the work on Ray. On this machine, a small corpus is read while Ray starts."""
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
    """Say why the call ends, if it ends before its work is done. Without a searcher, nothing ran.

    Returns the lines to report about a finished search, and None if the search is unfinished.
    """
    search, left = run.config.search, searcher.left if searcher else []
    confirmation = searcher.confirmation if searcher else None
    unfinished = bool(left or studies.num_missing)
    if search.confirm and confirmation is None and not unfinished:
        # All trials have ended without a plan to confirm: make one, so that the report tells what is missing.
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
    remove_folder(path)  # a killed driver may have left it
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        remove_folder(path)
