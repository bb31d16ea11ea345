"""What the scenarios share: shipped files made fit for fake machines, requests with and without a token, a search
that is followed, and what it left behind."""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fake_cluster.machines import ROOT, SHARED, Machine, Machines, fake_machines, missing, until

DASHBOARD = "http://127.0.0.1:8265"
RUN = f"{SHARED}/runs/first"
Say = Callable[[str], None]
# Waits of Ray that the scenarios sit through: lost machines are noticed, workers without a head end, in seconds.
HASTY = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "20",
    "AUTOSCALER_NODE_SSH_INTERVAL_S": "1",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "2",
}
STATUS = """
import sys, urllib.error, urllib.request as web
url, token, body = sys.argv[1:]
request = web.Request(url, data=body.encode() or None, headers={"Content-Type": "application/json"})
if token:
    request.add_header("Authorization", f"Bearer {token}")
try:
    answer = web.urlopen(request, timeout=10)
    print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
except OSError as error:
    print(0, error)
"""


@contextmanager
def machines_with_shards(
    folder: Path, shards: Path, names: list[str], request: pytest.FixtureRequest
) -> Iterator[Machines]:
    """Fake machines with a small corpus on their shared disk; skips where there can be none.

    When the scenario fails, the head says what its autoscaler was at.
    """
    if why := missing():
        pytest.skip(why)
    failed = request.session.testsfailed
    with fake_machines(folder, names) as machines:
        shutil.copytree(shards, machines.shared / "shards")
        yield machines
        if request.session.testsfailed > failed:
            print(head_says(machines["head"]), file=sys.stderr)


def for_fake_machines(config: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """The file that is shipped, but for what fake machines cannot do: packages are the box's, memory is small."""
    config["auth"] = {"ssh_user": "root"}
    config["setup_commands"] = [
        f"ln -sfn {ROOT}/.venv ~/asd_ray/.venv" if " setup" in command else command
        for command in config["setup_commands"]
    ]
    exports = "; ".join(f"export {name}={value}" for name, value in {**HASTY, **environment}.items())
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "ray start" in commands[-1]
        commands[-1] = f"{exports}; {commands[-1]} --object-store-memory=300000000"
    config["worker_start_ray_commands"][-1] += " --num-cpus=1"
    return config


def ask(machine: Machine, url: str, *, token: str = "", body: str = "") -> tuple[int, str]:
    """Status and text of the answer to a request from a machine; status 0 where nothing listens."""
    done = machine.run(ROOT / ".venv/bin/python", "-c", STATUS, url, token, body)
    status, _, text = done.stdout.partition(" ")
    return int(status), text.strip()


def make_token(machine: Machine) -> str:
    """As the guide has people make it: for its owner's eyes only."""
    machine.run("bash", "-c", "umask 077; ray get-auth-token --generate")
    assert machine.run("stat", "-c", "%a", "/root/.ray/auth_token").stdout.strip() == "600"
    return machine.run("cat", "/root/.ray/auth_token").stdout.strip()


def ray_up(machines: Machines, config: dict[str, Any], *, env: dict[str, str] | None = None) -> str:
    """`ray up` on the laptop, from the top of the checkout; the path of the file, as seen there."""
    (machines.shared / "cluster.json").write_text(json.dumps(config))  # JSON is YAML
    path = f"{SHARED}/cluster.json"
    machines.laptop.run("ray", "up", "-y", "--no-config-cache", path, cwd=str(ROOT), env=env)
    return path


def open_dashboard(machines: Machines, path: str) -> subprocess.Popen[str]:
    """A tunnel from the laptop to the head's dashboard."""
    tunnel = machines.laptop.serve("ray", "dashboard", path, cwd=str(ROOT))
    wait_for_dashboard(machines.laptop)
    return tunnel


def wait_for_dashboard(laptop: Machine) -> None:
    until(lambda: ask(laptop, f"{DASHBOARD}/api/version")[0] != 0, 120, "a tunnel to the dashboard", every=1)


def refusals(machine: Machine, token: str) -> dict[str, int]:
    """The status of requests that must be refused, and of the right one."""
    jobs, order = f"{DASHBOARD}/api/jobs/", json.dumps({"entrypoint": "touch /mnt/asd/intruder"})
    return {
        "list jobs, no token": ask(machine, jobs)[0],
        "start a job, no token": ask(machine, jobs, body=order)[0],
        "start a job, wrong token": ask(machine, jobs, token="0" * 64, body=order)[0],
        "list jobs, the token": ask(machine, jobs, token=token)[0],
    }


def reads_state(machine: Machine, address: str, **environment: str) -> bool:
    """Whether `ray status` on a machine is told of the cluster's state, which the head keeps at port 6379."""
    asked = machine.run("ray", "status", "--address", f"{address}:6379", env=environment, check=False)
    return asked.returncode == 0


def open_to_others(machine: Machine) -> list[str]:
    """The token, its folder and the logs of Ray's session, as far as other users of the machine may read them."""
    places = "/root/.ray /root/.ray/auth_token $(find -L /tmp/ray/session_latest/logs -type f)"
    find = f"find {places} -ignore_readdir_race -maxdepth 0 -perm /077"
    found = machine.run("sh", "-c", f"test -s /root/.ray/auth_token && {find}")
    return found.stdout.splitlines()


def head_says(machine: Machine) -> str:
    """The last lines of the autoscaler's log, for a scenario that has failed."""
    logs = "tail -n 25 /tmp/ray/session_latest/logs/monitor.*"
    return machine.run("sh", "-c", logs, check=False).stdout


def living_nodes(machine: Machine, token: str) -> list[str]:
    """Addresses of the nodes that the cluster has, the head's among them."""
    status, text = ask(machine, f"{DASHBOARD}/api/v0/nodes", token=token)
    if status != 200:
        return []
    nodes = json.loads(text)["data"]["result"]["result"]
    return sorted(node["node_ip"] for node in nodes if node["state"] == "ALIVE")


@dataclass
class Search:
    """`python launch/tune.py --address http://...` on the laptop, read line by line."""

    process: subprocess.Popen[str]
    say: Say
    lines: list[str] = field(default_factory=list)  # each with when it came

    def read_until(self, found: Callable[[str], bool], *, seconds: float) -> None:
        """Fails if the search ends before, or takes longer."""
        for line in self._read(seconds):
            if found(line):
                return
        ended = f"{time.strftime('%T')}, the search has ended with {self.process.wait()}"
        raise AssertionError("\n".join([ended, "".join(self.lines)]))

    def finish(self, *, seconds: float) -> int:
        for _ in self._read(seconds):
            pass
        return self.process.wait(timeout=30)

    def _read(self, seconds: float) -> Iterator[str]:
        """Its lines as they come. Fails where one comes too late."""
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        for line in self.process.stdout:
            self.lines.append(f"{time.strftime('%T')} {line}")
            self.say(f"   | {line.rstrip()}")
            yield line
            assert time.monotonic() < end, "".join(self.lines)


def start_search(machines: Machines, say: Say, *, trials: int, epochs: int, more: tuple[str, ...] = ()) -> Search:
    """A small search through the dashboard's address."""
    words = ["--address", DASHBOARD, "--data", f"{SHARED}/shards", "--run", RUN, "--trials", trials]
    small = ["model.width=0.0625", "train.batch_size=8", "train.learning_rate=0.002", "search.prune=false", *more]
    settings = [word for setting in small for word in ("--set", setting)]
    return Search(
        machines.laptop.start("python", "launch/tune.py", *words, "--epochs", epochs, *settings, cwd=str(ROOT)),
        say,
    )


def trials_by_machine(machines: Machines) -> dict[str, int]:
    """How many trials each machine trained last: their files have its group."""
    files = (machines.shared / "runs" / "first" / "trials").glob("*/metrics.json")
    return dict(sorted(Counter(machines.of_group(file.stat().st_gid).name for file in files).items()))


def lost(folder: Path, *, trials: int) -> int:
    """Trials of the run that are not complete."""
    with (folder / "report" / "trials.csv").open() as file:
        states = Counter(row["state"] for row in csv.DictReader(file))
    return trials - states["complete"]
