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
from asd_ray.search.studies.journal import repair_journal
from tests.end_to_end.conftest import SMALL, Faults, start, studies_of

LONGEST_S = 30.0  # from the first epoch of a call to its kill
EARLY = 5  # one kill in so many falls before that, while the search is coming up
TRIALS, EPOCHS = 12, 12
LANES = 2

Finished = dict[tuple[str, int], tuple[str, float | None]]  # (study, number) -> state and value
Begun = Counter[tuple[str, int]]  # (trial, epoch) -> how often it was begun


class Soak:
    """One run folder, its kills, and what was known of it after each of them."""

    def __init__(self, base: Path) -> None:
        self.base, self.run = base, base / "run"
        self.trials = TRIALS
        self.kills = 0
        self.finished: Finished = {}
        self.epochs: Begun = Counter()
        self.faults: list[str] = []
        self.log = Faults(base / "faults")  # none is planted: it logs the epochs
        os.environ.update(self.log.environment)
        root = base / "machines"
        write_corpus(root, ids_per_type=2, train_per_id=5, test_normal_per_id=4, test_anomaly_per_id=4)
        prepare(root, base / "shards")

    def call(self, *, seconds: float | None, early: bool = False) -> int:
        """Search; kill the driver so long after it began (`early`), or after its first epoch. The exit status."""
        before = self.log.epochs().total()
        arguments = ["--data", self.base / "shards", "--run", self.run, "--lanes", LANES]
        search = start("launch/tune.py", *arguments, "--trials", self.trials, "--epochs", EPOCHS, *SMALL)
        while not early and search.process.poll() is None and self.log.epochs().total() == before:
            time.sleep(0.1)
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
        now, begun = self._read_finished(), self.log.epochs()
        self.faults += faults_of(self.finished, now, begun_before=self.epochs, begun=begun)
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
    def begun_again(self) -> int:
        """Epochs that were begun more than once."""
        return sum(self.epochs.values()) - len(self.epochs)


def faults_of(before: Finished, now: Finished, *, begun_before: Begun, begun: Begun) -> list[str]:
    """What a kill, and the call after it, must not do; between `before` and `now` there was no other.

    A trial's state is kept after every epoch, so only the last one that it had begun may be begun again.
    """
    faults = [f"lost: {one} was {was}, is {now.get(one)}" for one, was in before.items() if now.get(one) != was]
    faults += [f"failed: {one}" for one, (state, _) in now.items() if state == "FAIL" and one not in before]
    last: dict[str, int] = {}
    for uid, epoch in begun_before:
        last[uid] = max(epoch, last.get(uid, 0))
    for (uid, epoch), times in begun.items():
        again = times - begun_before[uid, epoch] if (uid, epoch) in begun_before else times - 1
        name, _, number = uid.rpartition("-")
        if again and (name, int(number)) in before:
            faults.append(f"repeated: epoch {epoch} of {uid}, which had finished")
        elif again > 1 or (again and epoch < last.get(uid, 0)):
            faults.append(f"redone: epoch {epoch} of {uid}, which had begun epoch {last.get(uid, epoch)}")
    return faults


def soak(kills: int, *, seed: int) -> Soak:
    rng = random.Random(seed)
    state = Soak(Path(tempfile.mkdtemp(prefix="soak-")))
    while state.kills < kills:
        early = state.kills % EARLY == EARLY - 1
        status = state.call(seconds=rng.uniform(0.5, LONGEST_S), early=early)
        state.check()
        owned = len(set(state.epochs))
        print(f"kill {state.kills}: {len(state.finished)} results in six studies, {owned} epochs", flush=True)
        if status == 0:
            state.trials += TRIALS  # it had ended: give it more to do
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
    summary = {
        "kills": state.kills,
        "trials": state.trials,
        "unfinished": unfinished,
        **{
            kind: sum(fault.startswith(kind) for fault in state.faults)
            for kind in ("lost", "repeated", "failed", "redone")
        },
        "epochs": len(state.epochs),
        "last epochs begun again": state.begun_again,
    }
    print(json.dumps(summary))
    for fault in state.faults:
        print(fault, file=sys.stderr)
    shutil.rmtree(state.base)
    return 1 if state.faults or unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
