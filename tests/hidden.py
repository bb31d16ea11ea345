"""Packages that are installed here, as if they were not, or as if they were made for another torch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

import pytest


class _Broken(MetaPathFinder):
    def __init__(self, packages: tuple[str, ...], error: Exception | None) -> None:
        self.packages, self.error = packages, error

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self.packages:
            raise self.error or ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@contextmanager
def hidden(*packages: str, error: Exception | None = None) -> Iterator[None]:
    """For the length of a block, importing these fails as if they were not installed, or with this error."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            patch.delitem(sys.modules, name)
        patch.setattr(sys, "meta_path", [_Broken(packages, error), *sys.meta_path])
        yield
