"""What a sweep shows: on a terminal and in a log, and how long it says that it will take."""

import io
import math

import pytest
from rich.console import Console

from workbench.notebooks.series import State
from workbench.sweeps.table import Display, duration, line, table, time_left, totals

QUEUED = State("queued")
RUNNING = State("running", "step 50 of 200", seconds=30.0, share=0.25)
DONE = State("done", "probe 0.97", seconds=60.0)
BEFORE = State("done", "probe 0.95", fresh=False)
FAILED = State("failed", seconds=3.0, error="04_training.ipynb failed in cell [9]: TrainingDiverged: at step [2]")


JOBS = [f"style_dim={n}" for n in range(5)]
STATES = [DONE, FAILED, RUNNING, QUEUED, BEFORE]


def drawn(shown: object, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (3540, "59 min"), (3600, "1 h 00 min"), (11100, "3 h 05 min")],
)
def test_durations(seconds, words):
    assert duration(float(seconds)) == words


@pytest.mark.parametrize(
    ("states", "slots", "seconds"),
    [
        ([DONE, QUEUED, QUEUED, QUEUED, QUEUED], 2, 120.0),  # four of 60 s, two at a time
        ([DONE, QUEUED], 2, 60.0),  # a slot without a run helps nobody
        ([DONE, RUNNING], 1, 30.0),  # half of it is over
        ([DONE, State("running", seconds=100.0)], 1, 0.0),  # later than expected, but not less than nothing is left
        ([RUNNING, QUEUED], 1, 210.0),  # a quarter in 30 s: 90 s are left of one, 120 s of the other
        ([BEFORE, FAILED, RUNNING], 1, 90.0),  # what was there before or failed tells nothing
        ([DONE, RUNNING, RUNNING, QUEUED, QUEUED], math.inf, 90.0),  # as many at a time as there are now
        ([QUEUED, State("running", "starting")], 2, None),
        ([DONE, FAILED], 2, None),
    ],
)
def test_time_left(states, slots, seconds):
    assert time_left(states, slots) == (None if seconds is None else pytest.approx(seconds))


def test_the_table_shows_every_job_or_on_a_low_terminal_what_runs_and_what_failed():
    rows = [row.rstrip() for row in drawn(table("A [question]?", JOBS, STATES, 1, room=20)).splitlines()]
    assert rows[0].strip() == "A [question]?"
    assert [row.split()[:3] for row in rows[1:6]] == [
        ["1", "style_dim=0", "done"],
        ["2", "style_dim=1", "failed"],
        ["3", "style_dim=2", "running"],
        ["4", "style_dim=3", "queued"],
        ["5", "style_dim=4", "done"],
    ]
    assert rows[1].endswith("probe 0.97, 60 s") and "it was there" in rows[5]
    assert "TrainingDiverged: at step [2]" in rows[2], "brackets are no markup"
    assert "step 50 of 200, 30 s" in rows[3] and rows[6].strip() == totals(STATES, 1)
    rows = drawn(table("title", JOBS, STATES, 1, room=2)).splitlines()
    assert [row.split()[1] for row in rows[1:3]] == ["style_dim=1", "style_dim=2"]
    assert rows[3].strip() == "... and 2 done, 1 queued"
    assert totals(STATES, 1) == "1 queued, 1 running, 2 done, 1 failed; about 2 min left"
    assert totals([DONE, BEFORE], 1) == "2 done"


def test_a_log_has_a_line_for_every_change():
    console = Console(file=io.StringIO(), width=60)
    with Display("What is it?", JOBS[:2], console) as display:
        for states in ([QUEUED, QUEUED], [RUNNING, QUEUED], [RUNNING, QUEUED], [DONE, RUNNING], [DONE, FAILED]):
            display.show(states, 1)
    assert console.file.getvalue().splitlines() == [
        "What is it?",
        "[1/2] running  style_dim=0",
        "[1/2] done     style_dim=0  probe 0.97, 60 s",
        "[2/2] running  style_dim=1",
        f"[2/2] failed   style_dim=1  {FAILED.error}",
    ]
    assert line(JOBS[1], FAILED, 1, 2) == f"[2/2] failed   style_dim=1  {FAILED.error}"


def test_a_terminal_is_drawn_again_and_ends_with_the_last_state():
    console = Console(file=io.StringIO(), width=80, height=30, force_terminal=True, force_interactive=True)
    with Display("What is it?", JOBS[:2], console) as display:
        display.show([RUNNING, QUEUED], 1)
        display.show([DONE, FAILED], 1)
    text = console.file.getvalue()
    assert text.count("What is it?") == 3, "twice for the changes, once at the end"
    assert text.rindex("about 4 min left") < text.rindex("1 done, 1 failed")


def test_all_jobs_as_a_list():
    console = Console(file=io.StringIO(), width=40)
    Display("What is it?", JOBS, console).list_all([QUEUED] * 5)
    assert console.file.getvalue().splitlines()[1:3] == ["[1/5] queued   style_dim=0", "[2/5] queued   style_dim=1"]
