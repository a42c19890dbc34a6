"""SVHN's cropped house numbers from the original MATLAB files `train_32x32.mat` and `test_32x32.mat`."""

import struct
import zlib
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.data.images import DataError, Images, check_split

CURE = "run `workbench data fetch svhn`"
COUNTS = {"train": 73_257, "test": 26_032}
_HEADER = 128
_COMPRESSED = 15
_TYPES_4 = (0, 10, 20, 30, 40, 50)  # of full arrays, little endian


def files(split: str, root: Path) -> tuple[Path]:
    """Return the file of a split: under `svhn/`, else directly under the data root, as torchvision has it."""
    check_split(split)
    name = f"{split}_32x32.mat"
    inside, beside = Path(root) / "svhn" / name, Path(root) / name
    return (beside if beside.is_file() and not inside.is_file() else inside,)


def load_svhn(split: str, root: Path) -> Images:
    """Load house-number digits, uint8 [73257 or 26032, 3, 32, 32]; the files' label 10 is the digit 0.

    Raises DataError when the file is missing or damaged.
    """
    from scipy.io import loadmat

    (path,) = files(split, root)
    check_length(path)
    images, labels = _guarded(path, lambda: itemgetter("X", "y")(loadmat(path, variable_names=["X", "y"])))
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.shape[3] < 1:
        raise DataError(f"{path} does not hold 32x32 colour crops as bytes: {CURE}")
    labels = labels.ravel().astype(np.int64)
    if len(labels) != images.shape[3] or labels.min() < 1 or labels.max() > 10:
        raise DataError(f"{path} does not hold one label of 1..10 for each of its {images.shape[3]} crops: {CURE}")
    values = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return Images(torch.from_numpy(values), torch.from_numpy(labels % 10))


def check_length(path: Path) -> None:
    """Walk over the variables of a MATLAB 5 file without reading them; DataError when it is missing or cut short.

    Other versions are refused as such.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            header, position = stream.read(_HEADER), _HEADER
            _refuse_version(path, header)
            while position < size:
                stream.seek(position)
                kind, length = struct.unpack("<II", stream.read(8))
                # Compressed variables follow each other at once, others are filled up to multiples of 8 bytes.
                position += 8 + (length if kind == _COMPRESSED else -length % 8 + length)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: {CURE}, or name the folder that holds svhn/ as data root") from error
    except (OSError, struct.error) as error:
        raise DataError(f"{path} cannot be read as a MATLAB file ({error}): {CURE}") from error
    if not header.startswith(b"MATLAB 5.0") or position == _HEADER or position != size:
        raise DataError(f"{path} is damaged or cut short, its {size} bytes are no whole MATLAB 5 file: {CURE}")


def _refuse_version(path: Path, header: bytes) -> None:
    """Raise DataError on a file of another version, by what it begins with: 7.3 is HDF5, 4 has no words before it."""
    newer = header.startswith((b"MATLAB 7.3", b"\x89HDF"))
    # type (little endian, bytes or doubles), rows, columns, real, and the length of a name
    kind, rows, columns, imaginary, length = struct.unpack("<5I", header[:20].ljust(20, b"\xff"))
    older = kind in _TYPES_4 and rows and columns and imaginary in (0, 1) and 1 <= length <= 64
    if newer or older:
        version = "7.3 (HDF5)" if newer else "4"
        raise DataError(f"{path} is a MATLAB file of version {version}: save it as version 5, by save -v6, or {CURE}")


def count(path: Path) -> int:
    """Count crops that the header of a whole file announces; DataError when it is missing or damaged."""
    from scipy.io import whosmat

    check_length(path)
    return _guarded(path, lambda: {name: shape for name, shape, _ in whosmat(path)}["X"][3])


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """`read()`, with what scipy raises on damaged files (found by flipping bits in sound ones) as DataError."""
    from scipy.io.matlab import MatReadError

    try:
        return read()
    except (MatReadError, OSError, EOFError, LookupError, TypeError, ValueError, zlib.error, struct.error) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error}): {CURE}") from error
