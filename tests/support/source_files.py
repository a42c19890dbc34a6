"""Small files of real data sets in their own layouts: MNIST's, SVHN's, and folders of CelebA with real JPEG files."""

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from workbench.data.celeba.attributes import ATTRIBUTES

OFFICIAL, HALF = (178, 218), (89, 109)

# ---------------------------------------------------------------------------------------------------- MNIST and SVHN


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, split: str = "train", n: int = 30, packed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A split of random images and the digits in turn; the images and labels."""
    images = np.random.default_rng([n, *split.encode()]).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = np.arange(n, dtype=np.uint8) % 10
    folder, prefix = root / "MNIST" / "raw", {"train": "train", "test": "t10k"}[split]
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = gzip.compress(idx(array), mtime=0) if packed else idx(array)
        (folder / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}").write_bytes(content)
    return images, labels


def write_svhn(
    folder: Path, split: str = "train", n: int = 40, compress: bool = True
) -> tuple[Path, np.ndarray, np.ndarray]:
    """A split of random crops and labels 1 to 10 in turn; the file, the crops [32, 32, 3, n] and the labels."""
    crops = np.random.default_rng([n, *split.encode()]).integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    labels = (np.arange(n) % 10 + 1).astype(np.uint8).reshape(n, 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_32x32.mat"
    savemat(path, {"X": crops, "y": labels}, do_compression=compress)
    return path, crops, labels.ravel()


# ------------------------------------------------------------------------------------------------------------- CelebA


def names(*numbers: int) -> list[str]:
    return [f"{n:06d}.jpg" for n in numbers]


def picture(seed: int, size: tuple[int, int] = HALF) -> Image.Image:
    """A few soft spots of colour, another one for every seed."""
    spots = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def attributes_of(count: int) -> np.ndarray:
    """Random attributes of images 1 to `count`, Bool [count, 40]; those of an image do not depend on the count."""
    return np.random.default_rng(0).random((count, len(ATTRIBUTES))) < 0.3


def attribute_list(table: np.ndarray) -> str:
    """The list as CelebA has it: numbers in columns, Windows line ends."""
    rows = [f"{n:06d}.jpg " + " ".join(" 1" if value else "-1" for value in row) for n, row in enumerate(table, 1)]
    return "\r\n".join([str(len(table)), " ".join(ATTRIBUTES) + " ", *rows, ""])


def partition_list(parts: list[int]) -> str:
    return "".join(f"{n:06d}.jpg {part}\r\n" for n, part in enumerate(parts, 1))


def write_celeba(root: Path, count: int = 40, parts: list[int] | None = None, size: tuple[int, int] = HALF) -> Path:
    """`count` images under `root`, their attributes, and their partition (0 everywhere by default); the folder."""
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True, exist_ok=True)
    for n in range(1, count + 1):
        picture(n, size).save(photo(folder, n))
    (folder / "list_attr_celeba.txt").write_bytes(attribute_list(attributes_of(count)).encode())
    (folder / "list_eval_partition.txt").write_bytes(partition_list(parts or [0] * count).encode())
    return folder


def photo(folder: Path, n: int) -> Path:
    return folder / "img_align_celeba" / f"{n:06d}.jpg"
