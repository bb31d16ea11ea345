"""Studies in a PostgreSQL server that several runs may share.

SQLite is not offered: it locks its file with fcntl, which network disks often do not honour, it has no lock that
ends with its holder, and for one driver it does nothing that the journal does not do.
"""

import hashlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage, RDBStorage, get_storage

from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.files.locks import this_process
from asd_ray.search.runfolder import Kept

if TYPE_CHECKING:
    from optuna.study import StudyDirection
    from psycopg import Connection

FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_SCHEME = re.compile(r"postgres(ql)?(\+psycopg)?://")
_PLACE = {"host": r"[\w.:,/-]+", "port": r"[\d,]+", "dbname": r"[\w.-]+"}
# The server gives up a holder whose machine has vanished after a minute, and routers see that the line is in use.
_LIFE_SIGNS = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "options": "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
}
_GRACE_S = 3.0  # a server may need a moment to see that the process at the other end was killed
# Asks for the name that the holder of a lock gave itself; the server may hide that of another user.
_HOLDER = (
    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND (l.classid::bigint << 32) | l.objid::bigint = %s "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_TABLES = "asd_ray: tables of optuna"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a database is, and how to log in to it. Only its place is ever shown."""

    place: str  # host:port/database
    parameters: dict[str, str] = field(repr=False)

    @classmethod
    def at(cls, url: str, *, where: str) -> "Server":
        """Read a URL. `where` begins the error line, which never repeats the URL, as that may hold a password."""
        if not _SCHEME.match(url):
            scheme = url.split(":", 1)[0] if re.match(r"[a-z0-9+]+://", url) else "no URL"
            raise InputError(
                f"{where}: {scheme} is not supported; leave it out to keep the studies in the run folder, "
                f"or give {FORM}"
            )
        psycopg = _driver(where)
        try:
            parameters = psycopg.conninfo.conninfo_to_dict(_SCHEME.sub("postgresql://", url, count=1))
        except psycopg.Error:
            parameters = {}
        defaults = {
            option.keyword.decode(): option.val.decode()
            for option in psycopg.pq.Conninfo.get_defaults()
            if option.val is not None
        }
        known = {"host": "local", "dbname": parameters.get("user", ""), **defaults, **parameters}
        for name, form in _PLACE.items():
            if not parameters or not re.fullmatch(form, str(known.get(name, ""))):
                raise InputError(
                    f"{where}: not of the form {FORM}; write special characters of the password as %XX, @ as %40"
                )
        return cls(place="{host}:{port}/{dbname}".format(**known), parameters=dict(parameters))

    def connect(self) -> "Connection[Any]":
        """Raises InputError when the server cannot be reached, or does not let us in."""
        psycopg = _driver(self.place)
        own = {**_LIFE_SIGNS, "connect_timeout": "10", **self.parameters}
        try:
            connection: Connection[Any] = psycopg.connect(
                **{**own, "application_name": f"asd_ray {this_process()}"[:63]}
            )
        except psycopg.OperationalError as error:
            raise self.trouble(error) from error
        return connection

    def trouble(self, error: Exception) -> InputError:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in (self.parameters.get(name) for name in ("password", "sslpassword")):
            reason = reason.replace(secret, "***") if secret else reason
        return InputError(
            f"PostgreSQL at {self.place}: {reason}; see to the server, or to host, user, password and database"
        )


def same_place(one: str, other: str) -> bool:
    """Whether two places are one database, even if they name its host differently.

    >>> same_place("localhost:5432/asd", "127.0.0.1:5432/asd"), same_place("localhost:5432/a", "localhost:5432/b")
    (True, False)
    """
    (host, _, rest), (other_host, _, other_rest) = one.rpartition(":"), other.rpartition(":")
    return one == other or (rest == other_rest and bool(_addresses(host) & _addresses(other_host)))


def _addresses(host: str) -> set[str]:
    """The addresses of a host; a name that cannot be resolved, or a folder of sockets, stands for itself."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return {host}


def _driver(where: str) -> Any:
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as error:
        raise InputError(f"{where}: psycopg is not installed; install asd-ray[postgresql]") from error
    return psycopg


class PostgreSQLStore:
    """The studies of one run in a server.

    An advisory lock keeps a second driver out. A connection holds it for as long as the search runs; a killed
    driver's lock ends with its connection. A pooler in between (PgBouncer) must hand out whole sessions. Drivers
    that begin one run at the same time choose different prefixes, and so different locks: where no lock of the run
    folder keeps them apart, `folder` is its URL, which the store locks as well.
    """

    def __init__(self, server: Server, kept: Kept, *, folder: str | None = None) -> None:
        self.kept = kept
        self._server = server
        self._locks = [kept.prefix, *([folder] if folder else [])]
        self._holder: Connection[Any] | None = None
        self._connections: list[Connection[Any]] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        try:
            self._hold()
            yield
        finally:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._holder = None

    def open(self, folder: Path) -> tuple[BaseStorage, int]:
        from sqlalchemy import event  # here: it takes half a second, and a journal needs none of it
        from sqlalchemy.exc import SQLAlchemyError

        options = {"creator": self._connect, "pool_size": 1, "pool_pre_ping": True}
        try:
            with self._making_tables():
                storage = _OneRun(self.kept.prefix, options)
        except SQLAlchemyError as error:
            raise self._server.trouble(error) from error
        except RuntimeError as error:  # tables of another Optuna; its text says what to do
            raise InputError(f"PostgreSQL at {self.kept.place}: {' '.join(str(error).split())}") from error
        event.listen(storage.engine, "handle_error", self._translate)
        return get_storage(storage), 0

    def _connect(self) -> "Connection[Any]":
        """Connect for Optuna. Every connection but the first replaces a lost one; the lock may be lost as well.

        The server has let us in before, so if connecting fails now, the server has failed.
        """
        try:
            if self._holder is not None:
                with suppress(Exception):
                    self._holder.execute("SELECT 1")
                if self._holder.broken or self._holder.closed:
                    self._hold()
            self._connections.append(self._server.connect())
        except InputError as error:
            raise EnvironmentFailure(str(error)) from error
        return self._connections[-1]

    def _hold(self) -> None:
        connection = self._server.connect()
        self._connections.append(connection)
        connection.autocommit = True
        end = time.monotonic() + _GRACE_S
        for key in map(_key, self._locks):
            while not _ask(connection, "SELECT pg_try_advisory_lock(%s)", key):
                if time.monotonic() > end:
                    holder = str(_ask(connection, _HOLDER, key) or "another process").removeprefix("asd_ray ")
                    raise InputError(f"{self.kept.name}: in use by {holder}; wait for it, or use another --run")
                time.sleep(0.1)
        self._holder = connection

    @contextmanager
    def _making_tables(self) -> Iterator[None]:
        """Make runs that begin in an empty database at the same time create Optuna's tables in turn."""
        with self._server.connect() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_key(_TABLES)])
            yield

    def _translate(self, context: Any) -> None:
        """Raises EnvironmentFailure for a lost connection or full disk, not for what Optuna retries (class 40)."""
        error = context.original_exception
        psycopg = _driver(self.kept.place)
        kinds = (
            psycopg.OperationalError,
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.ReadOnlySqlTransaction,
        )
        retried = (getattr(error, "sqlstate", None) or "").startswith("40")
        if isinstance(error, kinds) and not retried and not context.is_pre_ping:
            raise EnvironmentFailure(str(self._server.trouble(error))) from error


class _OneRun(RDBStorage):
    """Optuna's tables as one run sees them: only its own studies, with their names free of the prefix."""

    def __init__(self, prefix: str, engine_options: dict[str, Any]) -> None:
        self._prefix = prefix
        super().__init__("postgresql+psycopg://", engine_kwargs=engine_options)

    def create_new_study(self, directions: "Sequence[StudyDirection]", study_name: str | None = None) -> int:
        assert study_name is not None
        return super().create_new_study(directions, self._full(study_name))

    def get_study_id_from_name(self, study_name: str) -> int:
        return super().get_study_id_from_name(self._full(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return super().get_study_name_from_id(study_id).removeprefix(self._prefix)

    def get_all_studies(self) -> list[Any]:
        mine = [copy(study) for study in super().get_all_studies() if study.study_name.startswith(self._prefix)]
        for study in mine:
            study.study_name = study.study_name.removeprefix(self._prefix)
        return mine

    def _full(self, name: str) -> str:
        return self._prefix + name.removeprefix(self._prefix)


def _key(text: str) -> int:
    """The number of the advisory lock for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def _ask(connection: "Connection[Any]", query: str, key: int) -> Any:
    """The one value that a query about a lock returns; None if it returns none."""
    row = connection.execute(query.encode(), [key]).fetchone()
    return row[0] if row else None
