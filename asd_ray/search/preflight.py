"""Every check that a search must pass before it begins, in one place.

`asd_ray.api.search`, its dry run and the doctor call `check_search`. What it returns is what the search then uses,
so nothing is searched that was not checked. It writes nothing, starts no Ray, and contacts no server that is to
keep studies. It does not check whether lanes fit: that depends on the machine or cluster that is found later.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from asd_ray.config import RunConfig
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import load, read_yaml
from asd_ray.models import check_class_types, check_packages, find_system
from asd_ray.scoring.metrics import PROXY
from asd_ray.scoring.scores import AUTO, OF_EMBEDDINGS, OWN, PUBLISHED, check_score
from asd_ray.search.runfolder import RUN, Kept, Plan, Run, plan_clips, plan_of, plan_run, refuse_other
from asd_ray.search.space import SearchSpace, find_file, load_space
from asd_ray.search.studies.storage import check_storable, check_url, find_store
from asd_ray.search.warm_start import Starts, not_tried, read_starts

if TYPE_CHECKING:
    from asd_ray.search.forecast import Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The parts of a search that can be checked without its clips."""

    space: SearchSpace
    space_text: str
    kept: Kept  # where the studies are kept, or would be


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A search that has passed every check."""

    plan: Plan
    run: Run
    starts: Starts


def check_call(
    config: RunConfig, *, space_name: str, folder: Path | None = None, storage: str | None = None
) -> Call:
    """Check what needs no clips: names of systems and scores, packages, the search space, where studies are kept.

    It takes no time, so it comes before recordings are prepared. Raises InputError.
    """
    kept = Kept()
    if folder is not None:
        check_storable(folder, storage)  # before looking into the folder: it may be a distant bucket
        kept = find_store(folder, storage).kept
    elif storage is not None:  # not the environment's: it counts for new runs only, and this may be an old one
        check_url(storage)
    find_system(config.model.name)
    space, text = load_space(space_name)
    begun = space.adopt(config)
    check_systems(begun, space.systems or [begun.model.name])
    _check_space(space, begun, (), space_name=space_name)
    return Call(space=space, space_text=text, kept=kept)


def check_search(
    data: Path,
    config: RunConfig,
    *,
    space_name: str,
    folder: Path | None = None,
    storage: str | None = None,
    recordings: "Listed | None" = None,
) -> Ready:
    """Check everything. Raises InputError: one line with the file or option, the value, and the mend.

    `data` is a shard folder; if the recordings are not prepared yet, `recordings` lists their clips. `folder` is
    the run folder, if it is known, and `storage` the user's --storage.
    """
    call = check_call(config, space_name=space_name, folder=folder, storage=storage)
    if folder is None:
        check_url(storage)
    protocol, objective = config.score.protocol, config.score.objective
    if recordings is None:
        plan = plan_clips(data, protocol, objective=objective)
    else:
        plan = _plan_recordings(recordings, protocol, objective=objective, where=data)
    run = plan_run(data, config, plan=plan, space=call.space, space_text=call.space_text)
    run = run.model_copy(update={"storage": call.kept})
    _check_space(call.space, run.config, plan.all_types, space_name=space_name)
    check_class_types(run.systems, plan.class_types)
    if folder is not None and (folder / RUN).exists():
        before = load(folder / RUN, Run)
        # Whether the corpus is another one is known only once it is prepared.
        now = run if plan.fingerprint else run.model_copy(update={"corpus": before.corpus})
        refuse_other(folder / RUN, before, now)
    starts = read_starts(folder, run, clips=plan.clips, storage=storage)
    if not plan.fingerprint:  # whether an earlier search was of this corpus is not known either
        starts = Starts(points=starts.points, lines=not_tried(run))
    return Ready(plan=plan, run=run, starts=starts)


def _plan_recordings(found: "Listed", protocol_name: str, *, objective: str, where: Path) -> Plan:
    split = found.clips.column("split")
    scored = found.clips.filter(pc.is_in(split, pa.array(["test", "eval"])))
    held_out = found.clips.filter(pc.equal(split, "valid")) if objective == PROXY else None
    return plan_of(
        scored,
        found.machines,
        held_out=held_out,
        protocol_name=protocol_name,
        where=where,
        fingerprint="",
        num_clips=len(found.clips),
    )


def _check_space(
    space: SearchSpace, config: RunConfig, machine_types: tuple[str, ...], *, space_name: str
) -> None:
    path = find_file(space_name)
    space.check_against(config, machine_types, where=str(path), lines=read_yaml(path)[1])


def check_systems(config: RunConfig, systems: Iterable[str]) -> None:
    """Raises InputError for systems that lack packages, or that the config's score does not fit."""
    systems = tuple(systems)
    _check_scoring(config, systems)
    check_packages(systems)


def _check_scoring(config: RunConfig, systems: Iterable[str]) -> None:
    """Raises InputError for a score that is unknown, or that does not fit these systems."""
    check_score(config.score.name)
    owns = {name: find_system(name).score for name in systems}
    if all(owns.values()) and config.score.name not in (AUTO, PUBLISHED, *owns.values()):
        names = ", ".join(owns)
        raise InputError(f"score {config.score.name}: {names}: read by {OWN} alone; leave --score out")
    for name, own in owns.items():
        if config.score.name == OWN and not own:
            fitting = ", ".join(OF_EMBEDDINGS)
            raise InputError(f"score {OWN}: {name} has none of its own; use {AUTO}, or one of {fitting}")
        if own and config.score.objective == PROXY:
            raise InputError(
                f"objective proxy: {name} is read by {own} alone, which cannot hear a clip as another machine id; "
                "choose with labels, or another system"
            )
