"""Weights & Biases: a group per run folder, a run per trial, in the project asd_ray. Needs the extra `wandb`.

Its own variables set the rest: WANDB_MODE=offline keeps files to send later (`wandb sync`), and WANDB_PROJECT and
WANDB_ENTITY say where to send them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asd_ray.errors import InputError
from asd_ray.files.paths import is_object
from asd_ray.search.events import Begun, Ended
from asd_ray.search.runfolder import Run
from asd_ray.tracking.tracker import key_of


class WandB:
    name = "Weights & Biases"

    def __init__(self) -> None:
        """Raises InputError if the package wandb is missing, or if nobody has signed in and it is not offline."""
        try:
            import wandb
        except ImportError:
            raise InputError("--wandb: needs the package wandb: pip install 'asd-ray[wandb]'") from None
        self._wandb: Any = wandb
        offline = os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
        if not offline and not wandb.login(prompt=False, verify=False):
            raise InputError("--wandb: nobody has signed in: run `wandb login`, or set WANDB_MODE=offline")

    def begin(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._open: dict[str, Any] = {}
        self._score = run.config.score.objective
        # A search must not send this process's output, the machine's state, or the code in the folder.
        self._settings = self._wandb.Settings(
            silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False, disable_code=True
        )

    def begin_trial(self, trial: Begun) -> int:
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "asd_ray"),
            group=self._folder.name,
            name=trial.name,
            id=key_of(self._folder, trial.name),
            resume="allow",
            reinit="create_new",  # trials run side by side
            dir=None if is_object(self._folder) else str(self._folder),
            config={**trial.differs_in, "objective": self._score},
            settings=self._settings,
        )
        self._open[trial.name] = run
        return max(0, int(run.step) - 1)  # `step` is the next one to log; offline, wandb knows no earlier calls

    def epoch(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        self._open[name].log(dict(values), step=epoch)

    def end_trial(self, trial: Ended) -> None:
        run = self._open.pop(trial.name)
        run.summary.update({"outcome": trial.outcome, "owner": trial.proposal.owner, "reason": trial.reason})
        run.finish(exit_code=1 if trial.outcome == "failed" else 0)

    def end(self) -> None:
        for run in self._open.values():
            run.finish(exit_code=1)
        self._open.clear()
