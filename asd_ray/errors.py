"""The two kinds of error that a command turns into one line, and the words that such a line needs.

`InputError`: what the user gave is wrong, and the user can mend it. `EnvironmentFailure`: the disk, a server, Ray
or the machine has failed, and the same call goes on once it works again. Anything else is a fault of the code.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit statuses of every command


class InputError(ValueError):
    """What a user can mend. The message is one line: the file or option, the value, the mend."""


class EnvironmentFailure(Exception):  # noqa: N818
    """A disk, a server, Ray or the machine has failed: neither the user nor a trial is at fault.

    The message is one line: what failed, and what to do. The same call goes on later.
    """


def hide_passwords(text: str) -> str:
    """A text without the passwords of the URLs in it.

    >>> hide_passwords("--storage=postgresql://me:secret@host/db?sslpassword=secret&user=me")
    '--storage=postgresql://me:***@host/db?sslpassword=***&user=me'
    """
    return re.sub(
        r"(://[^/@]*?:)[^@]*@|(password=)[^&]*",
        lambda found: (found[1] or found[2]) + "***" + "@" * bool(found[1]),
        text,
    )


def printable(text: str) -> str:
    """A text as a terminal can show it: control characters, which could move the cursor or worse, are escaped.

    >>> printable("fan\\x1b[2J.wav")
    'fan\\\\x1b[2J.wav'
    """
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that is most like a word, whatever its case; None where none is.

    >>> nearest("toycar", ["fan", "ToyCar"]), nearest("xyz", ["fan", "ToyCar"])
    ('ToyCar', None)
    """
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[near[0]] if near else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error's message: `; did you mean 'trials'?`, or the known words when none is near."""
    names = sorted(known)
    near = nearest(word, names)
    return f"; did you mean {near!r}?" if near else f"; known: {', '.join(names)}" if names else ""


def path_suggestion(path: Path) -> str:
    """The same for a path that is not there: what lies in its place under a name like it, if anything does."""
    if ":/" in str(path):  # names of object storage are not listed for a typo
        return ""
    for parent, missing in zip(path.parents, (path, *path.parents), strict=False):
        if parent.is_dir():
            near = nearest(missing.name, (item.name for item in parent.iterdir()))
            there = parent / near / path.relative_to(missing) if near else None
            return f"; did you mean {there}?" if there is not None and there.exists() else ""
    return ""
