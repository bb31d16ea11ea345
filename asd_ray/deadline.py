"""When this invocation ends, if it has a time limit; unfinished trials resume next time."""

import time


class Deadline:
    """The end of a call's hours, on the monotonic clock, which nobody can set; without hours it never comes."""

    def __init__(self, hours: float | None = None, *, began: float | None = None) -> None:
        """`began`: when the call began, in time.monotonic() (default: now)."""
        self.hours = hours
        self._began = time.monotonic() if began is None else began

    @property
    def left(self) -> float | None:
        """Seconds until the deadline; None if there is none."""
        if self.hours is None:
            return None
        return max(0.0, self._began + 3600 * self.hours - time.monotonic())

    @property
    def over(self) -> bool:
        return self.left == 0.0
