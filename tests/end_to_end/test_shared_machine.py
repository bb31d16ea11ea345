"""A search on a machine that others use, too: nobody else gets at its files, nor at what listens there."""

import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.search.events import EpochDone, Event

SMALL = ["model.width=0.0625", "train.epochs=1", "search.trials=2", "search.confirm=0", "lanes.count=2"]


def listening() -> list[str]:
    """Addresses, with their programs, at which this process and those that it started listen."""
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    lines = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [
        " ".join([line.split()[3], *re.findall(r'"([^"]+)"', line)])
        for line in lines
        if own & {int(pid) for pid in re.findall(r"pid=(\d+)", line)}
    ]


def folder_of_ray() -> Path:
    """Where the raylet that this process started keeps its files."""
    for child in psutil.Process().children(recursive=True):
        for word in child.cmdline() if child.name() == "raylet" else ():
            if found := re.match(r"--session_dir=(.*)|--temp_dir=(.*)", word):
                return Path(found[1] or found[2])
    raise AssertionError("no raylet runs")


def as_nobody(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, user=65534, group=65534, capture_output=True, text=True)


@pytest.mark.slow
def test_a_search_of_two_lanes_listens_on_loopback_alone_and_shows_its_files_to_nobody(
    small_shards: Path, tmp_path: Path
) -> None:
    found: list[str] = []
    seen: list[Path] = []

    def look(event: Event) -> None:
        if not isinstance(event, EpochDone) or seen:
            return
        seen.extend(folder_of_ray().rglob("*"))
        found.extend(listening())
        if os.geteuid() == 0:
            assert all("Permission denied" in as_nobody("stat", path).stderr for path in seen)

    api.search(small_shards, tmp_path / "run", replace_settings(RunConfig(), SMALL), on_event=look)
    assert any(path.name == "sockets" for path in seen)
    assert len(found) > 5
    assert [line for line in found if not line.startswith(("127.0.0.1:", "[::ffff:127.0.0.1]:", "[::1]:"))] == []
