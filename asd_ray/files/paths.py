"""Files and folders anywhere: a `Path` on this machine or a shared disk, or an object in S3 or Google storage.

`place` turns a text into one or the other. An `ObjectPath` is a Path whose contents pyarrow fetches and puts, so
code that takes a Path takes `s3://bucket/runs/first` as well. Objects are put whole: a reader finds the old
contents or the new ones, never a part. Object storage has no folders, only names with slashes, and no locks.
"""

import argparse
import errno
import io
import os
import re
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PosixPath, PurePosixPath
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import IO, Any, NoReturn

from asd_ray.errors import InputError

SCHEMES = ("s3", "gs")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)


class NoPlaceError(argparse.ArgumentTypeError, InputError):
    """A URL that names no place. Where `place` is the type of an option, argparse shows the error's text."""


def place(text: "str | os.PathLike[str]") -> Path:
    """The path that a text names. Raises NoPlaceError for any other kind of URL.

    >>> place("s3://bucket/runs/first") / "run.yaml"
    ObjectPath('s3://bucket/runs/first/run.yaml')
    >>> place("runs/first").name
    'first'
    """
    if isinstance(text, Path):
        return text
    found = _URL.fullmatch(str(text))
    if found is None:
        return Path(text)
    scheme, rest = found.groups()
    if scheme not in SCHEMES:
        raise NoPlaceError(
            f"{text}: {scheme}:// is not supported; give s3://bucket/..., gs://bucket/..., or a folder"
        )
    if re.search(r"[?#]", rest) or not rest.strip("/") or rest.startswith("/"):
        raise NoPlaceError(
            f"{text}: give {scheme}://bucket/name; another server than the usual one is named by AWS_ENDPOINT_URL"
        )
    return ObjectPath(f"{scheme}:", rest)


def is_object(path: Path) -> bool:
    return isinstance(path, ObjectPath)


@lru_cache
def _filesystem(scheme: str, bucket: str) -> Any:
    """pyarrow's client for a bucket; it takes credentials from the environment, or from the machine's role."""
    from pyarrow import fs

    if scheme == "gs":
        return fs.FileSystem.from_uri(f"gs://{bucket}")[0]
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        with _asking(f"s3://{bucket}"):
            region = fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(endpoint_override=endpoint, region=region or "us-east-1")


def sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Sizes of the named files in a folder; missing files are left out."""
    if isinstance(folder, ObjectPath):
        return {name: size for name, (size, _) in folder.listing().items()}
    return {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}


@contextmanager
def fetched(path: Path) -> Iterator[Path]:
    """A file on this machine's disk with the contents of a path: the file itself, or a copy for the block."""
    if not isinstance(path, ObjectPath):
        yield path
        return
    with TemporaryDirectory(prefix="asd_ray-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(path.read_bytes())
        yield copy


def remove_folder(folder: Path) -> None:
    """Remove a folder with everything in it, if it exists."""
    if isinstance(folder, ObjectPath):
        folder.remove_all()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def ray_storage(folder: Path) -> dict[str, Any]:
    """The arguments with which Ray's run configs refer to a folder."""
    if isinstance(folder, ObjectPath):
        return {"storage_path": folder.key, "storage_filesystem": folder.filesystem}
    return {"storage_path": str(folder)}


@contextmanager
def _asking(what: object) -> Iterator[None]:
    """Around a request to the server: raises FileNotFoundError for a missing object, InputError for no answer."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such object") from error
    except OSError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{what}: {reason}; see to the bucket, to AWS_ENDPOINT_URL, and to the keys or role of this machine"
        ) from error


def _object(path: Path) -> "ObjectPath":
    assert isinstance(path, ObjectPath)
    return path


def _refused(path: object, *_arguments: object, **_options: object) -> NoReturn:
    raise TypeError(f"{path}: an object has no place on a disk")


_needs_disk: Any = _refused


class ObjectPath(PosixPath):
    """An object of a bucket, or a prefix of such names, as a Path.

    Inside `Path`, every version of Python reads files in a different way. So this class answers everything about
    contents itself, from `parts` alone, or raises TypeError; it inherits only joining and splitting names.
    """

    __slots__ = ()

    # What an object lacks, or what Python 3.11 lacks: inherited methods would look on this machine's disk.
    chmod = group = hardlink_to = lchmod = link_to = lstat = owner = readlink = rename = replace = rmdir = (
        _needs_disk
    )
    is_block_device = is_char_device = is_fifo = is_junction = is_mount = is_socket = is_symlink = _needs_disk
    samefile = symlink_to = touch = write_text = cwd = home = as_uri = is_reserved = _needs_disk
    copy = copy_into = from_uri = full_match = info = move = move_into = walk = _needs_disk

    def __str__(self) -> str:
        scheme, *names = self.parts or ("",)
        return f"{scheme}//{'/'.join(names)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def as_posix(self) -> str:
        return str(self)

    def __fspath__(self) -> NoReturn:
        _refused(self)

    @property
    def filesystem(self) -> Any:
        return _filesystem(self.parts[0].removesuffix(":"), self.parts[1])

    @property
    def key(self) -> str:
        """The object's name in pyarrow's filesystem: bucket/name."""
        return "/".join(self.parts[1:])

    def _described(self) -> Any:
        from pyarrow import fs

        with _asking(self):
            info = self.filesystem.get_file_info(self.key)
        return None if info.type == fs.FileType.NotFound else info

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self._described() is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        info = self._described()
        return info is not None and bool(info.is_file)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        info = self._described()
        return info is not None and not info.is_file

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        info = self._described()
        if info is None:
            raise FileNotFoundError(2, "No such object", str(self))
        return SimpleNamespace(st_size=info.size or 0, st_mtime_ns=info.mtime_ns or 0)

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        """Open for reading only. `files.writing` writes an object, or `write_bytes` puts it in one piece."""
        if mode not in ("r", "rb"):
            raise TypeError(f"{self}: an object cannot be opened with mode {mode}")
        with _asking(self):
            file: Any = self.filesystem.open_input_file(self.key)
        names = ("encoding", "errors", "newline")
        given = {name: value for name, value in options.items() if name in names}
        return file if "b" in mode else io.TextIOWrapper(file, **given)

    def read_bytes(self) -> bytes:
        with self.open("rb") as file, _asking(self):
            return bytes(file.read())

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def write_bytes(self, data: Any) -> int:
        with _asking(self), self.filesystem.open_output_stream(self.key) as stream:
            stream.write(data)
        return len(data)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: there are no folders."""

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with _asking(self):
                self.filesystem.delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def copy_to(self, target: Path) -> None:
        with _asking(self):
            self.filesystem.copy_file(self.key, _object(target).key)

    def remove_all(self) -> None:
        """Remove every object whose name begins with this one and a slash."""
        with suppress(FileNotFoundError), _asking(self):
            self.filesystem.delete_dir(self.key)

    def resolve(self, strict: bool = False) -> "ObjectPath":
        scheme, *names = self.parts
        return ObjectPath(scheme, os.path.normpath("/".join(names)))

    def absolute(self) -> "ObjectPath":
        return self

    def expanduser(self) -> "ObjectPath":
        return self

    def is_relative_to(self, other: "str | os.PathLike[str]", *_deprecated: object) -> bool:
        return isinstance(other, ObjectPath) and self.parts[: len(other.parts)] == other.parts

    def relative_to(self, other: "str | os.PathLike[str]", *_deprecated: object) -> Path:  # type: ignore[override]
        """The path below another object: a plain path, because without a bucket it names no object."""
        if not isinstance(other, ObjectPath) or not self.is_relative_to(other):
            raise ValueError(f"{self} is not below {other}")
        return Path(*self.parts[len(other.parts) :])

    def match(self, pattern: str, **options: Any) -> bool:  # type: ignore[override]
        return PurePosixPath(*self.parts).match(pattern, **options)

    def iterdir(self) -> Generator["ObjectPath", None, None]:
        yield from self._below(recursive=False)

    def glob(self, pattern: str) -> Generator["ObjectPath", None, None]:
        """Names below this one that match part by part; `**` needs rglob."""
        wanted = pattern.split("/")
        for path in self._below(recursive=len(wanted) > 1):
            names = path.parts[len(self.parts) :]
            if len(names) == len(wanted) and all(map(fnmatchcase, names, wanted)):
                yield path

    def rglob(self, pattern: str) -> Generator["ObjectPath", None, None]:
        yield from (path for path in self._below(recursive=True) if fnmatchcase(path.name, pattern))

    def _below(self, *, recursive: bool) -> Generator["ObjectPath", None, None]:
        from pyarrow import fs

        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
        with _asking(self):
            found = self.filesystem.get_file_info(selector)
        for info in found:
            yield ObjectPath(self.parts[0], info.path)

    def listing(self) -> dict[str, tuple[int, int]]:
        """Size in bytes and time (ns) of all objects below, by name relative to this; a thousand per request."""
        from pyarrow import fs

        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=True)
        with _asking(self):
            found = self.filesystem.get_file_info(selector)
        return {
            info.path.removeprefix(f"{self.key}/"): (info.size, info.mtime_ns) for info in found if info.is_file
        }
