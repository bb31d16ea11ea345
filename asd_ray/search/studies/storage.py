"""Where the studies of a run are kept: a journal beside run.yaml, or a PostgreSQL server.

Both are a `Store`. run.yaml says which one, without credentials; the searches of one database have names of their
own for their studies, so that they do not meet.
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
        """Keep every other driver of the run out for the length of a block, besides the run folder's lock.

        Raises InputError naming the holder, or saying why the place cannot be reached.
        """

    def open(self, folder: Path) -> tuple[BaseStorage, int]:
        """Optuna's storage with the studies of this run alone, and how many torn bytes were cut from it.

        Raises InputError, then and later, when the place fails.
        """


class JournalStore:
    """A file beside run.yaml; the run folder's lock is all that it needs."""

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
    """Raises InputError where the journal of a run folder that has trials is gone, or held nothing whole."""
    if not journal.exists() and any((folder / TRIALS).glob("*")):
        state = f"holds no whole record (what was there is in {JOURNAL}.torn)" if cut else "is empty or missing"
        raise InputError(
            f"{folder / JOURNAL}: {state}, but {folder / TRIALS} holds trials; "
            "put back a copy, or use another --run"
        )


def check_storable(folder: Path, url: str | None = None) -> None:
    """Raises InputError where a run in a bucket has no server for its studies; asks none, which may be away."""
    if not (url or os.environ.get(STORAGE_VARIABLE)):
        _refuse_object(folder)


def check_url(url: str | None = None) -> None:
    """Raises InputError where the user's --storage, or else the environment variable, is no URL of a server."""
    given = url or os.environ.get(STORAGE_VARIABLE)
    if given:
        Server.at(given, where="--storage" if url else STORAGE_VARIABLE)


def find_store(folder: Path, url: str | None = None) -> Store:
    """Where the studies of a run folder are kept: what its run.yaml says, or the user, when it is a new one.

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
    """The studies of an earlier run as they are now; `url` is the user's --storage, which may be another's place.

    In a run folder nothing is written, and no search on it is waited for: its journal is read from a copy, so the
    folder may be an archive. Raises InputError, and where a search holds studies in a server.
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
    """Of the names of a run's studies in a server: readable, and like no other, also for a folder begun anew."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)[:80]
    return f"{name}-{secrets.token_hex(4)}/"


def open_studies(folder: Path, run: Run, *, take_over: bool, store: Store | None = None) -> tuple[Studies, int]:
    """The studies of a run folder, and how many torn bytes of a killed writer were cut from their journal.

    Hold the run's lock and the store. Without `take_over` the studies are only read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage, cut = (store or find_store(folder)).open(folder)
    if not take_over:
        known = {study.study_name for study in storage.get_all_studies()}
        if not known >= set(run.machine_types):
            storage = InMemoryStorage()  # killed before it had made its studies: there is nothing to read
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
