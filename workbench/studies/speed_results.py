"""What is measured of a machine: steps as asked for, or evaluations by several versions of the code; kept as JSON."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench import paths
from workbench.config import Config
from workbench.objectives import METHODS, method
from workbench.runs.versions import PACKAGE, provenance
from workbench.studies import speed, speed_against
from workbench.studies.speed import Row, Timing

BATCH, DEFAULT = 256, Timing()  # the paper's
# Versions name their parts by themselves; the clock they read is made that of the processor before they are imported.
EVALUATION = """
import dataclasses, json, sys, time
time.perf_counter = time.process_time
from pathlib import Path
import torch
torch.set_num_threads(1)
from workbench.config import Config
from workbench.evaluation import evaluate
from workbench.runs import Run
run = Run(Path(sys.argv[1]))
kept, known = run.read("config.json"), {field.name for field in dataclasses.fields(Config)}
kept["config"] = {name: value for name, value in kept["config"].items() if name in known}
run.write("config.json", kept)
begin = time.process_time()
result = evaluate(run, limit=int(sys.argv[2]), progress=False)
print(json.dumps({"total": time.process_time() - begin, "parts": result["seconds"]}))
"""


def measure(
    settings: Mapping[str, Any],
    objectives: Sequence[str] = (),
    against: str | None = None,
    scaling: bool = False,
    profiles: bool = False,
    ends: Mapping[str, int] | None = None,
    timing: Timing = DEFAULT,
) -> dict[str, Any]:
    """Measure what is asked for, else the speed of every objective, as JSON values.

    `settings` are fields of `Config`, which are not varied; `objectives` none are all that can be measured; `ends` are
    those of the sweeps. Raises ValueError, before anything is measured, on what cannot be.
    """
    if timing.rounds < 1 or not timing.seconds > 0:
        raise ValueError(f"nothing is measured in rounds {timing.rounds} of seconds {timing.seconds}: choose more")
    # compiling takes a minute for every row: only where it is asked for
    base = Config.make(**{"batch_size": BATCH, "compiled": "off", **settings})
    for name in objectives:
        method(name)
    if against:
        speed_against.check(against)
    compared = speed_against.configurations(base, objectives, settings) if against else []
    sweeps = speed.sweeps(base, objectives, ends or {}) if scaling else {}
    variants = [] if against or scaling or profiles else speed.variants(base, objectives, settings)
    return {
        "settings": base.to_json() | timing._asdict(),
        "measured_with": provenance(),
        "speeds": speed.speeds(variants, timing) if variants else [],
        "scaling": {way: speed.speeds(configs, timing) for way, configs in sweeps.items()},
        "comparisons": speed_against.compare(compared, timing, speed_against.ways(base, settings)),
        "profiles": speed.profiles(base, objectives or [*METHODS], timing) if profiles else [],
    }


def measure_evaluation(run: Path, others: Sequence[Path] = (), limit: int = 2000, rounds: int = 2) -> dict[str, Any]:
    """Evaluate `run` with this version and those of other checkouts in turns: processor seconds, as JSON values.

    Each evaluation is a process of its own on one thread of the CPU, since two versions of a package do not fit into
    one. Processor time is hardly moved by what else the machine does, and the best round counts. Caches (images,
    judges, features) are filled before. Each version gets a copy of the run without the settings that it does not know
    yet. ValueError where a version cannot evaluate the run.
    """
    if rounds < 1:
        raise ValueError(f"nothing is measured in rounds {rounds}: choose more")
    versions = [PACKAGE.parent, *others]
    _evaluate(versions[0], run, limit)
    turns = [[_evaluate(version, run, limit) for version in versions] for _ in range(rounds)]
    best = [min(rows, key=lambda row: row["total"]) for rows in zip(*turns, strict=True)]
    return {"measured_with": provenance(), "limit": limit, "rounds": rounds, "versions": best}


def _evaluate(version: Path, run: Path, limit: int) -> Row:
    """One evaluation by the code of a checkout, with the data and caches of this project."""
    place = {"PYTHONPATH": str(version), "WORKBENCH_ROOT": str(paths.project_root()), "OMP_NUM_THREADS": "1"}
    place["CUDA_VISIBLE_DEVICES"] = ""  # what a GPU does is no time of the processor
    if not (run / "config.json").is_file():
        raise ValueError(f"{run} is no run folder: it holds no config.json")
    with TemporaryDirectory() as folder:
        copy = shutil.copytree(run, Path(folder) / run.name)
        command = [sys.executable, "-c", EVALUATION, str(copy), str(limit)]
        done = subprocess.run(command, env={**os.environ, **place}, capture_output=True, text=True, cwd=version)
    if done.returncode:
        raise ValueError(f"the code in {version} cannot evaluate {run}: {done.stderr.strip().splitlines()[-1]}")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=version, capture_output=True, text=True)
    return {"code": version.name, "commit": commit.stdout.strip() or None} | json.loads(done.stdout.splitlines()[-1])
