"""MNIST from its four original IDX files, in torchvision's layout `MNIST/raw` under the data root, .gz or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from workbench.data.images import DataError, Images, check_split

CURE = "run `workbench data fetch mnist`"
COUNTS = {"train": 60_000, "test": 10_000}
_PREFIX = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 0x08


def files(split: str, root: Path) -> tuple[Path, Path]:
    """Return paths of the images and of the labels of a split: the plain file, or the .gz where only that is there."""
    check_split(split)
    folder, prefix = Path(root) / "MNIST" / "raw", _PREFIX[split]
    images, labels = (folder / f"{prefix}-{name}-ubyte" for name in ("images-idx3", "labels-idx1"))
    return _existing(images), _existing(labels)


def load_mnist(split: str, root: Path) -> Images:
    """Load handwritten digits, uint8 [60000 or 10000, 1, 28, 28]; DataError when a file is missing or damaged."""
    image_file, label_file = files(split, root)
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels):
        raise DataError(f"{image_file} has {len(images)} images but {label_file} {len(labels)} labels: {CURE}")
    if images.shape[1:] != (28, 28) or len(labels) == 0 or labels.max() > 9:
        raise DataError(f"{image_file} does not hold 28x28 digits with labels 0..9: {CURE}")
    return Images(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long())


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read the unsigned bytes of an IDX file; DataError unless magic number, shape and length of the file agree."""
    try:
        content = (gzip.decompress if path.suffix == ".gz" else bytes)(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: {CURE}, or name the folder that holds MNIST/raw as data root") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): {CURE}") from error
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]) or len(content) < header:
        raise DataError(f"{path} is no IDX file of {dimensions}-dimensional bytes (damaged or another file): {CURE}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    whole = header + math.prod(shape)
    if len(content) != whole:
        raise DataError(f"{path} is damaged, it holds {len(content)} bytes where its header says {whole}: {CURE}")
    return np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(shape)


def count(path: Path) -> int:
    """Count images or labels in a sound IDX file; DataError when it is missing or damaged."""
    return len(read_idx(path, 3 if "idx3" in path.name else 1))


def _existing(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() and not path.is_file() else path
