"""What somebody probably meant: the nearest of the words that would have been right."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of an error's message; empty where nothing known is like the word, whatever its case.

    >>> "no machine type 'Valves'" + did_you_mean("Valves", ["fan", "valve"])
    "no machine type 'Valves'; did you mean valve?"
    >>> did_you_mean("xyz", ["fan", "valve"])
    ''
    """
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return f"; did you mean {by_folded[near[0]]}?" if near else ""
