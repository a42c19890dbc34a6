"""Where things are: one resolver for the project, its data, caches and outputs.

nbval runs a notebook in the notebook's folder and papermill in the caller's, so nothing may depend on the
working directory being the project's root. How files are written, read and locked stands in `workbench.files`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.files.locks import locked
from workbench.files.reading import write_json
from workbench.files.writing import replacing, replacing_folder

__all__ = [
    "cache_dir",
    "data_root",
    "environment",
    "locked",
    "outputs_dir",
    "project_root",
    "replacing",
    "replacing_folder",
    "training_notebook",
    "write_json",
]


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
    with suppress(OSError):  # who reads can do without it, and whoever writes is told by the writing
        folder.mkdir(parents=True, exist_ok=True)
    return folder
