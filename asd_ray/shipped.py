"""Where to find the files that come with the package: search spaces, settings, and the clone if there is one.

In a clone, and in an editable install of it, they lie beside the package, where people look for them; a wheel
holds them within the package (pyproject.toml lists them).
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_WITHIN = PACKAGE / "search_spaces"  # exists only in a wheel


def clone() -> Path | None:
    """The source folder from which this package runs; None where it was installed from a wheel."""
    return None if _WITHIN.is_dir() else PACKAGE.parent


def how_to_install() -> str:
    """The command that installs everything that the package needs."""
    return "pip install --upgrade asd-ray" if clone() is None else "make setup && . .venv/bin/activate"


def search_spaces() -> Path:
    """The folder of the search spaces that `--space` knows by name."""
    root = clone()
    return _WITHIN if root is None else root / "search_spaces"


def presets() -> Path:
    """The folder of the settings that `--config` knows by name."""
    root = clone()
    return PACKAGE / "presets" if root is None else root / "launch"


def preset(name: str) -> Path | None:
    """The file of the settings with this name, such as `quick`; None where there are none."""
    found = {path.stem: path for path in presets().glob("*.yaml")}
    return found.get(name)
