"""Bodies for the instances that moto invents: fake machines that answer at their addresses, and die with them."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fake_cluster.machines import NETWORK, ROOT, Machine, Machines, ip

SUBNETS = "172.31.0.0/16"  # of moto's default network
KEY = "/root/.ssh/ray-autoscaler_us-west-2.pem"  # that Ray has AWS make
Say = Callable[[str], None]


@dataclass(slots=True)
class Life:
    """What became of one instance; times in seconds since the beginning."""

    kind: str
    type: str
    market: str
    zone: str
    address: str
    machine: Machine
    began: float
    ended: float | None = None


class Bodies:
    """Watches moto's instances in a thread, and has the machines follow them."""

    def __init__(self, machines: Machines, names: list[str], *, env: dict[str, str], say: Say) -> None:
        self.lives: dict[str, Life] = {}
        self.trouble: BaseException | None = None
        self._closed = False
        self._machines, self._say = machines, say
        self._free = list(names)
        self._began = time.monotonic()
        ip(["nsenter", f"--target={machines.laptop.first_pid}", "--net", "ip"], f"route add {SUBNETS} dev br0")
        for name in names:
            ip(_network(machines[name]), f"route add {SUBNETS} dev eth0")
        self._watch = machines.laptop.start(
            "python", "-m", "tests.fake_cluster.aws", "watch", cwd=str(ROOT), env=env
        )
        self._thread = threading.Thread(target=self._run, daemon=True, name="bodies")
        self._thread.start()

    def of(self, kind: str, *, living: bool) -> list[str]:
        """Instances with a body, by kind. Fails where nobody watches them any more."""
        assert self.trouble is None, f"the bodies have ended: {self.trouble!r}"
        return [name for name, life in self.lives.items() if life.kind == kind and (life.ended is None) == living]

    def close(self) -> None:
        self._closed = True
        self._machines.laptop.kill("tests.fake_cluster.aws watch")  # in there: its parent out here is only a door
        self._thread.join()

    def table(self) -> list[str]:
        """One line for every instance that there has been."""
        lines = ["instance             kind    type        market     zone        machine  began    ended"]
        for name, life in self.lives.items():
            ended = "running" if life.ended is None else f"{life.ended:.0f} s"
            lines.append(
                f"{name:<20} {life.kind:<7} {life.type:<11} {life.market:<10} {life.zone:<11} "
                f"{life.machine.name:<8} {life.began:3.0f} s    {ended}"
            )
        return lines

    def _run(self) -> None:
        assert self._watch.stdout is not None
        last = ""
        try:
            for line in self._watch.stdout:
                last = line
                if line.startswith("["):
                    for instance in json.loads(line):
                        self._follow(instance)
            if not self._closed:
                raise RuntimeError(f"the watch over instances has ended: {last}")
        except BaseException as error:  # shown by the scenario, which would wait in vain
            self.trouble = error
            self._say(f"the bodies have ended: {error!r}")

    def _follow(self, instance: dict[str, Any]) -> None:
        name, state = instance["id"], instance["state"]
        life = self.lives.get(name)
        if life is None and state == "running" and instance["kind"]:
            key = self._machines.laptop.run("ssh-keygen", "-y", "-f", KEY, check=False)
            if key.returncode == 0:
                self._give(instance, key.stdout.strip())
        elif life is not None and life.ended is None and state in ("shutting-down", "terminated"):
            self._take(name, life)

    def _give(self, instance: dict[str, Any], key: str) -> None:
        assert self._free, f"no machine is free for {instance['id']}"
        machine, address = self._machines[self._free.pop(0)], instance["address"]
        ip(_network(machine), f"addr add {address}/32 dev eth0")
        _speak_as(machine, address)  # the address that AWS gave it is its own
        machine.run("bash", "-c", f"echo '{key}' > /root/.ssh/authorized_keys")
        self.lives[instance["id"]] = Life(
            kind=instance["kind"],
            type=instance["type"],
            market=instance["market"],
            zone=instance["zone"],
            address=address,
            machine=machine,
            began=self._seconds(),
        )
        what = f"{instance['id']} {instance['kind']} {instance['type']} {instance['market']} {instance['zone']}"
        self._say(f"+ {what} {address} is {machine.name}")

    def _take(self, name: str, life: Life) -> None:
        life.ended = self._seconds()
        _switch_off(life.machine, life.address)
        self._free.append(life.machine.name)
        self._say(f"- {name} terminated")

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _network(machine: Machine) -> list[str]:
    return ["nsenter", f"--target={machine.first_pid}", "--net", "ip"]


def _speak_as(machine: Machine, address: str) -> None:
    for where in (f"default via {NETWORK}.1", f"{SUBNETS} dev eth0"):
        ip(_network(machine), f"route replace {where} src {address}")


def _switch_off(machine: Machine, address: str) -> None:
    """The cable first: what dies then cannot say farewell."""
    _speak_as(machine, machine.address)
    ip(_network(machine), f"addr del {address}/32 dev eth0")
    machine.kill("")
    subprocess.run(machine.command("sh", "-c", "rm -rf /tmp/ray /dev/shm/*"), check=False)
