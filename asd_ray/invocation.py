"""How the user called this process, and therefore how to type the next command.

One calls a verb in three ways: `asd-ray tune`, `python -m asd_ray tune`, and in a clone `python launch/tune.py`.
Commands that we print are for the caller, so they take the form of the call. Commands that we write into files
are read by others, elsewhere, so they always take the form `asd-ray tune`.
"""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

NAME = "asd-ray"


def _by_name(verb: str) -> str:
    return f"{NAME} {verb}"


_form: Callable[[str], str] = _by_name  # also the form for notebooks and other programs
_script: str | None = None


def call_of(verb: str) -> str:
    """The beginning of a command line that calls a verb, in the form in which this process was called."""
    return _form(verb)


def script() -> str | None:
    """The clone's script that the user called, as typed; None if the call had another form."""
    return _script


def called_by_name(typed: str) -> None:
    """Record that the user called `asd-ray`: by this name, or with a path where a shell would not find it."""
    name = NAME if shutil.which(NAME) == typed else shlex.quote(typed)
    _remember(lambda verb: f"{name} {verb}")


def called_as_module() -> None:
    """Record that the user called `python -m asd_ray`."""
    _remember(lambda verb: f"python -m asd_ray {verb}")


def called_as_script(typed: str) -> None:
    """Record that the user called `python launch/tune.py`, wherever that script is."""
    _remember(lambda verb: f"python {shlex.quote(str(Path(typed).with_name(f'{verb}.py')))}", script=typed)


def _remember(form: Callable[[str], str], *, script: str | None = None) -> None:
    global _form, _script
    _form, _script = form, script
