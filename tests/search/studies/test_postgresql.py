"""What only a server can do: be shared, be away, refuse entry. A real one; passwords stay out of every text."""

import os
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.files.paths import place as place_of
from asd_ray.search.runfolder import RUN, open_run
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.postgresql import Server
from asd_ray.search.studies.storage import find_store
from tests.postgresql import PASSWORD, QUOTED, make_database
from tests.postgresql import Server as Running
from tests.search.studies.test_storage import TYPES, Place, content, finish, new_run, objective, search


@pytest.fixture
def url(postgresql: Running) -> str:
    return make_database(postgresql)


@pytest.fixture
def restarted(postgresql: Running) -> Iterator[Running]:
    """The server, for a test that stops it."""
    yield postgresql
    if not (postgresql.folder / "data" / "postmaster.pid").exists():
        postgresql.start()


def test_two_runs_share_a_database_and_do_not_meet(tmp_path: Path, url: str) -> None:
    places = [Place(tmp_path / name / "run", url) for name in ("a", "b")]
    with places[0].studies() as one, places[1].studies() as other:  # each holds a lock of its own
        search(one, stop_after=3)
        search(other, stop_after=1)
        assert (one.count(), other.count()) == (3, 1)
    for place, count in zip(places, (3, 1), strict=True):
        with place.studies(take_over=False) as studies:
            assert studies.count() == count


def test_a_folder_that_was_deleted_and_begun_anew_does_not_find_its_old_studies(tmp_path: Path, url: str) -> None:
    place = Place(tmp_path / "run", url)
    with place.studies() as studies:
        search(studies, stop_after=1)
    (place.folder / RUN).unlink()
    with place.studies() as studies:
        assert studies.count() == 0


def test_run_yaml_says_where_the_studies_are_and_not_how_to_enter(tmp_path: Path, postgresql: Running) -> None:
    place = Place(tmp_path / "run", postgresql.url())
    with place.studies():
        text = (place.folder / RUN).read_text()
    assert f"place: {postgresql.place}" in text
    assert "kind: postgresql" in text
    for secret in (PASSWORD, QUOTED, "searcher"):
        assert secret not in text
    with pytest.raises(InputError) as raised:
        find_store(place.folder)
    assert str(raised.value) == (
        f"{place.folder}: its studies are kept in PostgreSQL at {postgresql.place}; "
        f"give --storage postgresql://USER:PASSWORD@{postgresql.place}, or set ASD_STORAGE to that"
    )


def test_the_environment_says_where_a_new_run_keeps_its_studies_and_an_old_journal_stays_one(
    tmp_path: Path, postgresql: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Place(tmp_path / "old", None), Place(tmp_path / "new", None)
    with old.studies():
        pass
    monkeypatch.setenv("ASD_STORAGE", postgresql.url())
    with new.studies():
        pass
    assert find_store(old.folder).kept.kind == "journal"
    assert find_store(new.folder).kept.place == postgresql.place


def test_a_server_that_is_restarted_between_two_calls_is_entered_again_and_the_lock_is_held_again(
    tmp_path: Path, restarted: Running
) -> None:
    place = Place(tmp_path / "run", restarted.url())
    with place.studies() as studies:
        first = search(studies, stop_after=2)
        restarted.stop()
        restarted.start()
        rest = search(studies, stop_after=2)
        assert len(first + rest) == 4
        with pytest.raises(InputError, match=f"in use by process {os.getpid()} on "), second(place):
            pass


def second(place: Place) -> "object":
    """The store of a driver on a machine where the run folder's lock does not hold."""
    return find_store(place.folder, place.url).held()


def test_a_server_that_goes_away_ends_the_search_in_one_line_and_nothing_is_lost(
    tmp_path: Path, restarted: Running
) -> None:
    place = Place(tmp_path / "run", restarted.url())
    with place.studies() as studies:
        search(studies, stop_after=2)
        proposal = studies.ask()
        assert proposal is not None
        studies.report(proposal.uid, 1, objective(proposal, 1))
        before = content(studies)
        restarted.stop()
        with pytest.raises(EnvironmentFailure) as raised:
            finish(studies, proposal)
        assert_one_line_without_secrets(raised.value)
        assert f"PostgreSQL at {restarted.place}: " in str(raised.value)
        with pytest.raises(EnvironmentFailure, match="Connection refused"):
            studies.ask()
    restarted.start()
    with place.studies() as studies:
        assert content(studies) == before
        assert studies.ask() == proposal
        finish(studies, proposal)
        search(studies)
        assert all(trial.state.is_finished() for name in TYPES for trial in studies.trials(name))
        assert studies.count() == 9


def test_the_lock_that_was_lost_with_its_server_and_taken_by_another_ends_the_search(
    tmp_path: Path, restarted: Running
) -> None:
    place = Place(tmp_path / "run", restarted.url())
    with place.studies() as studies:
        restarted.stop()
        restarted.start()
        with second(place), pytest.raises(EnvironmentFailure, match="in use by process"):  # type: ignore[attr-defined]
            studies.ask()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": "wr0ng"}, "password authentication failed"),
        ({"user": "nobody"}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_a_server_that_refuses_entry_is_one_line(
    tmp_path: Path, postgresql: Running, change: dict[str, str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as raised, Place(tmp_path, postgresql.url(**change)).studies():
        pass
    assert_one_line_without_secrets(raised.value)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    url = f"postgresql://me:{QUOTED}@127.0.0.1:1/asd"
    with pytest.raises(InputError, match="Connection refused") as raised, Place(tmp_path, url).studies():
        pass
    assert_one_line_without_secrets(raised.value)


def test_a_user_who_may_not_make_tables_is_told_in_one_line(tmp_path: Path, postgresql: Running, url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE USER reader PASSWORD 'only'")
    name = url.rpartition("/")[2]
    place = Place(tmp_path, postgresql.url(user="reader", password="only", database=name))
    with pytest.raises(InputError, match="permission denied") as raised, place.studies():
        pass
    assert_one_line_without_secrets(raised.value)


def test_a_server_that_refuses_in_the_middle_ends_the_search_in_one_line(
    tmp_path: Path, postgresql: Running, url: str
) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE USER writer PASSWORD 'only'")
        connection.execute("GRANT CREATE, USAGE ON SCHEMA public TO writer")
        place = Place(tmp_path, postgresql.url(user="writer", password="only", database=url.rpartition("/")[2]))
        with place.studies() as studies:
            search(studies, stop_after=1)
            connection.execute("REVOKE INSERT ON trials FROM writer")
            with pytest.raises(EnvironmentFailure, match="permission denied for table trials") as raised:
                studies.ask()
            assert_one_line_without_secrets(raised.value)
            connection.execute("GRANT INSERT ON trials TO writer")
        with place.studies() as studies:
            assert len(search(studies)) == 8


def assert_one_line_without_secrets(error: Exception) -> None:
    text = str(error)
    assert "\n" not in text
    everything = "".join(traceback.format_exception(error))
    for secret in (PASSWORD, QUOTED, "wr0ng", "only'"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///studies.db", "--storage: sqlite is not supported; leave it out"),
        ("mysql://u:hidden@host/db", "--storage: mysql is not supported"),
        ("runs/studies", "--storage: no URL is not supported"),
        ("u:hidden@host/db", "--storage: no URL is not supported"),
        ("postgresql://u:hid@den@host/db", "--storage: not of the form postgresql://USER:PASSWORD@HOST"),
        ("postgresql://u:hid/den@host/db", "--storage: not of the form postgresql://USER:PASSWORD@HOST"),
        ("postgresql://u:hidden@host:port/db", "--storage: not of the form postgresql://USER:PASSWORD@HOST"),
        ("postgresql://u:hidden%ZZ@host/db", "--storage: not of the form postgresql://USER:PASSWORD@HOST"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        Server.at(url, where="--storage")
    assert str(raised.value).startswith(said)
    for part in ("hidden", "hid", "den"):
        assert part not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://me:p%40ss@db.example.org:6543/asd", "db.example.org:6543/asd"),
        ("postgres://me@db.example.org/asd?sslmode=require", "db.example.org:5432/asd"),
        ("postgresql+psycopg://me@[::1]/asd", "::1:5432/asd"),
        ("postgresql:///asd?host=/var/run/postgresql", "/var/run/postgresql:5432/asd"),
        ("postgresql://me@a:1,b:2/asd", "a,b:1,2/asd"),
    ],
)
def test_the_place_of_a_url_holds_no_credentials(url: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    server = Server.at(url, where="--storage")
    assert server.place == place
    assert "p@ss" not in repr(server)


def test_a_second_search_of_a_run_holds_the_folder_no_longer_than_it_needs_to_be_refused(
    tmp_path: Path, postgresql: Running
) -> None:
    place = Place(tmp_path / "run", postgresql.url())
    with place.studies():
        pass
    with second(place):  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="in use by process"), place.studies():
            pass
        with run_lock(place.folder):
            pass


def test_of_two_drivers_that_begin_one_run_in_a_bucket_at_one_time_one_gets_in(bucket: Path, url: str) -> None:
    """Each has found no run there, and has a prefix of its own for the studies."""
    folder = bucket / "runs" / "first"
    names = [str(folder), f"{bucket}/runs/../runs//first/"]
    stores = [find_store(place_of(name), url) for name in names]
    assert stores[0].kept != stores[1].kept
    opened, refused, all_tried = list[str](), list[str](), threading.Barrier(2)

    def begin(number: int) -> None:
        run = new_run(9).model_copy(update={"storage": stores[number].kept})
        try:
            with stores[number].held():
                open_run(folder, run, clips=pa.table({"clip_id": ["a"]}))
                opened.append(stores[number].kept.prefix)
                all_tried.wait(60)
        except InputError as error:
            refused.append(str(error))
            all_tried.wait(60)

    drivers = [threading.Thread(target=begin, args=[number]) for number in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert len(opened) == len(refused) == 1
    assert f"in use by process {os.getpid()} on " in refused[0]
    with find_store(folder, url).held():
        assert opened == [find_store(folder, url).kept.prefix]
