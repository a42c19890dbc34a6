"""Sweeps end to end: what they leave behind, what they do again, and what a kill can cost them.

Everything but kills and clusters is seen twice: without kernels, in a moment, and (slow) with them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from small_sweeps import GIVEN, TRAINING, by_command, command, make_root, results, without_kernels

from workbench.data.images import DataError
from workbench.evaluation import evaluate_into
from workbench.notebooks import kernels
from workbench.runs.run import Run, sole_writer, start
from workbench.sweeps import engines
from workbench.sweeps import run as sweep
from workbench.sweeps.plan import Sweep, read
from workbench.training import checkpoint
from workbench.training.loop import fit

SUBMITIT = """Job (task=0) failed during processing with trace:
----------------------
Traceback (most recent call last):
ValueError: no such thing

----------------------
You can check full logs with 'job.stderr(0)'"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Iterator[Path]:
    """A sweep file in a root that all tests of this file share."""
    path = make_root(tmp_path_factory.mktemp("root"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(path.parent))
        yield path


WAYS = {"here": without_kernels, "kernels": contextlib.nullcontext}
both = pytest.mark.parametrize("way", ["here", pytest.param("kernels", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture
def way(request) -> Iterator[None]:
    with WAYS[request.param]():
        yield


def complete(plan: Sweep, engine: str = "local", workers: int = 2, **options: Any) -> list[sweep.State]:
    """A sweep in this process, shown to nobody."""
    return sweep.complete(plan, lambda states, slots: None, engine, workers=workers, **options)


def small(path: Path, out: Path, **given: Any) -> Sweep:
    """One run, or a few, of six steps."""
    return read(path, "quick", {**GIVEN, "steps": 6, "seed": 0, "style_dim": 0, **given}, out)


@pytest.fixture(scope="module", params=["here", pytest.param("shell", marks=pytest.mark.slow)])
def undisturbed(request, tiny, tmp_path_factory) -> tuple[Path, str]:
    """The folder of a sweep that ran here or from a shell, and what it printed."""
    out = tmp_path_factory.mktemp("undisturbed")
    if request.param == "here":
        with without_kernels():
            done = by_command(tiny, out)
        assert done.exit_code == 0, done.output
    else:
        done = subprocess.run(command(tiny, out), capture_output=True, text=True, timeout=600)
        kept = [path.read_text() for path in out.glob("*/execution.json")]
        assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *kept])
    return out, done.stdout


def printed(folder: Path) -> str:
    """What the executed notebook of a run printed, and its errors."""
    outputs = [o for c in nbformat.read(folder / "run.ipynb", 4).cells for o in c.get("outputs", [])]
    return "".join(o.get("text", "") + "\n".join(o.get("traceback", [])) for o in outputs)


# ----------------------------------------------------------------------------------------------------- what it leaves
def test_every_run_has_a_complete_folder_with_its_notebook_and_lines_in_the_log(tiny, undisturbed):
    out, text = undisturbed
    plan = read(tiny, "quick", GIVEN, out)
    assert len(plan.jobs) == 4 and {path.parent for path in out.glob("*/run.ipynb")} == {j.folder for j in plan.jobs}
    for job in plan.jobs:
        run = Run(job.folder)
        assert sweep.is_done(job) and run.config == job.config and run.history()["step"][-1] == 30
        assert {"rate", "coherence"} < run.metrics.keys() and "linear_probe" not in run.metrics
        assert run.metrics["test_items"] == 40 and "complete: True" in printed(job.folder)
        assert run.read("config.json")["command"] == job.command
        kept = sweep.execution(job)
        assert (kept["label"], kept["error"]) == (job.label, "") and kept["seconds"] > 0 and kept["started"]
        assert not [*job.folder.glob(".*")] and not [*job.folder.glob("checkpoint*")]
    lines = text.splitlines()
    assert lines[0] == "Two seeds, with and without styles"
    for number, label in enumerate(("style_dim=0 seed=0", "style_dim=2 seed=0", "style_dim=0 seed=1"), start=1):
        own = [line for line in lines if line.startswith(f"[{number}/4]")]
        assert own[0] == f"[{number}/4] running  {label}"
        assert own[1].startswith(f"[{number}/4] done     {label}  coherence 0.") and len(own) == 2
    assert lines[-1] == f"Compare them: workbench report {out}"


def test_what_is_done_is_not_done_again(tiny, undisturbed):
    out, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    states = complete(read(tiny, "quick", GIVEN, out), engine="slurm")  # which is not even looked for
    assert [(state.status, state.fresh) for state in states] == [("done", False)] * 4
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_job_is_done_when_everything_that_was_asked_for_is_there(tiny, undisturbed, tmp_path):
    job = read(tiny, "quick", GIVEN, undisturbed[0]).jobs[0]
    assert sweep.is_done(job)
    for more in ({"parts": ["latent", "probe"]}, {"limit": 41}):
        assert not sweep.is_done(read(tiny, "quick", GIVEN | more, undisturbed[0]).jobs[0])
    copy = replace(job, folder=tmp_path / "copy")
    assert not sweep.is_done(copy) and sweep.execution(copy) == {}
    shutil.copytree(job.folder, copy.folder)
    kept = sweep.execution(copy)
    for error in ("", None, "it failed"):
        Run(copy.folder).write("execution.json", {**kept, "error": error})
        assert sweep.is_done(copy) == (error == "")
    Run(copy.folder).write("execution.json", kept)
    assert sweep.is_done(copy)
    (copy.folder / "run.ipynb").unlink()
    assert not sweep.is_done(copy)


def test_epochs_are_those_of_the_items_that_are_used(tiny, tmp_path):
    """Of 200 items in two pairings, batches of 16: all of them, and the half that is complete, twice."""
    fields = {"train_size": 200, "missing_policy": "dropped", "missing_rate": [0.0, 0.5]}
    plan = small(tiny, tmp_path, steps=0, epochs=2.0, **fields)
    assert [*sweep.prepare(plan.jobs, judges=False).values()] == [2 * 25, 2 * 12]


def test_steps_are_read_off_the_files_of_a_training(tiny, tmp_path):
    (job,) = small(tiny, tmp_path).jobs
    assert sweep.steps_done(job.folder) == 0
    run, many = start(job.config, job.folder), "".join(f"{n},{n / 7}\n" for n in range(50, 30_050, 50))
    for history, steps in (("", 0), ("step,total\n", 0), (f"step,total\n{many}", 30_000)):
        (job.folder / "history.csv").write_text(history)
        assert sweep.steps_done(job.folder) == steps
    run.write("checkpoint.json", {"step": 30_010})
    assert sweep.steps_done(job.folder) == 30_010


@pytest.mark.slow
def test_the_notebook_of_the_project_is_what_sweeps_execute(tiny, tmp_path):
    plan = read(tiny, "quick", {**GIVEN, "steps": 6, "seed": 0, "style_dim": 2}, tmp_path, TRAINING)
    (state,) = complete(plan)
    assert state.status == "done", state.error
    folder = plan.jobs[0].folder
    text = printed(folder)
    assert "complete, holds: True" in text and "No probe was asked for." in text and "shapes agree, holds: True" in text
    assert {"generation.png", "coherence.png", "run.ipynb"} <= {path.name for path in folder.iterdir()}


# ------------------------------------------------------------------------------------------------------- what fails
@both
def test_a_failing_run_keeps_its_traceback_and_only_it_is_tried_again(tiny, tmp_path, way):
    out = tmp_path / "out"
    given = ["-p", "steps=10", "-p", "seed=0", "-p", "style_dim=0", "-p", "learning_rate=[1e30, 1e-3]"]
    done = by_command(tiny, out, *given)
    assert done.exit_code == 1
    error = f"{TRAINING.name} failed in cell [3]: TrainingDiverged: "
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Failed: ")]
    assert line.startswith(f"Failed: learning_rate=1e+30: {error}") and line.endswith(")")
    assert "1 of 2 runs failed; the same command tries them again" in done.output
    assert "[2/2] done     learning_rate=0.001" in done.stdout
    plan = small(tiny, out, steps=10, learning_rate=[1e30, 1e-3])
    bad, good = plan.jobs
    assert "TrainingDiverged" in printed(bad.folder) and "workbench/training/loop.py" in printed(bad.folder)
    assert sweep.execution(bad)["error"].startswith(error) and not sweep.is_done(bad)
    before = good.folder.stat().st_mtime_ns, sweep.execution(bad)["started"]
    states = complete(plan)
    assert [state.status for state in states] == ["failed", "done"] and states[0].error.startswith(error)
    assert good.folder.stat().st_mtime_ns == before[0] and sweep.execution(bad)["started"] > before[1]


def test_missing_data_is_an_error_before_anything_starts_and_what_an_engine_raises_a_failure(tiny, tmp_path):
    with pytest.raises(DataError, match="workbench data fetch mnist"):
        complete(small(tiny, tmp_path, data="mnist-text", data_root=str(tmp_path / "none")))
    assert not [*tmp_path.iterdir()]
    (job,) = small(tiny, tmp_path).jobs
    for message, told in (("the scheduler\nis gone", "the scheduler"), (SUBMITIT, "ValueError: no such thing")):
        broken = Future()
        broken.set_exception(ConnectionError(message))
        engine = engines.Engine("broken", 1, lambda *arguments, future=broken, **options: future, True)
        (state,) = sweep.run([job], [sweep.State("queued")], engine, {job.folder: 6}, lambda states, slots: None)
        assert (state.status, state.error) == ("failed", f"ConnectionError: {told}")


def test_what_keeps_a_notebook_from_running_is_kept_with_the_run_which_it_names(tiny, tmp_path, monkeypatch):
    def full(path, target, parameters, **options):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(sweep.notebook_execution, "execute", full)
    (job,) = small(tiny, tmp_path).jobs
    error = sweep.execute(job)
    assert error.endswith(f"No space left on device: '{job.folder}/run.ipynb'") and error.startswith("OSError: ")
    assert sweep.execution(job)["error"] == error and not (job.folder / "run.ipynb").exists()


def test_what_is_left_of_a_sweep_takes_the_threads_that_it_would_have_taken_among_all(tiny, undisturbed, monkeypatch):
    asked = []

    def engine(name, notebook, jobs, folder, **options):
        asked.append(jobs)
        raise ConnectionError("not today")

    plan = read(tiny, "quick", GIVEN, undisturbed[0])
    monkeypatch.setattr(sweep, "open_engine", engine)
    monkeypatch.setattr(sweep, "states_of", lambda jobs: [sweep.State("done")] * 3 + [sweep.State("queued")])
    monkeypatch.setattr(sweep, "prepare", lambda jobs, judges: {})
    with pytest.raises(ConnectionError):
        complete(plan)
    assert asked == [4]


@pytest.mark.slow
def test_a_kernel_that_dies_leaves_what_it_did_and_how_it_ended(tiny, tmp_path):
    path = tmp_path / "root" / "notebooks" / TRAINING.name
    path.parent.mkdir(parents=True)
    notebook = nbformat.read(tiny.parent / "notebooks" / TRAINING.name, 4)
    dying = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebook.cells[1:1] = [nbformat.v4.new_code_cell(source) for source in ("print('first')", dying)]
    nbformat.write(notebook, path)
    plan = read(tiny, "quick", {**GIVEN, "steps": 6, "seed": [0, 1], "style_dim": 0}, tmp_path / "out", path)
    assert [state.status for state in complete(plan)] == ["failed"] * 2
    for job in plan.jobs:
        error = sweep.execution(job)["error"]
        assert "Kernel died; killed by SIGKILL" in error and sweep.execution(job)["seconds"] > 0
        assert printed(job.folder) == f"first\n{error}" and not sweep.is_done(job)
    assert not any(process.poll() is None for process in kernels._live)


# -------------------------------------------------------------------------------------- who else is in a run folder
@both
def test_a_run_that_another_process_is_at_is_waited_for_and_not_done_twice(tiny, tmp_path, capsys, way):
    plan, seen, free, held = small(tiny, tmp_path), set(), threading.Event(), threading.Event()
    (job,) = plan.jobs

    def show(states, slots):
        seen.add(states[0].status)
        free.set()

    def hold():
        with sole_writer(job.folder):
            held.set()
            free.wait()
            time.sleep(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    (state,) = sweep.complete(plan, show, workers=1)
    holder.join()
    assert state.status == "done" and "queued" in seen
    assert f"waiting: another process is at work in {job.folder}" in capsys.readouterr().err
    started = sweep.execution(job)
    assert sweep.execute(job) == "" and sweep.execution(job) == started


@both
def test_a_run_evaluated_by_hand_gets_its_notebook_without_new_numbers(tiny, tmp_path, way):
    (job,) = small(tiny, tmp_path).jobs
    run = fit(job.config, job.folder, progress=False)
    evaluate_into(run, progress=False, parts=job.parts, limit=job.limit)
    before = (job.folder / "metrics.json").stat().st_mtime_ns
    (state,) = complete(small(tiny, tmp_path))
    assert state.status == "done" and sweep.is_done(job)
    assert (job.folder / "metrics.json").stat().st_mtime_ns == before


# ------------------------------------------------------------------------------------------------------------- kills


def test_a_sweep_that_was_stopped_goes_on(tiny, undisturbed, tmp_path, monkeypatch):
    """The small case of tests/faults/test_kills.py: stopped by the user at the second checkpoint of its first run."""
    out, save, saved = tmp_path / "out", checkpoint.save, []

    def stop(*arguments):
        save(*arguments)
        saved.append(arguments[1])
        if len(saved) == 2:
            raise KeyboardInterrupt

    plan = read(tiny, "quick", GIVEN | {"seed": 0}, out)
    with without_kernels():
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(checkpoint, "save", stop)
            complete(plan)
        assert [sweep.steps_done(job.folder) for job in plan.jobs] == [saved[1], 0]
        assert [state.status for state in complete(plan)] == ["done"] * 2
    whole = results(undisturbed[0])
    assert len(results(out)) == 2 and all(whole[name] == kept for name, kept in results(out).items())


# ------------------------------------------------------------------------------------------------- dask and Slurm
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for kernels in /proc")
def test_a_sweep_survives_the_death_of_a_dask_worker(tiny, tmp_path, distributed):
    """A scheduler and two worker processes, one of which is killed while its run is being trained."""
    plan = small(tiny, tmp_path, steps=150, seed=[0, 1])
    killed: list[int] = []

    def kill_one(states, slots):
        at_work = [job for job in plan.jobs if (job.folder / "checkpoint.json").is_file()]
        if at_work and not killed:
            killed.append(sweep.execution(at_work[0])["process"])
            os.kill(killed[0], signal.SIGKILL)

    two = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 40}
    with distributed.LocalCluster(**two) as cluster:
        states = sweep.complete(plan, kill_one, "dask", scheduler=cluster.scheduler_address)
    assert [state.status for state in states] == ["done", "done"] and killed
    processes = [sweep.execution(job)["process"] for job in plan.jobs]
    assert killed[0] not in processes, "another worker has done it"
    for job in plan.jobs:
        assert sweep.is_done(job) and Run(job.folder).history()["step"] == [*range(10, 151, 10)]


@pytest.mark.slow
def test_a_slurm_job_whose_time_is_over_goes_on_where_it_was(tiny, tmp_path, submitit):
    """The job gets the signal that Slurm sends before the end, and submitit's local executor queues it again."""
    plan = small(tiny, tmp_path / "runs", steps=150)
    (job,) = plan.jobs
    interrupted: list[str] = []

    def interrupt(states, slots):
        if not interrupted and (job.folder / "checkpoint.json").is_file():
            interrupted.append(sweep.execution(job)["started"])
            os.kill(sweep.execution(job)["process"], signal.SIGUSR2)

    with engines.slurm(tmp_path, 1, {"timeout_min": 20}, cluster="local") as engine:
        (state,) = sweep.run(plan.jobs, [sweep.State("queued")], engine, {job.folder: 150}, interrupt)
    assert state.status == "done", state.error
    assert interrupted and sweep.execution(job)["started"] > interrupted[0], "it was started twice"
    assert sweep.is_done(job) and Run(job.folder).history()["step"] == [*range(10, 151, 10)]
