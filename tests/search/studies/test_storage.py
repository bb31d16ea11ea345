"""One suite for both places that studies are kept in: a journal, and a real PostgreSQL server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asd_ray import api, commands
from asd_ray.commands import tune
from asd_ray.config import RunConfig, replace_settings
from asd_ray.errors import InputError
from asd_ray.files import paths as places
from asd_ray.files.strict_yaml import dump
from asd_ray.search.runfolder import JOURNAL, RUN, TRIALS, Corpus, Run
from asd_ray.search.space import load_space
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.storage import check_storable, find_store, open_studies
from asd_ray.search.studies.studies import Studies
from tests.scripted import Hills

TYPES = ["fan", "pump", "valve"]
EPOCHS = 3
HILLS = Hills(epochs=EPOCHS, blur=0.1)
objective, finish, search = HILLS.objective, HILLS.finish, HILLS.search


@dataclass
class Place:
    """A run folder, and where its studies are kept."""

    folder: Path
    url: str | None

    @contextmanager
    def studies(self, *, trials: int = 9, take_over: bool = True) -> Iterator[Studies]:
        """The studies as a search opens them: under both locks, with run.yaml written."""
        with run_lock(self.folder):
            store = find_store(self.folder, self.url)
            run = new_run(trials).model_copy(update={"storage": store.kept})
            with store.held():
                (self.folder / RUN).write_text(dump(run.model_dump()))
                yield open_studies(self.folder, run, take_over=take_over, store=store)[0]


def new_run(trials: int) -> Run:
    settings = [f"search.trials={trials}", "search.sampler=tpe", f"train.epochs={EPOCHS}"]
    space, text = load_space("noisy_arcmix")
    return Run(
        asd_ray="0",
        versions={},
        protocol="split",
        machine_types=TYPES,
        not_searchable={},
        corpus=Corpus(path="shards", fingerprint="0", classes=[[name, "id_00"] for name in TYPES]),
        config=replace_settings(RunConfig(), settings),
        space=space,
        space_text=text,
    )


@pytest.fixture(params=["journal", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = request.getfixturevalue("postgresql").url() if request.param == "postgresql" else None
    return Place(tmp_path / "run", url)


def content(studies: Studies) -> dict[str, list[tuple[Any, ...]]]:
    """All that the studies know, but for times."""
    return {
        name: [
            (
                *(trial.number, trial.state, trial.values, trial.params, trial.distributions),
                *(trial.intermediate_values, trial.user_attrs),
            )
            for trial in studies.trials(name)
        ]
        for name in TYPES
    }


def test_every_proposal_and_every_number_is_the_same_in_both_places(tmp_path: Path, postgresql: Any) -> None:
    found = []
    for url in (None, postgresql.url()):
        with Place(tmp_path / str(len(found)), url).studies(trials=15) as studies:
            found.append((search(studies), content(studies)))
    (journal_proposals, journal_content), (server_proposals, server_content) = found
    assert len(journal_proposals) == 15
    assert server_proposals == journal_proposals
    assert server_content == journal_content


def test_a_search_goes_on_with_what_is_kept_and_proposes_what_an_uninterrupted_one_does(
    place: Place, tmp_path: Path
) -> None:
    with Place(tmp_path / "whole", None).studies() as studies:
        whole = search(studies)
    with place.studies() as studies:
        first = search(studies, stop_after=4)
    with place.studies() as studies:
        rest = search(studies)
        assert studies.count() == 9
    assert first + rest == whole
    with place.studies() as studies:
        assert search(studies) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.search.studies.test_storage import Place, objective, search
with Place(Path(sys.argv[1]), sys.argv[2] or None).studies() as studies:
    search(studies, stop_after=2)
    proposal = studies.ask()
    studies.report(proposal.uid, 1, objective(proposal, 1))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_driver_left_running_is_adopted_and_nothing_is_lost(place: Place) -> None:
    killed = python(KILLED, place)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    with place.studies() as studies:
        before = content(studies)
        assert (studies.count(), studies.num_adopted) == (3, 1)
        adopted = studies.ask()
        assert adopted is not None
        assert adopted.uid == "valve-2"
        finish(studies, adopted)
        search(studies)
        after = content(studies)
        for name in TYPES:
            assert after[name][:2] == before[name][:2]
            assert len(after[name]) == 9
            assert all(trial.state.is_finished() for trial in studies.trials(name))


HOLDER = """
import sys, time
from pathlib import Path
from tests.search.studies.test_storage import Place
with Place(Path(sys.argv[1]), sys.argv[2] or None).studies() as studies:
    print("held", flush=True)
    time.sleep(60)
"""


def python(code: str, place: Place) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(place.folder), place.url or ""]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


def test_a_second_driver_is_refused_by_name_until_the_first_is_killed(place: Place) -> None:
    with python(HOLDER, place) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError) as raised, place.studies():
            pass
        holder.kill()
    assert f"in use by process {holder.pid} on {os.uname().nodename}; wait for it" in str(raised.value)
    with place.studies() as studies:
        assert len(search(studies, stop_after=1)) == 1


def test_reading_adopts_nothing_and_changes_nothing(place: Place) -> None:
    with place.studies() as studies:
        search(studies, stop_after=2)
        studies.ask()
        before = content(studies)
    with place.studies(take_over=False) as studies:
        assert (studies.count(), studies.num_adopted) == (3, 0)
        assert content(studies) == before


def test_a_run_that_was_killed_before_it_had_studies_reads_as_empty(place: Place) -> None:
    with place.studies(take_over=False) as studies:
        assert studies.count() == 0


@pytest.mark.parametrize("left", [None, b"", bytes(5000)])
def test_trials_whose_journal_is_gone_are_not_begun_again(tmp_path: Path, left: bytes | None) -> None:
    place = Place(tmp_path / "run", None)
    with place.studies() as studies:
        proposal = studies.ask()
    assert proposal is not None
    (place.folder / TRIALS / proposal.uid).mkdir(parents=True)
    journal = place.folder / JOURNAL
    whole = journal.read_bytes()
    journal.unlink()
    if left is not None:
        journal.write_bytes(left)
    for _ in range(2):
        with pytest.raises(InputError, match=f"{journal}: .*holds trials; put back a copy"), place.studies():
            pass
    journal.write_bytes(whole)
    with place.studies() as studies:
        assert studies.ask() == proposal


def test_a_run_goes_on_only_where_its_studies_are(
    place: Place, postgresql: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.studies():
        pass
    elsewhere = Place(place.folder, postgresql.url(database="other"))
    with pytest.raises(InputError, match=r"its studies are kept in .* or use another --run") as raised:
        find_store(elsewhere.folder, elsewhere.url)
    assert "leave out --storage" in str(raised.value) or postgresql.place in str(raised.value)
    monkeypatch.setenv("ASD_STORAGE", postgresql.url())  # says how to enter the server, not that a run is there
    assert find_store(place.folder).kept == find_store(place.folder, place.url).kept


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_journal_in_a_bucket_is_refused_before_the_bucket_is_asked_which_may_be_out_of_reach(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.delenv("ASD_STORAGE", raising=False)
    asked: list[str] = []
    monkeypatch.setattr(places, "_filesystem", lambda scheme, bucket: asked.append(bucket))
    run = f"{scheme}://bucket/runs/first"
    refused = f"{run}: a journal grows line by line.*--storage postgresql://"
    with pytest.raises(InputError, match=refused):
        api.search(f"{scheme}://bucket/shards", run)
    with pytest.raises(InputError, match=refused):
        tune.main(commands.parse("tune", ["--data", f"{scheme}://bucket/shards", "--run", run]))
    assert asked == []
    check_storable(places.place(run), "postgresql://me@host/asd")
    check_storable(tmp_path)
