#!/usr/bin/env python
"""How long the report of a large search takes, and how large its page is.

    python benchmarks/report.py                           # six machine types, 200 trials of each study's own
    python benchmarks/report.py --trials 120 --keep runs/large   # and keep the run folder, to look at the page

The trainings are not run: scores are drawn for the test clips of DCASE 2020 Task 2 (tests/fabricated.py). Studies,
journal, pruning, confirmation and files are those of a real search. The shards are not there, so the page has no
log-mels.
"""

import argparse
import tempfile
import time
from pathlib import Path

import optuna

from asd_ray.report.published import TEST_CLIPS
from asd_ray.report.render import page, rebuild
from tests.fabricated import fabricate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1200, help="of all studies together (default 1200)")
    parser.add_argument("--keep", type=Path, help="where to leave the run folder")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch) / "run"
        settings = [f"search.trials={arguments.trials}", "search.confirm=2", "search.seeds=3"]
        measure("fabricate the search", lambda: fabricate(folder, TEST_CLIPS, settings=settings))
        summary = measure("rebuild the report", lambda: rebuild(folder))
        measure("of that, index.html", lambda: page(summary))
        size = (folder / "report" / "index.html").stat().st_size
        counts = ", ".join(f"{count} {state}" for state, count in summary.counts().items())
        print(f"{len(summary.trials)} trials ({counts}); index.html {size / 1e6:.2f} MB")


def measure(name, work):
    began, start = time.monotonic(), time.process_time()
    result = work()
    print(
        f"{name}: {time.process_time() - start:.1f} s of the processor, {time.monotonic() - began:.1f} s",
        flush=True,
    )
    return result


if __name__ == "__main__":
    main()
