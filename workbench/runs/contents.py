"""What may stand in the files of a run folder: the fields of config.json, the rows of history.csv."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import files
from workbench.config import RENAMED, Config, field_names
from workbench.errors import DamagedFile, LaterFile
from workbench.objectives import method

END = b"\r\n"  # of the lines that csv writes


def check_config(path: Path, stored: dict[str, Any]) -> None:
    """Raise what is wrong with the content of a config.json, LaterFile where another version knows more."""
    values = stored["config"]
    if later := [name for name in values if name not in {*field_names(), *RENAMED}]:
        reason = f"its configuration has the field {later[0]!r}, which this one does not know"
        raise LaterFile(path, reason, "read it with that version")
    optional = {field.name for field in dataclasses.fields(Config) if field.default is None}
    if infinite := [name for name, x in values.items() if x is None and RENAMED.get(name, name) not in optional]:
        reason = f"{infinite[0]} is null, as a number that is not finite was written"
        raise DamagedFile(path, reason, "train the run again with a finite one")
    method(Config.from_json(values).objective)
    for name, kind in {"key": str, "code": str, "speed": dict, "command": str | None}.items():
        if name in stored and not isinstance(stored[name], kind):
            raise ValueError(f"{name} is {str(stored[name])[:40]!r}")


def evaluated_with(path: Path) -> dict[str, Any]:
    """What a metrics.json says of how it was made; of no judges where it is damaged, which is said."""

    def read() -> dict[str, Any]:
        with files.damage(path):
            how = files.read_json(path)["evaluated_with"]
            return {"limit": how["limit"], "parts": [*how["parts"]], "judges": how["judges"]}

    return files.if_sound(read, path) or {"limit": 0, "parts": [], "judges": None}


def read_history(path: Path, end: int | None = None) -> dict[str, list[float]]:
    """Columns of a history.csv: step, total and the terms, without the checksums of its rows.

    Rows that are not whole, or not what was written, are left out, which is said; but of a last one that is about to be
    written. `end` is the step that the history must reach, 0 for any, None where it still grows.
    """
    with files.damage(path):
        content = path.read_bytes()
        files.refuse_pointer(content)
        head = content.partition(b"\n")[0]
        names = head.decode().strip().removesuffix(f",{files.CHECKSUM}").split(",")
        if any(names) and (names[0] != "step" or len({*names}) < len(names)):
            raise ValueError(f"its first line is {','.join(names)[:80]!r} and not step and the terms")
        rows = _sound_rows(path, content, end)[1]
        return {name: [row[i] for row in rows.values()] for i, name in enumerate(names)} if rows else {}


def add_row(path: Path, step: int, means: Mapping[str, float]) -> None:
    """Add a row to a history.csv, with its checksum where the others have one, and the header before the first."""
    values = [str(step), *(f"{value:.6g}" if math.isfinite(value) else "nan" for value in means.values())]
    text = ",".join(values).encode()
    with files.named(path), open(path, "a+b") as file:
        if file.tell() == 0:
            file.write(",".join(["step", *means, files.CHECKSUM]).encode() + END)
        file.seek(0)
        head = file.readline()
        file.write((text + _check(text, head) if _is_checked(head) else text) + END)


def cut_history(path: Path, step: int) -> None:
    """Drop the rows of a history.csv after a step, and those that are not sound: a full disk may have cut the last."""
    content = path.read_bytes()
    head, rows = _sound_rows(path, content, step) if step else (b"", {})
    kept = [line for line, row in rows.items() if row[0] <= step]
    left = b"".join([head, *kept]) if kept else b""
    if left != content:
        files.write_bytes(path, left)


def _sound_rows(path: Path, content: bytes, end: int | None) -> tuple[bytes, dict[bytes, list[float]]]:
    """The header, and rows as they stand there and as numbers; those that are wrong or lacking are said."""
    head, *lines = content.splitlines(keepends=True) or [b""]
    rows = {line: _row(line, head) for line in lines}
    cut = bool(lines) and not lines[-1].endswith(b"\n") and end != 0
    wrong = [f"line {n}" for n, line in enumerate(lines[: len(lines) - cut], 2) if not rows[line]]
    rows = {line: row for line, row in rows.items() if row}
    steps = {row[0] for row in rows.values()}
    if end is not None and not (end in steps if end else steps):
        wrong.append("its end")
    if wrong:
        shown = ", ".join(wrong[:3]) + ", ..." * (len(wrong) > 3)
        files.say_once(f"{path} is not as it was written ({shown}): that is left out")
    return head, rows


def _row(line: bytes, head: bytes) -> list[float]:
    """The numbers in a row; none where it was cut, is no row, or not what was written.

    `add_row` ends all lines alike, others may not.
    """
    text, columns = line.rstrip(b"\r\n"), head.count(b",") + 1
    if _is_checked(head):
        text, comma, kept = text.rpartition(b",")
        if comma + kept != _check(text, head):
            return []
        columns -= 1
    try:
        step, *values = text.decode().split(",")
        row = [float(int(step)), *map(float, values)]
    except (ValueError, OverflowError):
        return []
    return row if len(row) == columns and (line.endswith(END) or not head.endswith(END)) else []


def _is_checked(head: bytes) -> bool:
    return head.strip().endswith(f",{files.CHECKSUM}".encode())


def _check(text: bytes, head: bytes) -> bytes:
    """What follows the numbers of a row: the checksum of the header and of them."""
    return f",{files.checksum(head.strip(), text)}".encode()
