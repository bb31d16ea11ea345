"""A process imports what it needs: a search starts a dozen, and each would pay for the libraries of the others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STATISTICS = ("matplotlib", "scipy", "sklearn")  # of reports, and of scores once there is something to score
SERVERS = ("psycopg", "sqlalchemy")
PUBLISHED = """
import numpy
from asd_ray.scoring.scores import PUBLISHED, Outputs, make_score
logits_BC = numpy.zeros((1, 2))
make_score(PUBLISHED).score(Outputs(logits_BC, logits_BC, logits_BC, numpy.array([0])))
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import asd_ray.config", ("numpy", "ray", "torch")),
        ("import asd_ray.lanes.mailbox", ("numpy", "ray", "torch")),
        ("import asd_ray.lanes.serve", (*STATISTICS, *SERVERS, "optuna")),
        ("import asd_ray.api", (*STATISTICS, *SERVERS, "ray", "torch")),
        ("import asd_ray.tracking.tensorboard", (*STATISTICS, "boto3", "ray", "tensorboardX", "torch")),
        (PUBLISHED, ("matplotlib", "scipy.stats", "sklearn")),
    ],
    ids=["config", "mailbox", "worker", "driver", "tracker", "published score"],
)
def test_a_process_imports_no_library_that_it_does_not_need(code: str, unwanted: tuple[str, ...]):
    asked = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules.keys() & set({unwanted})))) "
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert json.loads(shown.splitlines()[-1]) == []


def test_a_search_that_is_finished_shows_its_end_again_and_imports_nothing_slow(
    finished_run: Path, shards: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    settings = ("model.width=0.0625", "train.batch_size=16", "train.learning_rate=0.002")
    words = ["tune", "--data", str(shards), "--run", "run", "--trials", "2", "--epochs", "1"]
    words += [word for setting in settings for word in ("--set", setting)]
    heavy = {*STATISTICS, *SERVERS, "boto3", "jinja2", "pandas", "ray", "tensorboardX", "torch"}
    code = f"""
import atexit, json, sys
from asd_ray.commands import run
atexit.register(lambda: print(json.dumps(sorted(sys.modules.keys() & {heavy}))))
run({words})
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout
        for _ in range(2)
    )
    assert "torch" in json.loads(first.splitlines()[-1])
    assert json.loads(second.splitlines()[-1]) == []
    assert second.splitlines()[:-1] == first.splitlines()[:-1]
    assert "next:" in second
