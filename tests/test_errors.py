"""Typos get the nearest of what would have been right, and no suggestion where nothing is like them."""

from pathlib import Path

from asd_ray.errors import path_suggestion, suggestion
from asd_ray.files.paths import place


def test_a_word_gets_the_nearest_or_else_all_of_them() -> None:
    assert suggestion("trails", ["trials", "hours"]) == "; did you mean 'trials'?"
    assert suggestion("FAN", ["fan", "pump"]) == "; did you mean 'fan'?"
    assert suggestion("zzz", ["fan", "pump"]) == "; known: fan, pump"


def test_a_path_gets_what_lies_there_under_a_name_like_it(tmp_path: Path) -> None:
    (tmp_path / "runs/first/best").mkdir(parents=True)
    (tmp_path / "runs/first/best/fan.yaml").touch()
    assert path_suggestion(tmp_path / "runs/frist") == f"; did you mean {tmp_path}/runs/first?"
    assert (
        path_suggestion(tmp_path / "runs/first/best/fann.yaml")
        == f"; did you mean {tmp_path}/runs/first/best/fan.yaml?"
    )
    assert path_suggestion(tmp_path / "run/first/best") == f"; did you mean {tmp_path}/runs/first/best?"


def test_a_path_like_nothing_that_is_there_gets_no_suggestion(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert path_suggestion(tmp_path / "xyz") == ""
    assert path_suggestion(tmp_path / "run/other") == ""  # runs/ is there, runs/other is not
    assert path_suggestion(place("s3://bucket/run")) == ""
