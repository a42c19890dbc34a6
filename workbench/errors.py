"""What every expected error of the package is, so that a shell shows its one line without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


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
