"""The verbs of `asd-ray`, and the three ways to call them: `asd-ray`, `python -m asd_ray`, a script of launch/.

It may import everything. Start with `run`, then read a verb: each verb is a module here. The docstring of the
module is its help, `add_options` has its options, and `main` does the work and returns the exit status. A module
imports nothing slow at its top (no torch, ray, numpy, pydantic or yaml), so that `--help` and a mistyped option
are answered at once.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from asd_ray import invocation
from asd_ray.commands.options import Parser, run_command
from asd_ray.errors import BAD_INPUT, suggestion

VERBS = ("tune", "prepare", "report", "train", "score", "doctor", "download")
ABOUT = """Find, for every type of machine, the training that detects its anomalous sounds best.

    asd-ray tune          # a small search on a built-in corpus
    asd-ray VERB --help   # what a verb does, and its options

verbs:
"""


def run_by_name() -> NoReturn:
    """`asd-ray VERB ...`."""
    invocation.called_by_name(sys.argv[0])
    run(sys.argv[1:])


def run_as_module() -> NoReturn:
    """`python -m asd_ray VERB ...`."""
    invocation.called_as_module()
    run(sys.argv[1:])


def run_script(verb: str) -> NoReturn:
    """`python launch/VERB.py ...`."""
    invocation.called_as_script(sys.argv[0])
    run_verb(verb, sys.argv[1:])


def run(words: Sequence[str]) -> NoReturn:
    """Do what a command line says, from the verb on, and exit with its status."""
    if words and words[0] in VERBS:
        run_verb(words[0], words[1:])
    parser = parser_of_all()
    if not words:
        parser.print_help(sys.stderr)
        sys.exit(BAD_INPUT)
    if not words[0].startswith("-"):
        parser.error(f"unknown verb {words[0]!r}{suggestion(words[0], VERBS)}")
    parser.parse_args(words)
    parser.error("give a verb")


def run_verb(verb: str, words: Sequence[str]) -> NoReturn:
    run_command(_module(verb).main, parse(verb, words))


def parse(verb: str, words: Sequence[str]) -> argparse.Namespace:
    """The options of a verb as read, and `words`: as they were typed."""
    parsed = parser_of(verb).parse_args(words)
    parsed.words = list(words)
    return parsed


def parser_of(verb: str) -> Parser:
    module, script = _module(verb), invocation.script()
    about = _in_the_form_of_the_call(module.__doc__ or "")
    parser = Parser(about, prog=Path(script).name if script else invocation.call_of(verb))
    if script is None:
        parser.completed = _completed
    module.add_options(parser)
    return parser


def parser_of_all() -> Parser:
    """Of `asd-ray` itself: it lists the verbs, and does not read their options."""
    verbs = "\n".join(f"  {verb:8}  {_summary(verb)}" for verb in VERBS)
    parser = Parser(
        _in_the_form_of_the_call(ABOUT) + verbs, prog=invocation.NAME, usage="%(prog)s VERB ...", debug=False
    )
    parser.completed = _completed
    return parser


def _completed() -> Parser:
    """The same with the verbs' options, for a shell."""
    parser = Parser("", prog=invocation.NAME, debug=False)
    verbs = parser.add_subparsers(metavar="VERB")
    for verb in VERBS:
        _module(verb).add_options(verbs.add_parser(verb, description="", help=_summary(verb)))
    return parser


def _summary(verb: str) -> str:
    return (_module(verb).__doc__ or "").partition("\n")[0]


def _in_the_form_of_the_call(text: str) -> str:
    call = rf"{invocation.NAME} ({'|'.join(VERBS)}|VERB)\b"
    return re.sub(call, lambda found: invocation.call_of(found[1]), text)


def _module(verb: str) -> ModuleType:
    return import_module(f"{__name__}.{verb}")
