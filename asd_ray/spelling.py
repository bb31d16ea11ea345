"""What somebody probably meant: the nearest of the words, or paths, that would have been right."""

import difflib
from collections.abc import Iterable
from pathlib import Path


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
