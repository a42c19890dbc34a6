"""How long the evaluation of a run takes, by this version of the code and by others, which take turns.

Each evaluation is a process of its own on one thread of the CPU, since two versions of a package do not fit into one
process. Processor time is counted, not the clock: it is hardly moved by what else the machine does. The best round
counts.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from workbench import paths
from workbench.runs.versions import provenance

HERE = Path(__file__).resolve().parent.parent
# versions name their parts by themselves; the clock they read is made that of the processor before they are imported
CHILD = """
import dataclasses, json, sys, time
time.perf_counter = time.process_time
from pathlib import Path
import torch
torch.set_num_threads(1)
from workbench.config import Config
from workbench.evaluation import evaluate
from workbench.runs.run import Run
run = Run(Path(sys.argv[1]))
kept, known = run.read("config.json"), {field.name for field in dataclasses.fields(Config)}
kept["config"] = {name: value for name, value in kept["config"].items() if name in known}
run.write("config.json", kept)
begin = time.process_time()
found = evaluate(run, limit=int(sys.argv[2]), progress=False)
print(json.dumps({"total": time.process_time() - begin, "parts": found["seconds"]}))
"""


class Evaluated(NamedTuple):
    """What one version's evaluation takes, in seconds of one processor."""

    code: str  # the folder of the version
    commit: str | None
    total: float
    parts: dict[str, float]  # of the round with the least total


def measure(run: Path, others: Sequence[Path] = (), limit: int = 2000, rounds: int = 2) -> dict[str, Any]:
    """Evaluate `run` with this version and those of other checkouts in turns; JSON values.

    Caches (images, judges, features) are filled before. Each version gets a copy of the run without the settings that
    it does not know yet. ValueError where a version cannot evaluate the run.
    """
    versions, found = [HERE, *others], {}
    _evaluate(HERE, run, limit)
    for _ in range(rounds):
        for version in versions:
            row = _evaluate(version, run, limit)
            if version not in found or row.total < found[version].total:
                found[version] = row
    rows = [found[version]._asdict() for version in versions]
    return {"measured_with": provenance(), "limit": limit, "rounds": rounds, "versions": rows}


def table(results: dict[str, Any]) -> str:
    """Seconds of each version in Markdown, and how many times as fast this one is."""
    ours = results["versions"][0]["total"]
    lines = [
        f"Evaluation of {results['limit']:,} test items, processor seconds, best of {results['rounds']} rounds",
        "",
    ]
    lines += ["| version | seconds | as fast | parts |", "| --- | ---: | ---: | --- |"]
    for row in results["versions"]:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["parts"].items())
        lines.append(f"| {row['commit'] or row['code']} | {row['total']:.1f} | {row['total'] / ours:.2f} x | {parts} |")
    return "\n".join(lines)


def _evaluate(version: Path, run: Path, limit: int) -> Evaluated:
    """One evaluation by the code of a checkout, with the data and caches of this project."""
    place = {"PYTHONPATH": str(version), "WORKBENCH_ROOT": str(paths.project_root()), "OMP_NUM_THREADS": "1"}
    place["CUDA_VISIBLE_DEVICES"] = ""  # what a GPU does is no time of the processor
    if not (run / "config.json").is_file():
        raise ValueError(f"{run} is no run folder: it holds no config.json")
    with TemporaryDirectory() as folder:
        copy = shutil.copytree(run, Path(folder) / run.name)
        command = [sys.executable, "-c", CHILD, str(copy), str(limit)]
        done = subprocess.run(command, env={**os.environ, **place}, capture_output=True, text=True, cwd=version)
    if done.returncode:
        raise ValueError(f"the code in {version} cannot evaluate {run}: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Evaluated(version.name, _commit(version), told["total"], told["parts"])


def _commit(version: Path) -> str | None:
    """The commit of a checkout, None where there is none."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=version, capture_output=True, text=True)
    return done.stdout.strip() or None
