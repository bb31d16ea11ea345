"""Earlier searches as sources: which are refused, that each is read once, and what it is read for."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump
from asd_ray.files.writing import write_whole
from asd_ray.scoring.protocol import Protocol, assign_roles
from asd_ray.search.confirmation import Confirmation, SeedOutcome, SeedTraining, open_confirmation
from asd_ray.search.runfolder import CLIPS as CLIPS_FILE
from asd_ray.search.runfolder import JOURNAL, RUN, Run, read_run
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.storage import find_store, open_studies
from asd_ray.search.studies.studies import Studies
from asd_ray.search.warm_start import read_starts
from tests.postgresql import Server
from tests.search.test_warm_start import CLIPS, TYPES, begin, config_file, learnt, make_run, search
from tests.search.test_warm_start import old as old  # the fixture


def warm(path: Path, *settings: str) -> Run:
    return make_run(f"search.warm_start=['{path}']", *settings)


# -- labels


def roles(protocol: Protocol, *, normal: int = 100) -> pa.Table:
    """Some normal and fifty anomalous test clips of a machine id, and four of an evaluation set."""
    ids = [f"normal_{number:03}" for number in range(normal)] + [f"anomaly_{number:03}" for number in range(50)]
    evaluation = ["eval_0", "eval_1", "eval_2", "eval_3"]
    splits = ["test"] * len(ids) + ["eval"] * 4
    labels = [name.startswith("anomaly") for name in ids] + [False, True, False, True]
    found = assign_roles(
        protocol,
        [*ids, *evaluation],
        split=splits,
        machine_type=["fan"] * len(splits),
        machine_id=["id_00"] * len(splits),
        is_anomaly=labels,
    )
    return pa.table({"clip_id": [*ids, *evaluation], "chooses": found.choosing, "reports": found.reporting})


@pytest.mark.parametrize(
    ("then", "now", "seen"),
    [
        (roles("split"), roles("split"), 0),
        (roles("split"), roles("split", normal=101), 33),  # one clip more, and two thirds change sides
        (roles("split", normal=101), roles("split"), 34),
        (roles("paper"), roles("split"), 75),
        (roles("dcase"), roles("split"), 75),
        (roles("split"), roles("dcase"), 0),
        (roles("dcase"), roles("dcase"), 0),
    ],
)
def test_a_search_that_chose_on_clips_that_report_here_is_refused(
    old: Path, tmp_path: Path, then: pa.Table, now: pa.Table, seen: int
) -> None:
    pq.write_table(then, old / CLIPS_FILE, write_page_checksum=True)
    best = config_file(old / "best" / "fan.yaml", margin=0.33)
    reporting = sum(now.column("reports").to_pylist())
    for run, where in (
        (warm(old, "train.epochs=5"), f"--warm-start {old}"),
        (make_run(f"search.enqueue=['{best}']"), f"--enqueue {best}"),
    ):
        if not seen:
            assert read_starts(tmp_path / "new", run, clips=now)
            continue
        with pytest.raises(InputError) as raised:
            read_starts(tmp_path / "new", run, clips=now)
        assert str(raised.value).startswith(f"{where}: {seen} of the {reporting} clips that report here chose the")
        assert "leave it out, or use --protocol paper" in str(raised.value)
        paper = run.model_copy(update={"protocol": "paper"})
        assert read_starts(tmp_path / "new", paper, clips=roles("paper"))
    assert not (tmp_path / "new").exists()


# -- read once


def content(studies: Studies) -> dict[str, list[object]]:
    return {name: [(one.params, one.values, one.state) for one in studies.trials(name)] for name in TYPES}


@pytest.mark.parametrize("settings", [(), ("train.epochs=5",)], ids=["lessons", "best points"])
def test_the_same_command_goes_on_though_the_earlier_search_is_gone(
    old: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    run = warm(old, *settings)
    before, _ = begin(tmp_path / "new", run)
    shutil.rmtree(old)
    after, lines = begin(tmp_path / "new", run)
    assert lines == [f"{old}: what it had to teach was learnt by an earlier call"]
    assert content(after) == content(before)
    assert len(search(after)) == 6


def test_a_search_that_was_moved_teaches_nothing_twice(old: Path, tmp_path: Path) -> None:
    first, _ = begin(tmp_path / "new", warm(old))
    moved = old.rename(tmp_path / "moved")
    again, _ = begin(tmp_path / "new", warm(moved))
    assert len(learnt(again, "valve")) == 12
    assert content(again) == content(first)


def test_a_search_without_its_clips_is_looked_at_again_until_all_of_it_is_kept(old: Path, tmp_path: Path) -> None:
    """The note that it was learnt comes after the last lesson."""
    begin(tmp_path / "new", warm(old))
    journal = tmp_path / "new" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    assert b"warm_started_from" in lines[-1]
    journal.write_bytes(b"".join(lines[:-2]))
    shutil.move(old, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"old: no run\.yaml there"):
        begin(tmp_path / "new", warm(old))
    shutil.move(tmp_path / "elsewhere", old)
    studies, _ = begin(tmp_path / "new", warm(old))
    assert len(learnt(studies, "valve")) == len(set(learnt(studies, "valve"))) == 12


def test_an_archive_or_a_search_that_runs_is_read_as_it_is_and_nothing_there_is_written(
    old: Path, tmp_path: Path
) -> None:
    with run_lock(old):
        (old / JOURNAL).write_bytes((old / JOURNAL).read_bytes() + b'{"op_code": 5, "worker')
        before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in old.iterdir()}
        studies, _ = begin(tmp_path / "new", warm(old))
        assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in old.iterdir()} == before
    assert len(learnt(studies, "valve")) == 12


def test_damage_in_an_earlier_search_is_named_by_its_own_path(old: Path, tmp_path: Path) -> None:
    lines = (old / JOURNAL).read_bytes().splitlines(keepends=True)
    (old / JOURNAL).write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    with pytest.raises(InputError) as raised:
        read_starts(tmp_path / "new", warm(old), clips=CLIPS)
    assert str(raised.value).startswith(f"{old / JOURNAL}:4: this record is not JSON")
    (old / JOURNAL).unlink()
    (old / "trials" / "fan-0").mkdir(parents=True)
    with pytest.raises(InputError) as raised:
        read_starts(tmp_path / "new", warm(old), clips=CLIPS)
    assert str(raised.value).startswith(f"{old / JOURNAL}: is empty or missing, but {old / 'trials'} holds trials")


# -- other places


@contextmanager
def in_server(folder: Path, run: Run, url: str) -> Iterator[Studies]:
    """The studies of a run that keeps them in a server."""
    folder.mkdir(exist_ok=True)
    store = find_store(folder, url)
    write_whole(folder / RUN, dump(run.model_copy(update={"storage": store.kept}).model_dump()))
    pq.write_table(CLIPS, folder / CLIPS_FILE, write_page_checksum=True)
    with store.held():
        yield open_studies(folder, run, take_over=True, store=store)[0]


def test_a_search_in_a_server_teaches_one_in_a_server(postgresql: Server, tmp_path: Path) -> None:
    url = postgresql.url()
    with in_server(tmp_path / "there", make_run("search.trials=8"), url) as studies:
        assert len(search(studies)) == 8
    starts = read_starts(tmp_path / "new", warm(tmp_path / "there"), clips=CLIPS, storage=url)
    assert len({lesson.origin for lesson in starts.lessons}) == 8


def test_a_search_in_its_folder_teaches_one_in_a_server(old: Path, tmp_path: Path) -> None:
    url = "postgresql://user:secret@host/database"
    starts = read_starts(tmp_path / "new", warm(old), clips=CLIPS, storage=url)
    assert len({lesson.origin for lesson in starts.lessons}) == 12


def test_a_search_in_another_server_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASD_STORAGE", raising=False)
    folder = tmp_path / "there"
    folder.mkdir()
    kept = {"kind": "postgresql", "place": "there:5432/asd", "prefix": "there-1/"}
    (folder / RUN).write_text(dump(make_run().model_dump() | {"storage": kept}))
    pq.write_table(CLIPS, folder / CLIPS_FILE, write_page_checksum=True)
    with pytest.raises(InputError, match=r"kept in PostgreSQL at there:5432/asd; .*, or set ASD_STORAGE to that"):
        read_starts(tmp_path / "new", warm(folder), clips=CLIPS, storage="postgresql://user:secret@here/asd")


# -- the best points


def confirm(folder: Path, *, winner: str) -> Confirmation:
    """Note outcomes of a confirmation, in which one of the configs is better than the others."""
    run, _ = read_run(folder)
    studies, _ = open_studies(folder, run, take_over=False)
    search_settings = run.config.search.model_copy(update={"confirm": 2, "seeds": 2})
    run = run.model_copy(update={"config": run.config.model_copy(update={"search": search_settings})})
    confirmation = open_confirmation(folder, run, studies)
    for training in confirmation.trainings():
        value = 0.9 if training.candidate.uid == winner else 0.6
        confirmation.end(training, SeedOutcome(outcome="complete", objective=dict.fromkeys(TYPES, value)))
    return confirmation


def test_a_confirmed_winner_is_tried_rather_than_what_the_search_had_chosen(old: Path, tmp_path: Path) -> None:
    run, _ = read_run(old)
    studies, _ = open_studies(old, run, take_over=False)
    (chosen, _), (second, trial) = studies.ranking("fan")[:2]
    confirmation = confirm(old, winner=second)
    assert chosen in confirmation.plan.best["fan"]
    starts = read_starts(tmp_path / "new", warm(old, "train.epochs=5"), clips=CLIPS)
    assert starts.best[0] == trial.params
    assert second in starts.lines[0]
    assert chosen not in starts.lines[0]


def test_while_a_confirmation_is_not_finished_it_says_nothing(old: Path, tmp_path: Path) -> None:
    run, _ = read_run(old)
    studies, _ = open_studies(old, run, take_over=False)
    (chosen, trial), (second, _) = studies.ranking("fan")[:2]
    confirmation = confirm(old, winner=second)
    candidate = next(one for one in confirmation.plan.candidates if one.uid == second)
    outcome = old / "trials" / SeedTraining(candidate, confirmation.plan.seeds[0]).folder / "outcome.json"
    assert json.loads(outcome.read_text())["outcome"] == "complete"
    outcome.unlink()
    starts = read_starts(tmp_path / "new", warm(old, "train.epochs=5"), clips=CLIPS)
    assert starts.best[0] == trial.params
    assert chosen in starts.lines[0]


def test_a_run_that_has_lost_its_clips_still_knows_what_it_has_learnt(old: Path, tmp_path: Path) -> None:
    """The call that finds it so writes them anew."""
    folder = tmp_path / "new"
    begin(folder, warm(old))
    (folder / CLIPS_FILE).unlink()
    (line,) = read_starts(folder, warm(old), clips=CLIPS).lines
    assert line.endswith("what it had to teach was learnt by an earlier call")
