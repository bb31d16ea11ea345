"""A disk that is really full: a tiny tmpfs, for what a search writes. No Ray.

One line names the file and the mend, what was there stays whole, no part of a file stays, and with space the same
call goes on.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asd_ray.data.prepare import prepare
from asd_ray.errors import EnvironmentFailure
from asd_ray.report.render import rebuild_alone
from asd_ray.search.runfolder import RUN, open_run, read_run
from asd_ray.search.studies.storage import open_studies
from tests.disk import FullDisk, mounted

PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FullDisk]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the lock's, which holds a name only."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def fails_in_one_line(call: Callable[[], object], *, path: Path) -> None:
    with pytest.raises(EnvironmentFailure) as raised:
        call()
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).endswith(": cannot be written (No space left on device); free some space there")


def test_shards_that_were_written_stay_and_the_rest_are_made_with_more_space(
    dataset: Path, disk: FullDisk
) -> None:
    out = disk.folder / "shards"
    disk.leave(10_000_000)
    fails_in_one_line(lambda: prepare(dataset, out), path=out)
    whole = contents(out)
    assert whole
    assert all(name.endswith(".parquet") and not Path(name).name.startswith(".") for name in whole)
    disk.make_space()
    prepare(dataset, out)
    after = contents(out)
    assert "manifest.json" in after
    assert {name: after[name] for name in whole} == whole


@pytest.mark.parametrize("at", ["models", "report"])
def test_a_report_is_left_as_it_was_and_rebuilt_with_more_space(
    finished_run: Path, disk: FullDisk, at: str
) -> None:
    folder = Path(shutil.copytree(finished_run, disk.folder / "run"))
    rebuild_alone(folder)
    old = contents(folder)
    if at == "report":  # leave just enough for the rest
        for name in ("best", "models"):
            shutil.rmtree(folder / name)
        lost = [len(data) for name, data in old.items() if name.startswith(("best/", "models/"))]
        disk.leave(sum(-(-size // PAGE) * PAGE for size in lost) + 2 * PAGE)
    else:
        disk.leave(0)
    fails_in_one_line(lambda: rebuild_alone(folder), path=folder / at)
    assert contents(folder) == old
    disk.make_space()
    rebuild_alone(folder)
    assert contents(folder) == old


def test_a_run_folder_is_begun_or_left_as_it_was(finished_run: Path, disk: FullDisk) -> None:
    run, clips = read_run(finished_run)
    folder = disk.folder / "run"
    folder.mkdir()
    disk.leave(0)
    fails_in_one_line(lambda: open_run(folder, run, clips=clips), path=folder)
    assert contents(folder) == {}
    disk.make_space()
    open_run(folder, run, clips=clips)
    whole = contents(folder)
    disk.leave(0)
    more = run.model_copy(update={"config": run.config.model_copy(update={"search": run.config.search})})
    fails_in_one_line(lambda: open_run(folder, more, clips=clips), path=folder)
    assert contents(folder) == whole
    assert RUN in whole


def test_a_journal_that_cannot_grow_ends_the_asking_and_loses_nothing(finished_run: Path, disk: FullDisk) -> None:
    folder = Path(shutil.copytree(finished_run, disk.folder / "run"))
    run, _ = read_run(folder)
    more = run.config.search.model_copy(update={"trials": 200, "sampler": "random"})
    run = run.model_copy(update={"config": run.config.model_copy(update={"search": more})})
    disk.leave(0)

    def ask_on() -> None:
        studies = open_studies(folder, run, take_over=True)[0]
        while studies.ask() is not None:
            pass

    fails_in_one_line(ask_on, path=folder / "studies.journal")  # within the page that the file has left, or at it
    whole = (folder / "studies.journal").read_bytes()
    assert whole.endswith(b"\n")
    before = open_studies(folder, run, take_over=False)[0].count()
    assert (folder / "studies.journal").read_bytes() == whole
    disk.make_space()
    studies = open_studies(folder, run, take_over=True)[0]
    assert studies.count() == before
    assert studies.num_adopted == before - 2
    for _ in range(before - 1):
        assert studies.ask() is not None
    assert studies.count() == before + 1
