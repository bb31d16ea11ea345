"""Where the studies of a run are kept: a journal beside run.yaml, or a PostgreSQL server.

Each is a `Store`. run.yaml says which one, without credentials. Searches that share a database give their studies
names of their own, so that they do not collide.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage

from asd_ray.config import STORAGE_VARIABLE, params_of
from asd_ray.errors import InputError
from asd_ray.files.paths import is_object
from asd_ray.files.strict_yaml import load
from asd_ray.search.runfolder import JOURNAL, RUN, TRIALS, Kept, Run
from asd_ray.search.studies.journal import Journal, repair_journal
from asd_ray.search.studies.postgresql import FORM, PostgreSQLStore, Server, same_place
from asd_ray.search.studies.studies import Studies


class Store(Protocol):
    """Keeps the studies of one run."""

    kept: Kept

    def held(self) -> AbstractContextManager[None]:
        """Keep every other driver of the run out for the length of a block, in addition to the run folder's lock.

        Raises InputError naming the holder, or saying why the place cannot be reached.
        """

    def open(self, folder: Path) -> tuple[BaseStorage, int]:
        """Optuna's storage with the studies of this run alone, and how many torn bytes were cut from it.

        Raises InputError where the studies cannot be opened; what fails later raises EnvironmentFailure.
        """


class JournalStore:
    """A file beside run.yaml; it needs no lock other than that of the run folder."""

    kept = Kept()

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()

    def open(self, folder: Path) -> tuple[BaseStorage, int]:
        _refuse_object(folder)
        path = folder / JOURNAL
        cut = repair_journal(path)
        _refuse_lost(folder, path, cut=cut)
        return JournalStorage(Journal(path)), cut


def _refuse_object(folder: Path) -> None:
    if is_object(folder):
        raise InputError(
            f"{folder}: a journal grows line by line, and an object is only ever put whole; keep the studies in "
            f"PostgreSQL (--storage {FORM}), or the run folder on a disk that all nodes share"
        )


def _refuse_lost(folder: Path, journal: Path, *, cut: int = 0) -> None:
    """Raises InputError if a run folder has trials, but its journal is gone or held no whole record."""
    if not journal.exists() and any((folder / TRIALS).glob("*")):
        state = f"holds no whole record (what was there is in {JOURNAL}.torn)" if cut else "is empty or missing"
        raise InputError(
            f"{folder / JOURNAL}: {state}, but {folder / TRIALS} holds trials; "
            "put back a copy, or use another --run"
        )


def check_storable(folder: Path, url: str | None = None) -> None:
    """Raises InputError if a run in a bucket names no server for its studies. Does not contact the server."""
    if not (url or os.environ.get(STORAGE_VARIABLE)):
        _refuse_object(folder)


def check_url(url: str | None = None) -> None:
    """Raises InputError if the user's --storage, or else the environment variable, is not a URL of a server."""
    given = url or os.environ.get(STORAGE_VARIABLE)
    if given:
        Server.at(given, where="--storage" if url else STORAGE_VARIABLE)


def find_store(folder: Path, url: str | None = None) -> Store:
    """Find where the studies of a run folder are kept: its run.yaml says so, or, for a new run, the user does.

    `url` is the user's --storage; without it the environment variable ASD_STORAGE counts, if the run is new or is
    kept in a server. Connects to nothing. Raises InputError, which never shows a password.
    """
    path = folder / RUN
    recorded = load(path, Run).storage if path.exists() else None
    given = url or (None if recorded == Kept() else os.environ.get(STORAGE_VARIABLE) or None)
    if given is None:
        if recorded is None or recorded == Kept():
            _refuse_object(folder)
            return JournalStore()
        raise InputError(
            f"{folder}: its studies are kept in {recorded.name}; give --storage postgresql://USER:PASSWORD@"
            f"{recorded.place}, or set {STORAGE_VARIABLE} to that"
        )
    server = Server.at(given, where="--storage" if url else STORAGE_VARIABLE)
    unlocked = str(folder.resolve()) if is_object(folder) else None
    if recorded is None:
        kept = Kept(kind="postgresql", place=server.place, prefix=new_prefix(folder))
        return PostgreSQLStore(server, kept, folder=unlocked)
    if recorded.kind != "postgresql" or not same_place(recorded.place, server.place):
        mend = "leave out --storage" if recorded == Kept() else "give that one"
        raise InputError(
            f"{folder}: its studies are kept in {recorded.name}, not in PostgreSQL at {server.place}; {mend}, "
            "or use another --run"
        )
    return PostgreSQLStore(server, recorded, folder=unlocked)


@contextmanager
def reading(folder: Path, run: Run, *, url: str | None = None) -> Iterator[Studies]:
    """The studies of an earlier run as they are now; `url` is the user's --storage, which may be for another run.

    It reads a copy of a journal, so it writes nothing in the run folder, which may be an archive, and waits for no
    search on it. Raises InputError, also if a search holds the studies in a server.
    """
    if run.storage.kind == "journal":
        with TemporaryDirectory(prefix="asd_ray-") as scratch:
            yield _read_copy(folder, run, Path(scratch))
        return
    fits = url is not None and same_place(Server.at(url, where="--storage").place, run.storage.place)
    store = find_store(folder, url if fits else None)
    with store.held():
        yield open_studies(folder, run, take_over=False, store=store)[0]


def _read_copy(folder: Path, run: Run, scratch: Path) -> Studies:
    journal = folder / JOURNAL
    try:
        if journal.exists():
            (scratch / JOURNAL).write_bytes(journal.read_bytes())
        cut = repair_journal(scratch / JOURNAL)
        _refuse_lost(folder, scratch / JOURNAL, cut=cut)
        return open_studies(scratch, run, take_over=False, store=JournalStore())[0]
    except OSError as error:
        raise InputError(f"{journal}: cannot be read ({error.strerror}); make it readable") from error
    except InputError as error:
        raise InputError(str(error).replace(str(scratch), str(folder))) from error


def new_prefix(folder: Path) -> str:
    """A prefix for the names of a run's studies in a server: readable, and unique even if a folder begins anew."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)[:80]
    return f"{name}-{secrets.token_hex(4)}/"


def open_studies(folder: Path, run: Run, *, take_over: bool, store: Store | None = None) -> tuple[Studies, int]:
    """Open the studies of a run folder; also say how many torn bytes of a killed writer their journal lost.

    Hold the run's lock and the store. Without `take_over` the studies are only read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage, cut = (store or find_store(folder)).open(folder)
    if not take_over:
        known = {study.study_name for study in storage.get_all_studies()}
        if not known >= set(run.machine_types):
            storage = InMemoryStorage()  # the run was killed before it made its studies: nothing to read
    studies = Studies(
        storage,
        machine_types=run.machine_types,
        space=run.space,
        search=run.config.search,
        epochs=run.config.train.epochs,
        published=params_of(run.config),
        objectives=run.config.score.objectives,
        take_over=take_over,
    )
    return studies, cut
