"""Where the studies of a run are kept: a journal beside run.yaml."""

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from asd_ray.config import params_of
from asd_ray.search.journal import repair_journal
from asd_ray.search.runfolder import JOURNAL, Run
from asd_ray.search.studies import Studies


def open_studies(folder: Path, run: Run, *, take_over: bool) -> tuple[Studies, int]:
    """The studies of a run folder, and how many torn bytes of a killed writer were cut from their journal.

    Hold the run's lock. Without `take_over` the studies are only read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / JOURNAL
    cut = repair_journal(path)
    storage: BaseStorage = JournalStorage(JournalFileBackend(str(path)))
    if not take_over:
        known = {summary.study_name for summary in optuna.get_all_study_summaries(storage)}
        if not known >= set(run.machine_types):
            storage = InMemoryStorage()  # killed before it had made its studies: there is nothing to read
    studies = Studies(
        storage,
        machine_types=run.machine_types,
        space=run.space,
        search=run.config.search,
        epochs=run.config.train.epochs,
        published=params_of(run.config),
        take_over=take_over,
    )
    return studies, cut
