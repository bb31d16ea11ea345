"""One process at a time in a folder; a dead one leaves no lock, but its name."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.errors import InputError
from asd_ray.files.locks import folder_lock, this_process

HOLDER = """
import sys, time
from pathlib import Path
from asd_ray.files.locks import folder_lock
with folder_lock(Path(sys.argv[1]), mend="wait"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_by_name_until_the_holder_is_killed_and_then_told_of_it(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError) as raised, folder_lock(run, mend="use another --run"):
            pass
        holder.send_signal(signal.SIGKILL)
    name = f"process {holder.pid} on {os.uname().nodename}"
    assert str(raised.value) == f"{run}: in use by {name}; use another --run"
    told: list[str] = []
    with folder_lock(run, mend="", on_event=told.append):
        assert (run / ".lock").read_text() == f"{this_process()}\n"
    assert told == [f"{run}: taken over from {name}, which ended without letting go of it"]


def test_after_an_orderly_end_there_is_nothing_to_tell(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with pytest.raises(KeyError), folder_lock(tmp_path, mend="", on_event=told.append):
            raise KeyError
    assert told == []


def test_a_block_inside_a_block_is_refused_and_does_not_free_the_outer_one(tmp_path: Path) -> None:
    with folder_lock(tmp_path, mend=""):
        for _ in range(2):
            with pytest.raises(InputError, match="in use by process"), folder_lock(tmp_path, mend=""):
                pass


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"file: cannot be written .*; choose another folder"),
        folder_lock(tmp_path / "file", mend=""),
    ):
        pass
