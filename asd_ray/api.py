"""The verbs of `asd-ray`, as functions for notebooks and other programs: the verbs call them, too.

Three of them are the line from recordings to decisions: `prepare`, `search`, `score`. Here it is in small, on a
corpus of synthetic machines, with one trial of one epoch:

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from asd_ray.api import prepare, score, search
>>> from asd_ray.config import RunConfig, replace_settings
>>> from asd_ray.data.synthetic import write_corpus
>>> scratch = TemporaryDirectory()
>>> folder = Path(scratch.name)
>>> recordings = write_corpus(folder / "recordings", ids_per_type=2, train_per_id=4)

`prepare` checks the recordings, and writes them as shards:

>>> manifest = prepare(recordings, folder / "shards")
>>> len(manifest.classes), manifest.quarantined
(12, 0)

`search` finds the best config of every machine type; `RunConfig()` alone has the published settings:

>>> small = ["model.width=0.0625", "train.epochs=1", "search.trials=1", "lanes.inline=true"]
>>> summary = search(folder / "shards", folder / "run", replace_settings(RunConfig(), small))
>>> summary.counts()
{'complete': 1}
>>> [machine.machine_type for machine in summary.machines]
['fan', 'pump', 'slider', 'ToyCar', 'ToyConveyor', 'valve']

`score` scores new recordings with what was found:

>>> new = sorted((recordings / "fan/test").glob("*_id_00_*.wav"))
>>> scored = score(folder / "run/best/fan.yaml", new)
>>> len(scored), scored[0].machine_id, scored[0].score > 0
(8, 'id_00', True)
>>> scratch.cleanup()
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.config import RunConfig, params_of, signature, with_score
from asd_ray.data.manifest import MANIFEST, Manifest, note_lines, read_shard
from asd_ray.data.prepare import Progress, prepare
from asd_ray.data.synthetic import BUILT_IN, list_corpus, write_corpus
from asd_ray.deadline import Deadline
from asd_ray.errors import InputError
from asd_ray.files.paths import is_object, place
from asd_ray.files.writing import remove_unfinished
from asd_ray.models import check_class_types, find_system
from asd_ray.scoring.scores import AUTO, best_score
from asd_ray.search import runfolder
from asd_ray.search.driver import run_search
from asd_ray.search.events import OnEvent
from asd_ray.search.preflight import check_call, check_search, check_systems
from asd_ray.search.space import load_space
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.storage import find_store
from asd_ray.tracking.desk import tracked
from asd_ray.tracking.tracker import Tracker
from asd_ray.training.messages import EpochReport

# Reports, detectors and forecasts need torch and matplotlib: seconds to import. A search starts Ray first.
if TYPE_CHECKING:
    from asd_ray.report.finished import Ending
    from asd_ray.report.summary import Summary
    from asd_ray.scoring.detector import score
    from asd_ray.search.forecast import Forecast

__all__ = [
    "find_shards",
    "forecast",
    "name_run",
    "prepare",
    "score",
    "search",
    "synthetic_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "score":
        from asd_ray.scoring.detector import score

        return score
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


SYNTHETIC = Path("datasets") / "synthetic"
SHARDS = Path("shards")


def synthetic_dataset() -> Path:
    """The built-in corpus, made once: six machine types, three machines of each."""
    return write_corpus(
        SYNTHETIC,
        train_per_id=BUILT_IN.train_per_id,
        test_normal_per_id=BUILT_IN.test_normal_per_id,
        test_anomaly_per_id=BUILT_IN.test_anomaly_per_id,
    )


def is_prepared(data: Path | str) -> bool:
    """Whether a data folder is one of shards."""
    return (place(data) / MANIFEST).exists()


def find_shards(
    data: Path | str,
    *,
    valid_fraction: float = 0.05,
    resample: bool = False,
    on_progress: Progress | None = None,
) -> Path:
    """The shard folder of a data folder: itself, or, for a folder of recordings, one prepared for it."""
    data = place(data)
    if is_prepared(data):
        return data
    # The hash covers the options, too: otherwise other options would overwrite shards that a search is reading.
    words = str(data.resolve()), f"{valid_fraction:g}", str(resample)
    mark = hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]
    shards = SHARDS / f"{data.resolve().name}-{mark}"
    # Reading the shards of a large corpus takes minutes: a search finds damage as it reads, `prepare` mends it.
    prepare(data, shards, valid_fraction=valid_fraction, resample=resample, verify=False, on_progress=on_progress)
    return shards


def forecast(
    data: Path | str | None,
    config: RunConfig,
    *,
    space_name: str,
    valid_fraction: float = 0.05,
    folder: Path | str | None = None,
    storage: str | None = None,
) -> "Forecast":
    """What a search of a data folder (None: the built-in corpus) would do and take on this machine.

    Nothing is written; a few training steps are timed. `folder` and `storage` as the search has them. Raises
    InputError, as the search would.
    """
    from asd_ray.search.forecast import list_clips, list_data, make_forecast

    data, folder = (None if path is None else place(path) for path in (data, folder))
    check_call(config, space_name=space_name, folder=folder, storage=storage)
    if data is None:
        found = list_clips(list_corpus(BUILT_IN), valid_fraction=valid_fraction)
    else:
        found = list_data(data, valid_fraction=valid_fraction)
    return make_forecast(
        found, config, space_name=space_name, where=data or SYNTHETIC, folder=folder, storage=storage
    )


def name_run(shards: Path | str, config: RunConfig, space_name: str) -> Path:
    """A run folder named after what is searched: the same search has the same name."""
    shards = place(shards)
    manifest = Manifest.load(shards)
    space, text = load_space(space_name)
    return Path("runs") / f"{shards.name}-{signature(space.adopt(config), manifest.fingerprint, text)}"


def search(
    shards: Path | str,
    folder: Path | str,
    config: RunConfig | None = None,
    *,
    space_name: str = "noisy_arcmix",
    on_event: OnEvent = lambda event: None,
    storage: str | None = None,
    deadline: Deadline | None = None,
    address: str | None = None,
    trackers: Sequence[Tracker] = (),
    call: str = "",
) -> "Summary":
    """Search the best config for every machine type; goes on with what the run folder holds.

    `shards` is a folder that `prepare` wrote, `folder` that of the run; `config` has the published settings unless
    it is given. `space_name` is a search space, by name or file. `on_event` hears of everything that happens, as
    `asd_ray.search.events` has it; `trackers` keep books of it, and cannot stop it. `storage` is the URL of a
    PostgreSQL server to keep the studies in, not in the run folder; `deadline` is when this call ends (default:
    `search.hours` from now); `address` is that of a Ray cluster to search on, `auto` or host:port (default: this
    machine); `call` is the command, for the report. Raises InputError for what a user can mend, EnvironmentFailure
    (of `asd_ray.errors`) when it cannot go on, as with a full disk, KeyboardInterrupt when interrupted:
    the same call goes on.
    """
    shards, folder, config = place(shards), place(folder), config or RunConfig()
    deadline = deadline or Deadline(config.search.hours)
    ready = check_search(shards, config, space_name=space_name, folder=folder, storage=storage)
    plan = ready.plan
    with run_lock(folder, on_event=on_event):
        store = find_store(folder, storage)  # again: another call may have begun the run before we got the lock
        run = ready.run.model_copy(update={"storage": store.kept, "calls": [call] if call else []})
        with store.held():
            remove_unfinished(folder)
            run = runfolder.open_run(folder, run, clips=plan.clips)
            for name, reason in run.not_searchable.items():
                on_event(f"{name} is trained on but not searched: {reason}")
            for line in note_lines(run.corpus.notes):
                on_event(line)
            with tracked(trackers, folder, run, on_event) as on_event_of_all:
                finished = run_search(
                    folder,
                    run,
                    visible_labels=plan.visible_labels,
                    on_event=on_event_of_all,
                    store=store,
                    starts=ready.starts,
                    deadline=deadline,
                    address=address,
                )
            remove_unfinished(folder)
            from asd_ray.report.render import rebuild

            return rebuild(folder, store=store, finished=finished)


def find_finished(
    shards: Path | str,
    folder: Path | str,
    config: RunConfig,
    *,
    space_name: str,
    on_event: OnEvent = lambda event: None,
    storage: str | None = None,
    call: str = "",
) -> "Ending | None":
    """How a search ended that has nothing left to do, if its report is there and nothing has changed since.

    None where `search` is to be called: it was not finished, or something differs. The arguments, and what is
    refused, are those of `search`; `on_event` hears what `search` would say.
    """
    from asd_ray.report.finished import FINISHED, read_finished

    shards, folder = place(shards), place(folder)
    if is_object(folder) or not (folder / FINISHED).exists():
        return None
    ready = check_search(shards, config, space_name=space_name, folder=folder, storage=storage)
    with run_lock(folder, on_event=on_event):
        kept = find_store(folder, storage).kept
        run = ready.run.model_copy(update={"storage": kept, "calls": [call] if call else []})
        found = read_finished(folder, runfolder.continued(folder, run), clips=ready.plan.clips)
    if found is None or ready.starts.is_new:
        return None
    ending, lines = found
    for name, reason in run.not_searchable.items():
        on_event(f"{name} is trained on but not searched: {reason}")
    for line in (*note_lines(run.corpus.notes), *ready.starts.lines, *lines):
        on_event(line)
    return ending


def train(
    shards: Path | str,
    folder: Path | str,
    config: RunConfig,
    *,
    machine_types: tuple[str, ...] = (),
    on_epoch: Callable[[EpochReport], None],
) -> list[Path]:
    """Train one config in full; the detectors it gives, one YAML per machine type (default: all of them).

    Goes on from the state in `folder` if there is one. Raises InputError, or TrainingFailedError.
    """
    from asd_ray.search.train_one import train_full

    shards, folder = place(shards), place(folder)
    find_system(config.model.name)
    check_systems(config, [config.model.name])
    plan = runfolder.plan_clips(shards, config.score.protocol, objective=config.score.objective)
    check_class_types([config.model.name], plan.class_types)
    wanted = machine_types or plan.machine_types
    for name in wanted:
        if name not in plan.machine_types:
            reason = plan.not_searchable.get(name, "not in the corpus")
            raise InputError(f"{shards}: {name} cannot be judged: {reason}")
    # As in the search: jointly on all machine types, unless each is trained alone.
    trained = plan.all_types if config.search.scope == "joint" else wanted
    with run_lock(folder):
        train_full(folder, shards, config, plan=plan, machine_types=trained, on_epoch=on_epoch)
        return _write_detectors(shards, folder, config, plan=plan, machine_types=wanted)


def _write_detectors(
    shards: Path, folder: Path, config: RunConfig, *, plan: runfolder.Plan, machine_types: tuple[str, ...]
) -> list[Path]:
    """`<machine_type>.yaml` for every machine type of a finished training, with the weights beside them."""
    from asd_ray.report.judging import judge, read_stand_ins, score_rows
    from asd_ray.report.winners import WEIGHTS, write_best, write_weights

    model, paths = folder / WEIGHTS, []
    write_weights(folder / "state.pt", model, epochs=config.train.epochs)
    scores = read_shard(folder / "scores.parquet")
    stand_ins = read_stand_ins(folder, config=config.score, mend="train again")
    for name in machine_types:
        rows = score_rows(name, clips=plan.clips, trainings=[(scores, stand_ins)], config=config.score, counts="")
        values = {row.name: row.choosing[0] if row.choosing else None for row in rows}
        judged = judge(
            "full",
            name,
            params=params_of(config),
            clips=plan.clips,
            scores=scores,
            stand_ins=stand_ins,
            config=config.score,
            score=best_score(values) if config.score.name == AUTO else "",
        )
        paths.append(folder / f"{name}.yaml")
        write_best(
            paths[-1],
            judged,
            machine_type=name,
            config=with_score(config, judged.score),
            protocol=plan.protocol,
            corpus=plan.corpus(shards),
            model=model,
        )
    return paths
