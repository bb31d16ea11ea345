"""Commands run as a user runs them, and what they leave behind."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

ROOT = Path(__file__).resolve().parents[2]
MARK = f"asd-test-{os.getpid()}-"  # of this run of the tests: others may run beside it
SMALL = [
    *("--set", "model.width=0.0625"),
    *("--set", "train.batch_size=16"),
    *("--set", "train.learning_rate=0.002"),
]


@dataclass
class Call:
    """One running command; every process that it starts carries its mark in the environment."""

    process: subprocess.Popen[str]
    mark: str
    lines: list[str] = field(default_factory=list)

    def read_until(self, found: Callable[[str], bool], *, timeout: float = 240) -> str:
        """Read on until a line is found. Fails if the command ends or takes longer."""
        assert self.process.stdout is not None
        end = time.monotonic() + timeout
        for line in self.process.stdout:
            self.lines.append(line)
            if found(line):
                return line
            assert time.monotonic() < end, "".join(self.lines)
        raise AssertionError(f"ended with {self.process.wait()}:\n{''.join(self.lines)}")

    def finish(self, *, timeout: float = 300) -> int:
        output, _ = self.process.communicate(timeout=timeout)
        self.lines.append(output or "")
        return self.process.returncode

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def survivors(self, *, patience: float = 10) -> list[str]:
        """Commands of processes that it started and that still run after a while."""
        end = time.monotonic() + patience
        while (found := marked_processes(self.mark)) and time.monotonic() < end:
            time.sleep(0.2)
        return list(found.values())


def marked_processes(mark: str) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                mark.encode() in (folder / "environ").read_bytes()
                and "\nState:\tZ" not in (folder / "status").read_text()
            ):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended meanwhile
    return found


def environment(mark: str) -> dict[str, str]:
    """That of a user: without the one thread that tests have, which run side by side."""
    return {
        **{name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
        "ASD_TEST_MARK": mark,
    }


def start(*arguments: object, cwd: Path = ROOT) -> Call:
    mark = f"{MARK}{uuid.uuid4().hex}"
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(mark),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C goes to the whole group, as on a terminal
    )
    return Call(process, mark)


def run(*arguments: object, cwd: Path = ROOT, timeout: float = 300) -> Call:
    call = start(*arguments, cwd=cwd)
    try:
        call.finish(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(call.process.pid, signal.SIGKILL)
        raise
    return call


def run_on_terminal(*arguments: object, cwd: Path = ROOT) -> Call:
    """A finished command whose output went to a terminal; what it wrote there, without colours and the like."""
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 120))
    mark = f"{MARK}{uuid.uuid4().hex}"
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**environment(mark), "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        text=True,
        start_new_session=True,
    )
    os.close(terminal)
    written = b""
    with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as file:  # at its end a terminal fails
        while part := file.read(65536):
            written += part
    process.wait(timeout=60)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode(errors="replace"))
    return Call(process, mark, [text.replace("\r", "")])


def studies_of(folder: Path) -> dict[str, list[optuna.trial.FrozenTrial]]:
    """Every study of a run folder's journal, by machine type."""
    storage = JournalStorage(JournalFileBackend(str(folder / "studies.journal")))
    return {
        summary.study_name: optuna.load_study(study_name=summary.study_name, storage=storage).trials
        for summary in optuna.get_all_study_summaries(storage)
    }


def finished(folder: Path) -> dict[tuple[str, int], list[float] | None]:
    """(machine type, number) -> values of every finished trial in the journal."""
    return {
        (name, trial.number): trial.values
        for name, trials in studies_of(folder).items()
        for trial in trials
        if trial.state.is_finished()
    }


class Faults:
    """Planted faults of a search's trials, and the log of every epoch that its workers began."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.plant({})
        path = os.pathsep.join([str(Path(__file__).with_name("faults")), str(ROOT)])
        self.environment = {"ASD_TEST_FAULTS": str(folder), "PYTHONPATH": path}  # of the search

    def plant(self, faults: dict[str, dict[str, object]]) -> None:
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def epochs(self) -> Counter[tuple[str, int]]:
        """How often each epoch of each trial was begun."""
        log = self.folder / "epochs.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter((uid, int(epoch)) for uid, epoch, _ in (line.split() for line in lines))

    def wait_for_epochs(self, more: int, *, timeout: float = 120) -> None:
        """Until so many more have begun."""
        before, end = self.epochs().total(), time.monotonic() + timeout
        while self.epochs().total() < before + more:
            assert time.monotonic() < end, f"no {more} epochs within {timeout:.0f} s"
            time.sleep(0.05)


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    made = Faults(tmp_path / "faults")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Whatever a test starts has ended before the next one begins."""
    yield
    for pid in marked_processes(MARK):
        os.kill(pid, signal.SIGKILL)
