"""Where the files are that come with the package: search spaces, settings, and the clone if it is used.

In a clone, and in an editable install of it, they lie beside the package, where people look for them; a wheel has
them within the package (pyproject.toml says which).
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_WITHIN = PACKAGE / "search_spaces"  # there in a wheel only


def clone() -> Path | None:
    """The folder of the sources that this package is used from; None where it was installed from a wheel."""
    return None if _WITHIN.is_dir() else PACKAGE.parent


def how_to_install() -> str:
    """The command after which nothing that the package needs is missing."""
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
    """The file of the settings with this name, `quick`; None where there are none."""
    found = {path.stem: path for path in presets().glob("*.yaml")}
    return found.get(name)
