#!/usr/bin/env python
"""Write docs/api.md from the docstrings of asd_ray.api: python docs/generate_api.py"""

import dataclasses
import inspect
import re
from pathlib import Path

from asd_ray import api
from asd_ray.report.summary import MachineSummary, Summary
from asd_ray.scoring.detector import Scored

FIRST = ("prepare", "search", "score")  # the line from recordings to decisions
RETURNED = (Summary, MachineSummary, Scored)
TARGET = Path(__file__).with_name("api.md")


def markdown() -> str:
    """The page: the module's docstring with its example, then every public function, and what they return."""
    parts = ["# Python API", "<!-- written by docs/generate_api.py from the docstrings; do not edit -->"]
    parts.append(fenced(inspect.getdoc(api) or ""))
    for name in (*FIRST, *(name for name in api.__all__ if name not in FIRST)):
        function = getattr(api, name)
        parts += [f"## {name}", f"```python\n{name}{signature(function)}\n```"]
        parts.append(f"In `{function.__module__}`. {fenced(inspect.getdoc(function) or '')}")
    for kind in RETURNED:
        parts += [f"## {kind.__name__}", f"In `{kind.__module__}`. {inspect.getdoc(kind)}", fields(kind)]
    return "\n\n".join(parts) + "\n"


def fields(kind: type) -> str:
    """A table of the fields of a dataclass, with their comments, and of its properties."""
    comments = dict(re.findall(r"^    (\w+): .*  # (.+)$", inspect.getsource(kind), re.MULTILINE))
    rows = [
        (field.name, field.type, comments.get(field.name, ""))
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
    ]
    for name, found in vars(kind).items():
        if isinstance(found, property) and not name.startswith("_"):
            returned = inspect.signature(found.fget).return_annotation  # type: ignore[arg-type]
            rows.append((name, returned, (inspect.getdoc(found) or "").partition("\n\n")[0].replace("\n", " ")))
    lines = [
        f"| `{name}` | `{named(found)}` | {text} |".replace(" | None", " \\| None") for name, found, text in rows
    ]
    return "\n".join(["| field | type | |", "|---|---|---|", *lines])


def signature(function: object) -> str:
    """One argument a line, types by their last names."""
    found = inspect.signature(function)  # type: ignore[arg-type]
    lines = []
    keyword = False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            lines.append("    *,")
            keyword = True
        default = "" if parameter.default is parameter.empty else f" = {shown(parameter.default)}"
        lines.append(f"    {parameter.name}: {named(parameter.annotation)}{default},")
    arguments = "(\n" + "\n".join(lines) + "\n)" if lines else "()"
    return f"{arguments} -> {named(found.return_annotation)}"


def named(annotation: object) -> str:
    text = (
        annotation.__name__
        if isinstance(annotation, type) and not hasattr(annotation, "__args__")
        else str(annotation)
    )
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text).strip("'\"").replace("NoneType", "None")


def shown(default: object) -> str:
    return "(nothing is done)" if callable(default) else repr(default)


def fenced(docstring: str) -> str:
    """Examples become code blocks."""
    lines: list[str] = []
    inside = False
    for line in docstring.splitlines():
        if line.startswith(">>>") and not inside:
            lines.append("```python")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


if __name__ == "__main__":
    TARGET.write_text(markdown(), encoding="utf-8")
