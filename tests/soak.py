"""Kill a search at random moments, again and again, and count what was lost or done twice.

    make soak                                   # 20 kills
    python tests/soak.py --kills 50 --seed 7

Exit status 1 if anything was.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from asd_ray.data.prepare import prepare
from asd_ray.data.synthetic import write_corpus
from asd_ray.search.journal import repair_journal
from tests.end_to_end.conftest import FAULTS, ROOT, SMALL, start, studies_of

LONGEST_S = 60.0  # before a kill: from before Ray is up, to well into the trials
EPOCHS = 3
LANES = 2

Finished = dict[tuple[str, int], tuple[str, float | None]]  # (study, number) -> state and value


class Soak:
    """One run folder, its kills, and what was known of it after each of them."""

    def __init__(self, base: Path) -> None:
        self.base, self.run = base, base / "run"
        self.trials = 6
        self.kills = 0
        self.finished: Finished = {}
        self.epochs: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []
        (base / "faults").mkdir()
        (base / "faults" / "faults.json").write_text("{}")
        root = base / "machines"
        write_corpus(root, ids_per_type=2, train_per_id=5, test_normal_per_id=4, test_anomaly_per_id=4)
        prepare(root, base / "shards")

    def call(self, *, seconds: float | None) -> int:
        """Search; kill the driver after so many seconds. The exit status."""
        os.environ["ASD_TEST_FAULTS"] = str(self.base / "faults")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(FAULTS), str(ROOT)])
        arguments = ["--data", self.base / "shards", "--run", self.run, "--lanes", LANES]
        search = start("launch/tune.py", *arguments, "--trials", self.trials, "--epochs", EPOCHS, *SMALL, cwd=ROOT)
        end = None if seconds is None else time.monotonic() + seconds
        while search.process.poll() is None and (end is None or time.monotonic() < end):
            time.sleep(0.05)
        if search.process.poll() is None:
            search.process.send_signal(signal.SIGKILL)
            self.kills += 1
        status = search.finish()
        if status not in (0, -signal.SIGKILL):
            self.faults.append(f"exit status {status}:\n{search.output}")
        return status

    def check(self) -> None:
        """Compare what the folder holds with what it held before."""
        now = self._read_finished()
        for trial, before in self.finished.items():
            if now.get(trial) != before:
                self.faults.append(f"lost: {trial} was {before}, is {now.get(trial)}")
        log = self.base / "faults" / "epochs.log"
        begun = Counter(
            (line.split()[0], int(line.split()[1]))
            for line in (log.read_text().splitlines() if log.exists() else [])
        )
        for (uid, epoch), times in begun.items():
            name, _, number = uid.rpartition("-")
            if (name, int(number)) in self.finished and times > self.epochs[uid, epoch]:
                self.faults.append(f"repeated: epoch {epoch} of {uid}, which had finished")
        self.finished, self.epochs = now, begun

    def _read_finished(self) -> Finished:
        """From a copy of the journal, which may have a torn tail."""
        if not (self.run / "studies.journal").exists():
            return {}
        copy = self.base / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        shutil.copy(self.run / "studies.journal", copy)
        repair_journal(copy / "studies.journal")
        return {
            (name, trial.number): (trial.state.name, trial.value)
            for name, trials in studies_of(copy).items()
            for trial in trials
            if trial.state.is_finished()
        }

    @property
    def redone(self) -> int:
        """Epochs that were begun more than once."""
        return sum(self.epochs.values()) - len(self.epochs)


def soak(kills: int, *, seed: int) -> Soak:
    rng = random.Random(seed)
    state = Soak(Path(tempfile.mkdtemp(prefix="soak-")))
    while state.kills < kills:
        status = state.call(seconds=rng.uniform(0.5, LONGEST_S))
        state.check()
        owned = len(set(state.epochs))
        print(f"kill {state.kills}: {len(state.finished)} results in six studies, {owned} epochs", flush=True)
        if status == 0:
            state.trials += 6  # it had ended: give it more to do
    state.call(seconds=None)
    state.check()
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    state = soak(arguments.kills, seed=arguments.seed)
    own = {uid for uid, _ in state.epochs}
    unfinished = state.trials - sum(
        (name, int(number)) in state.finished for name, _, number in (uid.rpartition("-") for uid in own)
    )
    if state.redone > LANES * state.kills:
        state.faults.append(f"{state.redone} epochs done again, more than one per lane and kill")
    summary = {
        "kills": state.kills,
        "trials": state.trials,
        "unfinished": unfinished,
        "lost": sum(fault.startswith("lost") for fault in state.faults),
        "repeated": sum(fault.startswith("repeated") for fault in state.faults),
        "epochs done again": state.redone,
    }
    print(json.dumps(summary))
    for fault in state.faults:
        print(fault, file=sys.stderr)
    shutil.rmtree(state.base)
    return 1 if state.faults or unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
