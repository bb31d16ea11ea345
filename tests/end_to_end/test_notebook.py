"""A search in a program that has started Ray itself, a notebook say, prints nothing and changes nothing there."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.extra, pytest.mark.timeout(300)]
PROGRAM = """
import os, sys
from pathlib import Path

import ray

ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=300 * 2**20)
before = dict(os.environ)
print("begins", flush=True)
print("begins", file=sys.stderr, flush=True)
from asd_ray import api
from asd_ray.config import RunConfig, replace_settings

settings = ["model.width=0.0625", "train.epochs=1", "search.trials=2", "lanes.count=1"]
api.search(Path(sys.argv[1]), Path(sys.argv[2]), replace_settings(RunConfig(), settings))
changed = {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}
print("changed", sorted(name for name in changed if not name.startswith("KMP_")))  # those are scikit-learn's
ray.get(ray.remote(lambda: None).remote())  # Ray is there as before
print("ends")
"""


def test_a_search_beside_a_running_ray_is_quiet_and_leaves_it_as_it_was(
    small_shards: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(small_shards), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("begins\n", 1)[1] == "changed []\nends\n"
    assert done.stderr.split("begins\n", 1)[1] == ""
    assert (tmp_path / "run" / "best" / "fan.yaml").exists()
