"""Engines and the kernels below them: real processes, some of which are killed while they work."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from multiprocessing import forkserver
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from workbench.notebooks import kernels
from workbench.notebooks.execution import LONGEST, execute, folder_for_sockets, kernel_of_this_interpreter
from workbench.notebooks.kernels import FORKING
from workbench.sweeps import engines
from workbench.sweeps.engines import open_engine

SLEEPER = "from pathlib import Path\nimport os, time\nPath(mark).write_text(str(os.getpid()))\ntime.sleep(600)"


def notebook(folder: Path, *sources: str) -> Path:
    """A notebook with the parameter `mark`."""
    first = new_code_cell('mark: str = ""', metadata={"tags": ["parameters"]})
    path = folder / "00_small.ipynb"
    nbformat.write(new_notebook(cells=[first, *map(new_code_cell, sources)]), path)
    return path


def wait_for(condition, seconds: float = 120) -> None:
    """Wait until a condition holds; the test fails where it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting for its parent to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def have(cores: int, monkeypatch) -> None:
    """As on a machine of so many cores."""
    for module in (engines, kernels):
        monkeypatch.setattr(module, "cores", lambda: cores)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


# ------------------------------------------------------------------------------------------------ how many at a time
@pytest.mark.parametrize(
    ("cores", "free", "jobs", "workers", "threads"),
    [(8, None, 20, 8, 1), (8, None, 3, 3, 2), (8, 17.0, 20, 4, 2), (8, 1.5, 20, 1, 8), (2, 140.0, 20, 2, 1)],
)
def test_workers_are_bounded_by_cores_gpu_memory_and_jobs(cores, free, jobs, workers, threads, monkeypatch):
    assert 1 <= engines.cores() <= (os.cpu_count() or 1), "those that this process may use"
    have(cores, monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: free is not None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int((free or 0) * 2**30), 141 * 2**30))
    assert (engines.local_workers(jobs), kernels.threads_each(workers)) == (workers, threads)


# -------------------------------------------------------------------------------------------------- what is refused
def refused(message: str, engine: AbstractContextManager) -> None:
    with pytest.raises(ValueError, match=message), engine:
        pass


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("slum", {}, r"unknown engine 'slum': did you mean 'slurm'\?"),
        ("local", {"scheduler": "tcp://x:1"}, "a scheduler is for dask: write --engine dask, not local"),
        ("dask", {"asked": {"timeout_min": 3}}, "options of Slurm are for Slurm: write --engine slurm, not dask"),
        ("local", {"workers": 0}, "0 workers cannot work: choose 1 or more"),
    ],
)
def test_what_does_not_fit_together_is_refused(name, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        open_engine(name, tmp_path / "00.ipynb", 2, tmp_path, **options)


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_says_how_to_install_it(name, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    cure = rf"the engine {name} needs {module}: install it with `pip install -e '\.\[notebooks,cluster\]'`"
    refused(cure, open_engine(name, tmp_path / "00.ipynb", 2, tmp_path))


def test_no_slurm_is_told_and_nothing_asked_for_that_submitit_does_not_know(tmp_path, monkeypatch, submitit):
    unknown = r"Slurm cannot be asked for \{'speed': 3\}: "
    refused(unknown, engines.slurm(tmp_path, None, {"speed": 3}, cluster="local"))
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = "no Slurm on this machine: the command sbatch is not found"
    refused(absent, open_engine("slurm", tmp_path / "00.ipynb", 2, tmp_path))


# ------------------------------------------------------------------------------------------------------------- kernels
LOOK = """
import os, sys, torch
print(sys.executable, os.getcwd(), mark, os.environ["COLOUR"], torch.get_num_threads())
print(input.__module__, __name__, "workbench.runs.run" in sys.modules)
"""
FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('seen')"


def test_imports_are_found_whatever_else_is_in_cells(tmp_path):
    path = notebook(tmp_path, "%matplotlib inline\nimport os.path as p, sys", "from a.b import (c,\n d)\n!ls", "x?")
    assert kernels.imports_of(path) == ["os.path", "sys", "a.b", "a.b.c", "a.b.d"]


def test_sockets_are_where_their_paths_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert folder_for_sockets() == str(tmp_path) or len(str(tmp_path)) > LONGEST
    monkeypatch.setattr(tempfile, "tempdir", f"/tmp/{'x' * 110}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert len(folder_for_sockets()) <= LONGEST
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    with pytest.raises(ValueError, match=r"the temporary folder /tmp/x+ is too long for sockets: set TMPDIR"):
        folder_for_sockets()


@pytest.mark.slow
def test_a_forked_kernel_is_like_an_ordinary_one(tmp_path, monkeypatch):
    path = notebook(tmp_path, LOOK, FIGURE, "1 + 1", "raise KeyError('lost')")
    monkeypatch.setenv("COLOUR", "green")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shown, opened = [], []
    forkserver._forkserver._stop()  # another test's may have imported less: there is one in a process
    with kernel_of_this_interpreter():
        kernels.warm_up(path)
        for manager in (kernels.ForkedKernels, kernels.ForkedKernels, kernels.TrackedKernels):
            target = tmp_path / f"{manager.__name__}.ipynb"
            result = execute(path, target, {"mark": "here"}, kernel_manager_class=manager)
            assert result.error == "00_small.ipynb failed in cell [6]: KeyError: 'lost'"
            shown.append([cell.outputs for cell in nbformat.read(target, as_version=4).cells if "outputs" in cell])
            opened.append(len(os.listdir("/proc/self/fd")) if FORKING else 0)
    assert opened[0] == opened[1], "a kernel's pipes are closed at its end"
    assert kernels.ForkedKernels().transport == "ipc", "no port that another program may take meanwhile"
    _, forked, ordinary = shown
    text = f"{sys.executable} {os.getcwd()} here green 1\nipykernel.kernelbase __main__ "
    assert [o[0].text for o in (forked[2], ordinary[2])] == [f"{text}True\n", f"{text}False\n"]
    assert forked[3:5] == ordinary[3:5] and "image/png" in forked[3][-1].data


PARENT = """
import sys
from pathlib import Path
from workbench.notebooks import kernels
from workbench.notebooks.execution import execute, kernel_of_this_interpreter
if __name__ == "__main__":
    path, target, mark = map(Path, sys.argv[1:])
    with kernel_of_this_interpreter():
        kernels.warm_up(path)
        execute(path, target, {"mark": str(mark)}, kernel_manager_class=kernels.MANAGER)
"""


@pytest.mark.slow
@needs_proc
def test_a_kernel_dies_with_the_process_that_asked_for_it(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    path, mark = notebook(tmp_path, SLEEPER), tmp_path / "mark"
    (long := tmp_path / ("long" * 30)).mkdir()  # too long for the paths of sockets
    command = [sys.executable, tmp_path / "parent.py", path, tmp_path / "out.ipynb", mark]
    parent = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(long)})
    wait_for(lambda: parent.poll() is not None or (mark.is_file() and mark.read_text()))
    kernel = int(mark.read_text())
    assert runs(kernel)
    parent.kill()
    assert parent.wait() == -signal.SIGKILL
    wait_for(lambda: not runs(kernel), 10)


# ------------------------------------------------------------------------------------------------------------- engines
def test_the_local_engine_works_in_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    have(6, monkeypatch)
    monkeypatch.setattr(kernels, "warm_up", lambda notebook: None)
    with open_engine("local", notebook(tmp_path), jobs=9, folder=tmp_path, workers=2) as engine:
        assert engine.slots == 2 and engine.here
        assert engine.submit(os.getenv, "OMP_NUM_THREADS").result() == "3", "6 cores for 2"
        assert engine.submit(os.getpid).result() == os.getpid()
        failed = engine.submit(int, "seven")
        wait_for(failed.done)
        with pytest.raises(ValueError, match="seven"):
            failed.result()
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.slow
@needs_proc
def test_leaving_the_local_engine_in_haste_leaves_no_kernel(tmp_path):
    path, mark, after = notebook(tmp_path, SLEEPER), tmp_path / "mark", []
    with pytest.raises(KeyboardInterrupt), open_engine("local", path, jobs=2, folder=tmp_path, workers=1) as engine:
        running = engine.submit(execute, path, tmp_path / "out.ipynb", {"mark": str(mark)}, **engine.options)
        queued = engine.submit(after.append, "never")
        wait_for(lambda: mark.is_file() and mark.read_text())
        raise KeyboardInterrupt
    assert running.done() and "failed: Kernel died" in running.result().error
    assert queued.cancelled() and not after and not runs(int(mark.read_text()))


@pytest.mark.slow
def test_dask_workers_are_processes_that_know_where_everything_is(tmp_path, monkeypatch, distributed):
    have(3, monkeypatch)
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    with open_engine("dask", tmp_path / "00.ipynb", jobs=9, folder=tmp_path, workers=1) as engine:
        assert engine.here and engine.submit(os.getpid).result() != os.getpid()
        assert engine.submit(os.getenv, "OMP_NUM_THREADS").result() == "3"
        assert engine.submit(os.getenv, "WORKBENCH_ROOT").result() == str(tmp_path)
        with pytest.raises(ValueError, match="seven"):
            engine.submit(int, "seven").result()


@pytest.mark.slow
def test_submitit_jobs_are_processes_and_tell_what_went_wrong(tmp_path, submitit):
    with engines.slurm(tmp_path, 2, {"timeout_min": 5}, cluster="local") as engine:
        assert engine.slots == 2 and not engine.here
        one, other = engine.submit(os.getpid), engine.submit(int, "seven")
        assert one.result() != os.getpid()
        with pytest.raises(submitit.core.utils.FailedJobError, match="seven"):
            other.result()
