"""Check recordings and write the shards that a search reads.

    asd-ray prepare datasets/ --out shards/

DATASETS holds <machine_type>/{train,test}/{normal|anomaly}_id_XX_*.wav, the layout of DCASE 2020 Task 2. Bad
recordings are left out and listed with the cause and the mend, and so are test clips that are the same sound as
a training clip, or as one with the other label. The same call again makes damaged shards anew, and nothing else;
a call that was stopped is completed by the next.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.errors import DONE
from asd_ray.files.paths import place

if TYPE_CHECKING:  # what needs pyarrow and ray is imported after parsing, so that --help is quick
    from asd_ray.data.corpus import Problem
    from asd_ray.data.manifest import Manifest

MOST_PROBLEMS_SHOWN = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("datasets", metavar="DATASETS", type=place, help="folder with the recordings")
    parser.add_argument("--out", metavar="SHARDS", type=place, required=True, help="folder for the shards")
    parser.add_argument(
        "--resample", action="store_true", help="convert recordings of other sample rates to 16 kHz"
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first bad recording, instead of listing it and going on"
    )
    parser.add_argument(
        "--valid-fraction",
        metavar="F",
        type=float,
        default=0.05,
        help="part of each machine's training clips that is held out (default 0.05)",
    )


def main(arguments: argparse.Namespace) -> int:
    from asd_ray.data.manifest import read_quarantine
    from asd_ray.data.prepare import prepare

    with progress_bar() as on_progress:
        manifest = prepare(
            arguments.datasets,
            arguments.out,
            valid_fraction=arguments.valid_fraction,
            resample=arguments.resample,
            strict=arguments.strict,
            on_progress=on_progress,
        )
    problems = read_quarantine(arguments.out)
    print_table(arguments.out, problems)
    print_problems(arguments.out, problems)
    print_notes(arguments.out, manifest)
    print(f"\nmanifest: {arguments.out / 'manifest.json'}")
    return DONE


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line for each tenth elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("checking recordings", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    told = -1

    def tell(done: int, total: int) -> None:
        nonlocal told
        if 10 * done // total > told:
            told = 10 * done // total
            print(f"checked {done} of {total} recordings", file=sys.stderr, flush=True)

    yield tell


def print_table(out: Path, problems: "tuple[Problem, ...]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from asd_ray.data.manifest import read_labels

    labels = read_labels(out).select(["machine_type", "machine_id", "split", "is_anomaly"]).to_pylist()
    clips = Counter((row["machine_type"], row["split"], row["is_anomaly"]) for row in labels)
    ids = Counter(machine_type for machine_type, _ in {(row["machine_type"], row["machine_id"]) for row in labels})
    quarantined = Counter(problem.path.split("/")[0] for problem in problems)
    with_eval = any(split == "eval" for _, split, _ in clips)
    table = Table("machine type", "ids", "train", "valid", "test normal", "test anomaly", box=box.SIMPLE)
    for heading in ["eval normal", "eval anomaly", "eval unlabelled"] if with_eval else []:
        table.add_column(heading)
    table.add_column("quarantined")
    for column in table.columns[1:]:
        column.justify = "right"
    splits: list[tuple[str, bool | None]] = [("train", False), ("valid", False), ("test", False), ("test", True)]
    splits += [("eval", False), ("eval", True), ("eval", None)] if with_eval else []
    for machine_type in dict.fromkeys([*(row["machine_type"] for row in labels), *quarantined]):
        counts = [ids[machine_type], *(clips[machine_type, *split] for split in splits), quarantined[machine_type]]
        table.add_row(machine_type, *map(str, counts))
    Console().print(table)


def print_problems(out: Path, problems: "tuple[Problem, ...]") -> None:
    if not problems:
        return
    print(f"left out, {len(problems)} in all:")
    for problem in problems[:MOST_PROBLEMS_SHOWN]:
        print(f"  {problem}")
    if len(problems) > MOST_PROBLEMS_SHOWN:
        print(f"  and {len(problems) - MOST_PROBLEMS_SHOWN} more, see {out / 'quarantine.csv'}")


def print_notes(out: Path, manifest: "Manifest") -> None:
    if not manifest.notes:
        return
    print(f"used as they are, but worth knowing (which ones: {out / 'notes.csv'}):")
    for note, count in manifest.notes.items():
        print(f"  {count} recording{'s' if count > 1 else ''}: {note}")
