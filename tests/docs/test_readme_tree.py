"""The tree in the README has every folder that there is, and nothing else."""

import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def shown() -> set[str]:
    """Every line of the tree, as a path."""
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("## How it is built")[1].split("\n\n")[1]
    parents: list[str] = []
    found = set()
    for line in part.splitlines():
        spaces, name, text = re.fullmatch(r" {4}( *)(\S+) {2,}(.+)", line).groups()  # type: ignore[union-attr]
        assert text
        parents[len(spaces) // 2 :] = [name]
        found.add("".join(parents))
    return found


def folders() -> set[str]:
    """The top folders, and the packages of asd_ray."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    tops = {
        f"{path.name}/"
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not any(fnmatch(path.name, one) for one in ignored)
    }
    packages = {path.parent.relative_to(ROOT).as_posix() + "/" for path in ROOT.glob("asd_ray/*/**/__init__.py")}
    return tops | packages


def test_the_tree_has_every_top_folder_and_every_package() -> None:
    assert {name for name in shown() if name.endswith("/")} == folders()


def test_every_file_of_the_tree_exists() -> None:
    assert {name for name in shown() if not (ROOT / name).exists()} == set()
