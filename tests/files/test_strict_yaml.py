"""YAML comes in checked: what is odd is refused with file and line, what is dumped reads back equal."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import model_validator

from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import MAX_BYTES, Strict, WrongValueError, dump, load, read_yaml


class Inner(Strict):
    rate: float = 1.0
    kind: str = "a"


class Outer(Strict):
    inner: Inner = Inner()
    count: int
    table: dict[str, Inner] = {}

    @model_validator(mode="after")
    def _check(self) -> "Outer":
        if "bad" in self.table:
            raise WrongValueError(("table", "bad"), "is bad")
        return self


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def error_of(path: Path, text: str | bytes) -> str:
    """The message of loading a text as Outer, with the folder cut off."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as raised:
        load(path, Outer)
    message = str(raised.value)
    assert "\n" not in message
    return message.removeprefix(f"{path.parent}/")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("3", 3),
        ("1e5x", "1e5x"),
        ("'1e-5'", "1e-5"),
        ("true", True),
        ("-.inf", float("-inf")),
    ],
)
def test_numbers_are_read_as_yaml_1_2_reads_them(path: Path, text: str, value: object) -> None:
    path.write_text(f"a: {text}\n")
    document, _ = read_yaml(path)
    assert document == {"a": value}
    assert type(document["a"]) is type(value)


def test_every_key_knows_its_line(path: Path) -> None:
    path.write_text("# title\na:\n  b: 1\n\n  c: [x,\n    y]\n")
    _, lines = read_yaml(path)
    assert lines == {(): 2, ("a",): 2, ("a", "b"): 3, ("a", "c"): 5, ("a", "c", 0): 5, ("a", "c", 1): 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: 1\ncount: 2\n", "file.yaml:2: count: given twice"),
        ("count: 1\ninner: {rate: 1.0, kind: a, rate: 2.0}\n", "file.yaml:2: rate: given twice"),
        ("a: &x 1\nb: *x\n", "file.yaml:2: aliases are not read; write the value out"),
        ("count: 1\n? [1, 2]\n: 3\n", "file.yaml:2: a key is a plain word"),
        ("count: 1\n---\ncount: 2\n", "file.yaml:2: but found another document"),
        ("- 1\n", "file.yaml:1: expected keys and values, got [1]"),
        (b"count: \xff\n", "file.yaml: not UTF-8 at byte 7; save it as UTF-8"),
        ("count: 1\ninner:\n  rote: 2.0\n", "file.yaml:3: inner.rote: unknown key; did you mean 'rate'?"),
        ("zzz: 1\n", "file.yaml:1: zzz: unknown key; known: count, inner, table"),
        ("count: 1\ntable:\n  x: {rat: 1.0}\n", "file.yaml:3: table.x.rat: unknown key; did you mean 'rate'?"),
        ("inner: {}\n", "file.yaml:1: count: missing; give it a value"),
        ("count: 1\ninner:\n  rate: .nan\n", "file.yaml:3: inner.rate: input should be a finite number, got nan"),
        ("count: 1.0\n", "file.yaml:1: count: input should be a valid integer, got 1.0"),
        ("count: 1\ninner: {rate: '2'}\n", "file.yaml:2: inner.rate: input should be a valid number, got '2'"),
        ("count: 1\ntable:\n  good: {}\n  bad: {}\n", "file.yaml:4: table.bad: is bad"),
    ],
)
def test_what_is_odd_is_refused_in_one_line(path: Path, text: str | bytes, message: str) -> None:
    assert error_of(path, text) == message


def test_code_in_yaml_is_not_run(path: Path) -> None:
    message = error_of(path, "count: !!python/object/apply:os.getpid []\n")
    assert message.startswith("file.yaml:1: could not determine a constructor")


OURS, LIBYAMLS = "nested more than 32 deep", "exceeded maximum nesting depth"


# libyaml reads ahead, and in the wheels of PyYAML 6.0.4 it has a bound of its own.
@pytest.mark.parametrize(("depth", "told"), [(100, {OURS}), (200_000, {OURS, LIBYAMLS})])
def test_a_bottomless_file_is_refused_before_it_exhausts_the_stack(path: Path, depth: int, told: set[str]) -> None:
    assert error_of(path, "[" * depth + "]" * depth).removeprefix("file.yaml:1: ") in told


def test_a_file_that_is_no_config_is_named(path: Path) -> None:
    assert "at most" in error_of(path, "#" * (MAX_BYTES + 1))
    path.unlink()
    with pytest.raises(InputError, match=r"file\.yaml: No such file or directory; give the path of a YAML file"):
        read_yaml(path)


def test_an_empty_file_is_an_empty_document(path: Path) -> None:
    path.write_text("# nothing yet\n")
    assert read_yaml(path) == ({}, {})


@pytest.mark.parametrize(
    "value",
    [
        1e-05,
        1e300,
        0.1,
        3,
        -7,
        True,
        None,
        "",
        " x ",
        "a: b",
        "#",
        "null",
        "yes",
        "1e5",
        "12e-3",
        ".5",
        "1.",
        "-",
        "two\nlines\n",
        "tab\there",
        "α ± 😀",
        "word " * 60,
        [1.0, [2, "x"]],
        {"deep": {"list": [{}]}},
    ],
)
def test_what_is_dumped_reads_back_equal(path: Path, value: object) -> None:
    path.write_text(dump({"key": value}))
    document, _ = read_yaml(path)
    assert document == {"key": value}
    assert type(document["key"]) is type(value)


def test_dump_keeps_the_order_of_keys_and_makes_floats_of_numpys(path: Path) -> None:
    path.write_text(dump({"z": np.float64(0.25), "a": Path("x")}))
    assert path.read_text() == "z: 0.25\na: x\n"


def test_dump_refuses_nan() -> None:
    with pytest.raises(AssertionError, match="finite"):
        dump({"a": float("nan")})
