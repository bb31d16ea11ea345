"""The built-in corpus: synthetic recordings of six machine types in the DCASE layout, for a first search.

`machines` makes the sounds; this file decides which clips there are and writes them to disk. Every clip has its
own random numbers, so a larger corpus contains the smaller one.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from asd_ray.clip import SAMPLE_RATE, Clip, parse_clip
from asd_ray.data.machines import KINDS, record
from asd_ray.errors import InputError
from asd_ray.files.writing import cannot_write

PARAMETERS = "corpus.json"  # marks a folder that this module has made: it replaces no other
FAINTEST_FAULT = 0.1  # severities are uniform from here to 1: some faults can hardly be heard
_VERSION = 1  # raise it when the sounds change
_STREAMS = {"machine": 0, "train": 1, "normal": 2, "anomaly": 3}  # of random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The numbers of clips, and the seed that all of them are made from."""

    ids_per_type: int = 3
    train_per_id: int = 12
    test_normal_per_id: int = 4
    test_anomaly_per_id: int = 4
    seed: int = 0
    version: int = _VERSION


BUILT_IN = Size(train_per_id=16, test_normal_per_id=8, test_anomaly_per_id=8)  # for a first search


@dataclass(frozen=True, slots=True)
class _Planned:
    """One clip to make: its path, and the key of its random numbers."""

    path: str
    machine_type: str
    machine: int
    stream: str
    number: int


def write_corpus(
    root: Path,
    *,
    ids_per_type: int = 3,
    train_per_id: int = 12,
    test_normal_per_id: int = 4,
    test_anomaly_per_id: int = 4,
    seed: int = 0,
) -> Path:
    """Write the corpus and return its folder, which is made beside and renamed, so it is whole or not there.

    Repeating the call does nothing; other parameters replace the folder. Raises InputError when the disk refuses,
    or a folder that this function has not made is in the way.
    """
    size = Size(
        ids_per_type=ids_per_type,
        train_per_id=train_per_id,
        test_normal_per_id=test_normal_per_id,
        test_anomaly_per_id=test_anomaly_per_id,
        seed=seed,
    )
    planned = tuple(_plan(size))
    if _is_whole(root, size, planned):
        return root
    if root.exists() and not (root / PARAMETERS).is_file() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: is in the way and was not made here; choose another folder")
    beside = root.with_name(f".{root.name}.{os.getpid()}.part")
    try:
        _remove_leftovers(root)
        _write_all(beside, size, planned)
        _put_in_place(beside, root)
    except OSError as error:
        raise cannot_write(root, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return root


def list_corpus(size: Size) -> tuple[Clip, ...]:
    """The clips of a corpus of this size, whether or not it has been written."""
    return tuple(parse_clip(PurePosixPath(planned.path)) for planned in _plan(size))


def _plan(size: Size) -> Iterator[_Planned]:
    counts = {"train": size.train_per_id, "normal": size.test_normal_per_id, "anomaly": size.test_anomaly_per_id}
    for machine_type in KINDS:
        for machine in range(size.ids_per_type):
            for stream, count in counts.items():
                folder, label = ("train", "normal") if stream == "train" else ("test", stream)
                for number in range(count):
                    path = f"{machine_type}/{folder}/{label}_id_{machine:02d}_{number:08d}.wav"
                    yield _Planned(path, machine_type, machine, stream, number)


def _random(seed: int, machine_type: str, machine: int, stream: str, number: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, list(KINDS).index(machine_type), machine, _STREAMS[stream], number])


def _write_all(folder: Path, size: Size, planned: tuple[_Planned, ...]) -> None:
    for clip in planned:
        machine = KINDS[clip.machine_type].build(_random(size.seed, clip.machine_type, clip.machine, "machine"))
        rng = _random(size.seed, clip.machine_type, clip.machine, clip.stream, clip.number)
        fault = rng.uniform(FAINTEST_FAULT, 1.0) if clip.stream == "anomaly" else 0.0
        path = folder / clip.path
        path.parent.mkdir(parents=True, exist_ok=True)
        pcm = record(machine, rng, fault=fault)
        try:
            soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")
        except soundfile.SoundFileError as error:  # libsndfile's error for a full disk
            raise OSError(f"{path.name}: {error}") from error
    (folder / PARAMETERS).write_text(json.dumps(asdict(size), indent=1) + "\n", encoding="utf-8")


def _is_whole(root: Path, size: Size, planned: tuple[_Planned, ...]) -> bool:
    try:
        found = json.loads((root / PARAMETERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == asdict(size)) and all((root / clip.path).is_file() for clip in planned)


def _put_in_place(beside: Path, root: Path) -> None:
    """Rename the new folder to its final name, after moving aside a folder with other parameters."""
    old = beside.with_suffix(".old")
    with suppress(FileNotFoundError):
        root.rename(old)
    beside.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Remove what killed calls left beside the folder, but nothing that belongs to a live process."""
    for path in [*root.parent.glob(f".{root.name}.*.part"), *root.parent.glob(f".{root.name}.*.old")]:
        number = path.name.split(".")[-2]
        if number.isdigit() and not _is_alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks whether the process exists
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
