"""Every file that the project writes and reads back: whole or not at all, with a checksum, refused in one sentence.

Files and folders take their place when they are whole. Until then they lie beside it under a name of their own,
`.NAME.HOST-PROCESS-RANDOM.part`, so that no two writers share one, and whoever writes into the same folder later can
tell that this one is dead. They are made as the umask says, and are on the disk before their name is.

A JSON object that is written with a checksum ends with it, `"checksum": "crc32:1c291ca3"`; readers get it without.
Files of older versions have none. Named tensors stand in `workbench.data.tensors`.
"""

import json
import os
import platform
import re
import secrets
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from workbench.errors import DamagedFile, Refused

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


# JSON, and what is said of a file that is damaged

T = TypeVar("T")
CHECKSUM = "checksum"
CURE = "remove it, or get it again from where it came from"
BY_HAND = f'{CURE}; if it was changed on purpose, remove its "{CHECKSUM}"'
POINTER = b"version https://git-lfs"
# What it takes to find out that a content is not what it should be.
WRONG = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def write_json(path: Path, content: Any, checked: bool = False) -> None:
    """Write JSON values, whole or not at all; with a checksum where `content` is an object and `checked`."""
    if checked:
        content = {name: value for name, value in content.items() if name != CHECKSUM}
        content[CHECKSUM] = _digest(json.loads(json.dumps(content)))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n" * (not checked), encoding="utf-8")


def read_json(path: Path, cure: str = CURE, check: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
    """Read a JSON object.

    `check` may say first, by an error, what is wrong with a content. Raises DamagedFile on what is no object, or not
    the one that was written; FileNotFoundError where there is none.
    """
    content = path.read_bytes()
    with damage(path, cure):
        refuse_pointer(content)
        if not content.strip():
            raise ValueError("it is empty")
        content = json.loads(content)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        if not content:
            raise ValueError("it holds nothing")
        check(content)
    kept = content.pop(CHECKSUM, None)
    if kept is not None and kept != _digest(content):
        raise DamagedFile(path, "its content does not match its checksum", cure if cure != CURE else BY_HAND)
    return content


def if_sound(read: Callable[[], T], path: Path) -> T | None:
    """What is read of a file that can be made again; None where there is none, or none that can be read: said once."""
    try:
        return read() if path.is_file() else None
    except FileNotFoundError:  # another process may have set it aside
        return None
    except (DamagedFile, OSError) as error:
        what = error.what if isinstance(error, DamagedFile) else f"{path} cannot be read ({error.strerror or error})"
        say_once(f"{what}: it is made again")
        return None


@contextmanager
def passed_over() -> Iterator[None]:
    """Say what is wrong with one of many, or what it refuses, and go on with the others."""
    try:
        yield
    except (DamagedFile, Refused, OSError) as error:
        say_once(f"passed over: {error}")


@contextmanager
def damage(path: Path, cure: str = CURE, *more: type[Exception]) -> Iterator[None]:
    """Say of a file that it is damaged, and what to do, where its content turns out not to be what it should be.

    `more` are errors that tell of that beside those of Python's own; what is Refused is no damage.
    """
    try:
        yield
    except (DamagedFile, Refused):
        raise
    except (*WRONG, *more) as error:
        raise DamagedFile(path, reason_of(error), cure) from error


def reason_of(error: Exception) -> str:
    """What went wrong in a few words on one line."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON from line {error.lineno} on"
    if isinstance(error, UnicodeDecodeError | RecursionError):
        return "it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else "it is nested too deeply"
    words = " ".join(str(error).split())
    words = f"it lacks {words}" if isinstance(error, KeyError) else words or type(error).__name__
    return words if len(words) <= 200 else f"{words[:200]} ..."


def refuse_pointer(begin: bytes) -> None:
    """ValueError on the first bytes of what Git LFS leaves in the place of a file."""
    if begin.startswith(POINTER):
        raise ValueError("it is a pointer of Git LFS, which `git lfs pull` replaces by the file")


def checksum(*lines: bytes) -> str:
    """What says whether lines are still what they were: "crc32:1c291ca3"."""
    digest = zlib.crc32(b"\n".join(lines))
    return f"crc32:{digest:08x}"


def _digest(content: Any) -> str:
    return checksum(json.dumps(content, sort_keys=True).encode())
