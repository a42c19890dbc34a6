"""CelebA's two lists, the attributes of every image and the official partition, and which images are used for what.

Windows line ends, blank lines and extra blanks are tolerated; anything else that is not as announced is refused with
its line number, because a shifted list would give faces the attributes of others without anybody noticing. Kaggle's
tables, of the same names with the ending .csv, are read where the lists are not there.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.images import DataError

ATTRIBUTE_LIST = "list_attr_celeba.txt"
PARTITION_LIST = "list_eval_partition.txt"
TABLE = ".csv"  # of Kaggle's tables
TRAIN, VALIDATION, TEST = 0, 1, 2
COUNT = 202_599  # rows of either list
CURE = "get the original with `workbench data fetch celeba`, or from CelebA's page"
_VALUES = frozenset(("1", "-1"))
_PARTITIONS = {"0": TRAIN, "1": VALIDATION, "2": TEST}
_OWN_TEST_SHARE = 8  # one in so many


def list_in(folder: Path, name: str) -> Path:
    """Return where a list is: its original, or else Kaggle's table."""
    original, table = folder / name, (folder / name).with_suffix(TABLE)
    return table if table.is_file() and not original.is_file() else original


@dataclass(frozen=True, eq=False)
class AttributeTable:
    """Attributes of images: `values` is Bool [rows, 40], `rows` the row of each image by its file name.

    `announced` is the number of rows that the first line of the list gives; Kaggle's table gives none.
    """

    rows: dict[str, int]
    values: np.ndarray
    announced: int

    def __len__(self) -> int:
        return len(self.rows)


def read_attributes(path: Path) -> AttributeTable:
    """Read the table of attributes, in the order of `ATTRIBUTES`.

    DataError when the list is missing, has another header than the 40 names, a malformed row, or two rows of one image
    that contradict each other.
    """
    lines, table = _lines(path), path.suffix == TABLE
    announced = (0, ["0"]) if table else next(lines, (1, []))
    if len(announced[1]) != 1 or not announced[1][0].isdecimal():
        raise _malformed(path, announced[0], "is not the number of rows, with which the list of attributes begins")
    header = next(lines, (announced[0] + 1, []))
    if tuple(header[1]) != (*["image_id"] * table, *ATTRIBUTES):
        raise _malformed(
            path, header[0], f"is not the header with the 40 names from {ATTRIBUTES[0]} to {ATTRIBUTES[-1]}"
        )
    rows: dict[str, str] = {}
    for number, (name, *values) in lines:
        if len(values) != len(ATTRIBUTES) or not _VALUES.issuperset(values):
            raise _malformed(path, number, f"is not a file name and 40 times 1 or -1: {_shown(name, *values)}")
        _add(rows, name, "".join(values).replace("-1", "0"), path, number)
    bits = np.frombuffer("".join(rows.values()).encode(), np.uint8).reshape(len(rows), len(ATTRIBUTES)) == ord("1")
    return AttributeTable(
        {name: row for row, name in enumerate(rows)}, bits, len(rows) if table else int(announced[1][0])
    )


def read_partition(path: Path) -> dict[str, int]:
    """Read `TRAIN`, `VALIDATION` or `TEST` by file name.

    DataError when the list is missing, has a malformed row, or two rows of one image that contradict each other.
    """
    partition: dict[str, int] = {}
    lines = _lines(path)
    if path.suffix == TABLE and (header := next(lines, (1, [])))[1] != ["image_id", "partition"]:
        raise _malformed(path, header[0], "is not the header image_id,partition")
    for number, fields in lines:
        if len(fields) != 2 or fields[1] not in _PARTITIONS:
            raise _malformed(path, number, f"is not a file name and 0, 1 or 2: {_shown(*fields)}")
        _add(partition, fields[0], _PARTITIONS[fields[1]], path, number)
    return partition


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error that says that a list cannot be read, or is not there, and what to do."""
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
                if fields := line.replace(",", " " if path.suffix == TABLE else ",").split():
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


@dataclass(frozen=True)
class Counts:
    """What was found, used and left out, as numbers and names that JSON can hold."""

    present: int  # images in the folder
    listed: int  # rows of the list of attributes
    announced: int  # rows that its first line gives
    train: int
    test: int
    validation: int  # of the official validation partition, used for neither
    own: bool  # whether the split is ours, for want of official test images
    skipped: dict[str, str] = field(default_factory=dict)  # file name -> why

    def summary(self) -> str:
        """Return one line on what there is."""
        kind = "own split of the official training partition, as no official test image is there"
        if self.own and not self.validation:
            kind = "own split: all lie in the official training partition"
        split = kind if self.own else "official split"
        if self.validation:
            split += f", {self.validation:,} of the official validation partition used for neither"
        line = f"{self.present:,} of {self.listed:,} images: {self.train:,} train, {self.test:,} test ({split})"
        if self.skipped:
            line += f"; skipped {describe_skipped(self.skipped)}"
        if self.announced != self.listed:
            line += f"; {ATTRIBUTE_LIST} announces {self.announced:,} rows but has {self.listed:,}"
        return line

    def refuse_empty(self) -> None:
        """Raise DataError when no image is left for training or for test."""
        if not (self.train and self.test):
            raise DataError(
                f"no image is left for {'test' if self.train else 'training'} (celeba: {self.summary()}): add more of "
                f"the {COUNT:,} images, or take the faces that are built in (data=faces)"
            )


@dataclass(frozen=True, eq=False)
class Choice:
    """Images to be read, first all of training, then all of test: names, and attributes as Bool [N, 40]."""

    names: list[str]
    labels: np.ndarray
    counts: Counts


def choose(present: Iterable[str], table: AttributeTable, partition: dict[str, int]) -> Choice:
    """Divide the images that are there into training and test, each sorted by name.

    By the official partition when it has any of them in its test part; else every eighth image of its training part, by
    a hash of the file name, is for test: the same images whatever else is there. DataError when nothing is left for one
    of the two.
    """
    present, skipped = sorted(present), {}
    for rows, listing in ((table.rows, ATTRIBUTE_LIST), (partition, PARTITION_LIST)):
        unlisted = {name: f"no row in {listing}" for name in present if name not in rows}
        if len(unlisted) == len(present):
            raise DataError(
                f"none of the {len(present):,} images, {present[0]} the first, has a row in {listing}: the images must "
                f"have their original names, 000001.jpg to {COUNT}.jpg, and the list must be the whole one"
            )
        skipped = unlisted | skipped
    usable = [name for name in present if name not in skipped]
    train, validation, test = ([n for n in usable if partition[n] == part] for part in (TRAIN, VALIDATION, TEST))
    own = not test
    if own:
        train, test = [n for n in train if not is_own_test(n)], [n for n in train if is_own_test(n)]
    numbers = len(present), len(table), table.announced, len(train), len(test), len(validation)
    counts = Counts(*numbers, own, dict(sorted(skipped.items())))
    counts.refuse_empty()
    names = train + test
    return Choice(names, table.values[[table.rows[name] for name in names]], counts)


def is_own_test(name: str) -> bool:
    """Return whether our own split has an image in its test part."""
    return hashlib.sha256(name.encode()).digest()[0] % _OWN_TEST_SHARE == 0


def describe_skipped(skipped: dict[str, str]) -> str:
    """Say how many, and the first three by name with the reason."""
    first = ", ".join(f"{name} ({why})" for name, why in list(skipped.items())[:3])
    return f"{len(skipped):,}: {first}{', ...' * (len(skipped) > 3)}"
