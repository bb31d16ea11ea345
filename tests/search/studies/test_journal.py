"""A journal that a killed writer, or a failing disk, leaves readable, or that says what is wrong with it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from asd_ray.errors import InputError
from asd_ray.search.studies.journal import Journal, repair_journal

optuna.logging.set_verbosity(optuna.logging.WARNING)


def num_trials(path: Path, *, more: int = 0) -> int:
    """How many trials the journal holds, after `more` were added."""
    storage = JournalStorage(Journal(path))
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


@pytest.mark.parametrize("content", [b"", b'{"op_code": 0', bytes(4096), b"\n", b"\xff\xfe\n"])
def test_a_journal_without_a_whole_line_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "studies.journal"
    path.write_bytes(content)
    assert repair_journal(path) == len(content.strip(b"\n" if content == b"\n" else b""))
    assert not path.exists()
    assert num_trials(path, more=1) == 1


def test_no_journal_needs_no_repair(tmp_path: Path) -> None:
    assert repair_journal(tmp_path / "studies.journal") == 0


def test_the_lock_of_a_dead_writer_is_removed(journal: Path) -> None:
    for name in ("studies.journal.lock", "studies.journal.lock.rename-x"):
        journal.with_name(name).symlink_to(journal)
    began = time.monotonic()
    repair_journal(journal)
    assert sorted(path.name for path in journal.parent.iterdir()) == ["studies.journal"]
    assert num_trials(journal, more=1) == 4
    assert time.monotonic() - began < 10  # Optuna alone waits for 30 s


@pytest.mark.parametrize(
    "end",
    [
        bytes(1000),  # the file had its new length on disk before it had its content
        bytes(1000) + b"\n",
        b'{"op_code": 4, "stu' + bytes(50) + b"\n",
        b'{"op_code": 4, "stu\n',
        b"\xff\xfe\xfd garbage \x80\n",
        b'"text"\n',
        b'{"op_code": 99, "worker_id": "w"}\n',
        b"garbage\nmore of it\n\n" + bytes(10),
    ],
)
def test_an_end_that_holds_no_whole_record_is_cut_and_kept(journal: Path, end: bytes) -> None:
    whole = journal.read_bytes()
    journal.write_bytes(whole + end)
    assert repair_journal(journal) == len(end)
    assert journal.read_bytes() == whole
    assert journal.with_name("studies.journal.torn").read_bytes() == end
    assert repair_journal(journal) == 0
    assert num_trials(journal, more=1) == 4


def test_empty_lines_hold_nothing_and_are_dropped(journal: Path) -> None:
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"\n", b"\n\n \n", 3))
    assert repair_journal(journal) == 0
    assert journal.read_bytes() == whole


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda line: bytes(len(line) - 1) + b"\n", "holds NUL bytes, and whole ones follow it"),
        (lambda line: bytes(len(line)), "holds NUL bytes, and whole ones follow it"),
        (lambda line: line[:10] + b"\0" + line[11:], "holds NUL bytes, and whole ones follow it"),
        (lambda line: b"garbage\n", "is not JSON, and whole ones follow it"),
        (lambda line: line[: len(line) // 2] + b"\n", "is not JSON, and whole ones follow it"),
        (lambda line: line[: len(line) // 2], "is not JSON, and whole ones follow it"),
        (lambda line: line[:-1], "has another one in its line, and whole ones follow it"),
        (lambda line: b"\xff" + line, "is not text, and whole ones follow it"),
        (lambda line: b"[1, 2]\n", "is not one of Optuna's, and whole ones follow it"),
    ],
)
def test_damage_in_the_middle_is_refused_by_line_and_with_the_mend_and_changes_nothing(
    journal: Path, damage: Callable[[bytes], bytes], what: str
) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[3] = damage(lines[3])
    journal.write_bytes(b"".join(lines))
    before = journal.read_bytes()
    with pytest.raises(InputError) as raised:
        repair_journal(journal)
    assert str(raised.value) == (
        f"{journal}:4: this record {what}; put back a copy of the file, or keep its first 3 lines, which are "
        "whole, and lose the trials that came later"
    )
    assert journal.read_bytes() == before
    assert [path.name for path in journal.parent.iterdir()] == ["studies.journal"]
    journal.write_bytes(b"".join(lines[:3]))  # the second mend
    assert repair_journal(journal) == 0
    assert num_trials(journal, more=1) == 2


def test_a_line_missing_from_the_middle_is_noticed_where_a_trial_has_no_beginning(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 4)
    journal.write_bytes(b"".join(lines[:last] + lines[last + 1 :]))
    assert num_trials_as_optuna_reads(journal) == 2  # without a word
    with pytest.raises(
        InputError, match=f":{last + 1}: this record is about a trial or a study that no line before"
    ):
        repair_journal(journal)


def num_trials_as_optuna_reads(path: Path) -> int:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return len(optuna.load_study(study_name="fan", storage=storage).trials)


FULL_DISK = """
import resource, sys
from pathlib import Path
import optuna
from optuna.storages import JournalStorage
from asd_ray.errors import EnvironmentFailure
from asd_ray.search.studies.journal import Journal
optuna.logging.set_verbosity(optuna.logging.WARNING)
path = Path(sys.argv[1])
storage = JournalStorage(Journal(path))
study = optuna.load_study(study_name="fan", storage=storage)
limit = path.stat().st_size + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    study.ask()
except EnvironmentFailure as error:
    print(error)
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(size, len(study.trials))
study.tell(study.ask(), 0.25)
"""


@pytest.mark.parametrize("room", [0, 50])
def test_a_full_disk_is_named_leaves_no_part_of_a_record_and_the_search_can_go_on(
    journal: Path, room: int
) -> None:
    size = journal.stat().st_size
    command = [sys.executable, "-c", FULL_DISK, str(journal), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{journal}: cannot be written (File too large); free some space there",
        f"{size} 3",
    ]
    assert repair_journal(journal) == 0
    assert num_trials(journal) == 4
    assert not journal.with_name("studies.journal.lock").is_symlink()
