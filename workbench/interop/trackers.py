"""What TensorBoard and MLflow are told of runs, by `workbench watch FOLDER --track NAME`: histories and metrics.

They are told what run folders hold, from outside: no training knows of it, and one that goes on writes no step twice.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from time import time
from typing import Any

from workbench.config import digest
from workbench.errors import WorkbenchError, did_you_mean
from workbench.paths import outputs_dir
from workbench.reports.results import flatten
from workbench.runs.run import Run

Numbers = dict[tuple[str, int], float]  # by name and step
NEEDS = {"tensorboard": "tensorboard", "mlflow": "mlflow-skinny sqlalchemy alembic"}


@contextmanager
def trackers(names: Sequence[str]) -> Iterator[Callable[[Run], None]]:
    """Yield what tells trackers the numbers of a run that are new to them; errors name what is unknown or missing."""
    for name in names:
        if name not in NEEDS:
            raise ValueError(f"no tracker is called {name!r}{did_you_mean(name, NEEDS)}")
        if not all(find_spec(package.removesuffix("-skinny")) for package in NEEDS[name].split()):
            raise WorkbenchError(f"{name} needs packages that are not installed here: pip install {NEEDS[name]}")
    with ExitStack() as opened:
        known: dict[Any, tuple[Numbers, Callable[[Numbers], None]]] = {}
        open_one = {"tensorboard": _tensorboard, "mlflow": _mlflow}

        def tell(run: Run) -> None:
            now = numbers(run)
            for at in [(name, run.folder) for name in names]:
                told, write = known.get(at) or known.setdefault(at, open_one[at[0]](run, opened))
                write({key: value for key, value in now.items() if told.get(key) != value})
                told |= now

        yield tell


def numbers(run: Run) -> Numbers:
    """Collect what a run says: rows of its history as train/TERM, its metrics as test/..., those of snapshots too."""
    history, found = run.history(), run.metrics if run.complete else {}
    steps = [int(step) for step in history.pop("step", [0])]
    told = [(f"train/{term}", step, column[i]) for term, column in history.items() for i, step in enumerate(steps)]
    for metrics in [*(found.get("over_steps") or ()), found]:
        for *place, value, _ in flatten(metrics):
            told.append(("/".join(filter(None, ["test", *place])), metrics.get("step", steps[-1]), value))
    names = {name: re.sub(r"[^\w. :/-]", "-", name) for name, *_ in told}  # as MLflow allows them
    return {(names[name], step): float(x) for name, step, x in told if x is not None and math.isfinite(x)}


def _tensorboard(run: Run, opened: ExitStack) -> tuple[Numbers, Callable[[Numbers], None]]:
    from torch.utils.tensorboard import SummaryWriter

    for old in run.folder.glob("events.out.tfevents.*"):  # begun anew; purge_step says so to those who have read them
        old.unlink()
    writer = opened.enter_context(SummaryWriter(str(run.folder), purge_step=0))

    def write(new: Numbers) -> None:
        for (name, step), value in new.items():
            writer.add_scalar(name, value, step)
        (writer.close if run.complete else writer.flush)()  # a closed one opens itself again

    return {}, write


def _mlflow(run: Run, opened: ExitStack) -> tuple[Numbers, Callable[[Numbers], None]]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient, entities

    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{outputs_dir() / 'mlflow.db'}")
    folder = run.folder.resolve()
    mark = digest({"folder": str(folder), "code": run.read("config.json").get("code")})
    group = client.get_experiment_by_name(folder.parent.name)
    place = group.experiment_id if group else client.create_experiment(folder.parent.name)
    found = client.search_runs([place], f"tags.workbench = '{mark}'")
    kept = found[0] if found else client.create_run(place, tags={"workbench": mark}, run_name=folder.name)
    to, named = kept.info.run_id, kept.data.metrics
    config = {} if found else run.config.to_json()
    client.log_batch(to, params=[entities.Param(name, str(value)) for name, value in config.items()])

    def write(new: Numbers) -> None:
        metrics = [entities.Metric(name, value, int(1000 * time()), step) for (name, step), value in new.items()]
        for i in range(0, len(metrics), 1000):  # as many as it takes at a time
            client.log_batch(to, metrics[i : i + 1000])
        client.update_run(to, "FINISHED" if run.complete else "RUNNING")

    return {(name, m.step): m.value for name in named for m in client.get_metric_history(to, name)}, write
