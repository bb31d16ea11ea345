"""A dataset folder -> shards, in parallel: each shard is one Ray Data task. [ray]

The work itself is in `shards`, without Ray; this file decides what must be done and where, and reports progress.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from asd_ray.data.audio import BadRecording
from asd_ray.data.corpus import Problem, read_corpus
from asd_ray.data.manifest import (
    FEWEST_CLIPS_FOR_RAY,
    Manifest,
    Options,
    lists_are_whole,
    read_shard,
)
from asd_ray.data.shards import (
    ShardPlan,
    ShardResult,
    digest_of,
    finish,
    plan_shards,
    source_signature,
    usable,
    without_duplicates,
    write_shard,
)
from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.files.locks import folder_lock
from asd_ray.files.paths import place

_RESULT = TypeAdapter(ShardResult)

Progress = Callable[[int, int], None]


def prepare(
    root: Path | str,
    out: Path | str,
    *,
    valid_fraction: float = 0.05,
    resample: bool = False,
    strict: bool = False,
    verify: bool = True,
    on_progress: Progress | None = None,
) -> Manifest:
    """Check every recording below `root` and write shards and their manifest to `out`.

    The share `valid_fraction` of each machine's training clips is held out, to fit thresholds to. `resample`
    accepts sample rates other than 16 kHz. `strict` raises the BadRecording of the first bad file; otherwise
    quarantine.csv lists the bad files. `on_progress` gets (clips done, clips in all). Nothing is written if `out`
    was prepared from the same files with the same options: then its shards are read and only damaged ones made
    again; without `verify`, only their sizes are checked. After a killed call, the next one keeps the shards that
    are whole and makes the rest. Ray is started, and shut down again, unless it runs already or there is little to
    do. Raises InputError.
    """
    root, out = place(root), place(out)
    options = _options(valid_fraction, resample)
    if out.resolve() == root.resolve():
        raise InputError(f"{out}: is the dataset folder itself; choose another folder for the shards")
    corpus = read_corpus(root)
    if strict:
        _refuse(root, corpus.problems)
    source = source_signature(corpus, options=options)
    with folder_lock(out, mend="another prepare is at work there; wait for it, or stop it"):
        manifest = _already_prepared(out, source, verify=verify)
        if manifest is not None and not (strict and manifest.quarantined):
            return manifest
        done: dict[str, ShardResult] = {}
        while True:
            plans = plan_shards(corpus, out, valid_fraction=valid_fraction, resample=resample)
            new = [plan for plan in plans if plan.path not in done]
            done |= {one.path: one for one in _write_shards(root, new, strict=strict, on_progress=on_progress)}
            results = [done[plan.path] for plan in plans]
            # A machine whose training recordings are all bad has no class: class indices and shards change.
            left = usable(corpus, plans, results)
            if left is corpus:
                left = without_duplicates(corpus, plans, results)
            if left is corpus:
                break
            if strict:
                _refuse(root, left.problems)
            corpus = left
        return finish(plans, results, out, corpus=corpus, options=options, source=source)


def _options(valid_fraction: float, resample: bool) -> Options:
    try:
        return Options(valid_fraction=valid_fraction, resample=resample)
    except ValidationError as error:
        raise InputError(f"valid_fraction {valid_fraction}: {error.errors()[0]['msg']}") from error


def _already_prepared(out: Path, source: str, *, verify: bool) -> Manifest | None:
    try:
        manifest = Manifest.load(out)
        if manifest.source != source:
            return None
        if not lists_are_whole(out, manifest):
            return None
        for shard in manifest.shards if verify else ():
            if digest_of(read_shard(out / shard.path)) != shard.digest:
                return None
    except InputError:  # the manifest, a shard or a list is missing, damaged or of another version: make it again
        return None
    return manifest


def _refuse(root: Path, problems: Iterable[Problem]) -> None:
    for problem in problems:
        raise BadRecording(root / problem.path, problem.cause, problem.mend)


def _write_shards(
    root: Path, plans: Sequence[ShardPlan], *, strict: bool, on_progress: Progress | None
) -> list[ShardResult]:
    """The results of all plans, in the order in which they come."""
    clips = {plan.path: len(plan.clips) for plan in plans}
    left = sum(len(plan.clips) for plan in plans if not (place(plan.out) / plan.path).is_file())
    results = _here(plans) if left < FEWEST_CLIPS_FOR_RAY else _by_ray(plans)
    done: list[ShardResult] = []
    with closing(results):  # if anything is raised here, Ray is shut down first
        for result in results:
            if strict:
                _refuse(root, result.quarantined)
            done.append(result)
            if on_progress is not None:
                on_progress(sum(clips[one.path] for one in done), sum(clips.values()))
    return done


def _here(plans: Sequence[ShardPlan]) -> Generator[ShardResult, None, None]:
    yield from map(write_shard, plans)


def _by_ray(plans: Sequence[ShardPlan]) -> Generator[ShardResult, None, None]:
    """One Ray Data task per shard. Rows carry JSON: an object column would be a pickle inside Arrow."""
    import ray
    import ray.data

    from asd_ray.cluster.placement import quiet_data_context
    from asd_ray.cluster.runtime import local_ray

    with local_ray():
        quiet_data_context()
        shared = ray.put(list(plans))

        def task(row: dict[str, Any]) -> dict[str, str]:
            plan = ray.get(shared)[row["number"]]
            try:
                return {"result": _RESULT.dump_json(write_shard(plan)).decode(), "error": "", "failure": ""}
            # Errors are returned as values: if raised here, they would arrive wrapped by Ray.
            except InputError as error:
                return {"result": "", "error": str(error), "failure": ""}
            except EnvironmentFailure as error:
                return {"result": "", "error": "", "failure": str(error)}

        numbers = ray.data.from_items(
            [{"number": number} for number in range(len(plans))], override_num_blocks=len(plans)
        )
        for row in numbers.map(task).iter_rows():
            if row["error"]:
                raise InputError(row["error"])
            if row["failure"]:
                raise EnvironmentFailure(row["failure"])
            yield _RESULT.validate_json(row["result"])
