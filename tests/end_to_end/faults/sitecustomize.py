"""Faults for the processes of a search: every Python that finds this folder on its path imports this file first.

The folder $ASD_TEST_FAULTS holds `faults.json`, {trial: {"epoch": n, "fault": name}}; every epoch that a worker
begins is noted in `epochs.log` there.
"""

import json
import os
import time
from pathlib import Path

from tests.import_hook import change_when_loaded


def wrap(module):
    folder = Path(os.environ["ASD_TEST_FAULTS"])
    faults = json.loads((folder / "faults.json").read_text())
    train = module.Trial.epoch

    def epoch(self, to):
        if to not in self.history:
            with (folder / "epochs.log").open("a") as log:
                log.write(f"{self.folder.name} {to} {os.getpid()}\n")
            fault = faults.get(self.folder.name, {})
            if fault.get("epoch") == to:
                FAULTS[fault["fault"]](self)
        return train(self, to)

    module.Trial.epoch = epoch


def hang(trial):
    time.sleep(3600)


def fail(trial):
    raise ValueError("a planted error")


def diverge(trial):
    for parameter in trial.training.module.parameters():
        parameter.data.fill_(float("nan"))


def eat(trial):
    """Take memory until somebody ends this process: not so fast that Ray's own monitor sees it first."""
    taken = []
    while True:
        taken.append(b"x" * (50 * 2**20))
        time.sleep(0.05)


FAULTS = {"hang": hang, "fail": fail, "diverge": diverge, "eat": eat}

if "ASD_TEST_FAULTS" in os.environ:
    change_when_loaded("asd_ray.training.trial", wrap)
