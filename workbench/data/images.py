"""Images with labels, the form in which every image source hands over its split, and their cache."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
from jaxtyping import Bool, Int, UInt8
from safetensors import SafetensorError
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.paths import cache_dir, locked, replacing

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
    if images := _read(path):
        return images
    with locked(path, f"waiting: another process is making {path.name}"):
        return _read(path) or _make(path, make)


def _read(path: Path) -> Images | None:
    """The images in a cache file, None where there is none or it is damaged."""
    try:
        return Images(**safetensors.torch.load_file(path)) if path.is_file() else None
    except (SafetensorError, TypeError):
        return None


def _make(path: Path, make: Callable[[], Images]) -> Images:
    images = make()
    with replacing(path) as temporary:
        safetensors.torch.save_file(images._asdict(), temporary)
    for old in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.safetensors"):
        if old != path:
            old.unlink()
    return images
