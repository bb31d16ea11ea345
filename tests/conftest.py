"""What tests share: a small corpus of synthetic machines, prepared once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """156 clips: six machine types, two machines of each."""
    from asd_ray.data.synthetic import write_corpus

    root = tmp_path_factory.mktemp("dataset") / "machines"
    return write_corpus(root, ids_per_type=2, train_per_id=5, test_normal_per_id=4, test_anomaly_per_id=4)


@pytest.fixture(scope="session")
def shards(dataset: Path) -> Path:
    from asd_ray.data.prepare import prepare

    out = dataset.parent / "shards"
    prepare(dataset, out)
    return out
