"""Small folders in CelebA's layout, with real JPEG files of smooth pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from workbench.data.celeba.attributes import ATTRIBUTES

OFFICIAL, HALF = (178, 218), (89, 109)


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
