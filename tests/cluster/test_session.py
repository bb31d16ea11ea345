"""What lies in a folder that everybody may write is neither trusted nor shown to others."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray.cluster import session
from asd_ray.errors import InputError
from asd_ray.files.locks import LOCK, folder_lock

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that everybody may write, with a shorter path than pytest's."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_only_locked_folders_of_ours_that_nobody_holds_are_removed(base: Path) -> None:
    held, left, beginning = base / "asd_ray-held", base / "asd_ray-left", base / "asd_ray-beginning"
    with folder_lock(left, mend=""):
        pass  # as a killed search leaves it
    beginning.mkdir()
    with folder_lock(held, mend=""), session.session_folder() as inner:
        assert set(base.iterdir()) == {held, beginning, inner.parent}
    assert set(base.iterdir()) == {held, beginning}


def test_a_lock_that_is_a_link_empties_no_file(base: Path, tmp_path: Path) -> None:
    victim, trap = tmp_path / "file", base / "asd_ray-trap"
    victim.write_text("precious")
    trap.mkdir()
    (trap / LOCK).symlink_to(victim)
    with session.session_folder():
        pass
    with pytest.raises(InputError, match="is a link, which a lock must not be"), folder_lock(trap, mend=""):
        pass
    assert victim.read_text() == "precious"


@as_root
def test_a_folder_of_somebody_else_stays_even_where_nobody_holds_it(base: Path) -> None:
    theirs = base / "asd_ray-theirs"
    with folder_lock(theirs, mend=""):
        pass
    os.chown(theirs, NOBODY, NOBODY)
    with session.session_folder():
        pass
    assert (theirs / LOCK).exists()


def test_a_link_to_a_folder_is_not_a_session(base: Path, tmp_path: Path) -> None:
    with folder_lock(tmp_path / "real", mend=""):
        pass
    (base / "asd_ray-link").symlink_to(tmp_path / "real")
    with session.session_folder():
        pass
    assert (tmp_path / "real" / LOCK).exists()


def test_searches_that_start_side_by_side_leave_each_others_folders_alone(base: Path) -> None:
    code = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from asd_ray.cluster.session import session_folder
for _ in range(100):
    with session_folder() as inner:
        assert inner.is_dir(), inner
"""
    starting = [
        subprocess.Popen([sys.executable, "-c", code, str(base)], stderr=subprocess.PIPE) for _ in range(4)
    ]
    assert [(process.communicate()[1], process.returncode) for process in starting] == [(b"", 0)] * 4
    assert list(base.iterdir()) == []


@as_root
def test_nobody_else_gets_into_a_session_even_if_ray_opens_its_folder_to_all(base: Path) -> None:
    with session.session_folder() as inner:
        inner.chmod(0o777)
        (inner / "spilled").write_text("a pickle")
        (inner / "spilled").chmod(0o666)
        for path in (inner, inner / "spilled"):
            tried = subprocess.run(["cat", path], user=NOBODY, group=NOBODY, capture_output=True, text=True)
            assert "Permission denied" in tried.stderr
        assert stat.S_IMODE(inner.parent.stat().st_mode) == 0o700


def test_a_temporary_folder_too_deep_for_sockets_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with session.session_folder() as inner:
        assert inner.parent.parent == Path("/tmp")


def test_a_folder_where_everybody_may_replace_everything_is_refused(base: Path) -> None:
    base.chmod(0o777)  # not sticky
    with pytest.raises(InputError, match=f"{base}: everybody may replace"), session.session_folder():
        pass


def test_compiled_code_is_kept_in_the_users_own_cache_or_below_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (kept,) = session.compile_cache().values()
    assert Path(kept).is_relative_to(tmp_path / "cache")
    assert stat.S_IMODE(Path(kept).stat().st_mode) == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/1")  # where nobody can make a folder
    assert session.compile_cache(tmp_path) == {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    assert session.compile_cache() == {}
