"""Where things are: one resolver for the project, its data, caches and outputs.

nbval runs a notebook in the notebook's folder and papermill in the caller's, so nothing may depend on the
working directory being the project's root.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout


def project_root() -> Path:
    """The folder that holds `notebooks/`, `data/` and `outputs/`.

    `WORKBENCH_ROOT` when it is set; else the checkout this package was installed from (editable) or the nearest
    folder above the working directory that looks like one; else the working directory itself.
    """
    if explicit := os.environ.get("WORKBENCH_ROOT"):
        return Path(explicit).expanduser().resolve()
    here = Path.cwd().resolve()
    for folder in (Path(__file__).resolve().parent.parent, here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return here


def data_root(explicit: str | Path | None = None) -> Path:
    """Folder of the downloaded data sets: the argument, else `WORKBENCH_DATA`, else `data/` of the project."""
    chosen = explicit or os.environ.get("WORKBENCH_DATA") or project_root() / "data"
    return Path(chosen).expanduser().resolve()


def cache_dir() -> Path:
    """Folder of what the project makes by itself and can make again (rendered crops, classifiers)."""
    return _made(project_root() / "data" / "cache")


def training_notebook() -> Path:
    """The notebook that trains and evaluates one run, which sweeps execute again and again."""
    return project_root() / "notebooks" / "04_training.ipynb"


def outputs_dir() -> Path:
    """Folder of runs and executed notebooks."""
    return _made(project_root() / "outputs")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not.

    Whoever reads `path` sees the old file or the whole new one, never a half.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` when the block ends well, and vanishes when it does not.

    It lies in a hidden one beside it, `.NAME.*.building`, which a process that is killed leaves.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".building", dir=folder.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        yield made
        if folder.exists():
            os.replace(folder, Path(scratch, "before"))
        os.replace(made, folder)


def write_json(path: Path, content: Any) -> None:
    """Write JSON values, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of `path`, the file `.NAME.lock` beside it, which one thread at a time can have.

    It also keeps out other machines that share the file system. The system takes it from a process that ends, however
    it ends, so there is nothing to clean up. A thread that has it may take it again. `busy` is printed to stderr when
    somebody else has it, before waiting.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(busy, file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables of the process for a while, then put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
