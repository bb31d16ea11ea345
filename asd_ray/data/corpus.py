"""A folder of recordings in the DCASE 2020 Task 2 layout -> clips, and the files that do not fit the layout.

`<root>/<machine_type>/{train,test,eval}/{normal|anomaly}_id_XX_*.wav`. This module opens only the list of
labels; `audio` checks whether a file holds sound.
"""

import csv
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

from asd_ray.clip import AUDIO_SUFFIXES, Clip, Machine, machine_types, parse_clip
from asd_ray.errors import InputError, path_suggestion
from asd_ray.files.paths import ObjectPath

SPLIT_FOLDERS = ("train", "test", "eval")
LABEL_LIST = "eval_data_list.csv"  # DCASE published the labels of its evaluation set in this file
SMALLEST_HELD_OUT_FROM = 4  # a machine with fewer training clips needs all of them for training
_OTHER_SOUND = re.compile(
    r"\.(wave|mp3|mp4|og[ga]|opus|m4a|aac|wma|webm|amr|aif[fc]?|au|snd|caf|w64|rf64|wv|ape|raw|pcm)"
)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that cannot be used: its path below the corpus root, the cause, and how to mend it."""

    path: str
    cause: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}; {self.mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The clips below `root`, sorted by clip_id, and the files that look like recordings but are not."""

    root: Path
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...]


def read_corpus(root: Path) -> Corpus:
    """List the clips of a dataset folder. Raises InputError when the folder as a whole is not a corpus."""
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
    for path in _of_machine_types(paths, problems):
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

    The clip ids alone decide which ones (by the order of their SHA-256), so they are the same for every seed.
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
    """Paths of all files below root whose names end like those of sound files."""
    if isinstance(root, ObjectPath):  # object storage has no folders, only names
        names = map(PurePosixPath, root.listing())
        yield from (path for path in names if _named_like_sound(path.name) and not any(map(_hidden, path.parts)))
        return
    for top in sorted(root.iterdir()):
        if _hidden(top.name):
            continue
        if _named_like_sound(top.name):
            yield PurePosixPath(top.name)
        elif top.is_dir():
            yield from _walk(top, root, problems)


def _of_machine_types(paths: Iterable[PurePosixPath], problems: list[Problem]) -> Iterator[PurePosixPath]:
    """The paths at the top and in folders of machine types; every other folder with sound files is one problem."""
    for top, group in groupby(paths, key=lambda path: path.parts[0]):
        inside = list(group)
        if any(
            len(path.parts) == 1 or (len(path.parts) > 2 and path.parts[1] in SPLIT_FOLDERS) for path in inside
        ):
            yield from inside
        else:
            problems.append(_passed_over(top, inside))


def _passed_over(top: str, paths: list[PurePosixPath]) -> Problem:
    """The problem, with the likely mend, of a folder whose sound files all lie outside the layout."""
    folders = list(dict.fromkeys(path.parts[1] for path in paths if len(path.parts) > 2))
    misspelt = [name for name in folders if name.casefold() in SPLIT_FOLDERS]
    deeper = [path.parts[1] for path in paths if len(path.parts) > 3 and path.parts[2] in SPLIT_FOLDERS]
    if misspelt:
        mend = f"rename {top}/{misspelt[0]} to {top}/{misspelt[0].casefold()}"
    elif deeper:
        mend = f"move {top}/{deeper[0]} one folder up"
    else:
        mend = f"put recordings in {top}/train and {top}/test, or move the folder away"
    count = f"{len(paths)} sound file" + "s" * (len(paths) > 1)
    cause = f"{count} in it, and none in its train, test or eval folder"
    return Problem(_printable(PurePosixPath(top)), cause, _printable(PurePosixPath(mend)))


def _walk(top: Path, root: Path, problems: list[Problem]) -> Iterator[PurePosixPath]:
    def unreadable(error: OSError) -> None:
        path = PurePosixPath(Path(error.filename).relative_to(root))
        problems.append(Problem(_printable(path), f"cannot be listed ({error.strerror})", "make it readable"))

    seen: set[tuple[int, int]] = set()  # folders may be links (to another disk), and links may form a loop
    for folder, below, files in os.walk(top, followlinks=True, onerror=unreadable):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # A folder called x.wav is not searched, but reported as a recording that is a folder.
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
    """A path as one line of text for a terminal or a table; whatever is not printable is escaped."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _clip(path: PurePosixPath, taken: set[PurePosixPath]) -> Clip:
    """The clip at a path. Raises ValueError `path: cause; mend` if the path names none."""
    if _CONTROL.search(str(path)):
        raise ValueError(f"{_printable(path)}: its name holds control characters; rename it")
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
    """The clips in the order of clip_id; those of eval/ get their labels from the list of labels."""
    clips = sorted(clips, key=lambda clip: clip.clip_id)
    labels = _read_labels(root, machine_types(clip.machine for clip in clips))
    _refuse_strange_labels(root, clips, labels)
    for clip in clips:
        if clip.split == "eval" and clip.is_anomaly is None and (listed := labels.get(_listed_as(clip))):
            yield replace(clip, is_anomaly=listed.is_anomaly)
        else:
            yield clip


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the list of labels says about a clip, and in which line."""

    is_anomaly: bool
    line: int


_Labels = dict[tuple[str, str], _Listed]  # by machine type and file name without suffix


def _listed_as(clip: Clip) -> tuple[str, str]:
    return clip.machine_type, PurePosixPath(clip.clip_id).stem


def _refuse_strange_labels(root: Path, clips: Iterable[Clip], labels: _Labels) -> None:
    """Raises InputError for a list that contradicts the name of a clip, or names no clip that needs a label."""
    path = root / LABEL_LIST
    waiting: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        listed = labels.get(_listed_as(clip)) if clip.split == "eval" else None
        if clip.split == "eval" and clip.is_anomaly is None:
            waiting[clip.machine_type].append(clip)
        elif listed is not None and listed.is_anomaly != clip.is_anomaly:
            raise InputError(f"{path}:{listed.line}: contradicts the name of {clip.clip_id}; correct one of them")
    if not waiting or not path.is_file():
        return
    if not any(machine_type in waiting for machine_type, _ in labels):
        (first, *_), *_ = waiting.values()
        raise InputError(
            f"{path}: labels none of the clips in eval/, such as {first.clip_id}; write a line with the machine "
            f"type alone, then lines like {PurePosixPath(first.clip_id).name},normal, or remove the list"
        )
    for machine_type, unlabelled in waiting.items():
        lines = [(one.line, name) for (of_type, name), one in labels.items() if of_type == machine_type]
        if lines and not any(_listed_as(clip) in labels for clip in unlabelled):
            line, name = min(lines)
            raise InputError(
                f"{path}:{line}: {name} and the other {machine_type} clips of the list are not in {machine_type}/"
                f"eval/, which has {PurePosixPath(unlabelled[0].clip_id).name}; use the list of this set"
            )


def _read_labels(root: Path, types: tuple[str, ...]) -> _Labels:
    """What DCASE's list of labels, if there is one, says about the clips of some machine types.

    A line with a machine type alone begins its part of the list; then come lines
    `id_01_00000000.wav,anomaly_id_01_00000123.wav,1`. Other machine types and headings are skipped. Raises
    InputError, with the line number, for a line that gives its clip no label, or contradicts another line.
    """
    path = root / LABEL_LIST
    if not path.is_file():
        return {}
    labels: _Labels = {}
    by_name = {name.casefold(): name for name in types}
    machine_type: str | None = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            for row in rows:
                cells = [cell.strip() for cell in row if cell.strip()]
                if len(cells) == 1:
                    if _SOUND_NAME.search(cells[0]):
                        raise InputError(
                            f"{path}:{rows.line_num}: {cells[0]!r} has no label; "
                            "separate the name and its label by a comma"
                        )
                    machine_type = by_name.get(cells[0].casefold())
                elif len(cells) > 1 and machine_type is not None and _SOUND_NAME.search(cells[0]):
                    name, listed = PurePosixPath(cells[0]).stem, _label(cells[1:])
                    if listed is None:
                        raise InputError(
                            f"{path}:{rows.line_num}: {','.join(cells[1:])!r} is not one label; "
                            "write normal and 0, or anomaly and 1"
                        )
                    before = labels.setdefault((machine_type, name), _Listed(listed, rows.line_num))
                    if before.is_anomaly != listed:
                        raise InputError(
                            f"{path}:{rows.line_num}: labels {name} of {machine_type} otherwise than line "
                            f"{before.line}; correct one of them"
                        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of labels ({error}); download it again") from error
    return labels


_SOUND_NAME = re.compile(r"\.(wav|flac)\b", re.IGNORECASE)


def _label(cells: list[str]) -> bool | None:
    """Whether cells say anomaly, by a number, a name that begins with the word, or both; None if unclear."""
    said = {cell == "1" for cell in cells if cell in ("0", "1")}
    said |= {
        word == "anomaly" for cell in cells for word in ("normal", "anomaly") if cell.lower().startswith(word)
    }
    return said.pop() if len(said) == 1 else None
