"""Objects as paths, on a real S3 server: what takes a Path takes s3:// as well, and finds whole objects only."""

import hashlib
import pickle
from pathlib import Path

import pytest

from asd_ray.commands.options import Parser
from asd_ray.errors import InputError
from asd_ray.files.locks import folder_lock
from asd_ray.files.paths import ObjectPath, is_object, place, ray_storage, remove_folder, sizes
from asd_ray.files.writing import remove_unfinished, write_whole, writing


def test_a_url_is_an_object_and_everything_else_a_path() -> None:
    assert type(place("runs/first")) is type(Path("runs/first"))
    url = place("s3://bucket/runs/first/")
    assert is_object(url)
    assert isinstance(url, Path)
    assert str(url) == "s3://bucket/runs/first"
    assert place(url) is url


def test_names_are_joined_and_taken_apart_as_those_of_paths() -> None:
    run = place("gs://bucket/runs/first")
    assert str(run / "best" / "fan.yaml") == "gs://bucket/runs/first/best/fan.yaml"
    assert str((run / "best" / "fan.yaml").parent.parent) == str(run)
    assert str((run / "best" / "../models/fan.pt").resolve()) == "gs://bucket/runs/first/models/fan.pt"
    assert (run.name, (run / "a.yaml").stem, (run / "a.yaml").suffix) == ("first", "a", ".yaml")
    assert f"{run.with_name('second')}" == "gs://bucket/runs/second"


def test_names_below_another_object_are_a_path_of_any_folder() -> None:
    run = place("s3://bucket/run")
    below = (run / "fan" / "train" / "0.parquet").relative_to(run)
    assert below == Path("fan/train/0.parquet")
    assert str(run / below) == "s3://bucket/run/fan/train/0.parquet"
    assert (run / "fan").is_relative_to(run)
    for other in (place("s3://bucket/ru"), place("gs://bucket/run"), Path("s3:/bucket/run")):
        assert not (run / "fan").is_relative_to(other)
        with pytest.raises(ValueError, match="s3://bucket/run/fan is not below "):
            (run / "fan").relative_to(other)


def test_objects_are_told_apart_and_put_in_order_by_their_names() -> None:
    first, second = place("s3://bucket/a"), place("s3://bucket/b")
    assert sorted({second, first, place("s3://bucket/a/")}) == [first, second]
    assert first not in (second, Path("s3:/bucket/a"), Path("s3://bucket/a"), place("gs://bucket/a"))
    assert first.match("bucket/?")
    assert not first.match("*.yaml")


@pytest.mark.parametrize("text", ["ftp://host/x", "s3://", "s3:///runs", "s3://bucket/x?endpoint_override=h"])
def test_other_urls_are_refused_in_a_line(text: str) -> None:
    with pytest.raises(InputError, match="give ") as raised:
        place(text)
    assert str(raised.value).startswith(f"{text}: ")


def test_a_command_line_with_such_a_url_is_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("search")
    parser.add_argument("--run", type=place)
    with pytest.raises(SystemExit):
        parser.parse_args(["--run", "ftp://host/x"])
    assert "--run: ftp://host/x: ftp:// is not supported; give s3://" in capsys.readouterr().err


FROM_THE_NAME = {
    *("anchor", "drive", "name", "parent", "parents", "parser", "parts", "root", "stem", "suffix", "suffixes"),
    *("is_absolute", "joinpath", "with_name", "with_segments", "with_stem", "with_suffix"),
}


def test_an_object_never_stands_for_a_file_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "bucket" / "run").mkdir(parents=True)
    run, refused = place("s3://bucket/run"), vars(ObjectPath)["touch"]
    for name in [name for name, value in vars(ObjectPath).items() if value is refused]:
        with pytest.raises(TypeError, match="s3://bucket/run: an object has no place on a disk"):
            getattr(run, name)()
    with pytest.raises(TypeError, match="no place on a disk"):
        open(run)  # noqa: PTH123, SIM115
    with pytest.raises(TypeError, match="cannot be opened with mode w"):
        run.open("w")


def test_whatever_a_path_of_this_python_can_do_an_object_does_itself_or_refuses() -> None:
    inherited = {name for name in dir(Path) if not name.startswith("_") and name not in vars(ObjectPath)}
    assert inherited <= FROM_THE_NAME


def test_what_is_written_is_read_back_by_every_way_of_reading(bucket: Path) -> None:
    path = bucket / "run.yaml"
    assert not path.exists()
    write_whole(path, "ä: 1\n")
    assert path.exists()
    assert path.is_file()
    assert bucket.is_dir()
    assert path.read_text(encoding="utf-8") == "ä: 1\n"
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256("ä: 1\n".encode()).digest()
    with path.open(encoding="utf-8", newline="") as lines:
        assert list(lines) == ["ä: 1\n"]
    assert path.stat().st_size == 6


def test_a_writer_that_fails_leaves_the_old_object_and_one_that_ends_well_keeps_it_if_asked(bucket: Path) -> None:
    path, before = bucket / "state.pt", bucket / "state.pt.previous"
    write_whole(path, "one")
    with pytest.raises(ZeroDivisionError), writing(path, keep=before) as file:
        file.write(b"half" * (1 // 0))
    assert path.read_bytes() == b"one"
    assert not before.exists()
    with writing(path, keep=before) as file:
        file.write(b"two")
    assert (path.read_bytes(), before.read_bytes()) == (b"two", b"one")


def test_listings_find_what_lies_below_and_removing_takes_it_all(bucket: Path) -> None:
    for name in ("a/train/0.parquet", "a/test/1.parquet", "b.csv"):
        write_whole(bucket / name, name)
    assert sizes(bucket, []) == {name: len(name) for name in ("a/train/0.parquet", "a/test/1.parquet", "b.csv")}
    assert {path.name for path in bucket.glob("*/*/*.parquet")} == {"0.parquet", "1.parquet"}
    assert [path.name for path in bucket.glob("*.csv")] == ["b.csv"]
    remove_folder(bucket / "a")
    remove_folder(bucket / "never")
    assert list(sizes(bucket, [])) == ["b.csv"]
    remove_unfinished(bucket)


def test_an_object_travels_to_other_processes_and_is_known_to_ray(bucket: Path) -> None:
    assert pickle.loads(pickle.dumps(bucket)) == bucket
    assert str(pickle.loads(pickle.dumps(bucket))) == str(bucket)
    told = ray_storage(bucket)
    assert told["storage_path"] == str(bucket).removeprefix("s3://")
    assert ray_storage(Path("/runs")) == {"storage_path": "/runs"}


def test_what_is_not_there_is_said_as_of_a_file_and_a_server_that_is_away_in_a_line(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        (bucket / "nothing").read_bytes()
    (bucket / "nothing").unlink(missing_ok=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = place("s3://another/run.yaml")
    with pytest.raises(InputError, match=r"^s3://another/run.yaml: .*see to the bucket"):
        away.exists()


def test_object_storage_has_no_lock_of_a_folder(bucket: Path) -> None:
    with folder_lock(bucket, mend=""), folder_lock(bucket, mend=""):
        assert sizes(bucket, []) == {}
