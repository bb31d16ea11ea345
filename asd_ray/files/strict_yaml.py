"""Checked reading of YAML: every error names the file, the line and the nearest known name.

PyYAML alone reads `1e-5` as text, silently keeps the last of two equal keys, and follows aliases.
This loader reads floats as YAML 1.2 does, and refuses equal keys and aliases.
"""

import math
import re
import types
import typing
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from asd_ray.errors import InputError, path_suggestion, suggestion

MAX_BYTES = 1 << 20  # no honest config is larger
MAX_DEPTH = 32  # nor deeper
_FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

KeyPath = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """Base of all configs: frozen, no unknown keys, no silent conversion, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class WrongValueError(ValueError):
    """Raised by a model's own check to say which key is meant."""

    def __init__(self, key: KeyPath, message: str) -> None:
        super().__init__(message)
        self.key = key


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key is a plain word", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key}: given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes text that the loader would read as a number."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(rf"(?:{_FLOAT.pattern})$"), list("-+.0123456789")
    )


def read_yaml(path: Path) -> tuple[Any, dict[KeyPath, int]]:
    """The document and the line of every key in it. Raises InputError naming file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give the path of a YAML file") from None
    except OSError as error:
        mend = path_suggestion(path) or "; give the path of a YAML file"
        raise InputError(f"{path}: {error.strerror}{mend}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    if len(text) > MAX_BYTES:
        raise InputError(f"{path}: {len(text)} bytes; a config is at most {MAX_BYTES}")
    loader = _Loader(text)
    try:
        _refuse_aliases_and_depth(text)
        node = loader.get_single_node()
        document = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()
    return document, (_lines(node) if node is not None else {})


def _refuse_aliases_and_depth(text: str) -> None:
    """Run before a tree is built: a few aliases can expand to a huge tree, and a deep one exhausts the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        problem = ""
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases are not read; write the value out"
        elif depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} deep"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _lines(node: yaml.Node, path: KeyPath = ()) -> dict[KeyPath, int]:
    lines = {path: node.start_mark.line + 1}
    children: list[tuple[str | int, yaml.Node, int]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), value, key.start_mark.line + 1) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(index, value, value.start_mark.line + 1) for index, value in enumerate(node.value)]
    for name, child, line in children:
        lines |= _lines(child, (*path, name)) | {(*path, name): line}
    return lines


def load(path: Path, model: type[M]) -> M:
    """Read a YAML file as `model`. Raises InputError: `file.yaml:4: search.trails: unknown key; ...`."""
    document, lines = read_yaml(path)
    return check(document, model, where=lambda key: f"{path}:{_line(lines, key)}")


def check(document: Any, model: type[M], *, where: typing.Callable[[KeyPath], str]) -> M:
    """Validate a document; the first error becomes one InputError line that starts with `where(key)`."""
    if not isinstance(document, Mapping):
        raise InputError(f"{where(())}: expected keys and values, got {document!r}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # An unknown key often causes the other errors: report it first.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        cause = first.get("ctx", {}).get("error")
        inner = cause.key if isinstance(cause, WrongValueError) else ()
        key = tuple(part for part in (*first["loc"], *inner) if not _is_tag(part))
        raise InputError(f"{where(key)}: {dotted(key)}: {_say(first, model)}") from None


def dotted(key: KeyPath) -> str:
    return ".".join(map(str, key)) or "the file"


def _is_tag(part: str | int) -> bool:
    """Whether a part of pydantic's location is the union member that it tried, not a key of the user's."""
    return isinstance(part, str) and part.startswith("<")


def _line(lines: dict[KeyPath, int], key: KeyPath) -> int:
    while key not in lines and key:
        key = key[:-1]
    return lines.get(key, 1)


def _say(error: Any, model: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{suggestion(str(error['loc'][-1]), _known_keys(model, error['loc'][:-1]))}"
    if kind == "missing":
        return "missing; give it a value"
    if kind == "literal_error":
        return f"got {error['input']!r}; use {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{message}, got {error['input']!r}"


def _known_keys(model: type[BaseModel], loc: KeyPath) -> list[str]:
    annotation: Any = model
    for part in loc:
        if _is_tag(part):
            continue
        models = [item for item in _members(annotation) if isinstance(item, type) and issubclass(item, BaseModel)]
        fields = {name: field.annotation for item in models for name, field in item.model_fields.items()}
        annotation = fields.get(str(part)) or next(iter(typing.get_args(annotation)[1:]), None)
    models = [item for item in _members(annotation) if isinstance(item, type) and issubclass(item, BaseModel)]
    return [name for item in models for name in item.model_fields]


def _members(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [member for item in typing.get_args(annotation) for member in _members(item)]
    return [annotation]


def dump(document: Any) -> str:
    """YAML text that `read_yaml` reads back as the same values; keys keep their order."""
    text: str = yaml.dump(_plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _plain(value: Any) -> Any:
    """The value in types that YAML knows; numpy's floats, which pose as Python's, become real ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        assert math.isfinite(value), "configs hold finite numbers"
        return float(value)
    return str(value)
