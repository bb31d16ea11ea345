"""What all commands share: an argument parser that suggests, one-line errors, exit statuses.

Exit status: 0 done, 1 the work failed, 2 usage or input, 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from asd_ray import __version__, shipped
from asd_ray.errors import (
    BAD_INPUT,
    DONE,
    FAILED,
    EnvironmentFailure,
    InputError,
    hide_passwords,
    nearest,
    printable,
)
from asd_ray.interrupts import interruptible, status_of


class _PrintCompletion(argparse.Action):
    """Print what a shell sources to complete this command's options, choices and paths, and end."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> NoReturn:
        import shtab

        assert isinstance(parser, Parser)
        completed = parser.completed()
        _complete_paths(completed)
        print(shtab.complete(completed, shell=values))
        parser.exit(DONE)


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    """Wherever an option or an argument is a path, a shell completes paths, in all verbs."""
    import shtab

    from asd_ray.files.paths import place

    for action in parser._actions:
        if action.type in (place, Path):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _complete_paths(verb)


class Parser(argparse.ArgumentParser):
    """No abbreviated options (`--trial 5` must not pass for `--trials 5`); a typo gets the nearest option."""

    def __init__(
        self, description: str, *, prog: str | None = None, usage: str | None = None, debug: bool = True
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.completed: Callable[[], Parser] = lambda: self  # whose options a shell is to complete
        self.add_argument("--version", action="version", version=f"asd_ray {__version__}")
        self.add_argument(
            "--print-completion",
            action=_PrintCompletion,
            metavar="SHELL",
            choices=["bash", "zsh", "tcsh"],
            help="print what completes verbs, options and paths on <Tab>",
        )
        if debug:
            self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def parse_args(self, args: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        parsed, extra = self.parse_known_args(args)
        if extra:
            what = "unknown option" if extra[0].startswith("-") else "unexpected argument"
            self.error(f"{what} {hide_passwords(extra[0])!r}{self._nearest(extra[0])}")
        return parsed

    def _nearest(self, option: str) -> str:
        known = [name for action in self._actions for name in action.option_strings]
        near = nearest(option.split("=")[0], known)
        return f"; did you mean {near}?" if near else ""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def run_command(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> NoReturn:
    """Run a command and exit with its status; a user's mistake, or a machine that fails, is one line."""
    try:
        with interruptible():
            status = command(arguments)
        sys.stdout.flush()  # here, where somebody who reads no more is no fault
    except InputError as error:
        if arguments.debug:
            raise
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = BAD_INPUT
    except EnvironmentFailure as error:
        if arguments.debug:
            raise
        print(f"error: {printable(str(error))}; then the same call goes on", file=sys.stderr)
        status = FAILED
    except KeyboardInterrupt as interrupt:
        if arguments.debug:
            raise
        with suppress(BrokenPipeError):
            print("interrupted", file=sys.stderr)
        status = status_of(interrupt)
    except ModuleNotFoundError as error:
        if arguments.debug or (error.name or "asd_ray").partition(".")[0] == "asd_ray":
            raise
        print(f"error: {error}; run: {shipped.how_to_install()}", file=sys.stderr)
        status = FAILED
    except BrokenPipeError:  # `asd-ray report runs/first | head`: who read has had enough
        status = FAILED
    _leave(status)


def _leave(status: int) -> NoReturn:
    """Exit; what can no longer be written, for nobody reads it, is not said to be a fault."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)
