"""Which images of CelebA are used and for what: those with a row in both lists, by the official split or by our own."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from workbench.data.celeba.lists import ATTRIBUTE_LIST, COUNT, PARTITION_LIST, TEST, TRAIN, VALIDATION, AttributeTable
from workbench.data.images import DataError

_OWN_TEST_SHARE = 8  # one in so many


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
        """One line on what there is."""
        line = f"{self.present:,} of {self.listed:,} images: {self.train:,} train, {self.test:,} test ({self._split()})"
        if self.skipped:
            line += f"; skipped {describe_skipped(self.skipped)}"
        if self.announced != self.listed:
            line += f"; {ATTRIBUTE_LIST} announces {self.announced:,} rows but has {self.listed:,}"
        return line

    def _split(self) -> str:
        if self.own and not self.validation:
            return "own split: all lie in the official training partition"
        kind = "own split of the official training partition, as no official test image is there"
        unused = f", {self.validation:,} of the official validation partition used for neither" * (self.validation > 0)
        return (kind if self.own else "official split") + unused


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
    present = sorted(present)
    skipped = {name: f"no row in {ATTRIBUTE_LIST}" for name in present if name not in table.rows}
    _refuse_if_all(skipped, present, ATTRIBUTE_LIST)
    unlisted = {name: f"no row in {PARTITION_LIST}" for name in present if name not in partition}
    _refuse_if_all(unlisted, present, PARTITION_LIST)
    skipped = unlisted | skipped
    parts = {part: [] for part in (TRAIN, VALIDATION, TEST)}
    for name in present:
        if name not in skipped:
            parts[partition[name]].append(name)
    train, test, own = parts[TRAIN], parts[TEST], not parts[TEST]
    if own:
        train, test = [n for n in train if not is_own_test(n)], [n for n in train if is_own_test(n)]
    names = train + test
    labels = table.values[[table.rows[name] for name in names]]
    counts = Counts(
        present=len(present),
        listed=len(table),
        announced=table.announced,
        train=len(train),
        test=len(test),
        validation=len(parts[VALIDATION]),
        own=own,
        skipped=dict(sorted(skipped.items())),
    )
    refuse_empty(counts)
    return Choice(names, labels, counts)


def is_own_test(name: str) -> bool:
    """Whether our own split has an image in its test part."""
    return hashlib.sha256(name.encode()).digest()[0] % _OWN_TEST_SHARE == 0


def refuse_empty(counts: Counts) -> None:
    """DataError when no image is left for training or for test."""
    if not (counts.train and counts.test):
        which = "training" if not counts.train else "test"
        raise DataError(
            f"no image is left for {which} (celeba: {counts.summary()}): add more of the {COUNT:,} images, or take the "
            "faces that are built in (data=faces)"
        )


def describe_skipped(skipped: dict[str, str]) -> str:
    """How many, and the first three by name with the reason."""
    first = ", ".join(f"{name} ({why})" for name, why in list(skipped.items())[:3])
    return f"{len(skipped):,}: {first}{', ...' * (len(skipped) > 3)}"


def _refuse_if_all(skipped: dict[str, str], present: list[str], listing: str) -> None:
    if len(skipped) == len(present):
        raise DataError(
            f"none of the {len(present):,} images, {present[0]} the first, has a row in {listing}: the images must "
            f"have their original names, 000001.jpg to {COUNT}.jpg, and the list must be the whole one"
        )
