"""cluster.yaml on an AWS that is none: machines come with the search, one is taken away, all go at the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_cluster import scenario
from tests.fake_cluster.bodies import KEY, Bodies
from tests.fake_cluster.machines import NETWORK, ROOT, Machines, until
from tests.fake_cluster.scenario import Say
from tests.launch.test_clusters import fill_in

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BODIES = ["head", "w1", "w2", "w3"]  # two at a time, and one for what is taken away
AWS = {
    "AWS_ENDPOINT_URL": f"http://{NETWORK}.1:5777",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
TRIALS, EPOCHS = 14, 7  # enough work to be left when the replacement comes


@pytest.fixture
def machines(tmp_path: Path, shards: Path, request: pytest.FixtureRequest) -> Iterator[Machines]:
    with scenario.machines_with_shards(tmp_path, shards, BODIES, request) as made:
        yield made


@pytest.fixture
def account(machines: Machines) -> dict[str, str]:
    """moto's server on the laptop, with the stack of aws_account.yaml; its outputs."""
    laptop = machines.laptop
    laptop.serve("moto_server", "-H", "0.0.0.0", "-p", "5777")
    until(lambda: scenario.ask(laptop, AWS["AWS_ENDPOINT_URL"])[0] != 0, 60, "a server of moto's")
    done = laptop.run("python", "-m", "tests.fake_cluster.aws", "account", cwd=str(ROOT), env=AWS)
    outputs: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return outputs


def derive(account: dict[str, str]) -> dict[str, Any]:
    """The file that is shipped, filled in, and without what fake machines lack: Docker, GPUs, public addresses."""
    config = scenario.for_fake_machines(fill_in(account["SecurityGroup"]), AWS)
    del config["docker"]
    config["setup_commands"] = [command for command in config["setup_commands"] if "apt-get" not in command]
    config["provider"]["use_internal_ips"] = True
    config |= {"idle_timeout_minutes": 0.5, "max_workers": 2}
    config["available_node_types"]["gpu_spot"] |= {"resources": {"CPU": 1, "GPU": 0}, "max_workers": 2}
    return config


def test_machines_come_with_the_search_one_is_taken_away_and_all_go(
    machines: Machines, account: dict[str, str], say: Say
) -> None:
    laptop = machines.laptop
    bodies = Bodies(machines, BODIES, env=AWS, say=say)
    token = scenario.make_token(laptop)
    path = scenario.ray_up(machines, derive(account), env=AWS)
    say("ray up")
    # What `ray dashboard` does, without asking AWS for all that it knows once more.
    forward = ["-N", "-L", "8265:127.0.0.1:8265", "-o", "StrictHostKeyChecking=no", "-i", KEY]
    laptop.serve("ssh", *forward, f"root@{bodies.lives[bodies.of('head', living=True)[0]].address}")
    scenario.wait_for_dashboard(laptop)
    assert list(scenario.refusals(laptop, token).values()) == [401, 401, 403, 200]
    assert (len(bodies.of("head", living=True)), bodies.of("worker", living=True)) == (1, [])

    search = scenario.start_search(machines, say, trials=TRIALS, epochs=EPOCHS, more=("lanes.gpus=0",))
    search.read_until(lambda line: "2 lanes on" in line, seconds=300)
    search.read_until(lambda line: f"/{TRIALS}]" in line, seconds=300)
    before = scenario.trials_by_machine(machines)
    victim = bodies.of("worker", living=True)[0]
    say(f"spot interruption of {victim}; trials by machine before: {before}")
    laptop.run("python", "-m", "tests.fake_cluster.aws", "interrupt", victim, cwd=str(ROOT), env=AWS)
    until(lambda: victim not in bodies.of("worker", living=True), 30, f"the end of {victim}")
    search.read_until(lambda line: "2 lanes on" in line, seconds=300)
    say(f"replaced: {len(bodies.of('worker', living=True))} workers")
    assert search.finish(seconds=300) == 0
    lost = scenario.lost(machines.shared / "runs" / "first", trials=TRIALS)
    say(f"trials by machine after: {scenario.trials_by_machine(machines)}; lost {lost}")
    assert lost == 0

    until(lambda: not bodies.of("worker", living=True), 120, "the end of the last worker")
    say("scaled to zero")
    laptop.run("ray", "down", "-y", path, cwd=str(ROOT), env=AWS)
    until(lambda: not bodies.of("head", living=True), 60, "the end of the head")
    say("ray down")
    bodies.close()
    for line in bodies.table():
        say(line)
    assert len(bodies.of("worker", living=False)) >= 3
    assert all(life.market == "spot" for life in bodies.lives.values() if life.kind == "worker")
    assert not [name for name in BODIES if machines[name].processes("ray")]
