"""The three things that people do, as functions: prepare, search, train. The commands in launch/ call them."""

import hashlib
from pathlib import Path

from asd_ray.config import RunConfig, signature
from asd_ray.data.manifest import MANIFEST, Manifest
from asd_ray.data.prepare import Progress, prepare
from asd_ray.data.synthetic import write_corpus
from asd_ray.report.render import rebuild
from asd_ray.report.summary import Summary
from asd_ray.search import runfolder
from asd_ray.search.journal import run_lock
from asd_ray.search.space import load_space
from asd_ray.search.tuner import Tell, run_search

__all__ = ["find_shards", "name_run", "prepare", "search", "synthetic_dataset"]

SYNTHETIC = Path("datasets") / "synthetic"
SHARDS = Path("shards")


def synthetic_dataset() -> Path:
    """The built-in corpus, made once: six machine types, three machines of each."""
    return write_corpus(SYNTHETIC, train_per_id=12, test_normal_per_id=8, test_anomaly_per_id=8)


def find_shards(data: Path, *, resample: bool = False, on_progress: Progress | None = None) -> Path:
    """The shard folder of a data folder: itself, or, for a folder of recordings, one prepared for it."""
    if (data / MANIFEST).exists():
        return data
    mark = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]
    shards = SHARDS / f"{data.resolve().name}-{mark}"
    prepare(data, shards, resample=resample, on_progress=on_progress)
    return shards


def name_run(shards: Path, config: RunConfig, space_name: str) -> Path:
    """A run folder named after what is searched: the same search has the same name."""
    manifest = Manifest.load(shards)
    _, text = load_space(space_name)
    return Path("runs") / f"{shards.name}-{signature(config, manifest.fingerprint, text)}"


def search(shards: Path, folder: Path, config: RunConfig, *, space_name: str, tell: Tell) -> Summary:
    """Search the best config for every machine type; goes on with what the run folder holds.

    Raises InputError for what a user can mend, KeyboardInterrupt when interrupted.
    """
    space, text = load_space(space_name)
    run, clips = runfolder.plan_run(shards, config, space=space, space_text=text)
    space.check_against(config, tuple(run.machine_types), where=space_name)
    with run_lock(folder):
        runfolder.open_run(folder, run, clips=clips)
        for name, reason in run.not_searchable.items():
            tell(f"{name} is trained on but not searched: {reason}")
        run_search(folder, run, visible_labels=runfolder.choosing_clips(clips), tell=tell)
        return rebuild(folder)
