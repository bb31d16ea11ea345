"""Checks of a planned search: whether it would pass its own preflight."""

from collections.abc import Iterator
from pathlib import Path

from asd_ray.config import RunConfig
from asd_ray.data.manifest import MANIFEST
from asd_ray.doctor.finding import Finding
from asd_ray.search.preflight import check_call, check_search

VALID_FRACTION = 0.05  # for recordings that are not prepared yet: what `tune` holds out by default


def check_planned(
    data: Path | None, config: RunConfig, *, space_name: str, folder: Path, storage: str | None = None
) -> Iterator[Finding]:
    """Run the preflight of a search as far as possible: without data, it does not look at clips.

    Raises InputError for anything that the search would refuse.
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
