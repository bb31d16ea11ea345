"""What tests share: a small corpus of synthetic machines, prepared once."""

from pathlib import Path

import pyarrow as pa
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
