"""What is asked of every node: who does not answer is named, unless it has left. Ray is a script here."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asd_ray.cluster import placement
from asd_ray.errors import InputError


class Nodes:
    """Nodes `a`, `b`, ...: those in `answering` do the check, those in `leaving` are gone when it is over."""

    exceptions = placement.ray.exceptions

    def __init__(self, names: str, *, answering: str, leaving: str = "") -> None:
        self.names, self._answering, self._leaving = names, answering, leaving
        self._check: Callable[[], None] = lambda: None

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": name, "NodeManagerAddress": f"10.0.0.{name}", "Alive": True} for name in self.names]

    def remote(self, **options: object) -> Callable[[Callable[[], None]], Any]:
        def options_of(*, label_selector: dict[str, str]) -> Any:
            return SimpleNamespace(remote=lambda: label_selector[placement.NODE_ID])

        def task(look: Callable[[], None]) -> Any:
            self._check = look
            return SimpleNamespace(options=options_of)

        return task

    def wait(self, asked: list[str], *, num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        self.names = "".join(name for name in self.names if name not in self._leaving)
        done = [name for name in asked if name in self._answering]
        return done, [name for name in asked if name not in done]

    def get(self, name: str) -> None:
        self._check()


def data_in(folder: Path) -> Path:
    (folder / "manifest.json").write_text("{}")
    return folder / "manifest.json"


@pytest.mark.parametrize(
    ("answering", "leaving", "silent"), [("abc", "", ""), ("ab", "c", ""), ("a", "c", "10.0.0.b")]
)
def test_nodes_that_do_not_answer_are_told_of_and_those_that_have_left_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: str, leaving: str, silent: str
) -> None:
    monkeypatch.setattr(placement, "ray", Nodes("abc", answering=answering, leaving=leaving))
    told: list[str] = []
    with placement.seen_from_all_nodes(tmp_path / "run", data_in(tmp_path), "auto", on_event=told.append) as sight:
        assert sight is not None
    assert [line.split(" within")[0] for line in told] == ([f"no answer from {silent}"] if silent else [])


def test_a_node_that_does_not_see_the_data_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "ray", Nodes("ab", answering="ab"))
    elsewhere = tmp_path / "no" / "manifest.json"
    with (
        pytest.raises(InputError, match=r"^--data "),
        placement.seen_from_all_nodes(tmp_path / "run", elsewhere, "auto", on_event=print),
    ):
        pass
