"""What may stand in the files of a run folder: the fields of config.json, the rows of history.csv."""

import csv
import dataclasses
import itertools
import math
import os
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


def read_history(path: Path) -> dict[str, list[float]]:
    """Columns of a history.csv: step, total and the terms.

    Rows that are not whole are left out, which is said but of the last one, which may be about to be written.
    """
    with files.damage(path):
        head, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
        files.refuse_pointer(head)
        names, rows = head.decode().strip().split(","), [_row(line, head) for line in lines]
        whole = [row for row in rows if len(row) == len(names)]
        if len(whole) < len(rows[:-1]):
            files.say_once(f"{path} has rows that are not whole: they are left out")
        if any(names) and (names[0] != "step" or len({*names}) < len(names)):
            raise ValueError(f"its first line is {','.join(names)[:80]!r} and not step and the terms")
        return {name: [row[i] for row in whole] for i, name in enumerate(names)} if whole else {}


def add_row(path: Path, step: int, means: Mapping[str, float]) -> None:
    """Add a row to a history.csv, and the header before the first."""
    with files.named(path), open(path, "a", newline="") as file:
        writer = csv.writer(file, lineterminator=END.decode())
        if file.tell() == 0:
            writer.writerow(["step", *means])
        writer.writerow([step, *(f"{value:.6g}" if math.isfinite(value) else "nan" for value in means.values())])


def cut_history(path: Path, step: int) -> None:
    """Drop the rows of a history.csv after a step, and all from one on that is not whole: a full disk may cut it."""
    head, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
    columns = head.count(b",") + 1
    kept = itertools.takewhile(lambda line: len(row := _row(line, head)) == columns and row[0] <= step, lines)
    os.truncate(path, len(head) + sum(map(len, kept)) if head.endswith(b"\n") else 0)


def _row(line: bytes, head: bytes) -> list[float]:
    """The numbers in a row; none where it was cut, or is no row. `add_row` ends all lines alike, others may not."""
    try:
        step, *values = line.decode().rstrip("\r\n").split(",")
        return [] if head.endswith(END) and not line.endswith(END) else [float(int(step)), *map(float, values)]
    except (ValueError, OverflowError):
        return []
