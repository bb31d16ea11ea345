"""Every command that README.md, docs/ or a script's own help shows has options that the command knows.

Those in blocks of sh are run, too, by tests/end_to_end/test_readme.py; here none is.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "search_spaces/README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = sorted((ROOT / "launch").glob("*.py"))
_COMMAND = re.compile(r"^\s*(?:\$ )?python (launch/\w+\.py)((?:[^\n\\]|\\\n)*)", re.MULTILINE)


def commands(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Script and arguments of every command line in a file, comments and what follows a pipe left out."""
    for script, rest in _COMMAND.findall(path.read_text(encoding="utf-8")):
        words = shlex.split(rest.replace("\\\n", " "), comments=True)
        ends = [words.index(mark) for mark in ("&&", "|", ">", "&") if mark in words]
        yield script, words[: min(ends, default=len(words))]


SHOWN = [
    pytest.param(script, words, id=f"{path.name}: {' '.join([Path(script).name, *words])}")
    for path in [*PAGES, *SCRIPTS]
    for script, words in commands(path)
    if "..." not in words
]


def test_there_are_commands_to_look_at() -> None:
    assert len(SHOWN) > 30
    assert {script for script, _ in (param.values for param in SHOWN)} == {
        f"launch/{path.name}" for path in SCRIPTS
    }


@pytest.mark.parametrize(("script", "words"), SHOWN)
def test_its_options_are_known(script: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_script(script)
    monkeypatch.setattr(sys, "argv", [script, *words])
    module.parse()


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
