"""Runs at a glance: how each one below a folder stands, `workbench ls FOLDER`, and again and again, `workbench watch`.

Everything is read off the run folders, by whom and on which machine they are ever made: who trains or evaluates holds a
folder's lock. The time that is left is guessed from the steps since the last checkpoint.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workbench.files import if_sound, passed_over, read_json
from workbench.interop.trackers import trackers
from workbench.paths import is_locked, locked
from workbench.reports.layout import headline
from workbench.runs.run import Run
from workbench.sweeps.run import last_step, steps_done
from workbench.sweeps.table import COLOURS, duration

STATES = {"done": "done", "training": "running", "evaluating": "running", "failed": "failed"}  # others: as queued
PERIOD = 2.0  # seconds between two looks


class Row(NamedTuple):
    """How a run stands: its place below the folder, one word, what there is to say, and it itself."""

    name: str
    state: str
    text: str
    run: Run | None = None


def rows(folder: Path) -> list[Row]:
    """Look at all runs below a folder, begun ones among them, in order of their names.

    Raises ValueError where there is none; what is damaged is passed over, which is said.
    """
    if not (found := [*_rows(folder)]):
        raise ValueError(f"no run below {folder}: train one with `workbench train`, or a sweep's")
    return found


def _rows(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.rglob("config.json")):
        name = path.parent.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in (*Path(name).parts, path.parent.name) if part != "."):
            with passed_over():
                run = Run(path.parent)
                yield Row(name if name != "." else path.parent.name, *look(run), run)


def look(run: Run) -> tuple[str, str]:
    """Say how a run stands, in a word, and more of it."""
    if run.complete:
        return "done", headline(run)
    busy, path = is_locked(run.folder), run.folder / "execution.json"
    if run.trained:
        return ("evaluating", "") if busy else ("trained", f"not evaluated: workbench evaluate {run.folder}")
    done, total = steps_done(run.folder), run.config.steps
    text = f"step {done:,} of {total:,}" if total else f"step {done:,} in {run.config.epochs:g} epochs"
    if busy:
        left = seconds_left(run.folder, done, total)
        return "training", text + (f", about {duration(left)} left" if left is not None else "")
    ended = path.is_file() and (if_sound(lambda: read_json(path), path) or {}).get("error")
    return ("failed", f"{text}: {ended}") if ended else ("stopped", f"{text}; the same command goes on")


def seconds_left(folder: Path, done: int, total: int) -> float | None:
    """Guess how long a training still takes by its pace since its last checkpoint; None where nothing tells."""
    kept, history = folder / "checkpoint.json", folder / "history.csv"
    since = kept if kept.is_file() else folder / "config.json"  # which is written where a training begins, or goes on
    step = last_step(folder) if since == kept else 0
    if not (total and history.is_file() and done > step):
        return None
    seconds = history.stat().st_mtime - since.stat().st_mtime
    return max(0.0, seconds) / (done - step) * (total - done)


def shown(found: Sequence[Row]) -> Text:
    """Write a line for each run, in columns, the states in their colours."""
    state, name = (max(len(row[i]) for row in found) for i in (1, 0))
    text = Text()
    for row in found:
        text.append(f"{row.state:{state}}", COLOURS[STATES.get(row.state, "queued")])
        text.append(f"  {row.name:{name}}  {row.text}".rstrip() + "\n")
    return text


def watch(folder: Path, console: Console | None = None, track: Sequence[str] = ()) -> None:
    """Show how all runs below a folder stand, again and again, until none is at work; trackers are told what is new."""
    alone = locked(folder / "tracking", f"waiting: another process tracks {folder}", leave=False)
    live = Live(console=console, auto_refresh=False, vertical_overflow="visible")
    before: list[Row] = []
    with alone if track else nullcontext(), trackers(track) as tell, live:
        while True:
            live.update(shown(found := rows(folder)), refresh=True)
            for row in found if track else ():
                if row not in before:
                    with passed_over():
                        tell(row.run)
            if not any(row.state in ("training", "evaluating") for row in found):
                return
            before = found
            time.sleep(PERIOD)
