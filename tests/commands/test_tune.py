"""The command's options: what they set, and what is refused, in one line, before anything is searched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray import commands
from asd_ray.commands import tune
from asd_ray.config import RunConfig, load_config, replace_settings, science
from asd_ray.errors import InputError

SCRIPT = Path(__file__).parents[2] / "launch/tune.py"


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=os.environ | {"COLUMNS": "120"}
    )


def config_of(*arguments: str) -> RunConfig:
    """The config that a command line means."""
    return load_config(None, tune.settings(commands.parse("tune", arguments)))


def test_help_is_grouped_and_does_not_wait_for_ray_or_torch(tmp_path: Path) -> None:
    imports = [sys.executable, "-X", "importtime", str(SCRIPT), "--help"]
    shown = subprocess.run(imports, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not any(f" {name}\n" in shown.stderr for name in ("ray", "torch", "pyarrow", "numpy"))
    groups = ["what is searched:", "how long:", "where it begins", "how:", "where it runs:"]
    places = [shown.stdout.index(group) for group in groups]
    assert places == sorted(places)


def test_budgets_and_starts_are_settings_of_the_search() -> None:
    config = config_of(
        *("--hours", "1.5", "--stop-when", "no gain for 20 trials", "--objective", "pauc,auc"),
        *("--warm-start", "runs/it's old", "--warm-start", "runs/b", "--enqueue", "best/fan.yaml"),
    )
    search = config.search
    assert (search.hours, search.stop_when) == (1.5, "no gain for 20 trials")
    assert search.warm_start == ["runs/it's old", "runs/b"]
    assert search.enqueue == ["best/fan.yaml"]
    assert config.score.objective == "auc,pauc"  # in one order, however it is written
    assert config.score.objectives == ("auc", "pauc")


def test_budgets_and_starts_do_not_make_it_another_search() -> None:
    more = ["--hours", "1", "--stop-when", "no gain for 2 trials", "--warm-start", "a", "--enqueue", "b"]
    assert science(config_of(*more)) == science(RunConfig())
    assert science(config_of("--objective", "auc,pauc")) != science(RunConfig())


@pytest.mark.parametrize("name", ["mean", "auc", "pauc", "mauc", "auc,pauc", "auc,mauc", "auc,pauc,mauc"])
def test_these_objectives_are_known(name: str) -> None:
    config = replace_settings(RunConfig(), [f"score.objective={name}"])
    assert config.score.objectives == tuple(name.split(","))


@pytest.mark.parametrize(
    "name", ["auc,mean", "mean,mean", "auc,auc", "AUC", "auc, pauc", "auc,", "", "[auc, pauc]", "7"]
)
def test_other_objectives_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="use mean, auc, pauc or mauc, or several of the last three: auc,pauc"):
        replace_settings(RunConfig(), [f"score.objective={name}"])


def test_bad_options_are_one_line_before_anything_is_written(tmp_path: Path) -> None:
    for arguments, said in [
        (["--stop-when", "soon"], "got 'soon'; write it as 'no gain for 20 trials'"),
        (["--hours", "-1"], "search.hours: input should be greater than 0, got -1.0"),
        (["--system", "tastgra"], "system 'tastgra' is unknown; did you mean 'tastgram'?"),
        (["--space", "arcfase"], "--space arcfase: no such search space; did you mean 'arcface'?"),
        (["--dry-run", "--mlflow", "notauri://x"], "--mlflow notauri://x: "),
        (["--dry-run", "--enqueue", "nowhere.yaml"], "nowhere.yaml: No such file"),
    ]:
        call = run(*arguments, cwd=tmp_path)
        assert call.returncode == 2
        assert said in call.stderr
        assert call.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
