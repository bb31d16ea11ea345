"""An AWS that is none, for the fake laptop: `python -m tests.fake_cluster.aws account | watch | interrupt ID`.

What it prints is JSON, one document a line. The endpoint and the credentials come from the environment.
"""

import json
import sys
import time
from typing import Any

import boto3
from botocore.config import Config

from tests.launch.test_clusters import make_account

REGION = "us-west-2"
# A request without answer is asked again at once: a minute, boto's patience, is half of a scenario's search.
HASTY = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 10})


def _ec2() -> Any:
    return boto3.client("ec2", region_name=REGION, config=HASTY)


def instances() -> list[dict[str, Any]]:
    """All instances that there have been, in the order of their start."""
    reservations = _ec2().describe_instances()["Reservations"]
    return [
        {
            "id": instance["InstanceId"],
            "type": instance["InstanceType"],
            "market": instance.get("InstanceLifecycle", "on demand"),
            "zone": instance["Placement"]["AvailabilityZone"],
            "address": instance.get("PrivateIpAddress", ""),
            "state": instance["State"]["Name"],
            "kind": next((tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == "ray-node-type"), ""),
        }
        for reservation in reservations
        for instance in reservation["Instances"]
    ]


def main(what: str, *names: str) -> None:
    if what == "account":
        print(json.dumps(make_account(boto3)))  # what the guide has people make
    if what == "interrupt":
        _ec2().terminate_instances(InstanceIds=list(names))
    while what == "watch":
        print(json.dumps(instances()), flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
