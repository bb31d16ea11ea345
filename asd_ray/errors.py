"""The two kinds of error that a command turns into one line, and helpers for the words of such a line.

`InputError`: the user's input is wrong, and the user can mend it. `EnvironmentFailure`: the disk, a server, Ray or
the machine has failed, and repeating the call resumes once it works again. Any other error is a bug in the code.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit statuses of every command


class InputError(ValueError):
    """An error that the user can mend. The message is one line: the file or option, the value, the mend."""


class EnvironmentFailure(Exception):  # noqa: N818
    """A disk, a server, Ray or the machine has failed: neither the user nor a trial is at fault.

    The message is one line: what failed, and what to do. Repeating the call later resumes.
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
    """A text that is safe to show in a terminal: control characters, which could move the cursor, are escaped.

    >>> printable("fan\\x1b[2J.wav")
    'fan\\\\x1b[2J.wav'
    """
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that is most similar to a word, ignoring case; None if none is similar.

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
    """The same for a missing path: an existing path with a similar name, if there is one."""
    if ":/" in str(path):  # we do not list object storage just because of a typo
        return ""
    for parent, missing in zip(path.parents, (path, *path.parents), strict=False):
        if parent.is_dir():
            near = nearest(missing.name, (item.name for item in parent.iterdir()))
            there = parent / near / path.relative_to(missing) if near else None
            return f"; did you mean {there}?" if there is not None and there.exists() else ""
    return ""
