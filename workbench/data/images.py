"""Images with labels, the form in which every image source hands over its split, and their cache."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from workbench.data.tensors import keep_tensors, read_tensors
from workbench.errors import WorkbenchError
from workbench.files import damage
from workbench.paths import cache_dir, read_or_made

SPLITS = ("train", "test")
Labels = Int[Tensor, "N"] | Bool[Tensor, "N attributes"]  # one class of several, or which of several attributes


class DataError(WorkbenchError):
    """A file of a data set is missing, truncated or corrupt; the message names the file and the cure in one line."""


class Images(NamedTuple):
    """Images of one split: values in 0..255, labels are the digits 0..9 (int64), or the attributes of faces."""

    values: UInt8[Tensor, "N *shape"]
    labels: Labels


def check_split(split: str) -> None:
    """Raise ValueError when `split` is not one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose 'train' or 'test'")


def cached(name: str, make: Callable[[], Images]) -> Images:
    """Keep `make()` as `data/cache/NAME.safetensors`: read back when it is there, made again when it is damaged.

    `name` must carry everything the images depend on, the version of the recipe last: SOURCE-SPLIT-SEED-VERSION.
    What other versions left is removed. Processes that need the same images at once have one of them make them.
    """
    path = cache_dir() / f"{name}.safetensors"
    busy = f"waiting: another process is making {path.name}"
    return read_or_made(path, lambda: _read(path), lambda: _make(path, make), busy)


def _read(path: Path) -> Images:
    with damage(path):
        return Images(**read_tensors(path).tensors)


def _make(path: Path, make: Callable[[], Images]) -> Images:
    images = make()
    keep_tensors(path, images._asdict())
    for old in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.safetensors"):
        if old != path:
            with suppress(OSError):  # it may be another user's
                old.unlink()
    return images
