"""A search on machines that one owns: `ray up`, a job by address, a machine that dies midway, `ray down`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.fake_cluster import scenario
from tests.fake_cluster.machines import ROOT, Machines, until
from tests.fake_cluster.scenario import Say

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

WORKERS = ("w1", "w2")
TRIALS, EPOCHS = 6, 5


@pytest.fixture
def machines(tmp_path: Path, shards: Path, request: pytest.FixtureRequest) -> Iterator[Machines]:
    with scenario.machines_with_shards(tmp_path, shards, ["head", *WORKERS], request) as made:
        yield made


def test_a_search_over_two_machines_outlives_one_of_them(machines: Machines, say: Say) -> None:
    laptop, head = machines.laptop, machines["head"]
    config = yaml.safe_load((ROOT / "launch" / "clusters" / "onprem.yaml").read_text())
    config["provider"] |= {"head_ip": head.address, "worker_ips": [machines[name].address for name in WORKERS]}
    config = scenario.for_fake_machines(config, {})
    config["auth"]["ssh_private_key"] = "~/.ssh/id_ed25519"
    config["worker_start_ray_commands"][-1] += " --num-cpus=1"
    say(f"machines: head {head.address}, " + ", ".join(f"{name} {machines[name].address}" for name in WORKERS))

    token = scenario.make_token(laptop)
    path = scenario.ray_up(machines, config)
    say("ray up")
    tunnel = scenario.open_dashboard(machines, path)
    answers = scenario.refusals(laptop, token)
    say(f"requests: {', '.join(f'{what}: {status}' for what, status in answers.items())}")
    assert list(answers.values()) == [401, 401, 403, 200]
    search = scenario.start_search(machines, say, trials=TRIALS, epochs=EPOCHS)
    # While it comes up, and waits for the machines:
    outside = scenario.ask(machines["w1"], f"http://{head.address}:8265/api/version")
    say(f"the dashboard from another machine: {outside[1]}")
    assert outside[0] == 0
    until(lambda: len(scenario.living_nodes(laptop, token)) == 3, 240, "three nodes", every=2)
    say(f"nodes: {', '.join(scenario.living_nodes(laptop, token))}")
    assert {name: scenario.open_to_others(machines[name]) for name in ("head", *WORKERS)} == {
        name: [] for name in ("head", *WORKERS)
    }
    asked = {
        "no token": {"RAY_AUTH_MODE": "disabled"},
        "wrong token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        "the token": {"RAY_AUTH_MODE": "token"},
    }
    state = {what: scenario.reads_state(machines["w1"], head.address, **how) for what, how in asked.items()}
    say(f"the cluster's state from another machine: {state}")
    assert state == {"no token": False, "wrong token": False, "the token": True}

    search.read_until(lambda line: "2 lanes on" in line, seconds=300)

    def both_have_trained(line: str) -> bool:
        return f"/{TRIALS}]" in line and sorted(scenario.trials_by_machine(machines)) == list(WORKERS)

    search.read_until(both_have_trained, seconds=300)
    before = scenario.trials_by_machine(machines)
    assert machines["w2"].kill("raylet/raylet") > 0
    say(f"kill -9 of the raylet of w2; trials by machine before: {before}")
    assert search.finish(seconds=300) == 0
    after = scenario.trials_by_machine(machines)
    lost = scenario.lost(machines.shared / "runs" / "first", trials=TRIALS)
    say(f"trials by machine after: {after}; lost {lost}")
    assert sorted(before) == list(WORKERS)
    assert sum(after.values()) == TRIALS
    assert lost == 0
    assert not (machines.shared / "intruder").exists()

    tunnel.kill()
    stop = ". ~/asd_ray/launch/clusters/node.env; ray stop"
    commands = [["ray", "down", "-y", path]]
    for name in WORKERS:  # as the guide has people do: Ray itself stops the head only
        commands.append(["ssh", "-o", "StrictHostKeyChecking=no", machines[name].address, stop])
    with ThreadPoolExecutor() as pool:  # each waits for seconds
        list(pool.map(lambda words: laptop.run(*words, cwd=str(ROOT)), commands))
    say("ray down, and ray stop on the workers")
    for name in ("head", *WORKERS):
        until(lambda name=name: not machines[name].processes("ray"), 180, f"the end of all of Ray on {name}")
    say("nothing of Ray is left on any machine")
