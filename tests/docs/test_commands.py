"""Every command that README.md, docs/ or a verb's own help shows has options that the verb knows.

Those in blocks of sh are run, too, by tests/end_to_end/test_readme.py; here none is.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray import commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "search_spaces/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
MODULES = [ROOT / f"asd_ray/commands/{verb}.py" for verb in commands.VERBS]
_COMMAND = re.compile(
    r"^\s*(?:\$ )?(?:asd-ray (?=\w)|python -m asd_ray |python launch/)(\w+)(?:\.py)?((?:[^\n\\]|\\\n)*)",
    re.MULTILINE,
)


def shown(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Verb and arguments of every command line in a file, comments and what follows a pipe left out."""
    for verb, rest in _COMMAND.findall(path.read_text(encoding="utf-8")):
        words = shlex.split(rest.replace("\\\n", " "), comments=True)
        ends = [words.index(mark) for mark in ("&&", "|", ">", "&") if mark in words]
        yield verb, words[: min(ends, default=len(words))]


SHOWN = [
    pytest.param(verb, words, id=f"{path.name}: {' '.join([verb, *words])}")
    for path in [*PAGES, *MODULES]
    for verb, words in shown(path)
    if "..." not in words
]


def test_there_are_commands_to_look_at() -> None:
    assert len(SHOWN) > 30
    assert {verb for verb, _ in (param.values for param in SHOWN)} == set(commands.VERBS)


@pytest.mark.parametrize(("verb", "words"), SHOWN)
def test_its_options_are_known(verb: str, words: list[str]) -> None:
    assert verb in commands.VERBS
    commands.parse(verb, words)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
