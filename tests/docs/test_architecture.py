"""The page that leads newcomers through the code names only what is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py): ([\w.]+)`", PAGE)))  # `search/driver.py: run_search`


def defined(file: str) -> set[str]:
    """Functions and classes of a module, methods as `Class.method`."""
    tree = ast.parse((ROOT / "asd_ray" / file).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tops = [node for node in tree.body if isinstance(node, kinds)]
    classes = [node for node in tops if isinstance(node, ast.ClassDef)]
    methods = {f"{one.name}.{node.name}" for one in classes for node in one.body if isinstance(node, kinds)}
    return {node.name for node in tops} | methods


def test_the_page_names_functions_and_walks_in_at_most_fifteen_steps() -> None:
    assert len(NAMED) > 50
    walk = PAGE.split("## One trial,")[1].split("\n## ")[0]
    steps = [int(number) for number in re.findall(r"^(\d+)\. \*\*", walk, flags=re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) <= 15


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_function_that_the_page_names_exists(file: str, name: str) -> None:
    assert name in defined(file), f"docs/architecture.md: {file} has no {name}"


def test_every_package_is_in_the_table() -> None:
    table = PAGE.split("## The packages")[1].split("\n## ")[0]
    packages = {
        path.parent.relative_to(ROOT / "asd_ray").as_posix() for path in ROOT.glob("asd_ray/*/**/__init__.py")
    }
    assert {name for name in packages if f"`{name}/`" not in table} == set()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:tests|asd_ray|launch|search_spaces)/[\w/]+\.\w+)`", PAGE)))
)
def test_a_file_that_the_page_names_exists_or_is_to_be_written(path: str) -> None:
    assert "mine" in path or (ROOT / path).exists()
