"""What ends a search that is nobody's mistake."""


class SearchStoppedError(Exception):
    """The machine, not a trial, is at fault: lanes cannot start, a disk is full. The same call goes on later."""
