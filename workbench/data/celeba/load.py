"""CelebA: photographs of faces with 40 attributes, from the usual folder, any part of it, by way of a cache.

```
ROOT/celeba/img_align_celeba/000001.jpg ...    178x218 pixels, or smaller copies
ROOT/celeba/list_attr_celeba.txt
ROOT/celeba/list_eval_partition.txt            or Kaggle's tables, both .csv
```
"""

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

from workbench.data.celeba import cache, lists
from workbench.data.celeba.lists import ATTRIBUTE_LIST, COUNT, PARTITION_LIST, Choice, Counts
from workbench.data.images import DataError, Images, check_split
from workbench.paths import cache_dir, locked

PHOTOS = "img_align_celeba"
CURE = (
    f"put CelebA's aligned images 000001.jpg to {COUNT}.jpg there, or some of them, and {ATTRIBUTE_LIST} and "
    f"{PARTITION_LIST} beside {PHOTOS} (`workbench data fetch celeba` downloads them where the network allows), "
    "or take the faces that are built in (data=faces)"
)
_known: dict[tuple, str] = {}  # names of caches by what they were made of


def load_celeba(split: str, root: Path) -> Images:
    """Load faces of one split, uint8 [N, 3, 64, 64] mapped into memory from the cache, and attributes, Bool [N, 40].

    Takes the images that are there: of the official training and test partitions; where no official test image is among
    them, a split of our own. The first call makes the cache and says what it found. ValueError for an unknown split;
    DataError when images or lists are missing or malformed.
    """
    check_split(split)
    stored = _stored(Path(root) / "celeba")
    train = stored.counts.train
    rows = slice(0, train) if split == "train" else slice(train, None)
    return Images(torch.from_numpy(stored.values[rows]), torch.from_numpy(stored.labels[rows]))


def survey(root: Path) -> tuple[Counts, bool]:
    """Count what is there and what is used, and whether it is in the cache; builds nothing. DataError as above."""
    folder = Path(root) / "celeba"
    sizes = photo_sizes(folder)
    if stored := cache.read(_name(folder, sizes)):
        return stored.counts, True
    return _choice(folder, sizes).counts, False


def stored_name(root: Path) -> str:
    """Return the name of the cache of what is there, which no other images and lists have. DataError as above.

    Images are listed once in a process, whenever they are loaded, and where one is added or removed.
    """
    folder = Path(root) / "celeba"
    with suppress(OSError):  # what is missing is said below
        if name := _known.get(_stamp(folder)):
            return name
    return _name(folder, photo_sizes(folder))


def photo_folder(folder: Path) -> Path:
    """Return the folder of the photographs, which some archives hold twice nested."""
    photos = folder / PHOTOS
    return photos / PHOTOS if (photos / PHOTOS).is_dir() else photos


def photo_sizes(folder: Path) -> dict[str, int]:
    """Count the bytes of every photograph by its file name; DataError, with the cure, where there is none."""
    photos = photo_folder(folder)
    try:
        with os.scandir(photos) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if _is_photo(entry)}
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise DataError(
            f"{photos} {'is missing' if missing else f'cannot be read ({error.strerror})'}: {CURE}"
        ) from error
    if not sizes:
        raise DataError(f"{photos} holds no .jpg file: {CURE}")
    return sizes


def _is_photo(entry: os.DirEntry) -> bool:
    """Whether it is a JPEG by its name; hidden files are other systems' notes on the images."""
    return entry.name.lower().endswith((".jpg", ".jpeg")) and not entry.name.startswith(".") and entry.is_file()


def _stored(folder: Path) -> cache.Stored:
    """The images of a folder from the cache, which is made where it is missing or damaged."""
    sizes = photo_sizes(folder)
    name = _name(folder, sizes)
    if stored := cache.read(name):
        return stored
    # One lock for all caches of CelebA, because a build removes those it replaces.
    with locked(cache_dir() / "celeba", "waiting: another process is reading CelebA's images"):
        if stored := cache.read(name):
            return stored
        stored = cache.build(name, photo_folder(folder), _choice(folder, sizes))
    print(f"celeba: {stored.counts.summary()}", file=sys.stderr)
    return stored


def _choice(folder: Path, sizes: dict[str, int]) -> Choice:
    attributes, partition = (lists.list_in(folder, name) for name in (ATTRIBUTE_LIST, PARTITION_LIST))
    return lists.choose(sizes, lists.read_attributes(attributes), lists.read_partition(partition))


def _name(folder: Path, sizes: dict[str, int]) -> str:
    """The cache's name: a digest of the images' names and sizes, the contents of the lists and the recipe's version."""
    digest = hashlib.sha256(f"{cache.VERSION}\n".encode())
    for path in (lists.list_in(folder, name) for name in (ATTRIBUTE_LIST, PARTITION_LIST)):
        try:
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise lists.unreadable(path, error) from error
    digest.update("\n".join(f"{name}/{size}" for name, size in sorted(sizes.items())).encode())
    _known[_stamp(folder)] = name = f"celeba-{digest.hexdigest()[:12]}"
    return name


def _stamp(folder: Path) -> tuple[tuple[Path, int, int], ...]:
    """When the folder of the images and the lists were changed last, and their sizes; OSError where one is missing."""
    paths = photo_folder(folder), *(lists.list_in(folder, name) for name in (ATTRIBUTE_LIST, PARTITION_LIST))
    return tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
