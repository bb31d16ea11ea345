"""What tests share: a small corpus of synthetic machines, prepared once."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Threads of torch that share a core with another test wait for each other, spinning: one log-mel takes a hundred
# times as long. So a process that runs tests has one, as have the commands that it starts. Before torch comes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from asd_ray.files.paths import place
from tests import object_storage
from tests.postgresql import Server, binaries, serving

MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The example of asd_ray.api is a whole search."""
    for item in items:
        if item.name == "asd_ray.api":
            item.add_marker(pytest.mark.extra)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A real server of this session's own."""
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL server is installed here: apt-get install postgresql")
    with serving(found) as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """The environment in which s3:// is a real server of this session's own."""
    with object_storage.serving() as environment:
        yield environment


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A name in that server for the objects of one test, in this process and those that it starts."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return place(f"s3://{object_storage.BUCKET}/{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """`made_once(name, make)`: a folder that `make` has filled, in whichever process of these tests came first."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, complete = shared / name, shared / f"{name}.complete"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                make(folder)
                complete.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def dataset(made_once: MakeOnce) -> Path:
    """156 clips: six machine types, two machines of each. Copy it before changing it, and all that follow."""
    from asd_ray.data.synthetic import write_corpus

    def make(folder: Path) -> None:
        write_corpus(folder, ids_per_type=2, train_per_id=5, test_normal_per_id=4, test_anomaly_per_id=4)

    return made_once("machines", make)


@pytest.fixture(scope="session")
def shards(dataset: Path, made_once: MakeOnce) -> Path:
    return made_once("shards", lambda folder: prepared(dataset, folder))


@pytest.fixture(scope="session")
def small_dataset(dataset: Path, made_once: MakeOnce) -> Path:
    """52 of these clips: fan and pump."""

    def make(folder: Path) -> None:
        for name in ("fan", "pump"):
            shutil.copytree(dataset / name, folder / name)

    return made_once("small", make)


@pytest.fixture(scope="session")
def small_shards(small_dataset: Path, made_once: MakeOnce) -> Path:
    return made_once("small-shards", lambda folder: prepared(small_dataset, folder))


@pytest.fixture(scope="session")
def finished_run(shards: Path, made_once: MakeOnce) -> Path:
    """The run folder of two trials of one epoch, searched without Ray."""
    return made_once("finished-run", lambda folder: searched(shards, folder, "search.trials=2"))


@pytest.fixture(scope="session")
def confirmed_run(small_shards: Path, made_once: MakeOnce) -> Path:
    """Three trials of one epoch; the best two of both machine types confirmed with two seeds."""
    settings = ["search.trials=3", "search.confirm=2", "search.seeds=2"]
    return made_once("confirmed-run", lambda folder: searched(small_shards, folder, *settings))


def prepared(dataset: Path, out: Path) -> None:
    from asd_ray.data.prepare import prepare

    prepare(dataset, out)


def searched(shards: Path, folder: Path, *settings: str) -> Path:
    """A run folder, of trials of one epoch unless the settings say more."""
    from tests import local_search

    run, plan = local_search.begin(shards, folder, ["train.epochs=1", *settings])
    clips = local_search.clips_for(shards, plan)
    local_search.search(folder, run, local_search.Commander(clips, num_classes=len(run.corpus.classes)))
    return folder
