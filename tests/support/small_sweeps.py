"""Small sweeps for tests: tiny data and a short training notebook, executed in this process or by real kernels.

Run as a script (`python tests/support/small_sweeps.py --kills 10 --folder /tmp/kills`), the file kills a sweep at
random moments, as often as it is told, and compares every number with those of a sweep that nobody disturbed.
"""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import nbformat
import pytest
import typer
from helpers import fill_cache, fill_cache_with_judges
from nbformat.v4 import new_code_cell, new_notebook, new_output
from typer.testing import CliRunner

from workbench import cli
from workbench.notebooks import kernels
from workbench.notebooks.execution import Result
from workbench.sweeps import engines
from workbench.sweeps import run as sweep

TRAINING = Path(__file__).resolve().parents[2] / "notebooks" / "04_training.ipynb"
SHORT = """
from pathlib import Path
from workbench import evaluation
from workbench.notebooks import config_from
config = config_from(globals(), also=["run_folder", "parts", "limit"])
run = evaluation.train_and_evaluate(config, Path(run_folder), parts=parts, limit=limit)
print("complete:", run.complete)
"""
TINY = """
title = "Two seeds, with and without styles"
fixed = { data = "uci-plain-text", repeats = 2, batch_size = 16, steps = 30, checkpoint_every = 10, device = "cpu" }
grid = { seed = [0, 1], style_dim = [0, 2] }
"""
GIVEN = {"parts": ["latent", "coherence"], "limit": 40}


def make_root(root: Path) -> Path:
    """A project root with tiny data, untrained judges and a short training notebook; returns a sweep file in it.

    The notebook takes the parameters of the real one, and trains and evaluates as that one does, without pictures.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(root))
        fill_cache()
        fill_cache_with_judges("uci-plain-text")
    (parameters,) = [c for c in nbformat.read(TRAINING, 4).cells if "parameters" in c.metadata.get("tags", [])]
    cells = [new_code_cell(parameters.source, metadata={"tags": ["parameters"]}), new_code_cell(SHORT.strip())]
    (root / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), root / "notebooks" / TRAINING.name)
    (root / "tiny.toml").write_text(TINY)
    return root / "tiny.toml"


def executed_here(path: Path, target: Path, parameters: dict[str, Any], **options: Any) -> Result:
    """What `execution.execute` does, without a kernel: the first cell declares parameters, the others are code."""
    notebook, printed, error = nbformat.read(path, 4), io.StringIO(), ""
    namespace = {"print": partial(print, file=printed)}
    try:
        for cell in notebook.cells:
            exec(cell.source, namespace)
            namespace |= parameters
    except Exception as failure:
        place = notebook.cells.index(cell) + 2  # papermill adds a cell with the parameters
        error = f"{path.name} failed in cell [{place}]: {type(failure).__name__}: {failure}"
        cell.outputs.append(new_output("error", traceback=traceback.format_exception(failure)))
    cell.outputs.append(new_output("stream", text=printed.getvalue()))
    nbformat.write(notebook, target)
    return Result(path, target, 0.0, error)


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """Sweeps work in a thread of this process alone."""

    @contextlib.contextmanager
    def engine(*arguments: Any, **options: Any) -> Iterator[engines.Engine]:
        with ThreadPoolExecutor(1) as pool:
            yield engines.Engine("here", 1, pool.submit, True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep.notebook_execution, "execute", executed_here)
        patch.setattr(kernels, "warm_up", lambda notebook: None)
        patch.setattr(sweep, "open_engine", engine)
        yield


def command(path: Path, out: Path, *more: str, workers: int | None = 2) -> list[str]:
    """What is typed for a sweep; `workers` None: as many as it takes by itself."""
    given = [part for name, value in GIVEN.items() for part in ("-p", f"{name}={value}")]
    given += ["--workers", str(workers)] if workers else []
    return [sys.executable, "-m", "workbench", "sweep", str(path), "--out", str(out), *given, *more]


def by_command(path: Path, out: Path, *more: str):
    """The same in this process."""
    return CliRunner().invoke(cli.app, command(path, out, *more)[3:])


def results(folder: Path) -> dict[str, tuple]:
    """Weights, history and metrics of every run below a folder, without what differs from time to time."""
    kept = {}
    for path in sorted(folder.glob("*/metrics.json")):
        metrics = json.loads(path.read_text())
        del metrics["seconds"], metrics["evaluated_with"], metrics["checksum"]
        files = ((path.parent / name).read_bytes() for name in ("model.safetensors", "history.csv"))
        kept[path.parent.name] = metrics, *files
    return kept


def kill_when(condition: Callable[[], Any], arguments: list[str], place: Mapping[str, str] | None = None) -> bool:
    """Start a command and kill it when a condition holds; False where it ended before."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=place)
    while process.poll() is None and not condition():
        time.sleep(0.005)
    process.kill()
    return process.wait() == -signal.SIGKILL


def kept_steps(out: Path) -> dict[str, int]:
    """Steps of every run below a folder that a restart has not to take again."""
    found = {path.parent.name: json.loads(path.read_text())["step"] for path in out.glob("*/checkpoint.json")}
    return found | {path.parent.name: 30 for path in out.glob("*/model.safetensors")}


def main(folder: Annotated[Path, typer.Option()], kills: int = 10, seed: int = 0) -> None:
    """Kill a sweep at random moments, start it again at once each time, and compare it with an undisturbed one."""
    path = make_root(folder / "root")
    os.environ["WORKBENCH_ROOT"] = str(path.parent)
    began = time.monotonic()
    subprocess.run(command(path, folder / "whole"), check=True)
    whole, generator = time.monotonic() - began, random.Random(seed)
    print(f"undisturbed: {whole:.1f} s")
    hits, attempts, out = 0, 0, folder / "killed-0"
    kept: dict[str, int] = {}
    while hits < kills:
        moment = time.monotonic() + generator.uniform(0, whole)
        attempts += 1
        hits += kill_when(lambda until=moment: time.monotonic() > until, command(path, out))
        now = kept_steps(out)
        assert all(now.get(name, 0) >= step for name, step in kept.items()), f"lost steps: {kept} -> {now}"
        print(f"start {attempts}, kill {hits}: {sum(now.values())} of 120 steps kept, {len(results(out))} complete")
        kept = now
        if len(results(out)) == 4 and hits < kills:  # nothing is left to kill: once more from the beginning
            assert results(out) == results(folder / "whole")
            out, kept = folder / f"killed-{attempts}", {}
    subprocess.run(command(path, out), check=True)
    assert results(out) == results(folder / "whole")
    print(f"{hits} kills; weights, histories and metrics equal those of the undisturbed sweep")


if __name__ == "__main__":
    typer.run(main)
