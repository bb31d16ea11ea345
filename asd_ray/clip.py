"""The nouns of the field: a clip, its machine type and id, its class. No I/O.

DCASE 2020 Task 2 names a recording `fan/test/anomaly_id_02_00000090.wav`: the folder says the machine type
and the split, the file name says the machine id and, for test clips, whether it is an anomaly.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

SAMPLE_RATE = 16_000  # Hz: the rate of DCASE 2020 Task 2
CLIP_SECONDS = 10  # the window that the published networks are built for
NUM_SAMPLES = SAMPLE_RATE * CLIP_SECONDS
NUM_MELS, NUM_FRAMES = 128, 313  # of a log-mel; the number of frames is the same for all systems
AUDIO_SUFFIXES = (".wav", ".flac")

Split = Literal["train", "valid", "test", "eval"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test", "eval")
_FOLDERS: dict[str, Split] = {"train": "train", "test": "test", "eval": "eval"}  # valid comes out of train

_NAME = re.compile(r"(?:(normal|anomaly)_)?(id_[A-Za-z0-9]+)_(.+)")
_MACHINE_ID = re.compile(r"(?<![A-Za-z0-9])id_[A-Za-z0-9]+")  # not the end of another word, as in solenoid_00
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def bytes_per_clip(log_mels: int) -> int:
    """The size of a clip in a worker's memory: its samples and this many log-mels."""
    return 2 * NUM_SAMPLES + 2 * log_mels * NUM_MELS * NUM_FRAMES


BYTES_PER_CLIP = bytes_per_clip(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording.

    `clip_id` is its path below the corpus root, with forward slashes; `is_anomaly` is None where the label is
    unknown (DCASE's evaluation set without its list of labels).
    """

    clip_id: str
    machine_type: str
    machine_id: str
    split: Split
    is_anomaly: bool | None

    @property
    def machine(self) -> "Machine":
        return Machine(self.machine_type, self.machine_id)


@dataclass(frozen=True, slots=True, order=False)
class Machine:
    """One individual machine: what the classifier tells apart."""

    machine_type: str
    machine_id: str

    @property
    def sort_key(self) -> tuple[str, str, str]:
        """Ignores case at first, so that DCASE's types come in the order of the published class indices."""
        return (self.machine_type.casefold(), self.machine_type, self.machine_id)

    def __str__(self) -> str:
        return f"{self.machine_type} {self.machine_id}"


def class_table(machines: Iterable[Machine]) -> tuple[Machine, ...]:
    """Every machine once, in the order of its class index.

    >>> found = [Machine("pump", "id_00"), Machine("ToyCar", "id_01"), Machine("fan", "id_06")]
    >>> [str(machine) for machine in class_table(found)]
    ['fan id_06', 'pump id_00', 'ToyCar id_01']
    """
    return tuple(sorted(set(machines), key=lambda machine: machine.sort_key))


def machine_types(machines: Iterable[Machine]) -> tuple[str, ...]:
    """The machine types in the order of their class indices."""
    return tuple(dict.fromkeys(machine.machine_type for machine in class_table(machines)))


def is_plain(name: str) -> bool:
    """Whether a name of a machine type, a machine id or a trial can stand in a path, a page and a table as it is.

    >>> is_plain("ToyCar"), is_plain("fan-12"), is_plain("../fan"), is_plain("")
    (True, True, False, False)
    """
    return _PLAIN.fullmatch(name) is not None


def find_machine_id(name: str) -> str | None:
    """The machine id in a file's name; None where there is none.

    Raises ValueError for a name with two different ids, because nothing says which of them is meant.

    >>> find_machine_id("solenoid_00_id_02_1.wav"), find_machine_id("monday.wav")
    ('id_02', None)
    """
    found = list(dict.fromkeys(_MACHINE_ID.findall(name)))
    if len(found) > 1:
        raise ValueError(f"its name holds several machine ids ({', '.join(found)})")
    return found[0] if found else None


def parse_clip(path: PurePosixPath) -> Clip:
    """The clip that a path below the corpus root names: `<machine_type>/<split>/<name>`.

    Raises ValueError, with the mend, for a path that does not follow the layout.

    >>> clip = parse_clip(PurePosixPath("fan/test/anomaly_id_02_00000090.wav"))
    >>> str(clip.machine), clip.split, clip.is_anomaly
    ('fan id_02', 'test', True)
    """
    if len(path.parts) != 3:
        raise ValueError(f"{path}: lies {len(path.parts)} deep; put it in <machine_type>/<train|test>/")
    machine_type, split, name = path.parts
    if not is_plain(machine_type):
        raise ValueError(f"{path}: machine type {machine_type!r}; use letters, digits, '-' and '_'")
    if split not in _FOLDERS:
        known = split.casefold()
        mend = f"rename it to {known!r}" if known in _FOLDERS else f"use {', '.join(_FOLDERS)}"
        raise ValueError(f"{path}: folder {split!r}; {mend}")
    named = _NAME.fullmatch(PurePosixPath(name).stem)
    if named is None:
        raise ValueError(f"{path}: name; use normal_id_XX_NNNN or anomaly_id_XX_NNNN")
    label, machine_id, _ = named.groups()
    try:
        find_machine_id(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; keep one of them") from None
    if split != "eval" and label is None:
        raise ValueError(f"{path}: name; begin it with normal_ or anomaly_")
    if split == "train" and label == "anomaly":
        raise ValueError(f"{path}: an anomaly in train/; training clips are normal: move it to test/")
    return Clip(
        clip_id=str(path),
        machine_type=machine_type,
        machine_id=machine_id,
        split=_FOLDERS[split],
        is_anomaly=None if label is None else label == "anomaly",
    )
