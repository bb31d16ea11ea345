"""What a search begins from besides the published point: configs that a user names, and earlier searches.

All of it is read, and refused, before anything is written. Then all points, and every trial under its own name,
are kept in one write each, so that the same command again, also after a kill, adds only what is missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from asd_ray.command import InputError
from asd_ray.config import TUNABLE, load_config, params_of, science, with_params
from asd_ray.search.book import name_of
from asd_ray.search.choice import TAUGHT
from asd_ray.search.journal import run_lock
from asd_ray.search.runfolder import Run, read_run
from asd_ray.search.space import Params
from asd_ray.search.storage import find_store, open_studies
from asd_ray.search.studies import Studies

# Part of what can change a result, but of no trial's value on the choosing clips: seeds are noise, thresholds come
# after, and the protocol is compared as it was resolved.
_FREE = {("train", "seed"), ("score", "threshold_quantile"), ("score", "protocol")}
_TEACHES = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A finished trial of another search, as one of its studies has it; `origin` names it everywhere."""

    machine_type: str
    origin: str
    trial: FrozenTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Points to try early, trials to learn from, and a line on each of their sources."""

    points: tuple[tuple[str, Params], ...] = ()  # of --enqueue: file and point
    best: tuple[Params, ...] = ()  # of --warm-start where values do not count
    lessons: tuple[Lesson, ...] = ()
    lines: tuple[str, ...] = ()


def read_starts(folder: Path, run: Run) -> Starts:
    """What `search.enqueue` and `search.warm_start` of a run name. Writes nothing; raises InputError."""
    search = run.config.search
    points = tuple((path, _enqueued(path, run)) for path in search.enqueue)
    earlier = [_earlier(path, folder, run) for path in dict.fromkeys(search.warm_start)]
    return Starts(
        points=points,
        best=tuple(point for found in earlier for point in found.best),
        lessons=tuple(lesson for found in earlier for lesson in found.lessons),
        lines=tuple(line for found in earlier for line in found.lines),
    )


def begin_from(starts: Starts, studies: Studies) -> Iterator[str]:
    """Give the studies what they lack of it; yields a line on each source."""
    studies.enqueue([*(point for _, point in starts.points), *starts.best])
    for path, point in starts.points:
        numbers = ", ".join(f"{name} {value:g}" for name, value in point.items())
        when = "tried right after the published point" if studies.is_due(point) else "was tried before"
        yield f"{path}: {numbers}: {when}"
    for lesson in starts.lessons:
        studies.learn(lesson.machine_type, lesson.trial, origin=lesson.origin)
    yield from starts.lines


def _enqueued(path: str, run: Run) -> Params:
    point = _searched(params_of(load_config(Path(path))), run)
    if problem := _outside(point, run):
        raise InputError(f"--enqueue {path}: {problem}; change it there, or widen the search space")
    return point


def _searched(params: Mapping[str, float], run: Run) -> Params:
    """The part of a point that any study here searches."""
    names = {name for machine_type in run.machine_types for name in run.space.of(machine_type).searched()}
    return {name: value for name, value in params.items() if name in names}


def _outside(point: Params, run: Run) -> str | None:
    """Why no study here would take a point; None if one does."""
    spaces = [run.space.of(machine_type) for machine_type in run.machine_types]
    problems = [space.outside(space.active(point)) for space in spaces]
    return None if None in problems else problems[0]


def _earlier(text: str, folder: Path, run: Run) -> Starts:
    """What another run folder has to offer: points and values if they mean the same here, else the best points."""
    path = Path(text)
    if path.resolve() == folder.resolve():
        raise InputError(f"--warm-start {text}: is the folder of this run; name an earlier one")
    then, _ = read_run(path)
    with run_lock(path):
        store = find_store(path)
        with store.held():
            studies, _ = open_studies(path, then, take_over=False, store=store)
            why = difference(run, then)
            return _lessons(path, studies, run) if why is None else _best_points(path, studies, run, then, why)


def _lessons(path: Path, studies: Studies, run: Run) -> Starts:
    found = [
        Lesson(machine_type=name, origin=_origin(path, name, trial), trial=trial)
        for name in run.machine_types
        for trial in studies.trials(name)
        if trial.state in _TEACHES
    ]
    states = {lesson.origin: lesson.trial.state for lesson in found}
    complete = list(states.values()).count(TrialState.COMPLETE)
    line = (
        f"{path}: {complete} complete and {len(states) - complete} pruned trials teach this search; none can win"
    )
    return Starts(lessons=tuple(found), lines=(line,))


def _origin(path: Path, machine_type: str, trial: FrozenTrial) -> str:
    """The first name of a trial that was handed on from search to search."""
    return str(trial.user_attrs.get(TAUGHT, f"{path.resolve()}:{name_of(machine_type, trial)}"))


def _best_points(path: Path, studies: Studies, run: Run, then: Run, why: str) -> Starts:
    inside: dict[str, Params] = {}
    outside = []
    for name in then.machine_types:
        if (best := studies.best(name)) is not None:
            uid, trial = best
            active = then.space.of(name).active(trial.params)
            point = _searched(params_of(with_params(then.config, active)), run)
            if _outside(point, run):
                outside.append(uid)
            else:
                inside[uid] = point
    what = f"only its best points are tried early: {', '.join(inside)}" if inside else "it has no point to try"
    left = f" (outside the ranges here: {', '.join(dict.fromkeys(outside))})" if outside else ""
    return Starts(best=tuple(inside.values()), lines=(f"{path}: {why}; {what}{left}",))


def difference(now: Run, then: Run) -> str | None:
    """Why values of an earlier search mean something else here; None if they mean the same."""
    searched = {TUNABLE[name] for name in now.space.params}
    mine, theirs = science(now.config), science(then.config)
    paths = [(section, key) for section in ("model", "loss", "train", "score") for key in mine[section]]
    for section, key in [*paths, ("search", "scope"), ("lanes", "workers")]:
        before, value = theirs[section][key], mine[section][key]
        if before != value and (section, key) not in _FREE | searched:
            return f"{section}.{key} is {before} there and {value} here"
    if now.corpus.fingerprint != then.corpus.fingerprint:
        return "it searched another corpus"
    if now.protocol != then.protocol:
        return f"the protocol is {then.protocol} there and {now.protocol} here"
    same = now.space.params == then.space.params and now.space.machine_types == then.space.machine_types
    return None if same else "it searched other ranges"
