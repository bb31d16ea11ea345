"""Commands end with a status that says what happened, and with one line that says why."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray import __version__
from asd_ray.commands.options import Parser, run_command
from asd_ray.errors import BAD_INPUT, DONE, FAILED, INTERRUPTED, InputError
from tests import completion

ROOT = Path(__file__).resolve().parents[2]


def make_parser() -> Parser:
    parser = Parser(description="What it does.")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--set", action="append")
    return parser


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the parser prints when it refuses these words."""
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(words)
    assert ended.value.code == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("words", [["--trails", "5"], ["--trails=5"], ["--trial", "5"], ["--trial=5"]])
def test_a_mistyped_or_shortened_option_gets_the_nearest_one(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert f"unknown option {words[0]!r}; did you mean --trials? (see --help)" in refusal(capsys, *words)


def test_an_option_like_no_other_gets_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "--zzzzzz").endswith("unknown option '--zzzzzz' (see --help)\n")


def test_an_argument_that_belongs_to_no_option_is_not_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "datasets/").endswith("unexpected argument 'datasets/' (see --help)\n")


def test_a_value_of_another_type_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "argument --trials: invalid int value: 'many' (see --help)" in refusal(capsys, "--trials", "many")


def test_options_in_full_are_read() -> None:
    parsed = make_parser().parse_args(["--trials", "5", "--set", "a=1", "--set", "b=2"])
    assert (parsed.trials, parsed.set, parsed.debug) == (5, ["a=1", "b=2"], False)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["--version"])
    assert ended.value.code == DONE
    assert capsys.readouterr().out == f"asd_ray {__version__}\n"


def raises(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def command(_: argparse.Namespace) -> int:
        raise error

    return command


def status_of(command: Callable[[argparse.Namespace], int]) -> object:
    with pytest.raises(SystemExit) as ended:
        run_command(command, argparse.Namespace(debug=False))
    return ended.value.code


def test_the_statuses_are_those_that_shells_expect() -> None:
    assert (DONE, FAILED, BAD_INPUT, INTERRUPTED) == (0, 1, 2, 130)


def test_the_status_of_a_command_is_the_status_of_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    for status in (DONE, FAILED):
        assert status_of(lambda _, status=status: status) == status  # type: ignore[misc]
    assert capsys.readouterr() == ("", "")


def test_a_users_mistake_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(raises(InputError("x.yaml:3: no such key"))) == BAD_INPUT
    assert capsys.readouterr() == ("", "error: x.yaml:3: no such key\n")


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(raises(KeyboardInterrupt())) == INTERRUPTED
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("error", [InputError("x"), KeyboardInterrupt()])
def test_debug_shows_the_traceback(error: BaseException) -> None:
    with pytest.raises(type(error)):
        run_command(raises(error), argparse.Namespace(debug=True))


def test_our_own_faults_are_never_passed_off_as_the_users() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(raises(ZeroDivisionError()), argparse.Namespace(debug=False))


def test_a_package_that_is_missing_is_one_line_and_a_module_of_ours_is_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert status_of(raises(missing)) == FAILED
    assert capsys.readouterr().err == "error: No module named 'torch'; run: make setup && . .venv/bin/activate\n"
    with pytest.raises(ModuleNotFoundError):
        status_of(raises(ModuleNotFoundError("No module named 'asd_ray.x'", name="asd_ray.x")))


def test_a_reader_who_has_had_enough_is_no_traceback(tmp_path: Path) -> None:
    script = tmp_path / "talk.py"
    script.write_text(
        "from asd_ray.commands.options import Parser, run_command\n"
        "def command(arguments):\n"
        "    print('line\\n' * 100_000)\n"
        "    return 0\n"
        "run_command(command, Parser('Talks.').parse_args())\n"
    )
    command = f"set -o pipefail; {sys.executable} {script} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (FAILED, "line\n", "")


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last word of `launch/tune.py ...`."""
    return completion.completed(f"{sys.executable} {ROOT / 'launch/tune.py'}", "tune.py", words, cwd=tmp_path)


def test_a_shell_completes_options_choices_and_paths(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    assert completed(tmp_path, "--pro") == ["--protocol"]
    assert completed(tmp_path, "--scope", "") == ["joint", "own"]
    assert completed(tmp_path, "--data", "sha") == ["shards"]
