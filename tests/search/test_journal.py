"""One writer per run folder, and a journal that a killed writer leaves readable."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from asd_ray.command import InputError
from asd_ray.search.journal import repair_journal, run_lock

optuna.logging.set_verbosity(optuna.logging.WARNING)


def num_trials(path: Path, *, more: int = 0) -> int:
    """How many trials the journal holds, after `more` were added."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="fan", storage=storage, load_if_exists=True)
    for _ in range(more):
        study.tell(study.ask(), 0.5)
    return len(study.trials)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "studies.journal"
    assert num_trials(path, more=3) == 3
    return path


def test_a_whole_journal_is_left_alone(journal: Path) -> None:
    before = journal.read_bytes()
    assert repair_journal(journal) == 0
    assert journal.read_bytes() == before
    assert not journal.with_name("studies.journal.torn").exists()


def test_a_torn_tail_is_cut_kept_and_the_journal_goes_on(journal: Path) -> None:
    whole = journal.read_bytes()
    torn = b'{"op_code": 4, "study'
    journal.write_bytes(whole + torn)
    assert repair_journal(journal) == len(torn)
    assert journal.read_bytes() == whole
    assert journal.with_name("studies.journal.torn").read_bytes() == torn
    assert num_trials(journal, more=1) == 4
    assert num_trials(journal) == 4


@pytest.mark.parametrize("length", [1, 10])
def test_every_torn_tail_is_kept_one_after_another(journal: Path, length: int) -> None:
    for mark in (b"a", b"b"):
        with journal.open("ab") as file:
            file.write(mark * length)
        assert repair_journal(journal) == length
    assert journal.with_name("studies.journal.torn").read_bytes() == b"a" * length + b"b" * length


@pytest.mark.parametrize("content", [b"", b'{"op_code": 0'])
def test_a_journal_without_a_whole_line_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "studies.journal"
    path.write_bytes(content)
    assert repair_journal(path) == len(content)
    assert not path.exists()
    assert num_trials(path, more=1) == 1


def test_no_journal_needs_no_repair(tmp_path: Path) -> None:
    assert repair_journal(tmp_path / "studies.journal") == 0


def test_the_lock_of_a_dead_writer_is_removed(journal: Path) -> None:
    for name in ("studies.journal.lock", "studies.journal.lock.rename-x"):
        journal.with_name(name).symlink_to(journal)
    repair_journal(journal)
    assert sorted(path.name for path in journal.parent.iterdir()) == ["studies.journal"]
    assert num_trials(journal, more=1) == 4


HOLDER = """
import sys, time
from pathlib import Path
from asd_ray.search.journal import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_by_name_until_the_holder_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError) as raised, run_lock(run):
            pass
        holder.send_signal(signal.SIGKILL)
    name = f"process {holder.pid} on {os.uname().nodename}"
    assert str(raised.value) == f"{run}: in use by {name}; wait for it, or use another --run"
    with run_lock(run):
        assert (run / ".lock").read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"


def test_a_lock_is_free_after_its_block_even_if_that_raised(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), run_lock(tmp_path):
            raise KeyError


def test_a_block_inside_a_block_is_refused_and_does_not_free_the_outer_one(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        for _ in range(2):
            with pytest.raises(InputError, match="in use by process"), run_lock(tmp_path):
                pass
