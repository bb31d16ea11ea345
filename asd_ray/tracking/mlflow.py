"""MLflow: an experiment per run folder, a run per trial. Needs the extra `mlflow`.

MLflow itself handles signing in, by MLFLOW_TRACKING_USERNAME and similar variables.
"""

import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asd_ray.errors import InputError, hide_passwords
from asd_ray.search.events import Begun, Ended
from asd_ray.search.runfolder import Run
from asd_ray.tracking.tracker import key_of

KEY = "asd_ray.trial"  # the tag by which we find a trial again
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # gives up after half a minute; by default it tries for minutes
    # A thread of the telemetry changes the environment, which can break threads that read it meanwhile.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # else a server makes it print two lines per finished trial
}
STEPS = "train_loss"  # known after every epoch


class MLflow:
    name = "MLflow"

    def __init__(self, uri: str, *, writes: bool = True) -> None:
        """Raises InputError if the package mlflow is missing, or does not accept the URI.

        `writes=False` says that nothing will be logged, so that this creates no database.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow
            from mlflow.entities import Metric, Param, RunTag
        except ImportError:
            raise InputError(
                f"--mlflow {hide_passwords(uri)}: needs the package mlflow: pip install 'asd-ray[mlflow]'"
            ) from None
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._metric, self._param, self._tag = Metric, Param, RunTag
        if not writes and _is_database(uri):
            return
        try:
            self._client: Any = mlflow.MlflowClient(tracking_uri=uri)
        except mlflow.MlflowException as error:
            raise InputError(f"--mlflow {hide_passwords(uri)}: {str(error).splitlines()[0]}") from None

    def begin(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._open: dict[str, str] = {}  # trial -> MLflow's id of its run
        found = self._client.get_experiment_by_name(folder.name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(folder.name)

    def begin_trial(self, trial: Begun) -> int:
        key = key_of(self._folder, trial.name)
        found = self._client.search_runs([self._experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        if found:
            run_id = self._open[trial.name] = found[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
            return max((entry.step for entry in self._client.get_metric_history(run_id, STEPS)), default=0)
        tags = {KEY: key, "folder": str(self._folder)}
        run = self._client.create_run(self._experiment, run_name=trial.name, tags=tags)
        self._open[trial.name] = run.info.run_id
        params = [self._param(name, str(value)) for name, value in trial.differs_in.items()]
        self._client.log_batch(run.info.run_id, params=params)
        return 0

    def epoch(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self._metric(_allowed(key), value, now, epoch) for key, value in values.items()]
        self._client.log_batch(self._open[name], metrics=metrics)

    def end_trial(self, trial: Ended) -> None:
        run_id = self._open.pop(trial.name)
        about = {"outcome": trial.outcome, "owner": trial.proposal.owner, "reason": trial.reason}
        tags = [self._tag(name, value) for name, value in about.items() if value]
        self._client.log_batch(run_id, tags=tags)
        self._client.set_terminated(run_id, "FAILED" if trial.outcome == "failed" else "FINISHED")

    def end(self) -> None:
        for run_id in self._open.values():
            self._client.set_terminated(run_id, "KILLED")
        self._open.clear()


def _allowed(name: str) -> str:
    """A metric's name as MLflow accepts it; the name holds a machine type, which can be any folder's name.

    >>> _allowed("auc/valve (old)")
    'auc/valve _old_'
    """
    return re.sub(r"[^\w\-. :/]", "_", name)


def _is_database(uri: str) -> bool:
    """Whether a URI is a database, in which MLflow creates its tables at the first access.

    >>> _is_database("sqlite:///mlflow.db"), _is_database("https://mlflow.example.org")
    (True, False)
    """
    return uri.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")
