"""Fetch a public data set of machine recordings for a search.

    asd-ray download dcase2020 --to datasets/dcase2020 --accept-licence
    asd-ray download dcase2020 --to datasets/fans --machine-types fan --accept-licence

dcase2020 is DCASE 2020 Task 2: six machine types, 41 machines, 54,254 recordings of ten seconds; with it, searches
choose on the development set and report on the evaluation set. The next call completes one that was
stopped: it keeps what has arrived. Every archive is checked against the MD5 that Zenodo gives for it.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asd_ray.errors import BAD_INPUT, DONE, FAILED, InputError
from asd_ray.files.paths import is_object, place
from asd_ray.invocation import call_of

if TYPE_CHECKING:  # what needs requests and pydantic is imported after parsing, so that --help is quick
    from asd_ray.data.dcase2020 import Archive
    from asd_ray.data.zenodo import Progress


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=["dcase2020"], help="the data set to fetch")
    parser.add_argument("--to", metavar="FOLDER", type=place, required=True, help="folder for the recordings")
    parser.add_argument(
        "--machine-types", metavar="TYPE", nargs="+", help="fetch only these machine types (default: all)"
    )
    parser.add_argument(
        "--development-only", action="store_true", help="leave out the evaluation set and its labels"
    )
    parser.add_argument(
        "--accept-licence", action="store_true", help="say that you have read the licence and accept it"
    )
    parser.add_argument("--keep-archives", action="store_true", help="keep archives after they have been unpacked")
    parser.add_argument(
        "--zenodo", metavar="URL", help="server with the API of Zenodo (default https://zenodo.org/api)"
    )


def main(arguments: argparse.Namespace) -> int:
    from asd_ray.data import dcase2020
    from asd_ray.data.zenodo import API, DownloadError, Zenodo

    if is_object(arguments.to):
        raise InputError(f"--to {arguments.to}: archives are unpacked on a disk; give a folder")
    print(dcase2020.LICENCE)
    if not arguments.accept_licence:
        print("error: nothing is fetched until you accept the licence by --accept-licence", file=sys.stderr)
        return BAD_INPUT
    zenodo = Zenodo(arguments.zenodo or API)
    began = time.monotonic()
    try:
        archives = dcase2020.find_archives(
            zenodo,
            machine_types=arguments.machine_types or dcase2020.MACHINE_TYPES,
            evaluation=not arguments.development_only,
        )
        print_plan(archives)
        with progress_bars() as (on_progress, tell):
            dcase2020.download(
                zenodo,
                archives,
                arguments.to,
                on_progress=on_progress,
                on_event=tell,
                keep_archives=arguments.keep_archives,
            )
    except DownloadError as error:
        print(f"error: {error}", file=sys.stderr)
        print("the same call goes on with what has arrived", file=sys.stderr)
        return FAILED
    print(f"all is there, after {time.monotonic() - began:.0f} s")
    print(f"next:   {call_of('tune')} --data {shlex.quote(str(arguments.to))}")
    return DONE


def print_plan(archives: "tuple[Archive, ...]") -> None:
    packed = sum(archive.file.size for archive in archives)
    print(f"\n{len(archives)} files, {packed / 1e9:.1f} GB, by Zenodo's records:")
    for record in dict.fromkeys(archive.file.record for archive in archives):
        files = [archive.file for archive in archives if archive.file.record == record]
        size = sum(file.size for file in files) / 1e9
        print(f"  {record}  {size:5.1f} GB  {', '.join(file.name for file in files)}")
    print(flush=True)


@contextmanager
def progress_bars() -> "Iterator[tuple[Progress, Callable[[str], None]]]":
    """Bars on a terminal, a line for each tenth of a file elsewhere; and what tells of a file that is done."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TaskID,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress("{task.description}", *columns, console=Console(stderr=True)) as bars:
            tasks: dict[str, TaskID] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total, completed=done)
                bars.update(tasks[name], completed=done)

            yield show, bars.console.print
        return
    told: dict[str, int] = {}

    def line(name: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > told.get(name, -1):
            told[name] = tenth
            print(f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", file=sys.stderr, flush=True)

    yield line, lambda text: print(text, file=sys.stderr, flush=True)
