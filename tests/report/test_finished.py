"""A search that is finished is not judged again, unless anything has changed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.errors import InputError
from asd_ray.report import finished
from asd_ray.report.finished import Ending, ending_of
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.studies import Studies
from tests.local_search import SMALL

SETTINGS = (*SMALL, "train.epochs=1", "search.trials=2")
Again = Callable[..., Ending | None]


@pytest.fixture
def folder(finished_run: Path, tmp_path: Path, undrawn: None) -> Path:
    """A run folder of this test's own, of which no figure is drawn."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def search(shards: Path, folder: Path) -> Callable[..., Ending]:
    def searched(*more: str, **options: object) -> Ending:
        config = replace_settings(RunConfig(), [*SETTINGS, *more])
        return ending_of(api.search(shards, folder, config, call="tune", **options))  # type: ignore[arg-type]

    return searched


@pytest.fixture
def again(shards: Path, folder: Path) -> Again:
    """The ending that the same call finds, or None where it would search."""

    def found(*more: str, call: str = "tune", **options: object) -> Ending | None:
        config = replace_settings(RunConfig(), [*SETTINGS, *more])
        return api.find_finished(  # type: ignore[arg-type]
            shards, folder, config, space_name="noisy_arcmix", call=call, **options
        )

    return found


def looks(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_the_same_call_finds_what_the_first_one_showed_and_writes_nothing(
    folder: Path, search: Callable[..., Ending], again: Again
) -> None:
    assert again() is None
    shown = search()
    before = looks(folder)
    assert again() == shown
    assert shown.is_whole
    assert len(shown.rows) == 6
    assert looks(folder) == before


def test_a_search_says_again_why_it_ended_early(
    search: Callable[..., Ending], again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Studies, "done", lambda self, machine_type: True)
    early = ("search.trials=9", "search.stop_when=no gain for 2 trials")
    first, second, third = list[str](), list[str](), list[str]()
    search(*early, on_event=first.append)
    assert again(*early, on_event=second.append) is not None
    search(*early, on_event=third.append)
    assert second == third == first
    assert any("ended after 2 of 9 trials" in line for line in first)


def edited(path: Path) -> None:
    """Other bytes, as many, with the time of the old ones."""
    found = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("trials/fan-0/scores.parquet", edited),
        ("trials/fan-0/state.pt", Path.unlink),
        ("trials/new.json", Path.touch),
        ("studies.journal", lambda path: path.write_text(path.read_text() + "\n")),
        ("clips.parquet", edited),
        ("run.yaml", edited),
        ("report/index.html", Path.unlink),
        ("report/summary.json", edited),
        ("report/finished.json", edited),
        ("report/finished.json", Path.unlink),
        ("report", shutil.rmtree),
        ("best/fan.yaml", edited),
        ("best", shutil.rmtree),
        ("models/pump/model.safetensors", Path.unlink),
    ],
)
def test_any_file_that_was_changed_has_the_report_written_anew(
    path: str, change: Callable[[Path], None], folder: Path, search: Callable[..., Ending], again: Again
) -> None:
    search()
    assert again() is not None
    changed = folder / path
    change(changed)
    if path == "run.yaml":  # is not read any more, and said so
        with pytest.raises(InputError, match=r"run\.yaml"):
            again()
    else:
        assert again() is None


def test_what_changes_behind_a_link_is_noticed(
    folder: Path, search: Callable[..., Ending], again: Again, tmp_path: Path
) -> None:
    elsewhere = (folder / "trials").rename(tmp_path / "elsewhere")
    (folder / "trials").symlink_to(elsewhere)
    search()
    assert again() is not None
    edited(elsewhere / "fan-0" / "scores.parquet")
    assert again() is None


def test_another_version_of_a_library_or_of_the_code_has_the_report_written_anew(
    search: Callable[..., Ending], again: Again, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = shutil.copytree(finished.PACKAGE / "report", tmp_path / "package")
    monkeypatch.setattr(finished, "PACKAGE", package)
    search()
    assert again() is not None
    with monkeypatch.context() as other:
        other.setattr(finished, "version", lambda name: "99" if name == "scipy" else "1")
        assert again() is None
    with monkeypatch.context() as other:
        other.setattr("asd_ray.__version__", "99")
        assert again() is None
    assert again() is not None
    edited(package / "templates" / "report.md.jinja")
    assert again() is None


@pytest.mark.parametrize(
    "more", [["search.trials=3"], ["search.confirm=1"], ["search.hours=1"], ["lanes.count=2"]], ids=str
)
def test_another_config_is_not_finished(more: list[str], search: Callable[..., Ending], again: Again) -> None:
    search()
    assert again(*more) is None
    assert again() is not None


def test_another_call_is_not_the_same(search: Callable[..., Ending], again: Again) -> None:
    """The report lists the calls."""
    search()
    assert again(call="tune --lanes 2") is None


def test_what_the_search_refuses_is_refused(folder: Path, search: Callable[..., Ending], again: Again) -> None:
    search()
    with pytest.raises(InputError, match=r"train\.seed"):
        again("train.seed=7")
    with run_lock(folder), pytest.raises(InputError, match="in use by"):
        again()
    assert again() is not None


def test_a_search_that_is_not_finished_keeps_no_ending(
    folder: Path, search: Callable[..., Ending], again: Again
) -> None:
    from asd_ray.deadline import Deadline

    search("search.trials=3", deadline=Deadline(1e-9))
    assert not (folder / finished.FINISHED).exists()
    assert again("search.trials=3") is None


@pytest.fixture
def unreadable(folder: Path) -> Iterator[Path]:
    link = folder / "trials" / "dangling"
    link.symlink_to(folder / "nowhere")
    yield link
    link.unlink()


def test_a_folder_that_cannot_be_looked_at_in_full_keeps_no_ending(
    unreadable: Path, search: Callable[..., Ending], again: Again
) -> None:
    search()
    assert again() is None
