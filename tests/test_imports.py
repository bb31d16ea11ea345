"""A process imports what it needs: a search starts a dozen, and each would pay for the libraries of the others."""

import json
import subprocess
import sys

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
