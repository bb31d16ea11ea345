"""What tests share: a small corpus of synthetic machines, prepared once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.postgresql import Server, binaries, serving


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A real server of this session's own."""
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL server is installed here: apt-get install postgresql")
    with serving(found) as server:
        yield server


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


@pytest.fixture(scope="session")
def small_dataset(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 of these clips: fan and pump."""
    root = tmp_path_factory.mktemp("small") / "machines"
    for name in ("fan", "pump"):
        shutil.copytree(dataset / name, root / name)
    return root


@pytest.fixture(scope="session")
def small_shards(small_dataset: Path) -> Path:
    from asd_ray.data.prepare import prepare

    out = small_dataset.parent / "shards"
    prepare(small_dataset, out)
    return out


@pytest.fixture(scope="session")
def confirmed_run(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials of one epoch; the best two of both machine types confirmed with two seeds. Copy it first."""
    from tests import local_search

    folder = tmp_path_factory.mktemp("runs") / "confirmed"
    settings = ["search.trials=3", "search.confirm=2", "search.seeds=2", "train.epochs=1"]
    run, plan = local_search.begin(small_shards, folder, settings)
    clips = local_search.clips_for(small_shards, plan)
    local_search.search(folder, run, local_search.Commander(clips, num_classes=len(run.corpus.classes)))
    return folder


@pytest.fixture(scope="session")
def finished_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of two trials of one epoch, searched without Ray. Copy it before changing it."""
    import torch

    from asd_ray.config import RunConfig, replace_settings, with_params
    from asd_ray.data.blocks import add_sgram, blank_labels, collect
    from asd_ray.data.manifest import Manifest, read_shard
    from asd_ray.models.sgram import LogMel
    from asd_ray.search import runfolder
    from asd_ray.search.space import load_space
    from asd_ray.search.storage import open_studies
    from asd_ray.training.trial import Order, Trial

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "first"
    settings = ["model.width=0.0625", "train.epochs=1", "train.batch_size=16", "search.trials=2"]
    config = replace_settings(RunConfig(), settings)
    space, text = load_space("noisy_arcmix")
    plan = runfolder.plan_clips(shards, "auto")
    run = runfolder.plan_run(shards, config, plan=plan, space=space, space_text=text)
    runfolder.open_run(folder, run, clips=plan.clips)
    visible, to_sgram = pa.array(plan.visible_labels), LogMel()
    paths = [shards / shard.path for shard in Manifest.load(shards).shards]
    clips = collect(blank_labels(add_sgram(read_shard(path), to_sgram), visible) for path in paths)
    studies, _ = open_studies(folder, run, take_over=True)
    while (proposal := studies.ask()) is not None:
        order = Order(
            config=with_params(config, proposal.params),
            machine_types=proposal.machine_types,
            score_at=(1,),
            folder=str(folder / runfolder.TRIALS / proposal.uid),
        )
        trial = Trial(order, clips, num_classes=len(run.corpus.classes), device=torch.device("cpu"))
        studies.report(proposal.uid, 1, trial.epoch(1)["objective"])
        studies.tell(proposal.uid, "complete")
    return folder
