"""Fake machines on one Linux box: namespaces with an own root and sshd, joined by a bridge. Needs root, no docker.

A machine ends with its first process, and the kernel ends everything in it; nothing is left on the box.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("machine.sh")
NETWORK = "10.77.0"
LAPTOP = "laptop"
GROUP = 7700  # of the files that machine number n writes: GROUP + n
SHARED = "/mnt/asd"
ROOT_OF_ONES_OWN = """
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
"""


def missing() -> str:
    """Why there can be no fake machines here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "fake machines need Linux and root"
    programs = ["ip", "unshare", "nsenter", "setpriv", "rsync", "ssh", "ssh-keygen", "/usr/sbin/sshd"]
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        return f"fake machines need {', '.join(absent)}: apt-get install openssh-server iproute2 rsync"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", ROOT_OF_ONES_OWN], capture_output=True
    )
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.decode().strip()}"


@dataclass
class Machine:
    name: str
    number: int
    process: subprocess.Popen[bytes]
    home: Path  # of its log
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    @property
    def group(self) -> int:
        return GROUP + self.number

    @property
    def first_pid(self) -> int:
        """Of its first process, as seen from outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert children, (self.home / "log").read_text()
        return int(children[0])

    def command(self, *words: object, env: dict[str, str] | None = None, cwd: str = "/root") -> list[str]:
        """What runs a command on this machine."""
        pid = str(self.first_pid)
        inside = [f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        variables = {
            "HOME": "/root",
            "USER": "root",
            "LANG": "C.UTF-8",
            "PATH": f"{ROOT}/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            **(env or {}),
        }
        enter = ["nsenter", *inside, f"--root=/proc/{pid}/root", f"--wd=/proc/{pid}/root{cwd}", "--"]
        return [*enter, "env", "-i", *(f"{key}={value}" for key, value in variables.items()), *map(str, words)]

    def run(
        self,
        *words: object,
        env: dict[str, str] | None = None,
        cwd: str = "/root",
        timeout: float = 180,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here; output and errors together. Fails with them."""
        done = subprocess.run(
            self.command(*words, env=env, cwd=cwd),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}"
        return done

    def start(
        self, *words: object, env: dict[str, str] | None = None, cwd: str = "/root"
    ) -> subprocess.Popen[str]:
        """Start a command here, of which every line must be read; it ends with the machine, or earlier."""
        return self._start(subprocess.PIPE, self.command(*words, env=env, cwd=cwd))

    def serve(self, *words: object, cwd: str = "/root") -> subprocess.Popen[str]:
        """Start a command here that nobody listens to; its output is in `serve.log`.

        In a pipe that is not read it would stop for good after 64 KiB.
        """
        with (self.home / "serve.log").open("a") as log:
            return self._start(log, self.command(*words, cwd=cwd))

    def _start(self, output: int | IO[str], command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Switch it off: everything in it is killed."""
        self.process.kill()  # unshare; its child is killed with it
        self.process.wait()
        for process in self.started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def processes(self, part: str = "") -> list[tuple[int, str]]:
        """Numbers, as seen here, and command lines that hold `part`; without its first one."""
        lines = self.run("ps", "-eo", "pid=,args=").stdout.splitlines()
        pairs = [(int(number), words) for number, words in (line.split(None, 1) for line in lines)]
        return [(pid, words) for pid, words in pairs if pid != 1 and part in words and "ps -eo" not in words]

    def kill(self, part: str) -> int:
        """`kill -9` of every process here whose command line holds `part`; how many there were."""
        found = self.processes(part)
        if found:
            self.run("kill", "-9", *(pid for pid, _ in found), check=False)
        return len(found)


class Machines:
    """The laptop, and machines by name."""

    def __init__(self, folder: Path) -> None:
        self.shared = folder / "shared"
        self._folder, self._machines = folder, dict[str, Machine]()
        self.shared.mkdir()
        self._key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key], check=True)

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    @property
    def laptop(self) -> Machine:
        return self._machines[LAPTOP]

    def of_group(self, group: int) -> Machine:
        """The machine whose files have this group."""
        return next(machine for machine in self._machines.values() if machine.group == group)

    def boot(self, name: str, number: int) -> Machine:
        home = self._folder / name
        (home / "disk").mkdir(parents=True)
        machine = Machine(name, number, self._start(name, home, GROUP + number), home)
        self._machines[name] = machine
        return machine

    def _start(self, name: str, home: Path, group: int) -> subprocess.Popen[bytes]:
        # It ends with us, however we end: PID 1 of a namespace takes everything along.
        alone = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork"]
        words = [name, home / "disk", self.shared, ROOT, sys.base_prefix, group, self._key]
        with (home / "log").open("wb") as log:
            return subprocess.Popen(
                [*alone, "--kill-child=KILL", "--propagation=private", "bash", str(SCRIPT), *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def join_network(self, machine: Machine) -> None:
        """A cable from the machine to the laptop, which has the bridge."""
        laptop = ["nsenter", f"--target={self.laptop.first_pid}", "--net", "ip"]
        if machine is self.laptop:
            ip(laptop, "link add br0 type bridge")
            ip(laptop, f"addr add {NETWORK}.1/16 dev br0")
            ip(laptop, "link set br0 up")
            ip(laptop, "link set lo up")
            return
        pid = machine.first_pid
        own = ["nsenter", f"--target={pid}", "--net", "ip"]
        ip(laptop, f"link add v-{machine.name} type veth peer name eth0 netns {pid}")
        ip(laptop, f"link set v-{machine.name} master br0 up")
        ip(own, "link set lo up")
        ip(own, f"addr add {machine.address}/16 dev eth0")
        ip(own, "link set eth0 up")
        # Ray finds its own address by "connecting" a UDP socket to 8.8.8.8; no packet is sent.
        ip(own, f"route add default via {NETWORK}.1")

    def wait_for_ssh(self, machine: Machine) -> None:
        until(lambda: self._answers(machine), 20, f"sshd of {machine.name}: {machine.home / 'log'}")

    def _answers(self, machine: Machine) -> bool:
        probe = f"exec 3<>/dev/tcp/{machine.address}/22"
        return self.laptop.run("bash", "-c", probe, check=False).returncode == 0

    def end(self) -> None:
        for machine in self._machines.values():
            machine.end()


def ip(prefix: Sequence[str], words: str) -> None:
    done = subprocess.run([*prefix, *words.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


def until(condition, seconds: float, what: str, *, every: float = 0.5) -> None:  # type: ignore[no-untyped-def]
    """Wait until a condition holds. Fails after so many seconds, saying what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{seconds:.0f} s without {what}"
        time.sleep(every)


@contextmanager
def fake_machines(folder: Path, names: Sequence[str]) -> Iterator[Machines]:
    """A laptop and machines 10.77.0.10, .11, ... for the length of a block."""
    machines = Machines(folder)
    with ExitStack() as stack:
        stack.callback(machines.end)
        for number, name in enumerate([LAPTOP, *names]):
            machines.boot(name, 1 if name == LAPTOP else 9 + number)
        for name in (LAPTOP, *names):
            until(lambda name=name: (folder / name / "disk").exists() and _is_up(machines[name]), 20, name)
            machines.join_network(machines[name])
        for name in names:
            machines.wait_for_ssh(machines[name])
        yield machines


def _is_up(machine: Machine) -> bool:
    """Whether its first process has become sshd: all is mounted then."""
    assert machine.process.poll() is None, (machine.home / "log").read_text()
    try:
        return Path(f"/proc/{machine.first_pid}/comm").read_text().strip() == "sshd"
    except (OSError, AssertionError):
        return False
