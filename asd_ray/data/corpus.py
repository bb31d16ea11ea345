"""A folder of recordings in the DCASE 2020 Task 2 layout -> clips, and what does not fit the layout.

`<root>/<machine_type>/{train,test,eval}/{normal|anomaly}_id_XX_*.wav`. Nothing is opened here but the list of
labels; whether a file holds sound is a question for `audio`.
"""

import csv
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from asd_ray.clip import AUDIO_SUFFIXES, Clip, Machine, machine_types, parse_clip
from asd_ray.errors import InputError, path_suggestion
from asd_ray.files.paths import ObjectPath

SPLIT_FOLDERS = ("train", "test", "eval")
LABEL_LIST = "eval_data_list.csv"  # DCASE published the labels of its evaluation set in this file
SMALLEST_HELD_OUT_FROM = 4  # a machine with fewer training clips needs all of them
_OTHER_SOUND = re.compile(r"\.(mp3|mp4|og[ga]|opus|m4a|aac|wma|webm|amr|aif[fc]?|au|caf|w64|rf64)")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that cannot be used: its path below the corpus root, the cause, and the mend."""

    path: str
    cause: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}; {self.mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The clips below `root`, sorted by clip_id, and the files that look like recordings but are none."""

    root: Path
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...]


def read_corpus(root: Path) -> Corpus:
    """List the clips of a dataset folder. Raises InputError when it is no corpus as a whole."""
    if not root.is_dir():
        mend = path_suggestion(root) or "; pass the folder that holds the machine types"
        raise InputError(f"{root}: no such folder{mend}")
    clips: list[Clip] = []
    problems: list[Problem] = []
    taken: set[PurePosixPath] = set()
    try:
        paths = sorted(_sound_files(root, problems))
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable") from error
    for path in paths:
        try:
            clip = _clip(path, taken)
        except ValueError as error:
            cause, _, mend = str(error).removeprefix(f"{_printable(path)}: ").partition("; ")
            problems.append(Problem(_printable(path), cause, mend))
        else:
            clips.append(clip)
    if not clips:
        raise InputError(_no_clips(root, problems))
    corpus = Corpus(root=root, clips=tuple(_labelled(root, clips)), problems=tuple(problems))
    return scorable(corpus)


def scorable(corpus: Corpus) -> Corpus:
    """The corpus without clips of machines that have no training clips: a classifier has no class for them.

    Such clips become problems. Raises InputError when fewer than two machines are left to tell apart.
    """
    trained = {clip.machine for clip in corpus.clips if clip.split in ("train", "valid")}
    if len(trained) < 2:
        found = f"only {next(iter(trained))}" if trained else "none"
        raise InputError(
            f"{corpus.root}: training clips of at least 2 machine ids are needed, found {found}; "
            "add recordings to <machine_type>/train/"
        )
    unknown = tuple(
        Problem(clip.clip_id, f"no training clips of {clip.machine}", f"add some to {clip.machine_type}/train/")
        for clip in corpus.clips
        if clip.machine not in trained
    )
    return replace(
        corpus,
        clips=tuple(clip for clip in corpus.clips if clip.machine in trained),
        problems=tuple(sorted({*corpus.problems, *unknown}, key=lambda problem: problem.path)),
    )


def hold_out(clips: Iterable[Clip], *, fraction: float) -> tuple[Clip, ...]:
    """Move part of each machine's training clips to the split "valid".

    Which ones follows from the clip ids alone (their order by SHA-256), so it is the same for every seed.
    """
    by_machine: dict[Machine, list[Clip]] = defaultdict(list)
    clips = tuple(clips)
    for clip in clips:
        if clip.split == "train":
            by_machine[clip.machine].append(clip)
    held: set[str] = set()
    for train in by_machine.values():
        if fraction > 0 and len(train) >= SMALLEST_HELD_OUT_FROM:
            count = max(1, round(fraction * len(train)))
            by_hash = sorted(train, key=lambda clip: hashlib.sha256(clip.clip_id.encode()).digest())
            held.update(clip.clip_id for clip in by_hash[:count])
    return tuple(replace(clip, split="valid") if clip.clip_id in held else clip for clip in clips)


def _sound_files(root: Path, problems: list[Problem]) -> Iterator[PurePosixPath]:
    """Paths below root of files named like sound, in the top folders that hold a split folder."""
    if isinstance(root, ObjectPath):  # no folders there, only names
        names = map(PurePosixPath, root.listing())
        yield from (path for path in names if _named_like_sound(path.name) and not any(map(_hidden, path.parts)))
        return
    for top in sorted(root.iterdir()):
        if _hidden(top.name):
            continue
        if top.is_dir() and any((top / split).is_dir() for split in SPLIT_FOLDERS):
            yield from _walk(top, root, problems)
        elif not top.is_dir() and _named_like_sound(top.name):
            yield PurePosixPath(top.name)


def _walk(top: Path, root: Path, problems: list[Problem]) -> Iterator[PurePosixPath]:
    def unreadable(error: OSError) -> None:
        path = PurePosixPath(Path(error.filename).relative_to(root))
        problems.append(Problem(_printable(path), f"cannot be listed ({error.strerror})", "make it readable"))

    seen: set[tuple[int, int]] = set()  # folders may be links (to another disk), and links may lead back
    for folder, below, files in os.walk(top, followlinks=True, onerror=unreadable):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # A folder called x.wav is reported as a recording that is a folder, not searched.
        files += [name for name in below if _named_like_sound(name)]
        below[:] = [name for name in below if not _hidden(name) and not _named_like_sound(name)]
        here = PurePosixPath(Path(folder).relative_to(root))
        yield from (here / name for name in files if _named_like_sound(name) and not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _named_like_sound(name: str) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in AUDIO_SUFFIXES or _OTHER_SOUND.fullmatch(suffix) is not None


def _printable(path: PurePosixPath) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


def _clip(path: PurePosixPath, taken: set[PurePosixPath]) -> Clip:
    """The clip at a path; ValueError `path: cause; mend` if it is none."""
    if _printable(path) != str(path):
        raise ValueError(f"{_printable(path)}: its name is not UTF-8; rename it")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise ValueError(f"{path}: {path.suffix} files are not read; convert it to wav or FLAC")
    clip = parse_clip(path)
    stem = path.with_suffix("")
    if stem in taken:
        raise ValueError(f"{path}: another file of that name differs by its suffix only; remove one of them")
    taken.add(stem)
    return clip


def _no_clips(root: Path, problems: list[Problem]) -> str:
    if any((root / split).is_dir() for split in SPLIT_FOLDERS):
        return f"{root}: this is the folder of one machine type; pass the folder above it"
    if problems:
        return f"{root}: no clips; {len(problems)} sound files do not fit the layout, such as {problems[0]}"
    return f"{root}: no clips; put recordings in <machine_type>/train/normal_id_XX_NNNN.wav"


def _labelled(root: Path, clips: list[Clip]) -> Iterator[Clip]:
    """The clips in order of clip_id, those of eval/ with the label that the list of labels gives them."""
    labels = _read_labels(root, machine_types(clip.machine for clip in clips))
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        if clip.split == "eval" and clip.is_anomaly is None:
            name = PurePosixPath(clip.clip_id).stem
            yield replace(clip, is_anomaly=labels.get((clip.machine_type, name)))
        else:
            yield clip


def _read_labels(root: Path, types: tuple[str, ...]) -> dict[tuple[str, str], bool]:
    """(machine type, file name without suffix) -> is_anomaly, from DCASE's list of labels if there is one.

    A line with a machine type alone begins its part of the list; then come lines
    `id_01_00000000.wav,anomaly_id_01_00000123.wav,1`. Lines of another form say nothing.
    """
    path = root / LABEL_LIST
    if not path.is_file():
        return {}
    labels: dict[tuple[str, str], bool] = {}
    by_name = {name.casefold(): name for name in types}
    machine_type: str | None = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.reader(file):
                cells = [cell.strip() for cell in row if cell.strip()]
                if len(cells) == 1:
                    machine_type = by_name.get(cells[0].casefold())
                elif len(cells) > 1 and machine_type is not None:
                    label = _label(cells[1:])
                    if label is not None:
                        labels[machine_type, PurePosixPath(cells[0]).stem] = label
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of labels ({error}); download it again") from error
    return labels


def _label(cells: list[str]) -> bool | None:
    for cell in reversed(cells):  # the number, where there is one, was made by the organisers for scoring
        if cell in ("0", "1"):
            return cell == "1"
        if cell.lower().startswith(("normal", "anomaly")):
            return cell.lower().startswith("anomaly")
    return None
