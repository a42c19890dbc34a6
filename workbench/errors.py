"""What every expected error of the package is, so that a shell shows its one line without a traceback."""


class WorkbenchError(RuntimeError):
    """Something outside the program is wrong; the message says in one line what, and what to do about it."""
