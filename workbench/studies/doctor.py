"""What can go wrong on a machine before anything is trained: `workbench doctor`, a line for each thing it looked at."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import torch

from workbench import __version__, paths, threads
from workbench.data import fetch
from workbench.runs.versions import provenance

GB = 1e9
ROOM = 5.0  # GB of disk and of memory below which something is said: data, caches and a sweep's runs
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = {  # that are asked for by name; what they are for, and how they come
    "jupyterlab": ("notebooks", "pip install -e '.[notebooks]'"),
    "voila": ("make app", "pip install -e '.[notebooks]'"),
    "playwright": ("tests in a browser", "pip install -e '.[test]'"),
}


class Sight(NamedTuple):
    """One thing that was looked at: what was found, and what to do about it, empty where all is well."""

    name: str
    found: str
    cure: str = ""


def examine() -> Iterator[Sight]:
    """Look at this machine; nothing is changed, downloaded or opened but the headers of data files."""
    made = provenance()
    yield Sight("workbench", f"{__version__}, commit {made['commit'] or 'unknown'}, in {paths.project_root()}")
    yield Sight("python", f"{platform.python_version()}, torch {torch.__version__}")
    yield _cores()
    yield Sight("threads", f"{torch.get_num_threads()} in torch, waiting for each other: {threads.policy()}")
    yield _gpu()
    yield _disk()
    yield from _data()
    yield from _programs()


def _cores() -> Sight:
    cores, load = threads.cores(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > cores + 0.5
    cure = "other programs want them, so that all takes longer; `--workers 1` asks for less" if busy else ""
    return Sight("cores", f"{cores} for this process, {load:.1f} busy in the last minute", cure)


def _gpu() -> Sight:
    if torch.cuda.is_available():
        free, whole = torch.cuda.mem_get_info()
        return Sight("gpu", f"{torch.cuda.get_device_name()}, {free / GB:.0f} of {whole / GB:.0f} GB free")
    if torch.backends.mps.is_available():
        return Sight("gpu", "Apple's (mps): choose it with -p device=mps")
    if shutil.which("nvidia-smi"):
        cure = "install torch for CUDA (pytorch.org) if this one ends in +cpu, else update the driver"
        return Sight("gpu", f"nvidia-smi is there, but torch {torch.__version__} sees none", cure)
    return Sight("gpu", "none: trainings run on the CPU")


def _disk() -> Sight:
    folder = paths.outputs_dir()
    free = shutil.disk_usage(folder).free / GB
    return Sight("disk", f"{free:.0f} GB free for {folder}", "make room, or set WORKBENCH_ROOT" if free < ROOM else "")


def _data() -> Iterator[Sight]:
    """A line for each real data set, with what is to be done about the first of its files that is not sound."""
    for name in fetch.NAMES:
        instead = "images are compared by the judges' features" if name == "inception" else "take sources built in"
        rows = [row for row in fetch.check() if row.source == name]
        wrong = [row for row in rows if not row.sound]
        found = f"{len(rows) - len(wrong)} of {len(rows)} files in {rows[0].file.parent}"
        yield Sight(name, found, f"{wrong[0].state}; {wrong[0].cure}; else {instead}" if wrong else "")


def _programs() -> Iterator[Sight]:
    for name, (purpose, cure) in PACKAGES.items():
        there = importlib.util.find_spec(name) is not None
        yield Sight(name, f"{'there' if there else 'not installed'}, for {purpose}", "" if there else cure)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    cure = "" if browser else "apt-get install chromium; without it tests in a browser are skipped"
    yield Sight("browser", browser or "no Chromium", cure)
