"""What `asd-ray train` makes of a file of settings, and of a search's result."""

import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from asd_ray.commands import train
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump, read_yaml
from asd_ray.report.render import rebuild


def asked(config: Path, **options: object) -> Namespace:
    return Namespace(**{"config": config, "set": [], "epochs": None, "seed": None, "workers": None} | options)


def test_workers_are_those_of_the_config_unless_given(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text("lanes: {workers: 2}\n")
    assert train.read_config(asked(path))[0].lanes.workers == 2
    assert train.read_config(asked(path, workers=3))[0].lanes.workers == 3


def test_a_result_of_a_search_that_lacks_something_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "fan.yaml"
    path.write_text("machine_type: fan\nconfig: {train: {epochs: 3}}\n")
    with pytest.raises(InputError, match=r"fan.yaml:1: .*missing|fan.yaml:1: .*required"):
        train.read_config(asked(path))


def test_other_clips_than_those_of_the_search_are_refused(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    rebuild(folder)
    best = folder / "best" / "fan.yaml"
    document, _ = read_yaml(best)
    best.write_text(dump(document | {"fingerprint": "another"}))
    with pytest.raises(InputError, match=r"not the clips that .*fan.yaml was found with; .*give --data"):
        train.main(asked(best, data=None, out=None))
