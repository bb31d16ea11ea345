"""Where the studies of a run are kept."""

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from asd_ray.config import params_of
from asd_ray.search.runfolder import JOURNAL, Run
from asd_ray.search.studies import Studies


def open_studies(folder: Path, run: Run) -> Studies:
    """The studies of a run folder; whoever writes to them holds the run's lock."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / JOURNAL
    return Studies(
        JournalStorage(JournalFileBackend(str(path))),
        machine_types=run.machine_types,
        space=run.space,
        search=run.config.search,
        epochs=run.config.train.epochs,
        published=params_of(run.config),
    )
