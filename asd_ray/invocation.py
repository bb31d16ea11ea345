"""How this process was called, and so how the next command is to be typed.

A verb is called in three ways: `asd-ray tune`, `python -m asd_ray tune`, and in a clone `python launch/tune.py`.
What a command prints is for those who called it, and has the form of their call. What it writes into files is
read by others, elsewhere: there it is always `asd-ray tune`.
"""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

NAME = "asd-ray"


def _by_name(verb: str) -> str:
    return f"{NAME} {verb}"


_form: Callable[[str], str] = _by_name  # also that of notebooks, and of other programs
_script: str | None = None


def call_of(verb: str) -> str:
    """The beginning of a command line that does what a verb does, in the form in which this process was called."""
    return _form(verb)


def script() -> str | None:
    """The script of a clone that was called, as it was typed; None where something else was."""
    return _script


def called_by_name(typed: str) -> None:
    """This is `asd-ray`, typed so, or with a path where a shell would not find it."""
    name = NAME if shutil.which(NAME) == typed else shlex.quote(typed)
    _remember(lambda verb: f"{name} {verb}")


def called_as_module() -> None:
    """This is `python -m asd_ray`."""
    _remember(lambda verb: f"python -m asd_ray {verb}")


def called_as_script(typed: str) -> None:
    """This is `python launch/tune.py`, or wherever that script lies."""
    _remember(lambda verb: f"python {shlex.quote(str(Path(typed).with_name(f'{verb}.py')))}", script=typed)


def _remember(form: Callable[[str], str], *, script: str | None = None) -> None:
    global _form, _script
    _form, _script = form, script
