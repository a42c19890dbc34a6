"""Runs at a glance: states and numbers as they are read off run folders, while other processes are at work there."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from rich.console import Console

from workbench import Config
from workbench.paths import is_locked
from workbench.runs.run import start
from workbench.sweeps import listing
from workbench.sweeps.listing import look, rows, seconds_left, shown

CONFIG = Config(data="uci-text", steps=400)
HOLD = """
import sys
from pathlib import Path
from workbench.runs.run import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def at_work(folder):
    """Another process holds the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        yield
        other.stdin.close()


@pytest.fixture
def run(tmp_path):
    """A run that has taken 150 of 400 steps, a checkpoint at 100."""
    made = start(CONFIG, tmp_path / "one" / "run", files={})
    for step in (50, 100, 150):
        made.add_to_history(step, {"total": 1.0})
    made.write("checkpoint.json", {"step": 100, "tensors": "checkpoint-0000100.safetensors"})
    for name, when in (("config.json", 1000), ("checkpoint.json", 1200), ("history.csv", 1300)):
        os.utime(made.folder / name, (when, when))
    return made


def test_a_run_stops_trains_fails_and_is_done(run):
    assert look(run) == ("stopped", "step 150 of 400; the same command goes on")
    with at_work(run.folder):
        assert is_locked(run.folder)
        assert look(run) == ("training", "step 150 of 400, about 8 min left"), "100 s for 50 steps since the checkpoint"
    assert not is_locked(run.folder) and not is_locked(run.folder.with_name("never"))
    run.write("execution.json", {"error": "it burnt"})
    assert look(run) == ("failed", "step 150 of 400: it burnt")
    (run.folder / "model.safetensors").touch()
    assert look(run) == ("trained", f"not evaluated: workbench evaluate {run.folder}")
    with at_work(run.folder):
        assert look(run) == ("evaluating", "")


def test_the_pace_is_that_since_the_last_checkpoint_or_the_beginning(run):
    assert seconds_left(run.folder, 150, 400) == 100 / 50 * 250
    assert seconds_left(run.folder, 100, 400) is None, "nothing since then"
    assert seconds_left(run.folder, 150, 0) is None, "epochs of data that is not read here"
    (run.folder / "checkpoint.json").unlink()
    assert seconds_left(run.folder, 150, 400) == 300 / 150 * 250


def test_all_runs_below_a_folder_are_lines_and_hidden_ones_are_not(run, tmp_path):
    start(CONFIG.replace(seed=1), tmp_path / "one" / ".run-old", files={})
    start(CONFIG.replace(steps=0, epochs=2.5), tmp_path / "two", files={})
    assert [(row.name, row.state) for row in rows(tmp_path)] == [("one/run", "stopped"), ("two", "stopped")]
    assert [row.name for row in rows(tmp_path / "two")] == ["two"]
    lines = str(shown(rows(tmp_path))).splitlines()
    assert lines[1] == "stopped  two      step 0 in 2.5 epochs; the same command goes on"
    (tmp_path / "two" / "config.json").write_text("{")
    assert [row.name for row in rows(tmp_path)] == ["one/run"]
    with pytest.raises(ValueError, match=r"no run below .*none: train one"):
        rows(tmp_path / "none")


def test_watching_ends_when_nobody_is_at_work(run, tmp_path, monkeypatch):
    seen = iter(["training", "training", "stopped"])
    monkeypatch.setattr(listing, "PERIOD", 0)
    monkeypatch.setattr(listing, "rows", lambda folder: [listing.Row("run", state := next(seen, "stopped"), state)])
    written = io.StringIO()
    listing.watch(tmp_path, Console(file=written, width=80))
    assert next(seen, None) is None and written.getvalue().strip() == "stopped  run  stopped"
