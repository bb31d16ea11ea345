"""What a search begins from besides the published point: configs that a user names, and earlier searches.

This module reads all of it, and refuses what does not fit, before it writes anything. Then it keeps all
points in one write, and each trial, under its own name, in another. So the same command again, even after a kill,
adds only what is missing. Once all lessons of an earlier search are kept, nothing looks at that search again: it
may be gone by then, or have more trials.

No reporting label may leak in this way: an earlier search that chose on clips that report here is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from optuna.trial import FrozenTrial, TrialState

from asd_ray.config import TUNABLE, Param, load_config, params_of, science, with_params
from asd_ray.errors import InputError
from asd_ray.files.paths import place
from asd_ray.files.strict_yaml import load
from asd_ray.search.confirmation import read_confirmation
from asd_ray.search.ranges import shown
from asd_ray.search.runfolder import RUN, Run, read_run
from asd_ray.search.space import Params
from asd_ray.search.studies.storage import reading
from asd_ray.search.studies.studies import Studies
from asd_ray.search.studies.trial_store import TAUGHT, name_of

# Settings that can change a result, but not what a trial's value on the choosing clips means: seeds are noise,
# thresholds come after, and `difference` compares the protocol as it was resolved.
_FREE = {("train", "seed"), ("score", "threshold_quantile"), ("score", "protocol")}
_TEACHES = (TrialState.COMPLETE, TrialState.PRUNED)
_SOURCES = "warm_started_from"  # user attribute of the first study: run folders whose lessons are all kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A finished trial of another search, as one of its studies holds it; `origin` is its name everywhere."""

    machine_type: str
    origin: str
    trial: FrozenTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Points to try early, trials to learn from, and a line on each of their sources."""

    points: tuple[tuple[str, Params], ...] = ()  # from --enqueue: file and point
    best: tuple[Params, ...] = ()  # from --warm-start, where earlier values do not count
    lessons: tuple[Lesson, ...] = ()
    lines: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # run folders that all this was read from

    @property
    def is_new(self) -> bool:
        """Whether any of this may be new to the studies."""
        return bool(self.points or self.best or self.lessons or self.sources)


def read_starts(folder: Path | None, run: Run, *, clips: pa.Table, storage: str | None = None) -> Starts:
    """Read what `search.enqueue` and `search.warm_start` of a run name. Writes nothing; raises InputError.

    `folder`: that of the run, if it has one. `clips`: its clips with their roles. `storage`: the user's --storage.
    """
    search = run.config.search
    points = tuple((path, _enqueued(path, run, clips)) for path in search.enqueue)
    known = _known_sources(folder, storage) if folder and search.warm_start else ()
    earlier = [
        Starts(lines=(f"{path}: what it had to teach was learnt by an earlier call",))
        if str(place(path).resolve()) in known
        else _earlier(path, folder, run, clips=clips, storage=storage)
        for path in dict.fromkeys(search.warm_start)
    ]
    return Starts(
        points=points,
        best=tuple(point for found in earlier for point in found.best),
        lessons=tuple(lesson for found in earlier for lesson in found.lessons),
        lines=(*not_tried(run), *(line for found in earlier for line in found.lines)),
        sources=tuple(source for found in earlier for source in found.sources),
    )


def not_tried(run: Run) -> tuple[str, ...]:
    """A line to report if some or all studies do not take the point that the search starts from."""
    point = params_of(run.config)
    found = {machine_type: run.space.of(machine_type).outside(point) for machine_type in run.machine_types}
    problems = {machine_type: problem for machine_type, problem in found.items() if problem}
    if not problems:
        return ()
    whose = f" for {' and '.join(problems)}" if len(problems) < len(found) else ""
    (problem, *_) = problems.values()
    return (f"the starting point is not tried{whose}: {problem}; widen the search space, or set it",)


def begin_from(starts: Starts, studies: Studies) -> Iterator[str]:
    """Give the studies what they still lack of `starts`; yield a line on each source."""
    studies.enqueue([*(point for _, point in starts.points), *starts.best])
    for path, point in starts.points:
        numbers = ", ".join(f"{name} {shown(value)}" for name, value in point.items())
        when = "tried right after the published point" if studies.is_due(point) else "was tried before"
        yield f"{path}: {numbers}: {when}"
    for lesson in starts.lessons:
        studies.learn(lesson.machine_type, lesson.trial, origin=lesson.origin)
    known = _sources_of(studies)
    if new := [source for source in starts.sources if source not in known]:
        study = studies.storage.get_study_id_from_name(studies.machine_types[0])
        studies.storage.set_study_user_attr(study, _SOURCES, [*known, *new])
    yield from starts.lines


def _sources_of(studies: Studies) -> list[str]:
    study = studies.storage.get_study_id_from_name(studies.machine_types[0])
    sources: list[str] = studies.storage.get_study_user_attrs(study).get(_SOURCES, [])
    return sources


def _known_sources(folder: Path, storage: str | None) -> list[str]:
    """The run folders whose lessons are all in this run's studies."""
    if not (folder / RUN).exists():
        return []
    run = load(folder / RUN, Run)  # not the clips, which this call may be about to rewrite
    with reading(folder, run, url=storage) as studies:
        return _sources_of(studies)


def _enqueued(path: str, run: Run, clips: pa.Table) -> Params:
    config = load_config(place(path))
    if "name" not in config.model.model_fields_set:
        config = with_params(config, {"system": run.config.model.name})
    elif config.model.name not in run.systems:
        raise InputError(
            f"--enqueue {path}: a config of {config.model.name}, and this is a search of "
            f"{' and '.join(run.systems)}; leave it out, or search {config.model.name}"
        )
    point = _searched(params_of(run.space.adopt(config)), run)
    if problem := _outside(point, run):
        raise InputError(f"--enqueue {path}: {problem}; change it there, or widen the search space")
    home = place(path).resolve().parent.parent
    if (home / RUN).exists():  # best/<machine_type>.yaml of a search
        _check_labels(f"--enqueue {path}", read_run(home)[1], clips, protocol=run.protocol)
    return point


def _check_labels(where: str, then: pa.Table, now: pa.Table, *, protocol: str) -> None:
    """Raises InputError if clips that report here chose there: their labels helped what won there to win."""
    reporting, chose = (
        {row["clip_id"] for row in table.select(["clip_id", role]).to_pylist() if row[role]}
        for table, role in ((now, "reports"), (then, "chooses"))
    )
    seen = len(reporting & chose)
    if seen and protocol != "paper":
        raise InputError(
            f"{where}: {seen} of the {len(reporting)} clips that report here chose the configs there, so the "
            "report would no longer be on labels that no choice has seen; leave it out, or use --protocol paper, "
            "which calls every figure optimistic"
        )


def _searched(params: Mapping[str, Param], run: Run) -> Params:
    """The part of a point that any study here searches."""
    names = {name for machine_type in run.machine_types for name in run.space.of(machine_type).searched()}
    return {name: value for name, value in params.items() if name in names}


def _outside(point: Params, run: Run) -> str | None:
    """Why no study here would take a point; None if one does."""
    spaces = [run.space.of(machine_type) for machine_type in run.machine_types]
    problems = [space.outside(space.active(point)) for space in spaces]
    return None if None in problems else problems[0]


def _earlier(text: str, folder: Path | None, run: Run, *, clips: pa.Table, storage: str | None) -> Starts:
    """What another run folder has to offer: points and values if they mean the same here, else the best points."""
    path = place(text)
    if folder is not None and path.resolve() == folder.resolve():
        raise InputError(f"--warm-start {text}: is the folder of this run; name an earlier one")
    then, their_clips = read_run(path)
    _check_labels(f"--warm-start {text}", their_clips, clips, protocol=run.protocol)
    why = difference(run, then)
    with reading(path, then, url=storage) as studies:
        return _lessons(path, studies, run) if why is None else _best_points(path, studies, run, then, why)


def _lessons(path: Path, studies: Studies, run: Run) -> Starts:
    origins = _origins(studies)
    found = [
        Lesson(machine_type=name, origin=_origin(name, trial, origins), trial=trial)
        for name in run.machine_types
        for trial in studies.trials(name)
        if trial.state in _TEACHES
    ]
    states = {lesson.origin: lesson.trial.state for lesson in found}
    complete = list(states.values()).count(TrialState.COMPLETE)
    line = (
        f"{path}: {complete} complete and {len(states) - complete} pruned trials teach this search; none can win"
    )
    return Starts(lessons=tuple(found), lines=(line,), sources=(str(path.resolve()),))


def _origins(studies: Studies) -> dict[str, str]:
    """A name for each trial that is unique across all folders: its name, and when it began."""
    return {
        name_of(name, trial): f"{name_of(name, trial)} of {trial.datetime_start}"
        for name in studies.machine_types
        for trial in studies.own_trials(name)
    }


def _origin(machine_type: str, trial: FrozenTrial, origins: Mapping[str, str]) -> str:
    """The first name of a trial, which may have been handed on from search to search."""
    return str(trial.user_attrs.get(TAUGHT) or origins[name_of(machine_type, trial)])


def _best_points(path: Path, studies: Studies, run: Run, then: Run, why: str) -> Starts:
    inside: dict[str, Params] = {}
    outside = []
    for uid, params in _winners(path, studies, then):
        point = _searched(params_of(with_params(then.config, params)), run)
        if _outside(point, run):
            outside.append(uid)
        else:
            inside[uid] = point
    what = f"only its best points are tried early: {', '.join(inside)}" if inside else "it has no point to try"
    left = f" (outside the ranges here: {', '.join(dict.fromkeys(outside))})" if outside else ""
    return Starts(
        best=tuple(inside.values()), lines=(f"{path}: {why}; {what}{left}",), sources=(str(path.resolve()),)
    )


def _winners(path: Path, studies: Studies, then: Run) -> Iterator[tuple[str, Params]]:
    """For each machine type, the name and point of the confirmed winner, or else of the trial that was chosen."""
    confirmation = read_confirmation(path, then)
    for name in then.machine_types:
        winner = confirmation.winner(name) if confirmation else None
        if winner is not None:
            yield winner.uid, winner.params
        elif (best := studies.best(name)) is not None:
            yield best[0], then.space.of(name).active(best[1].params)


def difference(now: Run, then: Run) -> str | None:
    """Why values of an earlier search mean something else here; None if they mean the same."""
    searched = {TUNABLE[name] for name in now.space.columns}
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
    mine_is, theirs_is = ((one.space.system, one.space.params, one.space.machine_types) for one in (now, then))
    return None if mine_is == theirs_is else "it searched other ranges"
