"""JSON files of the project, there and back, and what is said of a file that is damaged.

An object that is written with a checksum ends with it, `"checksum": "crc32:1c291ca3"`; readers get it without. Files of
older versions have none.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from workbench.errors import DamagedFile
from workbench.files.writing import replacing, say_once

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
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


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
    """Say what is wrong with one of many, and go on with the others."""
    try:
        yield
    except (DamagedFile, OSError) as error:
        say_once(f"passed over: {error}")


@contextmanager
def damage(path: Path, cure: str = CURE, *more: type[Exception]) -> Iterator[None]:
    """Say of a file that it is damaged, and what to do, where its content turns out not to be what it should be.

    `more` are errors that tell of that beside those of Python's own.
    """
    try:
        yield
    except DamagedFile:
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


def _digest(content: Any) -> str:
    return f"crc32:{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
