"""Compares the packages of an environment that a wheel was installed into with the wheel's requirements."""

import importlib.metadata
from collections.abc import Iterator

from packaging.requirements import Requirement

from asd_ray.doctor.finding import Finding
from asd_ray.doctor.machine import check_imports
from asd_ray.shipped import how_to_install


def check_installed(requirements: list[str] | None = None) -> Iterator[Finding]:
    """Check requirements (default: those of the installed asd-ray, no extras), and that large packages work."""
    if requirements is None:
        requirements = importlib.metadata.requires("asd-ray") or []
    wanted = [Requirement(text) for text in requirements]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    amiss = []
    for one in wanted:
        try:
            found = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            amiss.append(f"{one.name} is not installed")
        else:
            if not one.specifier.contains(found, prereleases=True):
                amiss.append(f"{one.name} {found} is not {one.specifier}")
    if amiss:
        yield Finding("fault", "packages", f"{', '.join(amiss)}; run: {how_to_install()}")
    else:
        yield Finding("ok", "packages", f"{len(wanted)}, as asd-ray asks for")
    yield from check_imports(mend=how_to_install())
