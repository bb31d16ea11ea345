"""A search that is about to begin: whether it passes the checks that it would have to pass."""

from collections.abc import Iterator
from pathlib import Path

from asd_ray.config import RunConfig
from asd_ray.data.manifest import MANIFEST
from asd_ray.doctor.finding import Finding
from asd_ray.search.preflight import check_call, check_search

VALID_FRACTION = 0.05  # of recordings that are not prepared: what `tune` holds out


def check_planned(
    data: Path | None, config: RunConfig, *, space_name: str, folder: Path, storage: str | None = None
) -> Iterator[Finding]:
    """The preflight of a search, as far as it can go: without data, the clips are not looked at.

    Raises InputError for what the search would refuse.
    """
    if data is None:
        call = check_call(config, space_name=space_name, folder=folder, storage=storage)
        names = " and ".join(call.space.systems or (config.model.name,))
        yield Finding("ok", "search", f"space {space_name} of {names} passes; give --data to check all")
        return
    recordings = None
    if not (data / MANIFEST).exists():
        from asd_ray.search.forecast import list_data

        recordings = list_data(data, valid_fraction=VALID_FRACTION)
    ready = check_search(
        data, config, space_name=space_name, folder=folder, storage=storage, recordings=recordings
    )
    for line in ready.starts.lines:
        yield Finding("note", "search", line)
    systems, studies = " and ".join(ready.run.systems), len(ready.run.machine_types)
    yield Finding("ok", "search", f"space {space_name} of {systems}: {studies} studies can begin in {folder}")
