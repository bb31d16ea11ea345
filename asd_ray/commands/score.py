"""Score new recordings with a detector: higher is more anomalous.

    asd-ray score runs/first/best/fan.yaml new/*.wav
    asd-ray score runs/first/best/fan.yaml new/*.wav --csv > scores.csv

The machine id is read from each file's name (id_02), or given by --machine-id. A recording whose score exceeds the
detector's threshold counts as an anomaly; a tenth of normal recordings does so by chance. What is odd about a
recording (cut to 10 s, saturated, very quiet) stands in its line. Files that cannot be scored, silent ones among
them, are named on standard error, the others are scored all the same, and the exit status is 2.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.errors import BAD_INPUT, DONE, InputError, printable
from asd_ray.files.paths import place

if TYPE_CHECKING:
    from asd_ray.scoring.detector import Detector, Scored


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", type=place, help="detector to use: best/<machine_type>.yaml of a search"
    )
    parser.add_argument("recordings", metavar="RECORDING", type=Path, nargs="+", help="recordings to score")
    parser.add_argument(
        "--machine-id", help="machine id of all these recordings, e.g. id_02 (default: from each file's name)"
    )
    parser.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    parser.add_argument(
        "--resample", action="store_true", help="convert recordings of other sample rates to 16 kHz"
    )


def main(arguments: argparse.Namespace) -> int:
    from asd_ray.scoring.detector import Detector, score

    detector = Detector(arguments.config)
    if arguments.machine_id and arguments.machine_id not in detector.machine_ids:
        known = ", ".join(detector.machine_ids)
        raise InputError(f"--machine-id {arguments.machine_id}: the detector knows {known}")
    if others := other_types(detector, arguments.recordings):
        mine = detector.best.machine_type
        print(
            f"note: recordings in a folder named {', '.join(others)}; the detector is for {mine}", file=sys.stderr
        )
    refused: list[InputError] = []

    def tell(error: InputError) -> None:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        refused.append(error)

    scored = score(
        detector,
        arguments.recordings,
        machine_id=arguments.machine_id,
        resample=arguments.resample,
        on_refused=None if arguments.debug else tell,
    )
    if scored:
        if arguments.csv:
            print_csv(scored)
        else:
            print_table(scored, detector.best.threshold.fitted_to)
    return BAD_INPUT if refused else DONE


def other_types(detector: "Detector", recordings: list[Path]) -> list[str]:
    """The machine types, of those in its corpus, that recordings are filed under and that it is not for."""
    types = {name for name, _ in detector.best.classes}
    folders = (path.absolute().parent.parts[::-1] for path in recordings)
    found = {next((part for part in parts if part in types), detector.best.machine_type) for parts in folders}
    return sorted(found - {detector.best.machine_type})


def print_csv(scored: "list[Scored]") -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["recording", "machine_id", "score", "threshold", "decision", "notes"])
    for one in scored:
        figures = f"{one.score:.6g}", f"{one.threshold:.6g}"
        writer.writerow([cell(str(one.path)), one.machine_id, *figures, decision(one), "; ".join(one.notes)])


def cell(text: str) -> str:
    """A text as a cell of a table: a spreadsheet would take one that begins with these for a formula.

    >>> cell("=HYPERLINK(1)"), cell("fan/new.wav")
    ("'=HYPERLINK(1)", 'fan/new.wav')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def print_table(scored: "list[Scored]", fitted_to: str) -> None:
    names = [printable(str(one.path)) for one in scored]
    width = max(map(len, names))
    print(f"{'recording':{width}}  {'id':8} {'score':>9} {'threshold':>9}  decision")
    for name, one in zip(names, scored, strict=True):
        line = f"{name:{width}}  {one.machine_id:8} {one.score:9.3f} {one.threshold:9.3f}  {decision(one)}"
        print(f"{line:{width + 39}}  ({'; '.join(one.notes)})" if one.notes else line)
    if "training" in fitted_to:
        print("the threshold is too low: for want of validation clips it was fitted to training clips as well")


def decision(one: "Scored") -> str:
    return "anomaly" if one.is_anomaly else "normal"
