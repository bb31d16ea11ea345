"""All commands have the same ways to end: with a version, with completions, and with one line for a mistake."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from asd_ray import __version__
from asd_ray.command import BAD_INPUT, DONE, FAILED, run_command
from tests.scripts import load_script

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SCRIPTS = sorted(path.name for path in LAUNCH.glob("*.py"))


def load(name: str) -> ModuleType:
    return load_script(f"launch/{name}")


def status(monkeypatch: pytest.MonkeyPatch, name: str, *words: str) -> object:
    """How `python launch/<name> <words>` ends."""
    module = load(name)
    monkeypatch.setattr(sys, "argv", [f"launch/{name}", *words])
    with pytest.raises(SystemExit) as ended:
        run_command(module.command, module.parse())
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
