"""A private PostgreSQL server for tests, from Debian's package `postgresql` or whatever is installed."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "p@ss/word"
QUOTED = "p%40ss%2Fword"


def binaries() -> Path | None:
    """Where initdb and pg_ctl are; Debian keeps them out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    which = shutil.which("initdb")
    return found[-1].parent if found else Path(which).resolve().parent if which else None


@dataclass
class Server:
    bin: Path
    folder: Path
    port: int = field(default=0)

    def do(self, program: str, *arguments: object) -> None:
        """Run one of the server's programs; as the user postgres if we are root, which the server refuses."""
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        command = [*(as_postgres if os.geteuid() == 0 else []), str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.do("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """As when its machine is switched off: every connection is cut."""
        self.do("pg_ctl", "-D", self.folder / "data", "-w", "-m", "immediate", "stop")

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}/asd"

    def url(self, *, user: str = "searcher", password: str = QUOTED, database: str = "asd") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def serving(bin: Path) -> Iterator[Server]:
    """A server with an empty database `asd`."""
    folder = Path(tempfile.mkdtemp(prefix="asd-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        server = Server(bin, folder, free_port())
        secure = ("-A", "scram-sha-256", "-U", "searcher", f"--pwfile={folder / 'password'}")
        server.do("initdb", "-D", folder / "data", *secure, "--no-sync", "-E", "UTF8", "--locale=C")
        server.start()
        try:
            make_database(server, "asd")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_database(server: Server, name: str = "") -> str:
    """A new empty database; its URL."""
    import psycopg

    name = name or f"asd_{secrets.token_hex(4)}"
    with psycopg.connect(server.url(database="postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return server.url(database=name)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
