"""What tests share: a small corpus of synthetic machines, prepared once."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray.places import place
from tests import object_storage
from tests.postgresql import Server, binaries, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The example of asd_ray.api is a whole search."""
    for item in items:
        if item.name == "asd_ray.api":
            item.add_marker(pytest.mark.slow)


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
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """156 clips: six machine types, two machines of each."""
    from asd_ray.data.synthetic import write_corpus

    root = tmp_path_factory.mktemp("dataset") / "machines"
    return write_corpus(root, ids_per_type=2, train_per_id=5, test_normal_per_id=4, test_anomaly_per_id=4)


@pytest.fixture(scope="session")
def shards(dataset: Path) -> Path:
    return prepared(dataset)


@pytest.fixture(scope="session")
def small_dataset(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 of these clips: fan and pump."""
    root = tmp_path_factory.mktemp("small") / "machines"
    for name in ("fan", "pump"):
        shutil.copytree(dataset / name, root / name)
    return root


@pytest.fixture(scope="session")
def small_shards(small_dataset: Path) -> Path:
    return prepared(small_dataset)


@pytest.fixture(scope="session")
def finished_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of two trials of one epoch, searched without Ray. Copy it before changing it."""
    return searched(shards, tmp_path_factory, "search.trials=2")


@pytest.fixture(scope="session")
def confirmed_run(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials of one epoch; the best two of both machine types confirmed with two seeds. Copy it first."""
    return searched(small_shards, tmp_path_factory, "search.trials=3", "search.confirm=2", "search.seeds=2")


def prepared(dataset: Path) -> Path:
    from asd_ray.data.prepare import prepare

    out = dataset.parent / "shards"
    prepare(dataset, out)
    return out


def searched(shards: Path, tmp_path_factory: pytest.TempPathFactory, *settings: str) -> Path:
    from tests import local_search

    folder = tmp_path_factory.mktemp("runs") / "run"
    run, plan = local_search.begin(shards, folder, ["train.epochs=1", *settings])
    clips = local_search.clips_for(shards, plan)
    local_search.search(folder, run, local_search.Commander(clips, num_classes=len(run.corpus.classes)))
    return folder
