"""What a wheel installs works without the clone: in an empty folder, in an environment that has no clone."""

import doctest
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.cluster.jobs import TOKEN, serving
from tests.end_to_end.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def build(source: Path, target: str, into: Path) -> Path:
    """A wheel or an sdist of the sources in a folder."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)], cwd=source, check=True
    )
    (built,) = into.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with all packages of this one but the clone.

    A .pth file puts them on its path; their own .pth files, such as that of the editable install, are not read.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    uv = [shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv", "pip", "install", "--quiet"]
    subprocess.run([*uv, "--python", str(python), "--no-deps", "--no-index", str(wheel)], check=True)
    return python


def call(python: Path, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of that environment, in a shell where it is active and that knows nothing else of Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, check=False, env={**kept, "PATH": path, **environment}
    )


def test_the_wheel_has_every_file_of_the_package_and_what_lies_beside_it(wheel: Path) -> None:
    wanted = {"asd_ray/presets/quick.yaml": ROOT / "launch" / "quick.yaml"}
    for top, within in (("asd_ray", "asd_ray"), ("search_spaces", "asd_ray/search_spaces")):
        files = [path for path in (ROOT / top).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        wanted |= {f"{within}/{path.relative_to(ROOT / top)}": path for path in files}
    assert len(wanted) > 150
    found = {name: data for name, data in contents(wheel).items() if ".dist-info/" not in name}
    assert found == {name: path.read_bytes() for name, path in wanted.items()}


def test_the_wheel_of_an_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    rebuilt = build(tmp_path / sdist.name.removesuffix(".tar.gz"), "wheel", tmp_path / "wheel")
    assert contents(rebuilt) == contents(wheel)


def test_the_environment_has_the_wheel_and_not_the_clone(python: Path, tmp_path: Path) -> None:
    shown = call(python, "python", "-c", "import asd_ray, sys; print(asd_ray.__file__, *sys.path)", cwd=tmp_path)
    assert shown.stdout.startswith(str(python.parents[1])), shown.stdout + shown.stderr
    assert str(ROOT) not in shown.stdout.split()


def test_a_search_in_an_empty_folder_keeps_all_that_it_makes_there(python: Path, tmp_path: Path) -> None:
    """Its lane's workers, too, are of that environment."""
    small = ["--trials", "1", "--epochs", "1", "--lanes", "1", "--set", "model.width=0.0625"]
    done = call(python, "asd-ray", "tune", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        done.stdout.splitlines()[1] == f"corpus, shards and runs are kept below the working directory, {tmp_path}"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "runs", "shards"]
    (following,) = [line for line in done.stdout.splitlines() if line.startswith("next:")]
    (run,) = (tmp_path / "runs").iterdir()
    assert following == f"next:   asd-ray score runs/{run.name}/best/fan.yaml RECORDINGS"
    assert "asd-ray tune --trials 1" in (run / "run.yaml").read_text()
    clip = next((tmp_path / "datasets/synthetic/fan/test").glob("*_id_00_*.wav"))
    scored = call(python, *following.split()[1:-1], str(clip), cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert clip.name in scored.stdout
    spaces = call(python, *("python", "-m", "asd_ray", "tune", "--space", "cub"), cwd=tmp_path)
    assert "--space cub: no such search space; did you mean 'cube'?" in spaces.stderr


def test_the_example_of_the_python_interface_works_there(python: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "api.md").read_text().replace("```python\n", "\n").replace("```\n", "\n")
    assert len(doctest.DocTestParser().get_examples(text)) > 10
    (tmp_path / "api.md").write_text(text)
    done = call(python, "python", "-m", "doctest", "api.md", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_a_doctor_looks_at_what_the_wheel_asks_for(python: Path, tmp_path: Path) -> None:
    done = call(python, "asd-ray", "doctor", cwd=tmp_path)
    (packages,) = [line for line in done.stdout.splitlines() if " packages " in line]
    assert packages.startswith("ok "), done.stdout + done.stderr
    assert packages.endswith(", as asd-ray asks for")


def test_a_search_that_is_sent_to_a_cluster_takes_the_package_along(python: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("search: {trials: 7}\n")
    places = ["--data", "s3://bucket/shards", "--run", "s3://bucket/runs/first", "--config", "mine.yaml"]
    with serving() as dashboard:
        sent = call(
            *(python, "asd-ray", "tune", "--address", dashboard.address, *places),
            cwd=tmp_path,
            RAY_AUTH_TOKEN=TOKEN,
            ASD_STORAGE="postgresql://me@host/asd",
        )
    assert "knows no such job" in sent.stderr  # this cluster forgets what it is sent
    (job,), (package,) = dashboard.sent, dashboard.packages
    assert job["entrypoint"].startswith("python -m asd_ray tune --address http://127.0.0.1:")
    assert job["entrypoint"].endswith(" --config mine.yaml")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        names = archive.namelist()
    assert {"mine.yaml", "asd_ray/__main__.py", "asd_ray/search_spaces/cube.yaml"} < set(names)
    assert {name.split("/")[0] for name in names} == {"mine.yaml", "asd_ray"}
