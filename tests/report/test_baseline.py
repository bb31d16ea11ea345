"""What the report calls the configuration that a search started from."""

import pytest

from asd_ray.config import RunConfig, replace_settings
from asd_ray.report.summary import baseline_name
from asd_ray.search.runfolder import Corpus, Run
from asd_ray.search.space import load_space


def named(space_name: str, *settings: str) -> str:
    space, _ = load_space(space_name)
    run = Run(
        asd_ray="0",
        versions={},
        protocol="split",
        machine_types=["fan"],
        not_searchable={},
        corpus=Corpus(path="shards", fingerprint="a" * 64, classes=[["fan", "id_00"]]),
        config=space.adopt(replace_settings(RunConfig(), settings)),
        space=space,
        space_text="",
    )
    return baseline_name(run)


@pytest.mark.parametrize("space_name", ["noisy_arcmix", "stgram", "stsasgram", "os_scl"])
def test_a_system_with_its_published_numbers_starts_from_the_published_loss(space_name: str) -> None:
    assert named(space_name) == "published loss"
    assert named(space_name, "loss.scale=29") == "starting point"
    assert named(space_name, "loss.pretraining=0.1") == "published loss"  # does not act there


@pytest.mark.parametrize("space_name", ["ae", "glow_aff", "clp_scf", "systems"])
def test_what_has_no_loss_of_numbers_or_no_known_one_starts_from_some_point(space_name: str) -> None:
    assert named(space_name) == "starting point"


def test_numbers_of_another_system_are_not_the_published_ones() -> None:
    assert named("os_scl", "loss.margin=0.7") == "starting point"
    assert named("stgram", "loss.mix_prob=1") == "starting point"
