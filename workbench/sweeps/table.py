"""A sweep to look at: a table that is drawn again and again on a terminal, else a line for every change."""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workbench.notebooks.series import State

COLOURS = {"queued": "dim", "running": "bold", "done": "green", "failed": "bold red"}
FIRST = ("running", "failed", "queued", "done")  # what is shown where not all jobs fit
AROUND = 5  # lines of a terminal that are not jobs: title, headings, totals
REFRESH = 0.5  # seconds


class Display(AbstractContextManager["Display"]):
    """Shows the states of jobs, of a sweep or a series: a context, so that the terminal is left in order."""

    def __init__(self, title: str, labels: Sequence[str], console: Console | None = None) -> None:
        self.title, self.labels = title, labels
        self.console = console or Console(file=sys.stdout)
        self.live = Live(console=self.console, auto_refresh=False, vertical_overflow="visible")
        self.statuses: dict[int, str] = {}
        self.shown = 0.0

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def show(self, states: Sequence[State], slots: int | float = 1) -> None:
        """Show how the jobs stand, so many (`slots`) at a time: all, twice a second, or on no terminal what changed.

        Jobs are queued before they are shown for the first time.
        """
        changed = [i for i, state in enumerate(states) if state.status != self.statuses.get(i, "queued")]
        if self.console.is_terminal:
            if changed or time.monotonic() - self.shown > REFRESH:
                self._draw(states, slots)
        else:
            self._print([] if self.statuses else [self.title], states, changed)
        self.statuses = {i: state.status for i, state in enumerate(states)}

    def _draw(self, states: Sequence[State], slots: int | float) -> None:
        self.live.start()  # not before: until then the terminal shows what else there is to see
        self.shown = time.monotonic()
        room = max(1, self.console.height - AROUND)
        self.live.update(table(self.title, self.labels, states, slots, room), refresh=True)

    def list_all(self, states: Sequence[State]) -> None:
        """Print every job and how it stands, a line each."""
        self._print([self.title], states, range(len(states)))

    def _print(self, heading: Sequence[str], states: Sequence[State], which: Iterable[int]) -> None:
        for text in (*heading, *(line(self.labels[i], states[i], i, len(states)) for i in which)):
            self.console.print(Text(text), soft_wrap=True)


def line(label: str, state: State, index: int, count: int) -> str:
    """Write a job and its state as one line of a log, without what would be different in a moment."""
    more = tell(state) if state.status != "running" else ""
    return f"[{index + 1}/{count}] {state.status:7}  {label}  {more}".rstrip()


def table(title: str, labels: Sequence[str], states: Sequence[State], slots: int | float, room: int) -> Table:
    """Make a table of all jobs and their states with totals below, or of as many jobs as there is room for."""
    chosen = sorted(sorted(range(len(labels)), key=lambda i: FIRST.index(states[i].status))[:room])
    shown = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, show_header=False)
    shown.caption, shown.caption_justify = Text(totals(states, slots)), "left"
    for i in chosen:
        status = Text(states[i].status, COLOURS[states[i].status])
        shown.add_row(str(i + 1), Text(labels[i]), status, Text(tell(states[i])))
    left = Counter(states[i].status for i in range(len(labels)) if i not in chosen)
    if left:
        shown.add_row("", "... and " + ", ".join(f"{count} {status}" for status, count in left.items()))
    return shown


def totals(states: Sequence[State], slots: int | float) -> str:
    """Say how many jobs stand how, and about how long all of them still take."""
    counts = Counter(state.status for state in states)
    text = ", ".join(f"{counts[status]} {status}" for status in COLOURS if counts[status])
    left = time_left(states, slots)
    return text if left is None else f"{text}; about {duration(left)} left"


def time_left(states: Sequence[State], slots: int | float) -> float | None:
    """Guess the seconds until all jobs have ended from those that have; None where there is nothing to guess from.

    Where none has ended yet, from the running ones' shares of their trainings. An engine with a queue of its own
    (infinite `slots`) goes on with as many at a time as it has running now.
    """
    running = [state for state in states if state.status == "running"]
    queued = sum(state.status == "queued" for state in states)
    took = [s.seconds for s in states if s.fresh and s.status == "done"]
    took = took or [s.seconds / s.share for s in running if s.share > 0]
    if not took or not (running or queued):
        return None
    each = sum(took) / len(took)
    work = queued * each + sum(max(0.0, each - state.seconds) for state in running)
    return work / max(1, min(slots, queued + len(running)) if math.isfinite(slots) else len(running))


def duration(seconds: float) -> str:
    """Write seconds in words: 45 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def tell(state: State) -> str:
    """Say what there is to say about a job beyond its status."""
    if state.status == "failed":
        return state.error
    if state.status == "queued":
        return ""
    when = duration(state.seconds) if state.fresh else "it was there"
    return f"{state.detail}, {when}" if state.detail else when
