"""There is one version, though two files have to name it."""

import tomllib
from pathlib import Path

import asd_ray

ROOT = Path(__file__).resolve().parents[1]


def test_the_package_and_its_metadata_have_the_same_version() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["project"]["version"] == asd_ray.__version__
