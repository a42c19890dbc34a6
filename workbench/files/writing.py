"""Files and folders that take their place when they are whole, and what writers that were killed leave.

Until then they lie beside it under a name of their own, `.NAME.HOST-PROCESS-RANDOM.part`, so that no two writers share
one, and whoever writes into the same folder later can tell that this one is dead. They are made as the umask says,
and are on the disk before their name is.
"""

import os
import platform
import re
import secrets
import shutil
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

HOST = re.sub(r"[^\w]+", "_", platform.node())[:40]
# Of this version, of older ones, which told the process alone, and of safetensors, which wrote for older ones.
LEFT = re.compile(r"\..+\.(?:(?P<host>\w+)-)?(?P<process>\d+)(?:-\w+)?\.(?:part|building)|\.tmp\w{6}")
AN_HOUR = 3600.0  # seconds: no file takes as long to be written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not.

    Whoever reads `path` sees the old file or the whole new one, never a half. Raises OSError with the name of `path`.
    """
    temporary = path.with_name(f"{_mine(path)}.part")
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("r+b") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    remove_left(path.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` when the block ends well, and vanishes when it does not.

    It lies in a hidden one beside it, `.NAME.*.building`, which a process that is killed leaves to the next one.
    """
    with named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{_mine(folder)}", suffix=".building", dir=folder.parent) as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            yield made
            if folder.exists():
                os.replace(folder, Path(scratch, "before"))
            os.replace(made, folder)
    remove_left(folder.parent)


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Names that somebody else chose as parts of paths: letters, digits, `_`, `.` and `-`; different ones stay so."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        slug = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).lstrip(".-")[:80]
        taken = {other.lower() for other in found.values()}
        short = f"{slug}-{zlib.crc32(name.encode(errors='replace')):08x}".lstrip("-")
        found[name] = slug if slug and slug == name and slug.lower() not in taken else short
    return found


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_left(folder: Path, alone: bool = False) -> None:
    """Remove what writers that were killed left half written in a folder, and nothing of those that are at work.

    `alone` says that nobody else writes there now, so that whatever is there was left.
    """
    for path in folder.glob(".*"):
        found = LEFT.fullmatch(path.name)
        with suppress(OSError):  # another process may have removed it, or may have to
            if found and (alone or _dead(path, found)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an error of the system, such as a full disk, the name of the file that it is about."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and not _about_another(error, path):
            error.filename = str(path)
        raise


def keep(path: Path, content: bytes) -> None:
    """Write what can be made again where it can be written; where it cannot, that is said, and all goes on."""
    try:
        write_bytes(path, content)
    except OSError as error:
        say_once(f"{path} is not kept ({error.strerror or error}): it will be made again when it is needed again")


_said: set[str] = set()


def say_once(sentence: str) -> None:
    """Print a sentence to stderr, the first time that this process has to say it."""
    if sentence not in _said:
        _said.add(sentence)
        print(sentence, file=sys.stderr)


def _mine(path: Path) -> str:
    """The beginning of a temporary name, not longer than a file system takes."""
    return f".{path.name[:40]}.{HOST}-{os.getpid()}-{secrets.token_hex(4)}"


def _dead(path: Path, found: re.Match[str]) -> bool:
    """Whether who began to write a file has ended: known of this machine's processes, of all else after an hour."""
    if found["host"] != HOST:
        return time.time() - path.stat().st_mtime > AN_HOUR
    try:
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        return False
    return False


def _about_another(error: OSError, path: Path) -> bool:
    """Whether an error names a file that is neither `path` nor hidden beside or within it."""
    if not isinstance(error.filename, str):
        return error.filename is not None
    other = Path(error.filename)
    hidden = other.name.startswith(f".{path.name[:40]}.") or ".building" in error.filename
    return other not in (path, path.parent) and not hidden
