"""Locks between processes, which the system takes from those that end, and what goes on where there can be none."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.files.writing import named, say_once

# Of a file system that knows no locks, or a folder that is there to be read.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def locked(path: Path, busy: str, leave: bool = True) -> Iterator[bool]:
    """Hold the lock of `path`, the file `.NAME.lock` beside it, which one thread at a time can have.

    It also keeps out other machines that share the file system. The system takes it from a process that ends, however
    it ends, so there is nothing to clean up. A thread that has it may take it again. `busy` is printed to stderr when
    somebody else has it, before waiting. Where there can be no locks, that is said once, and it yields False. `leave`
    False removes the file.
    """
    # without its own way out: a file that anybody left would be waited for without an end
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True, fallback_to_soft=False)
    held = _acquired(lock, path, busy)
    try:
        yield held
    finally:
        if held:
            if not leave:
                with suppress(OSError):  # those who wait for it make another one
                    Path(lock.lock_file).unlink()
            lock.release()


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
