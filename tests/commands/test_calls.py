"""`asd-ray`, `python -m asd_ray` and the scripts of launch/: quick, helpful, and each speaks in its own form."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray import __version__, commands, invocation, shipped
from asd_ray.commands import VERBS, tune
from asd_ray.errors import BAD_INPUT, DONE
from tests import completion

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("asd-ray"))
SLOW = {"torch", "ray", "numpy", "pydantic", "yaml", "pyarrow", "rich", "requests", "optuna", "shtab", "psutil"}


def run(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "80"} | environment,
    )


@pytest.fixture(autouse=True)
def form_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for state in ("_form", "_script"):
        monkeypatch.setattr(invocation, state, getattr(invocation, state))


def test_help_lists_every_verb_in_one_line(tmp_path: Path) -> None:
    shown = run(COMMAND, "--help", cwd=tmp_path)
    assert shown.returncode == DONE, shown.stderr
    listed = shown.stdout.split("verbs:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == list(VERBS)
    assert all(re.fullmatch(r"  \w+ +[A-Z].{20,}\.", line) and len(line) <= 80 for line in listed), listed


@pytest.mark.parametrize(
    "words", [["--help"], *([verb, "--help"] for verb in VERBS), ["tun"], ["tune", "--trails"]]
)
def test_nothing_slow_is_imported_before_a_command_line_is_understood(words: list[str], tmp_path: Path) -> None:
    told = run(sys.executable, "-X", "importtime", "-m", "asd_ray", *words, cwd=tmp_path).stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    assert "argparse" in imported
    assert imported & SLOW == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tun"], "asd-ray: unknown verb 'tun'; did you mean 'tune'? (see --help)\n"),
        (
            ["zzz"],
            "asd-ray: unknown verb 'zzz'; known: doctor, download, prepare, report, score, train, tune (see",
        ),
        (["--versoin"], "asd-ray: unknown option '--versoin'; did you mean --version? (see --help)\n"),
        (
            ["tune", "--trails", "5"],
            "asd-ray tune: unknown option '--trails'; did you mean --trials? (see --help)\n",
        ),
        ([], "usage: asd-ray VERB ..."),
    ],
)
def test_a_mistyped_call_is_told_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.run(words)
    assert ended.value.code == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["tune", "--version"]):
        with pytest.raises(SystemExit) as ended:
            commands.run(words)
        assert ended.value.code == DONE
        assert capsys.readouterr().out == f"asd_ray {__version__}\n"


CALLS = [
    ((sys.executable, "-m", "asd_ray", "report"), "python -m asd_ray report"),
    ((sys.executable, str(ROOT / "launch/report.py")), f"python {ROOT / 'launch/report.py'}"),
    ((COMMAND, "report"), "asd-ray report"),
]


@pytest.mark.parametrize(("call", "form"), CALLS, ids=["module", "script", "name"])
def test_help_has_the_form_of_the_call(call: tuple[str, ...], form: str, tmp_path: Path) -> None:
    bin_first = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    words = ("asd-ray", *call[1:]) if call[0] == COMMAND else call
    assert f"    {form} runs/first runs/second" in run(*words, "--help", cwd=tmp_path, PATH=bin_first).stdout


def test_a_path_that_was_typed_is_part_of_the_form(tmp_path: Path) -> None:
    shown = run(
        COMMAND, "report", "--help", cwd=tmp_path, PATH="/usr/bin:/bin"
    ).stdout  # no asd-ray is found there
    assert f"    {COMMAND} report runs/first" in shown


def test_the_next_command_has_the_form_of_this_one() -> None:
    assert invocation.call_of("score") == "asd-ray score"  # of notebooks
    invocation.called_as_script("launch/tune.py")
    assert invocation.call_of("score") == "python launch/score.py"
    invocation.called_as_script("tune.py")
    assert invocation.call_of("score") == "python score.py"
    invocation.called_as_script("/home/me/my clone/launch/tune.py")
    assert invocation.call_of("score") == "python '/home/me/my clone/launch/score.py'"
    invocation.called_as_module()
    assert invocation.call_of("score") == "python -m asd_ray score"
    assert invocation.script() is None


def test_what_continues_a_search_is_the_call_with_its_run_folder() -> None:
    arguments = commands.parse("tune", ["--storage", "postgresql://me:secret@h/d", "--set", "a b=c"])
    words = "--storage 'postgresql://me:***@h/d' --set 'a b=c'"
    assert tune.called(arguments) == words
    assert tune.again(arguments, Path("runs/it's")) == f"{words} --run 'runs/it'\"'\"'s'"


def test_nothing_else_of_the_package_says_how_it_is_called() -> None:
    """A message that names a script of launch/ would be wrong for everybody who has none."""
    knows = {"invocation.py", "commands/__init__.py", "cluster/address.py"}
    files = [path for path in (ROOT / "asd_ray").rglob("*") if path.suffix in (".py", ".jinja")]
    found = {path.relative_to(ROOT / "asd_ray").as_posix() for path in files if "launch/" in path.read_text()}
    assert found == knows


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last word of `asd-ray ...`."""
    return completion.completed(str(COMMAND), "asd-ray", words, cwd=tmp_path)


def test_a_shell_completes_verbs_and_their_options_choices_and_paths(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    assert completed(tmp_path, "t") == ["tune", "train"]
    assert completed(tmp_path, "tune", "--pro") == ["--protocol"]
    assert completed(tmp_path, "tune", "--scope", "") == ["joint", "own"]
    assert completed(tmp_path, "tune", "--data", "sha") == ["shards"]
    assert completed(tmp_path, "prepare", "--st") == ["--strict"]
    assert completed(tmp_path, "download", "dc") == ["dcase2020"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_shell_learns_every_verb_whichever_verb_is_asked(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for words in (["--print-completion", shell], ["score", "--print-completion", shell]):
        with pytest.raises(SystemExit) as ended:
            commands.run(words)
        assert ended.value.code == DONE
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert all(verb in said[0] for verb in VERBS)
    assert "--stop-when" in said[0] or "stop-when" in said[0]


def test_settings_have_names_and_a_file_of_that_name_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ROOT / "launch" / "quick.yaml"
    asked = commands.parse("tune", ["--data", "x", "--config", "quick"])
    assert tune.settings_file(asked) == quick
    assert tune.settings_file(commands.parse("tune", [])) == quick
    assert tune.settings_file(commands.parse("tune", ["--data", "x"])) is None
    assert tune.settings_file(commands.parse("tune", ["--config", "quik"])) == Path(
        "quik"
    )  # refused when it is read
    Path("quick").touch()
    assert tune.settings_file(asked) == Path("quick")


def test_a_module_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    """In a clone without environment the package is found all the same, where it is called as a module."""
    bare = "import sys; sys.path.insert(0, sys.argv.pop(1)); from asd_ray.commands import *; run_as_module()"
    failed = run(sys.executable, "-I", "-S", "-c", bare, str(ROOT), "doctor", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == "error: No module named 'psutil'; run: make setup && . .venv/bin/activate\n"


def test_files_that_come_with_the_package_are_found_in_a_clone_and_in_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shipped.clone() == ROOT
    assert shipped.search_spaces() == ROOT / "search_spaces"
    assert shipped.how_to_install().startswith("make setup")
    within = tmp_path / "asd_ray" / "search_spaces"
    (tmp_path / "asd_ray" / "presets").mkdir(parents=True)
    (tmp_path / "asd_ray" / "presets" / "quick.yaml").touch()
    within.mkdir()
    monkeypatch.setattr(shipped, "PACKAGE", within.parent)
    monkeypatch.setattr(shipped, "_WITHIN", within)
    assert shipped.clone() is None
    assert shipped.search_spaces() == within
    assert shipped.preset("quick") == within.parent / "presets" / "quick.yaml"
    assert shipped.preset("slow") is None
    assert shipped.how_to_install().startswith("pip install")
