"""The recordings of DCASE 2020 Task 2, fetched from Zenodo and laid out as `corpus` reads them.

There are four records: the development set; normal training clips of the machines in the evaluation set; the
clips of the evaluation set, published without labels; and their labels, published after the challenge.
"""

import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from asd_ray.clip import parse_clip
from asd_ray.data.corpus import LABEL_LIST
from asd_ray.data.zenodo import DownloadError, Progress, RemoteFile, Zenodo
from asd_ray.errors import InputError, suggestion
from asd_ray.files.locks import folder_lock
from asd_ray.files.writing import cannot_write, to_json, write_whole

MACHINE_TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
LABELS_RECORD = 3951620
LICENCE = """\
DCASE 2020 Task 2: recordings of ToyADMOS (NTT Corporation) and MIMII (Hitachi, Ltd.)
https://zenodo.org/records/3678171, 3727685, 3841772, 3951620
Licence: Creative Commons Attribution-NonCommercial-ShareAlike 4.0 (CC BY-NC-SA 4.0)
https://creativecommons.org/licenses/by-nc-sa/4.0/: name the authors; no commercial use; the same terms for what
you make of it. Results cite Koizumi et al. (arXiv:2006.05822), ToyADMOS (WASPAA 2019), MIMII (DCASE 2019)."""

UNPACKED_PER_ARCHIVE = 1.4  # bytes of recordings per byte of archive, at most: 16-bit sound hardly compresses
_ARCHIVES = ".archives"  # below the corpus root; hidden, so that it is not taken for a machine type
_UNPACKED = "unpacked.json"  # archive -> MD5, for archives whose recordings are all in place
_DONE = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One record, the names of its archives, and the split folders that their folders go into."""

    record: int
    name: str
    archive: str
    folders: dict[str, str]


PARTS = (
    Part(
        record=3678171,
        name="development",
        archive="dev_data_{}.zip",
        folders={"train": "train", "test": "test"},
    ),
    Part(
        record=3727685,
        name="additional training",
        archive="eval_data_train_{}.zip",
        folders={"train": "train"},
    ),
    Part(record=3841772, name="evaluation", archive="eval_data_test_{}.zip", folders={"test": "eval"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A file to fetch: an archive of one machine type, or the list of labels (`machine_type` is None)."""

    file: RemoteFile
    machine_type: str | None
    folders: dict[str, str]


def find_archives(
    zenodo: Zenodo, *, machine_types: Sequence[str] = MACHINE_TYPES, evaluation: bool = True
) -> tuple[Archive, ...]:
    """The files to fetch, as Zenodo lists them. Raises DownloadError; InputError for an unknown machine type."""
    for name in machine_types:
        if name not in MACHINE_TYPES:
            raise InputError(f"no machine type {name!r} in DCASE 2020 Task 2{suggestion(name, MACHINE_TYPES)}")
    archives: list[Archive] = []
    for part in PARTS if evaluation else PARTS[:1]:
        files = zenodo.files(part.record)
        archives += [
            Archive(
                file=_listed(files, part.archive.format(name), part.record),
                machine_type=name,
                folders=part.folders,
            )
            for name in machine_types
        ]
    if evaluation:
        labels = _listed(zenodo.files(LABELS_RECORD), LABEL_LIST, LABELS_RECORD)
        archives.append(Archive(file=labels, machine_type=None, folders={}))
    return tuple(archives)


def _listed(files: dict[str, RemoteFile], name: str, record: int) -> RemoteFile:
    if name not in files:
        raise DownloadError(
            f"Zenodo's record {record} has no {name}, only {', '.join(sorted(files)) or 'nothing'}"
        )
    return files[name]


def download(
    zenodo: Zenodo,
    archives: Iterable[Archive],
    root: Path,
    *,
    on_progress: Progress,
    on_event: Callable[[str], None],
    keep_archives: bool = False,
) -> None:
    """Fetch archives and unpack them into a corpus folder, one after another, resuming from what is there.

    Raises DownloadError, or InputError when the disk has no room for it (before anything is fetched).
    """
    with folder_lock(root, mend="another download is at work there; wait for it, or stop it"):
        done = _read_done(root)
        left = [archive for archive in archives if done.get(archive.file.name) != archive.file.md5]
        _check_room(root, left, keep_archives=keep_archives)
        for archive in left:
            file = archive.file
            fetched = zenodo.fetch(file, root / _ARCHIVES, on_progress=on_progress)
            try:
                if archive.machine_type is None:
                    shutil.copyfile(fetched, root / _ARCHIVES / ".labels")
                    (root / _ARCHIVES / ".labels").replace(root / LABEL_LIST)
                    on_event(f"{file.name}: the labels of the evaluation set")
                else:
                    on_event(f"{file.name}: {unpack(fetched, root, archive)} recordings of {archive.machine_type}")
                os.sync()  # unpacked.json must not reach the disk before the recordings
            except OSError as error:
                raise cannot_write(root, error) from error
            done[file.name] = file.md5
            write_whole(root / _ARCHIVES / _UNPACKED, to_json(done))
            if not keep_archives:
                fetched.unlink()


def _read_done(root: Path) -> dict[str, str]:
    path = root / _ARCHIVES / _UNPACKED
    try:
        return _DONE.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}  # at worst, archives are fetched again
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend that, or remove it") from error


def _check_room(root: Path, left: Sequence[Archive], *, keep_archives: bool) -> None:
    sizes = [archive.file.size for archive in left]
    packed = sum(sizes) if keep_archives else max(sizes, default=0)
    needed = packed + int(sum(sizes) * UNPACKED_PER_ARCHIVE)
    arrived = sum(path.stat().st_size for path in (root / _ARCHIVES).glob("*") if path.is_file())
    _refuse_without_room(root, needed - arrived, what=f"{len(left)} archives and their recordings")


def _refuse_without_room(root: Path, needed: int, *, what: str) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise InputError(
            f"{root}: {what} need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "free some space, choose another folder by --to, or fewer machine types by --machine-types"
        )


def unpack(path: Path, root: Path, archive: Archive) -> int:
    """Put the recordings of an archive in their place below `root`, and return their number.

    Each is unpacked beside its place and then renamed, so that it is whole. Raises DownloadError for an archive
    that cannot be read, or that holds anything unexpected.
    """
    beside = root / _ARCHIVES / ".unpacking"
    count = 0
    try:
        with zipfile.ZipFile(path) as packed:
            members = list(_members(packed, archive))
            _refuse_without_room(
                root, sum(info.file_size for info, _ in members), what=f"recordings of {path.name}"
            )
            for info, clip in members:
                place = root / clip
                place.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, beside.open("wb") as out:
                    shutil.copyfileobj(source, out, 2**20)
                beside.replace(place)
                count += 1
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise DownloadError(f"{path}: cannot be unpacked ({error}), though its MD5 is Zenodo's") from error
    finally:
        beside.unlink(missing_ok=True)
    if not count:
        raise DownloadError(f"{path}: holds no recordings of {archive.machine_type}")
    return count


def _members(packed: zipfile.ZipFile, archive: Archive) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The recordings in an archive, and where each goes below the corpus root.

    The place is built from the checked machine type, split and name alone: an archive cannot write elsewhere.
    """
    for info in packed.infolist():
        inside = PurePosixPath(info.filename)
        if info.is_dir() or inside.suffix.lower() != ".wav" or inside.name.startswith("."):
            continue
        *_, machine_type, folder, name = ("", "", *inside.parts)
        split = archive.folders.get(folder)
        try:
            if machine_type != archive.machine_type or split is None:
                wanted = " or ".join(f"{archive.machine_type}/{folder}" for folder in archive.folders)
                raise ValueError(f"lies not in {wanted}")
            clip = parse_clip(PurePosixPath(machine_type, split, name))
        except ValueError as error:
            raise DownloadError(f"{packed.filename}: {info.filename!r} is not expected in it ({error})") from error
        yield info, PurePosixPath(clip.clip_id)
