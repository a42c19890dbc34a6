"""CelebA's images as one array on disk, made once: the folder `data/cache/celeba-DIGEST`.

It is made in a hidden folder beside it, which takes its name when it is whole: what a stopped build leaves is never
taken for a cache, and the next build begins anew.
"""

import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from workbench.data.celeba.lists import Choice, Counts, describe_skipped
from workbench.data.celeba.photos import SIDE, Unusable, read_photo, require_pillow, strictly
from workbench.data.images import DataError
from workbench.files import damage, if_sound, read_json, replacing_folder, write_json
from workbench.paths import cache_dir
from workbench.threads import cores

VERSION = 1  # of the recipe: which images, which split, their order, pixels, files
SHAPE = (3, SIDE, SIDE)
BLOCK = 1024  # photographs in memory at a time
_ARRAY, _LABELS, _INDEX = "images.npy", "labels.npy", "index.json"


class Stored(NamedTuple):
    """A whole cache: uint8 [N, 3, 64, 64] mapped into memory, Bool [N, 40], and what was counted.

    The first `counts.train` images are those of training, the others those of test. The map is private: what a process
    writes to it stays in that process.
    """

    values: np.ndarray
    labels: np.ndarray
    counts: Counts


def read(name: str) -> Stored | None:
    """Read the cache of that name; None where there is none or a part of it is missing or damaged."""
    folder = cache_dir() / name
    return if_sound(lambda: _read(folder), folder / _INDEX)


def _read(folder: Path) -> Stored:
    with damage(folder, "remove it", EOFError, FileNotFoundError):
        counts = Counts(**read_json(folder / _INDEX)["counts"])
        values = np.load(folder / _ARRAY, mmap_mode="c", allow_pickle=False)
        labels = np.load(folder / _LABELS, allow_pickle=False)
        shapes, n = (values.shape, labels.shape), counts.train + counts.test
        if shapes != ((n, *SHAPE), (n, 40)) or (values.dtype, labels.dtype) != (np.uint8, np.bool_):
            raise ValueError(f"its arrays of shapes {shapes} are not those of {n} images")
        return Stored(values, labels, counts)


def build(name: str, photos: Path, choice: Choice) -> Stored:
    """Make the cache of that name from the photographs in a folder, with no other build at the same time.

    Then caches of other names that were made from the same folder are removed. DataError, with nothing left behind,
    when a file cannot be read from disk, when there is no room for the array, without Pillow, when more than half of
    the photographs cannot be used, or when a split is left without any.
    """
    require_pillow()
    for left in cache_dir().glob(".celeba-*.building"):  # by builds that were killed
        shutil.rmtree(left)
    with replacing_folder(cache_dir() / name) as folder:
        needed, free = len(choice.names) * np.prod(SHAPE), shutil.disk_usage(folder).free
        if needed > free:
            raise DataError(
                f"CelebA's images need {needed / 1e9:.1f} GB in {cache_dir()}, where {free / 1e9:.1f} are free"
            )
        skipped = _decode_all(folder / _ARRAY, photos, choice.names)
        kept = [n for n, name in enumerate(choice.names) if name not in skipped]
        train = sum(n < choice.counts.train for n in kept)
        counts = replace(choice.counts, train=train, test=len(kept) - train, skipped=choice.counts.skipped | skipped)
        counts.refuse_empty()
        np.save(folder / _LABELS, choice.labels[kept])
        index = {"folder": str(photos), "counts": asdict(counts), "names": [choice.names[n] for n in kept]}
        write_json(folder / _INDEX, index, checked=True)
        for file in folder.iterdir():  # to the disk before its name says that it is whole
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    _remove_others(cache_dir() / name, photos)
    stored = read(name)
    if stored is None:
        raise DataError(
            f"{cache_dir() / name} was written but cannot be read back: look at the disk, then remove the folder"
        )
    return stored


def _decode_all(array: Path, photos: Path, names: list[str]) -> dict[str, str]:
    """Write uint8 [rows, 3, 64, 64] from the photographs `names`, by several threads; what was left out, and why.

    DataError as soon as more than half of them cannot be used: a few bad files are nothing unusual, so many are.
    """
    skipped: dict[str, str] = {}
    bar = tqdm(total=len(names), desc="celeba", unit=" images")
    with bar, strictly(), array.open("wb") as stream, ThreadPoolExecutor(cores()) as pool:
        stream.write(_header(0))
        for start in range(0, len(names), BLOCK):
            block = names[start : start + BLOCK]
            for name, pixels in zip(block, pool.map(lambda name: _pixels(photos / name), block), strict=True):
                if isinstance(pixels, str):
                    skipped[name] = pixels
                else:
                    stream.write(pixels)
            bar.update(len(block))
            if 2 * len(skipped) > len(names):
                raise DataError(
                    f"more than half of the {len(names):,} images in {photos} cannot be used, "
                    f"of the first {start + len(block):,} {describe_skipped(skipped)}: get the aligned images again"
                )
        stream.seek(0)
        stream.write(_header(len(names) - len(skipped)))
    return skipped


def _pixels(photo: Path) -> bytes | str:
    """The pixels of a photograph, or why it cannot be used."""
    try:
        return read_photo(photo).tobytes()
    except Unusable as error:
        return str(error)
    except OSError as error:
        # It is not the file's content but its disk: skipped, it would stay out of the cache for good.
        raise DataError(f"{photo} cannot be read ({error.strerror}): see to it and start again") from error


def _header(rows: int) -> bytes:
    """The beginning of a .npy file; numpy makes it equally long for every number of rows, so that it can grow."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (rows, *SHAPE)})
    return stream.getvalue()


def _remove_others(keep: Path, photos: Path) -> None:
    """Remove what other versions of the same folder of photographs left, or of a folder that is no longer there."""
    for folder in cache_dir().glob("celeba-*"):
        try:
            source = Path(read_json(folder / _INDEX)["folder"])
        except (OSError, ValueError, LookupError, TypeError):  # another version's, or damaged
            continue
        if folder != keep and (source == photos or not source.exists()):
            # What a process still reads cannot be removed everywhere; then the next build does it.
            shutil.rmtree(folder, ignore_errors=True)
