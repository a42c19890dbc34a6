"""CelebA's two lists: the attributes of every image, and the official partition into training, validation and test.

Windows line ends, blank lines and extra blanks are tolerated; anything else that is not as announced is refused with
its line number, because a shifted list would give faces the attributes of others without anybody noticing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.images import DataError

ATTRIBUTE_LIST = "list_attr_celeba.txt"
PARTITION_LIST = "list_eval_partition.txt"
TRAIN, VALIDATION, TEST = 0, 1, 2
COUNT = 202_599  # rows of either list
CURE = "get the original with `workbench data fetch celeba`, or from CelebA's page"
_VALUES = frozenset(("1", "-1"))
_PARTITIONS = {"0": TRAIN, "1": VALIDATION, "2": TEST}


@dataclass(frozen=True, eq=False)
class AttributeTable:
    """Attributes of images: `values` is Bool [rows, 40], `rows` the row of each image by its file name.

    `announced` is the number of rows that the first line of the list gives.
    """

    rows: dict[str, int]
    values: np.ndarray
    announced: int

    def __len__(self) -> int:
        return len(self.rows)


def read_attributes(path: Path) -> AttributeTable:
    """The table of attributes, in the order of `ATTRIBUTES`.

    DataError when the list is missing, has another header than the 40 names, a malformed row, or two rows of one image
    that contradict each other.
    """
    lines = _lines(path)
    announced, header = next(lines, (1, [])), next(lines, (2, []))
    if len(announced[1]) != 1 or not announced[1][0].isdecimal():
        raise _malformed(path, announced[0], "is not the number of rows, with which the list of attributes begins")
    if tuple(header[1]) != ATTRIBUTES:
        raise _malformed(
            path, header[0], f"is not the header with the 40 names from {ATTRIBUTES[0]} to {ATTRIBUTES[-1]}"
        )
    rows: dict[str, str] = {}
    for number, (name, *values) in lines:
        if len(values) != len(ATTRIBUTES) or not _VALUES.issuperset(values):
            raise _malformed(path, number, f"is not a file name and 40 times 1 or -1: {_shown(name, *values)}")
        _add(rows, name, "".join(values).replace("-1", "0"), path, number)
    bits = np.frombuffer("".join(rows.values()).encode(), np.uint8).reshape(len(rows), len(ATTRIBUTES)) == ord("1")
    return AttributeTable({name: row for row, name in enumerate(rows)}, bits, int(announced[1][0]))


def read_partition(path: Path) -> dict[str, int]:
    """`TRAIN`, `VALIDATION` or `TEST` by file name.

    DataError when the list is missing, has a malformed row, or two rows of one image that contradict each other.
    """
    partition: dict[str, int] = {}
    for number, fields in _lines(path):
        if len(fields) != 2 or fields[1] not in _PARTITIONS:
            raise _malformed(path, number, f"is not a file name and 0, 1 or 2: {_shown(*fields)}")
        _add(partition, fields[0], _PARTITIONS[fields[1]], path, number)
    return partition


def unreadable(path: Path, error: OSError) -> DataError:
    """The error that says that a list cannot be read, or is not there, and what to do."""
    if not isinstance(error, FileNotFoundError):
        return DataError(f"{path} cannot be read ({error.strerror}): {CURE}")
    table = path.with_suffix(".csv")
    beside = f" ({table.name} is there, but is another format)" if table.is_file() else ""
    return DataError(f"{path} is missing{beside}: {CURE}")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number, counted from 1, and fields of each line that is not blank."""
    try:
        # An unknown byte becomes a sign that no field may hold, so the row that has it is refused by its number.
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            for number, line in enumerate(stream, start=1):
                if fields := line.split():
                    yield number, fields
    except OSError as error:
        raise unreadable(path, error) from error


def _add(rows: dict, name: str, value: str | int, path: Path, number: int) -> None:
    """Enter one row; said twice is tolerated, said differently is not."""
    if rows.setdefault(name, value) != value:
        raise _malformed(path, number, f"contradicts an earlier row of {_shown(name)}")


def _malformed(path: Path, number: int, what: str) -> DataError:
    return DataError(f"{path}, line {number}, {what}: {CURE}")


def _shown(*fields: str) -> str:
    """The beginning of a row, for a message."""
    text = " ".join(fields)
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
