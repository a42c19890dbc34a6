"""A sweep: many runs of the training notebook, each in its own run folder, on an engine (engines.py).

What is done is read off the run folders, by whom ever it was done: complete runs are skipped, interrupted ones go on
from their checkpoints, failed ones are tried again. So a sweep that was stopped, even by SIGKILL, is started again by
the same command. A run folder keeps the executed notebook as run.ipynb, with the traceback of a failed run, and
execution.json says when and where it was executed:

    {"label": ..., "started": ..., "machine": ..., "process": ..., "seconds": null, "error": null}

until it has ended; then "error" is "" or one sentence. Runs of one sweep may be executed on several machines: all they
need is a file system that they share.
"""

import os
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.data.missing import as_configured
from workbench.files import if_sound, read_json, replacing
from workbench.metrics.judges import classifiers_of
from workbench.notebooks import execution as notebook_execution
from workbench.notebooks.execution import first_line, kernel_of_this_interpreter
from workbench.notebooks.series import Pending, Show, State, in_turns
from workbench.reports.layout import headline
from workbench.runs.run import Run, archive_stale, is_current, sole_writer
from workbench.sweeps.engines import Engine, open_engine
from workbench.sweeps.plan import Job, Sweep

JUDGED = {"coherence", "quality"}  # parts of the evaluation that need judges


def execute(job: Job, **options: Any) -> str:
    """Execute a job where it is called; returns "" or one sentence about its failure. `options` go to papermill."""
    run, start = Run(job.folder), time.monotonic()
    with sole_writer(job.folder):
        if is_done(job):  # by another process, for which this one waited
            return ""
        archive_stale(run, job.config)
        origin = {"label": job.label, "started": datetime.now(UTC).isoformat(timespec="milliseconds")}
        origin |= {"machine": platform.node(), "process": os.getpid()}
        run.write("execution.json", {**origin, "seconds": None, "error": None})
    error = _executed(job, options)
    with sole_writer(job.folder):
        run.write("execution.json", {**origin, "seconds": round(time.monotonic() - start, 1), "error": error})
        if (job.folder / "config.json").is_file():
            stored = run.read("config.json")
            run.write("config.json", {**stored, "command": stored["command"] or job.command})
    return error


def _executed(job: Job, options: dict[str, Any]) -> str:
    """Execute a job's notebook and keep it as run.ipynb; returns "" or one sentence, however it ended."""
    folder = ""
    try:
        # executed elsewhere, because the kernel may have to wait for the folder
        with (
            TemporaryDirectory(prefix="workbench-", ignore_cleanup_errors=True) as folder,
            kernel_of_this_interpreter(),
        ):
            executed = Path(folder) / "run.ipynb"
            options |= {"request_save_on_cell_execute": False}  # nobody looks at it before its end
            error = notebook_execution.execute(job.notebook, executed, job.parameters, **options).error
            with sole_writer(job.folder), replacing(job.folder / "run.ipynb") as temporary:
                shutil.copyfile(executed, temporary)
            return error
    except Exception as failure:  # of what executes it: a full disk, no process to be had
        error = f"{type(failure).__name__}: {first_line(str(failure))}"
        return error.replace(folder, str(job.folder)) if folder else error


def is_done(job: Job) -> bool:
    """Tell whether a job's run is complete and current, in the parts asked for, and its notebook ended well."""
    notebook = (job.folder / "run.ipynb").is_file() and execution(job).get("error") == ""
    return notebook and is_current(Run(job.folder), job.config, job.parts, job.limit)


def execution(job: Job) -> dict[str, Any]:
    """Read what execution.json says of a job; empty where it was never started."""
    path = job.folder / "execution.json"
    return if_sound(lambda: read_json(path), path) or {}


def steps_done(folder: Path) -> int:
    """Count the optimiser steps that a run's history or checkpoint tells of: at most 50 too few."""
    step = _end_of(folder / "history.csv", 4096).rstrip("\n").rpartition("\n")[2].partition(",")[0]
    return max(last_step(folder), int(step) if step.isdecimal() else 0)


def last_step(folder: Path) -> int:
    """Read the step of a run's checkpoint; 0 where there is none."""
    path = folder / "checkpoint.json"
    return (if_sound(lambda: read_json(path), path) or {}).get("step", 0)


def _end_of(path: Path, most: int = 2**20) -> str:
    """The last bytes of a file as text; "" where it is not, or no longer, there: a run may be set aside meanwhile."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode()
    except FileNotFoundError:
        return ""


def complete(plan: Sweep, show: Show, engine: str = "local", **options: Any) -> list[State]:
    """Do what is left of a sweep on the engine of that name; returns how each job went.

    `show` is called again and again with the states of all jobs and how many the engine takes at a time; `options` are
    those of `engines.open_engine`. Raises ValueError and DataError on what keeps it from starting.
    """
    states = states_of(plan.jobs)
    left = [job for job, state in zip(plan.jobs, states, strict=True) if state.status != "done"]
    if left:
        # sized for all jobs: those that are left take as many threads as they would have taken among the others
        with open_engine(engine, plan.jobs[0].notebook, len(plan.jobs), plan.folder, **options) as opened:
            return run(plan.jobs, states, opened, prepare(left, judges=opened.here), show)
    show(states, 1)
    return states


def states_of(jobs: Sequence[Job]) -> list[State]:
    """Tell how jobs stand that no engine has: done or queued."""
    return [State("done", headline(Run(job.folder)), fresh=False) if is_done(job) else State("queued") for job in jobs]


def prepare(jobs: Sequence[Job], judges: bool) -> dict[Path, int]:
    """Load the data of runs, and train judges where they need some, before anything starts; the steps of each run.

    Data that is not there is an error here. `judges` False leaves them to the first runs that need them.
    """
    splits: dict[tuple, list[MultimodalDataset]] = {}
    steps, judged = {}, {}
    for job in jobs:
        config, key = job.config, (job.config.data, job.config.data_root, job.config.repeats)
        if key not in splits:
            options = {"root": config.data_root or None, "repeats": config.repeats}
            splits[key] = [load_dataset(config.data, split, **options) for split in ("train", "test")]
        if JUDGED & set(job.parts):
            judged[*key, config.judge_width] = splits[key]
        steps[job.folder] = config.total_steps(as_configured(splits[key][0], config).steps_per_epoch(config.batch_size))
    for (*_, width), (train, test) in judged.items() if judges else ():
        classifiers_of(train, test, width=width)
    return steps


def run(
    jobs: Sequence[Job], states: Sequence[State], engine: Engine, steps: Mapping[Path, int], show: Show
) -> list[State]:
    """Execute the queued ones of some jobs, `engine.slots` at a time; returns how each one went.

    `steps` are those of a job's whole run, by its folder.
    """
    states = [*states]
    queued = [i for i, state in enumerate(states) if state.status == "queued"]
    before = {i: execution(jobs[i]) for i in queued}
    for running, ended in in_turns(queued, engine.slots, lambda i: engine.submit(execute, jobs[i], **engine.options)):
        for i in running:
            states[i] = _look(jobs[i], before[i], steps[jobs[i].folder])
        for i, pending in ended.items():
            states[i] = _outcome(jobs[i], pending)
        show(states, engine.slots)
    return states


def _outcome(job: Job, ended: Pending) -> State:
    """How a job went that its engine has ended; what the engine itself raised is a failure like others."""
    try:
        error = ended.result()
    except Exception as failure:
        error = f"{type(failure).__name__}: {_telling(str(failure))}"
    seconds = execution(job).get("seconds") or 0.0
    if error:
        return State("failed", error=error, seconds=seconds)
    return State("done", headline(Run(job.folder)), seconds)


def _telling(message: str) -> str:
    """The line of an error that says what was wrong: its first, or of a trace that submitit brings the trace's last."""
    _, trace, after = message.partition("trace:\n")
    lines = [line for line in after.split("\nYou can check")[0].splitlines() if line.strip(" -")]
    return lines[-1].strip() if trace and lines else first_line(message)


def _look(job: Job, before: dict[str, Any], steps: int) -> State:
    """How a job stands that was handed over when its execution was `before`."""
    now = execution(job)
    if not now or now == before:
        return State("queued")
    seconds = (datetime.now(UTC) - datetime.fromisoformat(now["started"])).total_seconds()
    if Run(job.folder).trained:
        return State("running", "evaluating", seconds, 1.0)
    taken = steps_done(job.folder)
    return State("running", f"step {taken:,} of {steps:,}" if taken else "starting", seconds, taken / steps)
