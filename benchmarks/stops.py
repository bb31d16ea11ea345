"""What two hundred stopped trials leave behind: trials are stopped in the middle of an epoch, one after another.

    python benchmarks/stops.py --stops 200

Prints, after every so many stops, the placement groups, actors, threads and memory of the search's processes.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.util import placement_group_table

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.synthetic import write_corpus
from asd_ray.search import tuner
from asd_ray.search.searcher import StudyScheduler

INTO_EPOCH_S = 0.05  # an epoch of the small corpus takes about a second
SETTINGS = (
    "model.width=0.0625",
    "train.epochs=50",
    "train.batch_size=8",
    "search.prune=false",
    "search.sampler=random",
)


@dataclass(frozen=True, slots=True)
class Left:
    """What there is of everything that could leak, after some stops; memory in MB."""

    stops: int
    placement_groups: int
    actors: int
    processes: int
    worker_threads: int
    worker_mb: float
    tune_actor_mb: float
    mailbox_mb: float
    driver_mb: float

    @staticmethod
    def now(stops: int) -> "Left":
        table = placement_group_table()  # type: ignore[no-untyped-call]
        found = {process.pid: process for process in psutil.Process().children(recursive=True)}
        names = {pid: _name(process) for pid, process in found.items()}

        def of(name: str) -> list[psutil.Process]:
            return [found[pid] for pid, known in names.items() if known.startswith(f"ray::{name}")]

        def megabytes(processes: list[psutil.Process]) -> float:
            return round(sum(process.memory_full_info().uss for process in processes) / 2**20, 1)

        workers = of("RayTrainWorker")
        return Left(
            stops=stops,
            placement_groups=sum(group["state"] == "CREATED" for group in table.values()),
            actors=sum(actor["State"] == "ALIVE" for actor in ray._private.state.actors().values()),
            processes=sum(name.startswith("ray::") and name != "ray::IDLE" for name in names.values()),
            worker_threads=sum(process.num_threads() for process in workers),
            worker_mb=megabytes(workers),
            tune_actor_mb=megabytes(of("ResourceTrainable")),
            mailbox_mb=megabytes(of("Mailbox")),
            driver_mb=megabytes([psutil.Process()]),
        )


def _name(process: psutil.Process) -> str:
    try:
        return "".join(process.cmdline()[:1]).strip()
    except psutil.NoSuchProcess:
        return ""


class MidEpochStops(StudyScheduler):
    """Stops every trial a moment after it has begun its second epoch."""

    wanted: int
    looks: list[int]  # after so many stops
    look: Callable[[int], None]
    looked = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._due: dict[Any, float] = {}
        self._stopped = 0

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        self._due.setdefault(trial, time.monotonic() + INTO_EPOCH_S)
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        for trial, due in list(self._due.items()):
            if time.monotonic() > due and trial.status == "RUNNING" and self._stopped < self.wanted:
                del self._due[trial]
                tune_controller.request_stop_trial(trial)
                self._stopped += 1
                if self._stopped in self.looks:
                    type(self).look(self._stopped)
                    type(self).looked = self._stopped
        if self._stopped == self.wanted:
            raise KeyboardInterrupt  # as Ctrl-C would: what runs now would run all its epochs
        return super().choose_trial_to_run(tune_controller)


def measure(stops: int, *, folder: Path, show: Callable[[Left], None]) -> None:
    """Search a small corpus, stopping so many trials; show what is left after a tenth of them, a half, all."""
    root = folder / "machines"
    write_corpus(root, ids_per_type=2, train_per_id=3, test_normal_per_id=2, test_anomaly_per_id=2)
    api.prepare(root, folder / "shards")
    MidEpochStops.wanted, MidEpochStops.looks = stops, [stops // 10, stops // 2, stops]
    MidEpochStops.look = staticmethod(lambda count: show(Left.now(count)))  # type: ignore[assignment]
    config = replace_settings(RunConfig(), [*SETTINGS, f"search.trials={stops}"])
    before = tuner.StudyScheduler
    tuner.StudyScheduler = MidEpochStops  # type: ignore[misc]
    try:
        api.search(
            folder / "shards", folder / "run", config, space_name="noisy_arcmix", on_event=lambda event: None
        )
    except KeyboardInterrupt:
        if MidEpochStops.looked < stops:
            raise
    finally:
        tuner.StudyScheduler = before  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(
            arguments.stops, folder=Path(folder), show=lambda left: print(json.dumps(asdict(left)), flush=True)
        )


if __name__ == "__main__":
    main()
