"""Find the loss that detects the anomalies of each machine type best.

    asd-ray tune                                   # a small search on a built-in corpus
    asd-ray tune --data datasets/ --dry-run        # what that would do, and how long it would take
    asd-ray tune --data shards/ --run runs/first   # your recordings, or shards made of them
    asd-ray tune --data shards/ --run runs/first --trials 120   # the same search, further

Call a stopped search again in the same way, and it goes on where it was, even after a crash.
"""

import argparse
import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from asd_ray.errors import DONE, FAILED, InputError, hide_passwords
from asd_ray.files.paths import is_object, place
from asd_ray.interrupts import interruptible, status_of
from asd_ray.invocation import call_of
from asd_ray.shipped import preset

if TYPE_CHECKING:  # what needs torch and ray is imported after parsing, so that --help is quick
    from asd_ray.config import RunConfig
    from asd_ray.console.lines import View
    from asd_ray.data.manifest import Manifest
    from asd_ray.deadline import Deadline
    from asd_ray.search.events import OnEvent
    from asd_ray.tracking.tracker import Tracker

QUICK = "quick"  # the settings of a search without --data and --config
SPACES = {"tastgram": "noisy_arcmix"}  # of a system, unless it has the system's own name
# Options that are short for a setting of the config.
SHORT = {
    "system": "model.name",
    "trials": "search.trials",
    "epochs": "train.epochs",
    "scope": "search.scope",
    "sampler": "search.sampler",
    "protocol": "score.protocol",
    "objective": "score.objective",
    "score": "score.name",
    "lanes": "lanes.count",
    "workers": "lanes.workers",
    "seed": "search.seed",
    "hours": "search.hours",
    "stop_when": "search.stop_when",
    "warm_start": "search.warm_start",  # a list reads as YAML
    "enqueue": "search.enqueue",
    "confirm": "search.confirm",
    "seeds": "search.seeds",
}


class Searched(TypedDict):
    """What a search and a look at its end are asked alike."""

    space_name: str
    storage: str | None
    call: str
    on_event: "OnEvent"


def add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is searched")
    what.add_argument("--data", type=place, help="shards, or a folder of recordings (default: a built-in corpus)")
    what.add_argument("--run", type=place, help="run folder (default: below runs/, named after what is searched)")
    what.add_argument(
        "--config", type=place, help="YAML file of settings, or quick (default: the published settings)"
    )
    what.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="one setting, e.g. model.width=0.5"
    )
    what.add_argument(
        "--system", metavar="NAME", help="network, loss and score that belong together (default tastgram)"
    )
    what.add_argument(
        "--space",
        help="search space, by name or file (default: the one named after the system; for tastgram noisy_arcmix)",
    )
    what.add_argument(
        "--scope",
        choices=["joint", "own"],
        help="machine types that a trial trains on: all, or one (default joint)",
    )
    what.add_argument(
        "--protocol",
        choices=["auto", "dcase", "split", "paper"],
        help="which labels choose the config, and which report (docs/protocols.md)",
    )
    what.add_argument(
        "--objective",
        help="what is maximised: mean (of AUC and pAUC, the default), auc, pauc or mauc; several: auc,pauc; "
        "or proxy, which needs no labels (docs/label-free.md)",
    )
    what.add_argument(
        "--score",
        metavar="NAME",
        help="how a network is read as an anomaly score: margin_cross_entropy (the default), cross_entropy, "
        "centre, neighbours, mahalanobis; or auto, which takes the best on the choosing clips per machine type",
    )
    what.add_argument("--resample", action="store_true", help="convert recordings of other sample rates to 16 kHz")
    long = parser.add_argument_group("how long")
    long.add_argument(
        "--trials", type=int, help="number of trials in all, over all machine types and all calls (default 60)"
    )
    long.add_argument("--epochs", type=int, help="epochs of a trial that is not pruned (default 300)")
    long.add_argument(
        "--hours", type=float, help="time limit of this call; the next call finishes what was running"
    )
    long.add_argument(
        "--stop-when", metavar="RULE", help="end the search early: 'no gain for 20 trials' of any machine type"
    )
    start = parser.add_argument_group("where it begins (each option may be given more than once)")
    start.add_argument(
        "--warm-start",
        action="append",
        metavar="RUN",
        help="learn from an earlier search: from its results, or by trying its best configs early",
    )
    start.add_argument(
        "--enqueue", action="append", metavar="CONFIG", help="try this config, or best/<type>.yaml, early"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="print what the search would do, its time and its memory; write nothing",
    )
    how.add_argument(
        "--sampler", choices=["auto", "gp", "tpe", "random"], help="how studies propose configs (default auto)"
    )
    how.add_argument("--seed", type=int, help="seed of the search (default 0)")
    how.add_argument(
        "--confirm", type=int, metavar="K", help="train the K best configs of each machine type again (default 0)"
    )
    how.add_argument("--seeds", type=int, metavar="S", help="number of fresh seeds for each of them (default 5)")
    books = parser.add_argument_group("experiment tracking, besides the TensorBoard files in the run folder")
    books.add_argument("--mlflow", metavar="URI", help="write a run per trial to this MLflow server or database")
    books.add_argument(
        "--wandb",
        action="store_true",
        help="write a run per trial to Weights & Biases; WANDB_MODE=offline keeps files",
    )
    where = parser.add_argument_group("where it runs")
    where.add_argument("--lanes", type=int, help="number of trials that run at a time (default: as many as fit)")
    where.add_argument(
        "--workers", type=int, help="number of workers that train one trial data-parallel (default 1)"
    )
    where.add_argument(
        "--storage", metavar="URL", help="PostgreSQL server that keeps the studies (default: $ASD_STORAGE, if set)"
    )
    where.add_argument("--inline", action="store_true", help="train inside Tune's own process, for debugging")
    where.add_argument(
        "--address",
        metavar="CLUSTER",
        help="Ray cluster: auto or host:port joins it, http(s)://host:port sends the search there (default: none)",
    )
    where.add_argument("--follow", metavar="RUN", help="show the output of a search that was sent to --address")
    where.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="environment variable to pass on to a search that is sent to a cluster",
    )
    where.add_argument("--insecure", action="store_true", help="connect even to a cluster without authentication")


def settings_file(arguments: argparse.Namespace) -> Path | None:
    """The file that --config means: a file of that name, or else settings that come with the package."""
    given: Path | None = arguments.config
    if given is None:
        return None if arguments.data else preset(QUICK)
    return config_file(given)


def config_file(given: Path) -> Path:
    """The file of a --config that may be the name of a preset."""
    return given if given.is_file() else preset(str(given)) or given


def default_space(config: "RunConfig") -> str:
    """The search space of the config's system."""
    return SPACES.get(config.model.name, config.model.name)


def settings(arguments: argparse.Namespace) -> list[str]:
    given = {name: getattr(arguments, key) for key, name in SHORT.items()}
    short = [f"{name}={value}" for name, value in given.items() if value is not None]
    return [*short, *(["lanes.inline=true"] if arguments.inline else []), *arguments.set]


def main(arguments: argparse.Namespace) -> int:
    from asd_ray.cluster import address
    from asd_ray.config import load_config

    began = time.monotonic()
    config = load_config(settings_file(arguments), settings(arguments))
    arguments.space = arguments.space or default_space(config)
    if arguments.dry_run:
        return dry_run(arguments, config)
    if address.is_for_a_job(arguments):
        return address.run_as_job(arguments, config.search)
    joined = address.joined_address(arguments.address, insecure=arguments.insecure)
    from asd_ray import api  # after the config is known to be good: this imports torch and ray
    from asd_ray.console.ending import print_end
    from asd_ray.data.manifest import Manifest
    from asd_ray.deadline import Deadline
    from asd_ray.errors import EnvironmentFailure
    from asd_ray.report.finished import ending_of
    from asd_ray.search.preflight import check_call
    from asd_ray.tracking.tensorboard import TensorBoard

    # The whole of it is checked by the search; this much before recordings are prepared, which may take hours.
    check_call(config, space_name=arguments.space, folder=arguments.run, storage=arguments.storage)
    trackers = asked_trackers(arguments)
    shards = find_shards(arguments)
    folder = arguments.run or api.name_run(shards, config, arguments.space)
    manifest = Manifest.load(shards)
    print_plan(manifest, shards, folder, config)
    deadline = Deadline(config.search.hours, began=began)
    go_on = f"go on with: {call_of('tune')} {again(arguments, folder)}"
    try:
        with (
            open_view_of(manifest, config, deadline) as view,
            interruptible(f"interrupted; {go_on}", say=view.say),
        ):
            what: Searched = {
                "space_name": arguments.space,
                "storage": arguments.storage,
                "call": f"{call_of('tune')} {called(arguments)}".rstrip(),
                "on_event": view.on_event,
            }
            # A tracker that was asked for is told of this call, and may warn, even if there is nothing to do.
            ending = None if trackers else api.find_finished(shards, folder, config, **what)
            if ending is None:
                summary = api.search(
                    shards,
                    folder,
                    config,
                    **what,
                    deadline=deadline,
                    address=joined,
                    trackers=trackers if is_object(folder) else [TensorBoard(), *trackers],
                )
                ending = ending_of(summary)
    except KeyboardInterrupt as interrupt:
        return status_of(interrupt)
    except EnvironmentFailure as error:
        print(f"the search stopped: {error}", file=sys.stderr)
        print(go_on, file=sys.stderr)
        return FAILED
    print_end(folder, ending)
    return DONE if deadline.over or ending.is_whole else FAILED


def dry_run(arguments: argparse.Namespace, config: "RunConfig") -> int:
    """What the search would do and take on this machine."""
    if arguments.address:
        raise InputError(f"--dry-run looks at this machine; leave --address {arguments.address} out")
    from rich.console import Console

    from asd_ray import api
    from asd_ray.console.dry_run import print_forecast
    from asd_ray.search.preflight import check_call

    data = arguments.data
    asked_trackers(arguments, writes=False)
    print(data or f"no --data given: the built-in corpus of synthetic machines in {api.SYNTHETIC}", flush=True)
    folder = arguments.run
    if folder is None and data is not None and api.is_prepared(data):  # then the run has its name already
        check_call(config, space_name=arguments.space, storage=arguments.storage)
        folder = api.name_run(data, config, arguments.space)
    found = api.forecast(
        data,
        config,
        space_name=arguments.space,
        valid_fraction=valid_fraction(arguments),
        folder=folder,
        storage=arguments.storage,
    )
    print_forecast(found, Console(markup=False, highlight=False))
    print("nothing was written; the same call without --dry-run begins")
    return DONE


def valid_fraction(arguments: argparse.Namespace) -> float:
    """Of the training clips; a small corpus needs more, or a threshold has too few clips to be fitted to."""
    return 0.25 if arguments.data is None else 0.05


def asked_trackers(arguments: argparse.Namespace, *, writes: bool = True) -> "list[Tracker]":
    """Those of the command line; their packages are extras."""
    asked: list[Tracker] = []
    if arguments.mlflow is not None:
        from asd_ray.tracking.mlflow import MLflow

        asked.append(MLflow(arguments.mlflow, writes=writes))
    if arguments.wandb:
        from asd_ray.tracking.wandb import WandB

        asked.append(WandB())
    return asked


def find_shards(arguments: argparse.Namespace) -> Path:
    """The shards of --data; without it, those of the built-in corpus."""
    from asd_ray import api

    built_in = arguments.data is None
    if built_in:
        print(f"no --data given: using the built-in corpus of synthetic machines in {api.SYNTHETIC}")
        print(f"corpus, shards and runs are kept below the working directory, {Path.cwd()}")
    return api.find_shards(
        api.synthetic_dataset() if built_in else arguments.data,
        valid_fraction=valid_fraction(arguments),
        resample=arguments.resample,
        on_progress=print_progress,
    )


def called(arguments: argparse.Namespace) -> str:
    """The arguments of this call, without passwords."""
    return shlex.join(hide_passwords(word) for word in arguments.words)


def again(arguments: argparse.Namespace, folder: Path) -> str:
    """The arguments that continue this search."""
    words = called(arguments)
    return words if arguments.run else f"{words} --run {shlex.quote(str(folder))}".lstrip()


def print_progress(done: int, total: int) -> None:
    if done == total:
        print(f"checked {total} recordings", flush=True)


def print_plan(manifest: "Manifest", shards: Path, folder: Path, config: "RunConfig") -> None:
    from asd_ray.training.rungs import rungs_of

    types = {name for name, _ in manifest.classes}
    print(
        f"{shards}: {len(types)} machine types, {len(manifest.classes)} machines; "
        f"{manifest.count_clips('train')} training, {manifest.count_clips('valid')} validation "
        f"and {manifest.count_clips('test')} test clips"
    )
    if manifest.quarantined:
        print(f"{manifest.quarantined} recordings were left out: see {shards / 'quarantine.csv'}")
    search, train = config.search, config.train
    print(f"{search.trials} trials in all, of up to {train.epochs} epochs; results in {folder}")
    at = rungs_of(search, train.epochs)
    joint = search.scope == "joint"
    what = (
        "one network on all machines, scored for every machine type" if joint else "a network on one machine type"
    )
    print(f"each trains {what} (in per cent; chance is 50), and is named after")
    pruned = f"; after {at[0]} epochs one in {search.eta} goes on, the others are pruned" if at else ""
    print(f"the machine type whose study proposed it{pruned}", flush=True)


def open_view_of(manifest: "Manifest", config: "RunConfig", deadline: "Deadline") -> "View":
    from asd_ray.console.live import open_view
    from asd_ray.console.progress import Progress

    clips: Counter[str] = Counter()
    for shard in manifest.shards_of(["train"]):
        clips[shard.machine_type] += shard.rows
    return open_view(Progress(epochs=config.train.epochs, train_clips=clips), deadline=deadline)
