"""Checks of this machine: Python, packages, processor, memory, GPU, disk."""

import importlib
import importlib.metadata
import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from asd_ray.cluster.session import temporary_folder
from asd_ray.doctor.finding import Finding
from asd_ray.files.locks import folder_lock
from asd_ray.files.writing import cannot_write

PYTHONS = ("3.11", "3.12", "3.13", "3.14")  # what pyproject.toml asks for
GB = 1e9
LEAST_MEMORY = 4 * GB  # for two small lanes, Ray, and a small corpus
LEAST_DISK = 5 * GB  # for the states of trials, and the shards of a small corpus
LEAST_TMP = 1 * GB  # for Ray's sessions
LEAST_SHM = 0.3 * GB  # for the smallest object store
LEAST_FILES = 4096  # open files allowed per process: Ray opens some for every worker
_NEEDED = ("torch", "torchaudio", "ray", "optuna", "pyarrow", "soundfile", "sklearn", "scipy", "matplotlib")
_REPLACED = {"torchaudio": "its mel filters are computed without it, to the same digits"}


def check_python() -> Iterator[Finding]:
    found = platform.python_version()
    if found.rpartition(".")[0] in PYTHONS:
        yield Finding("ok", "python", found)
    else:
        first, last = PYTHONS[0], PYTHONS[-1]
        yield Finding(
            "fault",
            "python",
            f"{found}; install Python {first} to {last}, then, for example: make clean setup PYTHON=python{last}",
        )


def read_lock(text: str) -> dict[str, str]:
    r"""Name and version of every package that a lock file lists for this Python and machine.

    >>> read_lock("ray==2.60.0 \\\n    --hash=sha256:0\npywin32==312 ; sys_platform == 'win32' \\\n")
    {'ray': '2.60.0'}
    """
    lines = [line.removesuffix("\\") for line in text.splitlines() if line[:1].isalnum()]
    locked = [Requirement(line.strip()) for line in lines]
    here = [one for one in locked if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier).removeprefix("==") for one in here}


def check_packages(lock: Path) -> Iterator[Finding]:
    """Compare installed versions with the lock file, and check that large packages can be imported."""
    wanted = read_lock(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    missing, others = [], []
    for name, version in wanted.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
        else:
            # `2.11.0+cpu` is the same torch version, built for other machines.
            if found.partition("+")[0] != version.partition("+")[0]:
                others.append(f"{name} {found} (tried with {version})")
    if missing:
        yield Finding("fault", "packages", f"not installed: {', '.join(missing)}; run: make setup")
    if others:
        yield Finding(
            "note", "packages", f"other versions than were tried: {', '.join(others)}; make setup mends it"
        )
    yield from check_imports(mend="make setup")
    if wanted and not missing and not others:
        yield Finding("ok", "packages", f"{len(wanted)}, as locked")


def check_imports(*, mend: str) -> Iterator[Finding]:
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package may raise anything
            reason = " ".join(str(error).split())[:200]
            told = f"{name} cannot be imported ({reason})"
            if name in _REPLACED:
                yield Finding("note", "packages", f"{told}; {_REPLACED[name]}")
            else:
                yield Finding("fault", "packages", f"{told}; run: {mend}")


def check_processor() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    busy = os.getloadavg()[0]
    text = f"{cores} cores for this process"
    if busy > cores:
        yield Finding(
            "note", "processor", f"{text}, busy already (load {busy:.1f}): a search is slower beside that"
        )
    else:
        yield Finding("ok", "processor", text)
    if not any(map(shutil.which, ("g++", "clang++"))):
        yield Finding("note", "processor", "no C++ compiler: long trainings are not compiled; install g++")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < LEAST_FILES:
        yield Finding("note", "processor", f"a process may open {files} files; ulimit -n {LEAST_FILES} is safer")


def check_memory(*, shared: Path = Path("/dev/shm")) -> Iterator[Finding]:
    free = psutil.virtual_memory().available
    text = f"{free / GB:.1f} GB free of {psutil.virtual_memory().total / GB:.1f} GB"
    if free < LEAST_MEMORY:
        yield Finding(
            "fault", "memory", f"{text}; end other programs, or use a machine with {LEAST_MEMORY / GB:.0f} GB"
        )
    else:
        yield Finding("ok", "memory", text)
    if shared.exists() and (room := shutil.disk_usage(shared).free) < LEAST_SHM:
        yield Finding(
            "fault",
            "memory",
            f"{shared} has {room / GB:.2f} GB free, clips lie there; give a container --shm-size=2g or more",
        )


def check_gpu(*, driver: Path = Path("/proc/driver/nvidia/version")) -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        if driver.exists():
            yield Finding(
                "fault",
                "gpu",
                f"an NVIDIA driver is loaded, but torch {torch.__version__} finds no GPU (built for CUDA "
                f"{torch.version.cuda}); update the driver (580 or newer), or see CUDA_VISIBLE_DEVICES",
            )
        else:
            yield Finding("note", "gpu", "none: the published settings take days; --config quick is small")
        return
    for number in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(number)
        try:
            ones = torch.ones(256, 256, device=f"cuda:{number}")
            right = (ones @ ones).sum().item() == 256.0**3
            free, total = torch.cuda.mem_get_info(number)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            yield Finding("fault", "gpu", f"{name} does not compute ({reason}); see nvidia-smi, and its driver")
            continue
        text = f"{name}, {free / GB:.1f} GB free of {total / GB:.1f} GB"
        if not right:
            yield Finding(
                "fault", "gpu", f"{text}: computes wrong products; test it with dcgmi diag, or leave it out"
            )
        elif free < total / 2:
            yield Finding("note", "gpu", f"{text}: something else is at work there (nvidia-smi names it)")
        else:
            yield Finding("ok", "gpu", text)


def check_disk(folder: Path) -> Iterator[Finding]:
    """Check that the folder for runs can be written and locked and has room; also Ray's folder of sockets."""
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
    room = shutil.disk_usage(there).free
    try:
        with (
            tempfile.TemporaryDirectory(dir=there, prefix=".doctor-") as beside,
            folder_lock(Path(beside), mend="it was made a moment ago"),
        ):
            (Path(beside) / "file").write_bytes(bytes(1024))
    except OSError as error:
        raise cannot_write(folder, error) from error
    if room < LEAST_DISK:
        yield Finding("fault", "disk", f"{folder} has {room / GB:.1f} GB free; free some, or choose another --run")
    else:
        yield Finding("ok", "disk", f"{folder}: {room / GB:.0f} GB free, files can be written and locked")
    sessions = temporary_folder()
    free = shutil.disk_usage(sessions).free
    if free < LEAST_TMP:
        yield Finding(
            "fault", "disk", f"{sessions} has {free / GB:.1f} GB free, Ray needs some; free it, or set TMPDIR"
        )
