"""A file is whole or not there, whatever stops its writing."""

import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.errors import InputError
from asd_ray.files.writing import remove_unfinished, to_json, write_whole, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path, *, keep: Path, error: type[BaseException]) -> None:
    with writing(path, keep=keep) as file:
        file.write(b"half")
        raise error


def test_folders_are_made_and_the_file_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, "α\n")
    assert path.read_bytes() == "α\n".encode()
    assert names(path.parent) == ["file"]


def test_the_name_belongs_to_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with writing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_leaves_nothing_but_the_old_content(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(error):
        write_half(path, keep=tmp_path / "kept", error=error)
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_keep_holds_what_bore_the_name_before(tmp_path: Path) -> None:
    path, keep = tmp_path / "file", tmp_path / "kept"
    for text in ("1", "2", "3"):
        with writing(path, keep=keep) as file:
            file.write(text.encode())
        assert keep.exists() == (text != "1")
    assert (path.read_text(), keep.read_text()) == ("3", "2")


FULL_DISK = """
import resource, sys
from pathlib import Path
from asd_ray.errors import EnvironmentFailure
from asd_ray.files.writing import writing
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with writing(Path(sys.argv[1]), keep=Path(sys.argv[1] + ".kept")) as file:
        for _ in range(int(sys.argv[2])):
            file.write(b"x")
except EnvironmentFailure as error:
    print(error)
"""


@pytest.mark.parametrize("size", [2000, 100_000])  # found out at the last flush, and in the middle
def test_a_full_disk_is_named_and_leaves_the_old_content_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(size)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}: cannot be written (File too large); free some space there\n"
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_folder_that_is_a_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/below: cannot be written"):
        write_whole(tmp_path / "file" / "below", "text")


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["state.pt", ".lock", "a.part", ".hidden.part", ".state.pt.torn", "below/state.pt"]
    for name in (*kept, ".state.pt.123.part", "below/.scores.parquet.7.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        kept
    )


def test_json_is_readable_and_knows_no_nan() -> None:
    assert to_json({"a": [1, None]}) == '{\n "a": [\n  1,\n  null\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))
