"""All commands have the same ways to end: with a version, with completions, and with one line for a mistake."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray import __version__, invocation
from asd_ray.commands import VERBS
from asd_ray.errors import BAD_INPUT, DONE, FAILED

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SCRIPTS = sorted(path.name for path in LAUNCH.glob("*.py"))


def test_there_is_a_script_for_every_verb() -> None:
    assert sorted(f"{verb}.py" for verb in VERBS) == SCRIPTS


def status(monkeypatch: pytest.MonkeyPatch, name: str, *words: str) -> object:
    """How `python launch/<name> <words>` ends."""
    monkeypatch.setattr(sys, "argv", [f"launch/{name}", *words])
    for state in ("_form", "_script"):  # is as before when the test ends
        monkeypatch.setattr(invocation, state, getattr(invocation, state))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(LAUNCH / name), run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_says_its_version_and_completes_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert status(monkeypatch, name, "--version") == DONE
    assert capsys.readouterr().out == f"asd_ray {__version__}\n"
    for shell in ("bash", "zsh", "tcsh"):
        assert status(monkeypatch, name, "--print-completion", shell) == DONE
        assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_can_be_started_by_its_name(name: str) -> None:
    assert (LAUNCH / name).stat().st_mode & 0o111, "chmod +x"
    assert (LAUNCH / name).read_text().startswith("#!/usr/bin/env python\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_clone_that_is_not_set_up_is_told_so_and_no_traceback(name: str, tmp_path: Path) -> None:
    bare = [sys.executable, "-I", "-S", str(LAUNCH / name)]  # without site-packages: nothing is installed
    failed = subprocess.run(bare, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert failed.returncode == FAILED
    assert failed.stderr == "error: No module named 'asd_ray'; run: make setup && . .venv/bin/activate\n"


@pytest.mark.parametrize(
    ("name", "words", "wanted", "said"),
    [
        (
            "prepare.py",
            ["machine", "--out", "shards"],
            BAD_INPUT,
            "machine: no such folder; did you mean machines?",
        ),
        ("tune.py", ["--data", "machine"], BAD_INPUT, "machine: no such folder; did you mean machines?"),
        (
            "tune.py",
            ["--data", "machine", "--dry-run"],
            BAD_INPUT,
            "machine: no such folder; did you mean machines?",
        ),
        ("tune.py", ["--dry-run", "--address", "auto"], BAD_INPUT, "--dry-run looks at this machine"),
        (
            "tune.py",
            ["--config", "fan.yml"],
            BAD_INPUT,
            "fan.yml: No such file or directory; did you mean fan.yaml?",
        ),
        ("train.py", ["fam.yaml"], BAD_INPUT, "fam.yaml: No such file or directory; did you mean fan.yaml?"),
        (
            "score.py",
            ["fam.yaml", "a.wav"],
            BAD_INPUT,
            "fam.yaml: No such file or directory; did you mean fan.yaml?",
        ),
        ("report.py", ["machine"], BAD_INPUT, "machine: no run.yaml there; did you mean machines?"),
        ("download.py", ["dcase2020", "--to", "x"], BAD_INPUT, "until you accept the licence by --accept-licence"),
    ],
)
def test_a_mistake_is_one_line_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    words: list[str],
    wanted: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("machines").mkdir()
    Path("fan.yaml").touch()
    assert status(monkeypatch, name, *words) == wanted
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fan.yaml", "machines"]  # nothing is written


def test_what_a_doctor_finds_to_mend_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(monkeypatch, "doctor.py", "--run", str(tmp_path), "--data", str(tmp_path / "none")) == FAILED
    assert capsys.readouterr().out.endswith(" to mend\n")
