"""The functions behind the commands: what they refuse, and where they put what they make."""

from pathlib import Path

import pytest

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.errors import InputError
from asd_ray.search.preflight import check_call
from tests.hidden import hidden


def test_shards_of_other_options_lie_elsewhere(
    small_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(api, "SHARDS", tmp_path / "shards")
    monkeypatch.setattr(api, "prepare", lambda *_, **__: None)
    some = api.find_shards(small_dataset, valid_fraction=0.25)
    assert api.find_shards(small_dataset, valid_fraction=0.25) == some
    assert api.find_shards(small_dataset, valid_fraction=0.05) != some
    assert api.find_shards(small_dataset, valid_fraction=0.25, resample=True) != some
    assert some.parent == tmp_path / "shards"


def test_a_score_that_a_system_does_not_have_is_refused(small_dataset: Path) -> None:
    config = replace_settings(RunConfig(), ["score.name=own_evidence"])
    with pytest.raises(InputError, match="score own_evidence: tastgram has none of its own; use auto, or one of"):
        api.forecast(small_dataset, config, space_name="noisy_arcmix")


def test_a_system_whose_package_is_missing_is_refused_before_anything_starts(
    small_dataset: Path, small_shards: Path, tmp_path: Path
) -> None:
    flow, run = replace_settings(RunConfig(), ["model.name=glow_aff"]), tmp_path / "run"
    with hidden("normflows"):
        for call in (
            lambda: check_call(flow, space_name="glow_aff"),
            lambda: api.forecast(small_dataset, RunConfig(), space_name="systems"),
            lambda: api.search(small_shards, run, space_name="systems"),
            lambda: api.search(small_shards, run, flow, space_name="glow_aff"),
            lambda: api.train(small_shards, run, flow, on_epoch=print),
        ):
            with pytest.raises(InputError, match=r"^glow_aff: .*; run: pip install 'asd-ray\[systems\]'$"):
                call()
    assert list(tmp_path.iterdir()) == []


def test_folders_may_be_given_as_text(small_shards: Path) -> None:
    assert api.find_shards(str(small_shards)) == small_shards
    assert api.name_run(str(small_shards), RunConfig(), "noisy_arcmix") == api.name_run(
        small_shards, RunConfig(), "noisy_arcmix"
    )
    with pytest.raises(InputError, match="nowhere"):
        api.train("nowhere", "run", RunConfig(), on_epoch=print)
