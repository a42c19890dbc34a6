"""Many photographs into one growing array file, decoded by several threads; goes on where it was stopped.

A journal beside the array tells which blocks of it are on disk. A block is written, then brought to disk, then entered
in the journal: whoever stops the work, or pulls the plug, loses the last block at most.
"""

import io
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from workbench.data.celeba.photos import SIDE, Unusable, read_photo, require_pillow, strictly
from workbench.data.images import DataError
from workbench.device import cores
from workbench.paths import replacing

ARRAY, JOURNAL = "images.npy", "journal.jsonl"
SHAPE = (3, SIDE, SIDE)
BLOCK = 1024
_BYTES = 3 * SIDE * SIDE


class Done(NamedTuple):
    """How far the work has come: photographs looked at, how many of them are in the array, why the others are not."""

    seen: int
    rows: int
    skipped: dict[str, str]

    def hopeless(self, total: int) -> bool:
        """A few bad files are nothing unusual; when more than half are bad, something else is wrong."""
        return 2 * len(self.skipped) > total


def decode_all(folder: Path, photos: Path, names: list[str]) -> Done:
    """Write `folder/images.npy`, uint8 [rows, 3, 64, 64], from the photographs `names` of the folder `photos`.

    What cannot be used is left out and named; where that becomes hopeless, the work ends at once. DataError when a file
    cannot be read from disk, when there is no room for the array, and without Pillow.
    """
    require_pillow()
    done = _resume(folder, photos)
    _check_space(folder, (len(names) - done.seen) * _BYTES)
    bar = tqdm(total=len(names), initial=done.seen, desc="celeba", unit=" images")
    with (
        bar,
        strictly(),
        (folder / ARRAY).open("r+b") as array,
        (folder / JOURNAL).open("a") as journal,
        ThreadPoolExecutor(cores()) as pool,
    ):
        array.truncate(len(_header(0)) + done.rows * _BYTES)
        array.seek(0, os.SEEK_END)
        while done.seen < len(names) and not done.hopeless(len(names)):
            block = names[done.seen : done.seen + BLOCK]
            pixels, skipped = _decode(block, photos, pool)
            _write(array, pixels)
            done = Done(done.seen + len(block), done.rows + len(block) - len(skipped), done.skipped | skipped)
            _write(journal, json.dumps([done.seen, done.rows, skipped]) + "\n")
            bar.update(len(block))
        array.seek(0)
        _write(array, _header(done.rows))
    return done


def _decode(block: list[str], photos: Path, pool: ThreadPoolExecutor) -> tuple[bytes, dict[str, str]]:
    """Pixels of a block of photographs one after the other, and why some of them are left out."""

    def attempt(name: str) -> bytes | str:
        try:
            return read_photo(photos / name).tobytes()
        except Unusable as error:
            return str(error)
        except OSError as error:
            # It is not the file's content but its disk: skipped, it would stay out of the cache for good.
            raise DataError(f"{photos / name} cannot be read ({error.strerror}): see to it and start again") from error

    results = dict(zip(block, pool.map(attempt, block), strict=True))
    pixels = b"".join(result for result in results.values() if isinstance(result, bytes))
    return pixels, {name: result for name, result in results.items() if isinstance(result, str)}


def _resume(folder: Path, photos: Path) -> Done:
    """How far the work in a folder had come; leaves there an array of that length at least and a sound journal.

    The journal's first line names the folder of the photographs, each other line holds photographs seen and rows
    written up to the end of a block, and what was skipped in it.
    """
    array, journal, done = folder / ARRAY, folder / JOURNAL, Done(0, 0, {})
    lines = [json.dumps(str(photos))]
    if not array.is_file():
        array.write_bytes(_header(0))
    for line in journal.read_text().splitlines()[1:] if journal.is_file() else []:
        try:
            seen, rows, skipped = json.loads(line)
        except ValueError:  # cut short when it was written
            break
        if len(_header(0)) + rows * _BYTES > array.stat().st_size:
            break
        done = Done(seen, rows, done.skipped | skipped)
        lines.append(line)
    with replacing(journal) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))
    return done


def _header(rows: int) -> bytes:
    """The beginning of a .npy file; numpy makes it equally long for every number of rows, so that it can grow."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (rows, *SHAPE)})
    return stream.getvalue()


def _write(stream: IO, content: bytes | str) -> None:
    """Write and wait until it is on disk."""
    stream.write(content)
    stream.flush()
    os.fsync(stream.fileno())


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"CelebA's images need {needed / 1e9:.1f} GB in {folder.parent}, where {free / 1e9:.1f} are free"
        )
