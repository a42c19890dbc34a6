"""CelebA's images as one array on disk, made once: the folder `data/cache/celeba-DIGEST`.

It is made in a hidden folder beside it, which takes its name when it is whole.
"""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.data.celeba.build import ARRAY, JOURNAL, SHAPE, Done, decode_all
from workbench.data.celeba.split import Choice, Counts, describe_skipped, refuse_empty
from workbench.data.images import DataError
from workbench.paths import cache_dir

VERSION = 1  # of the recipe: which images, which split, their order, pixels, files
_LABELS, _INDEX = "labels.npy", "index.json"


class Stored(NamedTuple):
    """A whole cache: uint8 [N, 3, 64, 64] mapped into memory, Bool [N, 40], and what was counted.

    The first `counts.train` images are those of training, the others those of test. The map is private: what a process
    writes to it stays in that process.
    """

    values: np.ndarray
    labels: np.ndarray
    counts: Counts


def read(name: str) -> Stored | None:
    """The cache of that name; None where there is none or a part of it is missing or damaged."""
    folder = cache_dir() / name
    try:
        counts = Counts(**json.loads((folder / _INDEX).read_text())["counts"])
        values = np.load(folder / ARRAY, mmap_mode="c", allow_pickle=False)
        labels = np.load(folder / _LABELS, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError, LookupError, TypeError):
        return None
    shapes, n = (values.shape, labels.shape), counts.train + counts.test
    whole = shapes == ((n, *SHAPE), (n, 40)) and (values.dtype, labels.dtype) == (np.uint8, np.bool_)
    return Stored(values, labels, counts) if whole else None


def build(name: str, photos: Path, choice: Choice) -> Stored:
    """Make the cache of that name from the photographs in a folder, or go on where an earlier call was stopped.

    Then caches of other names that were made from the same folder are removed. DataError as from `decode_all`, and,
    with nothing left behind, when more than half of the photographs cannot be used or a split is left without any.
    """
    folder, goal = cache_dir() / f".{name}.building", cache_dir() / name
    _remove_others(folder, photos, ".celeba-*.building", JOURNAL)
    folder.mkdir(exist_ok=True)
    done = decode_all(folder, photos, choice.names)
    try:
        counts = _count(photos, choice, done)
    except DataError:
        shutil.rmtree(folder)
        raise
    _complete(folder, photos, choice, done, counts)
    if goal.exists():  # damaged, else nothing would be built
        shutil.rmtree(goal)
    folder.rename(goal)
    (goal / JOURNAL).unlink()  # not before, or a build killed in between would begin anew
    _remove_others(goal, photos, "celeba-*", _INDEX)
    stored = read(name)
    if stored is None:
        raise DataError(f"{goal} was written but cannot be read back: look at the disk, then remove the folder")
    return stored


def _count(photos: Path, choice: Choice, done: Done) -> Counts:
    """What is left of the choice; DataError when that is too little."""
    if done.hopeless(len(choice.names)):
        raise DataError(
            f"more than half of the {len(choice.names):,} images in {photos} cannot be used, "
            f"of the first {done.seen:,} {describe_skipped(done.skipped)}: get the aligned images again"
        )
    train = sum(name not in done.skipped for name in choice.names[: choice.counts.train])
    skipped = choice.counts.skipped | done.skipped
    counts = replace(choice.counts, train=train, test=done.rows - train, skipped=skipped)
    refuse_empty(counts)
    return counts


def _complete(folder: Path, photos: Path, choice: Choice, done: Done, counts: Counts) -> None:
    """Write what belongs to the array: attributes, names and counts."""
    kept = [n for n, name in enumerate(choice.names) if name not in done.skipped]
    np.save(folder / _LABELS, choice.labels[kept])
    index = {"folder": str(photos), "counts": asdict(counts), "names": [choice.names[n] for n in kept]}
    (folder / _INDEX).write_text(json.dumps(index))
    for file in (_LABELS, _INDEX):
        with (folder / file).open("rb") as stream:
            os.fsync(stream.fileno())


def _remove_others(keep: Path, photos: Path, pattern: str, origin: str) -> None:
    """Remove what other versions of the same folder of photographs left, or of a folder that is no longer there."""
    for folder in cache_dir().glob(pattern):
        if folder != keep and (source := _source(folder / origin)) and (source == photos or not source.exists()):
            # What a process still reads cannot be removed everywhere; then the next build does it.
            shutil.rmtree(folder, ignore_errors=True)


def _source(file: Path) -> Path | None:
    """The folder of photographs that an index or a journal names."""
    try:
        content = json.loads(file.read_text() if file.name == _INDEX else file.read_text().partition("\n")[0])
        return Path(content["folder"] if file.name == _INDEX else content)
    except (OSError, ValueError, LookupError, TypeError):
        return None
