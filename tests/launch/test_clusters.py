"""The cluster files pass Ray's own checks, and what AWS would be asked for is narrow, encrypted and spot.

AWS is a server of moto's in this process; the network is not touched.
"""

import copy
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = ROOT / "launch" / "clusters"
FOR_RAY_UP = [ROOT / "cluster.yaml", CLUSTERS / "onprem.yaml", CLUSTERS / "gcp.yaml"]
HERE = "203.0.113.7/32"
EVERYBODY = "0.0.0.0/0"
IMAGE = "ami-1e749f67"  # an Ubuntu that moto knows


def load(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """As Ray prepares it. Raises what `ray up` would."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("path", FOR_RAY_UP, ids=lambda path: path.stem)
def test_ray_accepts_the_file_and_refuses_it_with_a_typo(path: Path) -> None:
    config = load(path)
    checked(config)
    with pytest.raises(Exception, match="max_worker"):
        checked({**config, "max_worker": 2})


@pytest.mark.parametrize("path", FOR_RAY_UP, ids=lambda path: path.stem)
def test_every_node_asks_for_a_token_and_the_dashboard_listens_on_loopback(path: Path) -> None:
    config = load(path)
    assert "RAY_AUTH_MODE=token" in (CLUSTERS / "node.env").read_text()
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    for command in starts:
        assert command.startswith(". ~/asd_ray/launch/clusters/node.env;"), command
    head = next(command for command in starts if "--head" in command)
    assert "--dashboard-host=127.0.0.1" in head
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("chmod 600 ~/.ray/auth_token" in command for command in config["setup_commands"])


def test_what_a_node_writes_is_for_its_own_user_alone() -> None:
    asked = subprocess.run(["bash", "-c", f". {CLUSTERS / 'node.env'} && umask"], capture_output=True, text=True)
    assert asked.stdout.strip() == "0077", asked.stderr


@pytest.mark.parametrize("path", FOR_RAY_UP, ids=lambda path: path.stem)
def test_what_is_copied_to_the_nodes_exists_and_is_small(path: Path) -> None:
    files = [ROOT / local for local in load(path)["file_mounts"].values() if not local.startswith("~")]
    assert all(file.exists() for file in files)
    sizes = [part.stat().st_size for file in files for part in (file, *file.rglob("*")) if part.is_file()]
    assert sum(sizes) < 20 * 2**20


@pytest.mark.parametrize("path", [ROOT / "cluster.yaml", CLUSTERS / "gcp.yaml"], ids=lambda path: path.stem)
def test_images_name_the_locked_ray_and_python(path: Path) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    ray = next(line for line in lock.splitlines() if line.startswith("ray==")).split("==")[1].split()[0]
    assert load(path)["docker"]["image"] == f"rayproject/ray:{ray}-py311-gpu"


MEMORY = {  # bytes of the machine types that are shipped
    "r6i.2xlarge": 64 * 2**30,
    "g5.2xlarge": 32 * 2**30,
    "n2-highmem-8": 64 * 2**30,
    "g2-standard-8": 32 * 2**30,
}
DEVELOPMENT_SET = 31_000  # clips of DCASE 2020, as the files say


def check_stores(head: int, worker: int) -> None:
    """The head keeps the clips of DCASE 2020, and a worker takes them in."""
    from asd_ray.clip import bytes_per_clip
    from asd_ray.config import LaneConfig
    from asd_ray.lanes.sizes import _make_room

    room = _make_room(DEVELOPMENT_SET, LaneConfig(), log_mels=1, free=head, where="")
    assert not room.streams, room.words
    assert worker > 1.05 * DEVELOPMENT_SET * bytes_per_clip(1)


@pytest.mark.parametrize("path", [ROOT / "cluster.yaml", CLUSTERS / "gcp.yaml"], ids=lambda path: path.stem)
def test_the_head_keeps_the_clips_of_dcase_2020_and_a_worker_takes_them_in(path: Path) -> None:
    config = load(path)
    stores = []
    for node_type, role in (("head", "head"), ("gpu_spot", "worker")):
        store = int(re.findall(r"--object-store-memory=(\d+)", config[f"{role}_start_ray_commands"][-1])[0])
        [shared] = re.findall(r"--shm-size=(\d+)g", " ".join(config["docker"][f"{role}_run_options"]))
        machine = config["available_node_types"][node_type]["node_config"]
        memory = MEMORY[machine.get("InstanceType") or machine["machineType"]]
        # Ray does not start with a store that is larger than /dev/shm; the other half is for the processes.
        assert store < int(shared) * 2**30 < memory / 2
        stores.append(store)
    check_stores(*stores)


def test_pods_keep_the_clips_of_dcase_2020_too() -> None:
    cluster = load(CLUSTERS / "kuberay.yaml")["spec"]["rayClusterSpec"]
    stores = []
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        store = int(group["rayStartParams"]["object-store-memory"])
        pod = group["template"]["spec"]
        [shared] = [one["emptyDir"]["sizeLimit"] for one in pod["volumes"] if one["name"] == "shm"]
        memory = pod["containers"][0]["resources"]["limits"]["memory"]
        assert store < int(shared.removesuffix("Gi")) * 2**30
        assert int(shared.removesuffix("Gi")) < 0.6 * int(memory.removesuffix("Gi"))
        stores.append(store)
    check_stores(*stores)


def test_all_machines_of_ones_own_may_join() -> None:
    config = load(CLUSTERS / "onprem.yaml")
    assert config["max_workers"] == len(config["provider"]["worker_ips"])
    assert "RAY_enable_autoscaler_v2=0" in config["head_start_ray_commands"][-1]  # or one is left out


# --- AWS ---


@dataclass
class Aws:
    """An account with the stack of aws_account.yaml, and cluster.yaml as Ray completes it there."""

    boto: Any
    stack: dict[str, str]  # outputs
    config: dict[str, Any]

    def client(self, name: str) -> Any:
        return self.boto.client(name, region_name="us-west-2")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    import boto3
    from moto.server import ThreadedMotoServer

    home = tmp_path_factory.mktemp("home")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(home),
        }.items():
            patch.setenv(name, value)
        patch.chdir(ROOT)
        found = Aws(boto3, make_account(boto3), {})
        found.config = completed(found)
        yield found
    server.stop()


def make_account(boto: Any) -> dict[str, str]:
    """The stack that the guide has people make; its outputs."""
    ec2, formation = (boto.client(name, region_name="us-west-2") for name in ("ec2", "cloudformation"))
    vpc = next(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["IsDefault"])
    formation.create_stack(
        StackName="asd-search",
        TemplateBody=(CLUSTERS / "aws_account.yaml").read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": "MyAddress", "ParameterValue": HERE},
            {"ParameterKey": "Vpc", "ParameterValue": vpc},
        ],
    )
    outputs = formation.describe_stacks(StackName="asd-search")["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def fill_in(group: str) -> dict[str, Any]:
    """cluster.yaml with what a person fills in."""
    text = (ROOT / "cluster.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(text.replace("sg-REPLACE_ME", group).replace("ami-REPLACE_ME", IMAGE))
    return config


def completed(aws: Aws) -> dict[str, Any]:
    from ray.autoscaler._private.commands import _bootstrap_config

    filled_in = fill_in(aws.stack["SecurityGroup"])
    assert "REPLACE_ME" not in json.dumps(filled_in)
    config: dict[str, Any] = _bootstrap_config(checked(filled_in), no_config_cache=True)
    return config


def test_only_ssh_from_one_address_and_the_cluster_itself_reach_its_machines(aws: Aws) -> None:
    groups = aws.client("ec2").describe_security_groups()["SecurityGroups"]
    assert not [group["GroupName"] for group in groups if group["GroupName"].startswith("ray-")]
    own = next(group for group in groups if group["GroupId"] == aws.stack["SecurityGroup"])
    for node_type in aws.config["available_node_types"].values():
        assert node_type["node_config"]["SecurityGroupIds"] == [own["GroupId"]]
    inbound = own["IpPermissions"]
    assert EVERYBODY not in json.dumps(inbound)
    assert "Ipv6" not in json.dumps([rule for rule in inbound if rule.get("Ipv6Ranges")])
    from_outside = [(rule["FromPort"], at["CidrIp"]) for rule in inbound for at in rule["IpRanges"]]
    assert from_outside == [(22, HERE)]
    among = [pair["GroupId"] for rule in inbound for pair in rule["UserIdGroupPairs"]]
    assert among == [own["GroupId"]]


def statements(aws: Aws) -> dict[str, list[dict[str, Any]]]:
    """What each role may do; fails where a role has a policy of Amazon's."""
    iam = aws.client("iam")
    found: dict[str, list[dict[str, Any]]] = {}
    for role in iam.list_roles()["Roles"]:
        policies = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
        for policy in policies:
            assert "::aws:" not in policy["PolicyArn"], policy
            version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            document = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
            found.setdefault(role["RoleName"], []).extend(document["PolicyVersion"]["Document"]["Statement"])
    return found


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_no_role_holds_a_wildcard(aws: Aws) -> None:
    roles = statements(aws)
    assert sorted(roles) == ["asd-search-head", "asd-search-worker"]  # and none of Ray's making
    for statement in (statement for role in roles.values() for statement in role):
        actions = as_list(statement["Action"])
        assert not [action for action in actions if "*" in action]
        if "*" in as_list(statement["Resource"]):
            assert all(action.startswith("ec2:Describe") for action in actions), statement


def test_workers_may_use_the_bucket_and_nothing_else(aws: Aws) -> None:
    actions = {action for item in statements(aws)["asd-search-worker"] for action in as_list(item["Action"])}
    assert {action.split(":")[0] for action in actions} == {"s3"}
    profiles = {
        name: node_type["node_config"]["IamInstanceProfile"]
        for name, node_type in aws.config["available_node_types"].items()
    }
    assert profiles == {"head": {"Name": "asd-search-head"}, "gpu_spot": {"Name": "asd-search-worker"}}


def test_the_head_may_start_and_end_machines_of_this_cluster_and_type_only(aws: Aws) -> None:
    by_id = {item.get("Sid"): item for item in statements(aws)["asd-search-head"]}
    start = by_id["StartThisTypeOnly"]["Condition"]["StringEquals"]
    worker = aws.config["available_node_types"]["gpu_spot"]["node_config"]
    assert start["ec2:InstanceType"] == worker["InstanceType"]
    assert start["aws:RequestTag/ray-cluster-name"] == aws.config["cluster_name"]
    end = by_id["RenameAndEndThem"]["Condition"]["StringEquals"]
    assert end == {"aws:ResourceTag/ray-cluster-name": aws.config["cluster_name"]}


def test_the_bucket_is_encrypted_closed_and_outlives_the_stack(aws: Aws) -> None:
    s3, bucket = aws.client("s3"), aws.stack["Bucket"]
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert "DeletionPolicy: Retain" in (CLUSTERS / "aws_account.yaml").read_text()
    closed = (
        "{BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true}"
    )
    assert closed in (CLUSTERS / "aws_account.yaml").read_text()  # moto keeps no public access block of a stack


def test_workers_are_spot_machines_from_none_to_eight_over_three_zones(aws: Aws) -> None:
    head, worker = (aws.config["available_node_types"][name] for name in ("head", "gpu_spot"))
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in head["node_config"]
    assert (worker["min_workers"], worker["max_workers"]) == (0, 8)
    assert head["resources"]["CPU"] == head["resources"]["GPU"] == 0
    subnets = aws.client("ec2").describe_subnets(SubnetIds=worker["node_config"]["SubnetIds"])["Subnets"]
    assert {subnet["AvailabilityZone"] for subnet in subnets} == {"us-west-2a", "us-west-2b", "us-west-2c"}
    assert aws.config["provider"]["cache_stopped_nodes"] is False


def test_machines_as_moto_makes_them_take_imds_v2_only_and_have_encrypted_disks(aws: Aws) -> None:
    """What Ray asks for is asked of moto, so that a misspelt key of AWS is refused here."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    provider = AWSNodeProvider(aws.config["provider"], aws.config["cluster_name"])
    ec2 = aws.client("ec2")
    for name, node_type in aws.config["available_node_types"].items():
        tags = {"ray-node-type": "worker", "ray-user-node-type": name, "ray-node-name": name}
        provider.create_node(copy.deepcopy(node_type["node_config"]), tags, 1)
    instances = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    assert len(instances) == 2
    for instance in instances:
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        volumes = [mapping["Ebs"]["VolumeId"] for mapping in instance["BlockDeviceMappings"]]
        assert all(volume["Encrypted"] for volume in ec2.describe_volumes(VolumeIds=volumes)["Volumes"])
    assert sorted(instance.get("InstanceLifecycle", "on demand") for instance in instances) == [
        "on demand",
        "spot",
    ]


# --- Kubernetes ---


def closed(schema: Any) -> Any:
    """A structural schema of Kubernetes as JSON schema that refuses unknown keys."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {
        key: {name: closed(one) for name, one in value.items()} if key == "properties" else closed(value)
        for key, value in schema.items()
    }
    is_open = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if made.get("type") == "object" and "properties" in made and not is_open:
        made["additionalProperties"] = False
    if made.pop("nullable", False) and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


@pytest.fixture(scope="module")
def ray_job() -> Any:
    """The validator of RayJob, from KubeRay's own definition."""
    from jsonschema import Draft202012Validator

    folder = os.environ.get("ASD_KUBERAY")
    if folder is None:
        pytest.skip("needs KubeRay's definitions: set ASD_KUBERAY to a folder with rayjobs.crd.yaml")
    text = (Path(folder) / "rayjobs.crd.yaml").read_text()
    definition = yaml.load(text, yaml.CSafeLoader)
    version = next(one for one in definition["spec"]["versions"] if one["name"] == "v1")
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return Draft202012Validator(schema)


def problems(validator: Any, job: dict[str, Any]) -> list[str]:
    return sorted(f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(job))


def test_kuberay_accepts_the_job(ray_job: Any) -> None:
    assert problems(ray_job, load(CLUSTERS / "kuberay.yaml")) == []


def test_kuberay_refuses_the_job_with_a_typo(ray_job: Any) -> None:
    job = load(CLUSTERS / "kuberay.yaml")
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 8
    [problem] = problems(ray_job, job)
    assert "maxReplica" in problem


def test_the_job_of_kuberay_asks_for_a_token_and_its_containers_are_confined() -> None:
    cluster = load(CLUSTERS / "kuberay.yaml")["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    start = cluster["headGroupSpec"]["rayStartParams"]
    assert (start["num-cpus"], start["num-gpus"]) == ("0", "0")
    [workers] = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (0, 8)
    for group in (cluster["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert all(not one["securityContext"]["allowPrivilegeEscalation"] for one in pod["containers"])


def test_the_job_of_kuberay_asks_for_lanes_though_no_pod_but_the_head_is_there() -> None:
    from asd_ray.config import load_config
    from asd_ray.lanes.elastic import Cluster, decide

    spec = load(CLUSTERS / "kuberay.yaml")["spec"]
    [workers] = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == 0
    settings = re.findall(r"--set (\S+)", spec["entrypoint"])
    lane = decide(
        load_config(None, settings).lanes, Cluster(nodes=({"memory": 3e10, "object_store_memory": 1e10},))
    )
    assert lane is not None
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert lane.gpus == float(limits["nvidia.com/gpu"])
    assert lane.cpus <= float(limits["cpu"])


def test_pods_have_the_environment_of_other_nodes() -> None:
    exports = dict(re.findall(r"^export (RAY_\w+)=(\S+)", (CLUSTERS / "node.env").read_text(), re.MULTILINE))
    del exports["RAY_AUTH_MODE"]  # authOptions
    cluster = load(CLUSTERS / "kuberay.yaml")["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for container in group["template"]["spec"]["containers"]:
            assert {one["name"]: one["value"] for one in container["env"]} == exports
