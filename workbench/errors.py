"""What every expected error of the package is, so that a shell shows its one line without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class WorkbenchError(RuntimeError):
    """Something outside the program is wrong; the message says in one line what, and what to do about it."""


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return the end of an error sentence about an unknown name: the nearest known one.

    Where none is near, `otherwise`, or None: all of them.
    """
    known = [*known]
    if near := get_close_matches(name, known, n=1):
        return f": did you mean {near[0]!r}?"
    return f": choose from {', '.join(known) or 'none'}" if otherwise is None else otherwise


class Refused(WorkbenchError, ValueError):
    """What is asked for does not go with what a file holds, which is sound; the message says what does."""


class DamagedFile(WorkbenchError, ValueError):
    """A file does not hold what it should; the message names it, says why, and what to do."""

    how = "damaged"

    def __init__(self, path: Path, reason: str, cure: str) -> None:
        self.path, self.reason, self.cure = path, reason, cure
        super().__init__(f"{self.what}: {cure}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason, self.cure)  # it may come from another process

    @property
    def what(self) -> str:
        """The message without what to do."""
        return f"{self.path} is {self.how} ({self.reason})"


class LaterFile(DamagedFile):
    """A file holds what a later version of the workbench wrote, and this one does not know."""

    how = "of a later version"
