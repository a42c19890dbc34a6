"""Where the runs of a sweep are executed: threads of this process, dask workers, or Slurm jobs, behind one seam.

    with open_engine("local", notebook, jobs=12, folder=...) as engine:
        pending = engine.submit(function, argument)     # at most `engine.slots` at a time
        pending.done(), pending.result()                # what the function returned, or what it raised

Functions and arguments go to other processes as pickles that this process made. dask and Slurm workers need this
package and a file system that they share with this process: run folders, `data/` and its cache.
"""

import functools
import importlib
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import did_you_mean
from workbench.notebooks import kernels
from workbench.notebooks.series import Pending
from workbench.paths import data_root, project_root
from workbench.threads import cores

ENGINES = ("local", "dask", "slurm")
DAY = 24 * 60  # minutes: what Slurm is asked for unless it is told otherwise
GPU_GB = 4.0  # of GPU memory that a run of the paper's scale is granted: CUDA's own, data on the device, a batch of 256


@dataclass(frozen=True)
class Engine:
    """An open engine: how to hand a function over, and how many at a time (infinity: it has a queue of its own)."""

    name: str
    slots: int | float
    submit: Callable[..., Pending]
    here: bool  # whether runs are executed on this machine
    options: Mapping[str, Any] = field(default_factory=dict)  # for papermill, when it executes a notebook here


def open_engine(
    name: str,
    notebook: Path,
    jobs: int,
    folder: Path,
    workers: int | None = None,
    scheduler: str | None = None,
    asked: Mapping[str, Any] | None = None,
) -> AbstractContextManager[Engine]:
    """Open the engine of that name for so many jobs: a context, which ends all runs if it is left in haste.

    `workers` bounds the runs at a time (None: what this machine has cores and GPU memory for, or what the cluster
    grants). `scheduler` is the address of a dask scheduler (None: a cluster on this machine), `asked` what Slurm is
    to be asked for (parameters of submitit), whose logs go to `folder`. Raises ValueError on what
    is unknown or not installed.
    """
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}{did_you_mean(name, ENGINES)}")
    if scheduler and name != "dask":
        raise ValueError(f"a scheduler is for dask: write --engine dask, not {name}")
    if asked and name != "slurm":
        raise ValueError(f"options of Slurm are for Slurm: write --engine slurm, not {name}")
    if workers is not None and workers < 1:
        raise ValueError(f"{workers} workers cannot work: choose 1 or more")
    if name == "dask":
        return dask(workers, scheduler, jobs)
    if name == "slurm":
        return slurm(folder, workers, asked or {})
    return local(workers or local_workers(jobs), notebook)


# How many at a time


def local_workers(jobs: int) -> int:
    """Count runs at a time on this machine: one a core, as many as its GPU's memory holds, no more than there are."""
    import torch

    fitting = math.inf
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        fitting = max(1, int(free / 2**30 / GPU_GB))
    return max(1, int(min(cores(), fitting, jobs)))


# The engines


@contextmanager
def local(workers: int, notebook: Path) -> Iterator[Engine]:
    """Open threads of this process; their kernels are forked from one process where the system lets them be."""
    with kernels.pool(workers, notebook) as submit:
        each = kernels.threads_each(workers)
        yield Engine(f"{workers} at a time, {each} threads each", workers, submit, True, kernels.OPTIONS)


@contextmanager
def dask(workers: int | None, scheduler: str | None, jobs: int) -> Iterator[Engine]:
    """Open workers of a dask cluster: of the scheduler at that address, else processes of this machine."""
    distributed = _needed("distributed", "dask")
    count, settings = workers or local_workers(jobs), _places()
    with ExitStack() as stack:
        if scheduler:
            slots = workers or math.inf
        else:
            slots, settings["OMP_NUM_THREADS"] = count, str(kernels.threads_each(count))
            scheduler = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=count, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
                )
            )
        client = stack.enter_context(distributed.Client(scheduler))
        remote = functools.partial(_elsewhere, settings)

        def submit(function: Callable, *arguments: Any, **options: Any) -> Pending:
            return client.submit(remote, function, *arguments, **options, pure=False)

        yield Engine(f"dask, {client.scheduler.address}", slots, submit, "OMP_NUM_THREADS" in settings)


@contextmanager
def slurm(folder: Path, workers: int | None, options: Mapping[str, Any], cluster: str = "slurm") -> Iterator[Engine]:
    """Open Slurm jobs, one a run, through submitit; its `cluster` "local" starts processes of this machine instead.

    A job that comes to the end of its time is queued again by submitit, and goes on from its last checkpoint.
    """
    submitit = _needed("submitit", "slurm")
    if cluster == "slurm" and not shutil.which("sbatch"):
        raise ValueError("there is no Slurm on this machine: the command sbatch is not found")
    executor, jobs = submitit.AutoExecutor(folder / ".slurm" / "%j", cluster=cluster), []
    try:
        executor.update_parameters(**{"name": "workbench", "timeout_min": DAY, **options})
    except (NameError, TypeError, ValueError) as error:
        raise ValueError(f"Slurm cannot be asked for {dict(options)}: {error}") from None
    remote = functools.partial(_elsewhere, _places())

    def submit(function: Callable, *arguments: Any, **more: Any) -> Pending:
        jobs.append(executor.submit(_Resumable(), remote, function, *arguments, **more))
        return jobs[-1]

    try:
        yield Engine(f"{cluster} jobs", workers or math.inf, submit, False)
    except BaseException:
        for job in jobs:
            job.cancel()
        raise


class _Resumable:
    """A function for submitit that may be called once more with the same arguments when its time is over."""

    def __call__(self, function: Callable, *arguments: Any, **options: Any) -> Any:
        """Call it."""
        return function(*arguments, **options)

    def checkpoint(self, *arguments: Any, **options: Any) -> Any:
        """What submitit is to queue instead."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments, **options)


def _needed(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the engine {name} needs {error.name}: install it with `pip install -e '.[notebooks,cluster]'`"
        ) from None


# What workers elsewhere must know


def _places() -> dict[str, str]:
    """The environment variables that say where everything is, for processes that were started otherwise."""
    return {"WORKBENCH_ROOT": str(project_root()), "WORKBENCH_DATA": str(data_root())}


def _elsewhere(places: Mapping[str, str], function: Callable, *arguments: Any, **options: Any) -> Any:
    """Call a function in a worker's process, with as many threads as Slurm grants where it is a job's."""
    os.environ.update(places)
    if granted := os.environ.get("SLURM_CPUS_PER_TASK"):
        os.environ.setdefault("OMP_NUM_THREADS", granted)
    return function(*arguments, **options)
