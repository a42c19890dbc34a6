"""Where things are: one resolver for the project, its data, caches and outputs.

nbval runs a notebook in the notebook's folder and papermill in the caller's, so nothing may depend on the
working directory being the project's root. How files are written and read stands in `workbench.files`.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from workbench.files import if_sound, named, say_once

T = TypeVar("T")

# Of a file system that knows no locks, or a folder that is there to be read.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EROFS, errno.EACCES, errno.EPERM}


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
def locked(path: Path, busy: str, leave: bool = True) -> Iterator[bool]:
    """Hold the lock of `path`, the file `.NAME.lock` beside it, which one thread at a time can have.

    It also keeps out other machines that share the file system. The system takes it from a process that ends, however
    it ends, so there is nothing to clean up. A thread that has it may take it again. `busy` is printed to stderr when
    somebody else has it, before waiting. Where there can be no locks, that is said once, and it yields False. `leave`
    False removes the file.
    """
    lock = _lock_of(path)
    held = _acquired(lock, path, busy)
    try:
        yield held
    finally:
        if held:
            if not leave:
                with suppress(OSError):  # those who wait for it make another one
                    Path(lock.lock_file).unlink()
            lock.release()


def is_locked(path: Path) -> bool:
    """Tell whether another thread or process holds the lock of `path` just now."""
    lock = _lock_of(path)
    if not Path(lock.lock_file).is_file():
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that is there to be read: nobody writes there
        return False
    lock.release()
    return False


def _lock_of(path: Path) -> FileLock:
    # without its own way out: a file that anybody left would be waited for without an end
    return FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True, fallback_to_soft=False)


def _acquired(lock: FileLock, path: Path, busy: str) -> bool:
    try:
        with named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                print(busy, file=sys.stderr)
                lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        say_once(f"{path.parent} cannot be locked ({error.strerror}): let no two processes write there at a time")
        return False
    return True


def read_or_made(path: Path, read: Callable[[], T], make: Callable[[], T], busy: str) -> T:
    """What a file of a cache holds, or what is made where there is none that is sound: by one process for all."""
    if found := if_sound(read, path):
        return found
    with locked(path, busy):
        return if_sound(read, path) or make()


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
