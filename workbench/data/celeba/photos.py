"""One photograph of CelebA as the models see it: the middle of the aligned image, cut to a square, as 64x64 pixels."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from workbench.data.images import DataError

SIDE = 64
WIDTH, HEIGHT, CROP = 178, 218, 148  # of the official images; smaller copies are cut in proportion
_END = b"\xff\xd9"  # the marker that no other bytes of compressed pixels look like
SMALLEST = 16  # pixels of width, below which no face is left to be seen


class Unusable(ValueError):
    """One image cannot be used; the message says why in a few words."""


def require_pillow() -> None:
    """Raise DataError with the cure where Pillow is not installed: the core of the package does without it."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DataError("CelebA's photographs are read by Pillow: install it with `pip install pillow`") from error


def crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, upper, right and lower edge of the square in the middle: 148 of 178x218, 74 of 89x109.

    Sides may be rounded up or down. Unusable for another proportion.
    """
    if abs(width * HEIGHT - height * WIDTH) >= HEIGHT or width < SMALLEST:
        raise Unusable(f"{width}x{height}, no copy of {WIDTH}x{HEIGHT}")
    side = round(CROP * width / WIDTH)
    # Half pixels go to the even side, as in torchvision's CenterCrop.
    left, upper = round((width - side) / 2), round((height - side) / 2)
    return left, upper, left + side, upper + side


def read_photo(path: Path) -> np.ndarray:
    """Read pixels of an image file, uint8 [3, 64, 64]: cut by `crop_box`, then resampled bicubically, by Pillow.

    Equal to torchvision's CenterCrop and Resize (bicubic, antialiased). Unusable for a file that is empty, damaged, cut
    short or in another proportion (run it inside `strictly`); OSError when the file system does not give it.
    """
    from PIL import Image

    content = path.read_bytes()
    if not content:
        raise Unusable("empty file")
    try:
        # Other formats that Pillow knows are no part of the data set, and their readers no concern of ours.
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            box = crop_box(*image.size)
            square = image.convert("RGB").crop(box)
    except Unusable:
        raise
    # What Pillow says of damaged files, and of headers that announce a gigapixel.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unusable(_reason(error)) from error
    if _END not in content:  # which Pillow does not miss where the data before it happen to be enough
        raise Unusable("image file is truncated, without an end")
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _reason(error: Exception) -> str:
    """A few words on one line; what Pillow says of an unknown format names an object in memory."""
    text = " ".join(str(error).split())
    return "no JPEG" if not text or "cannot identify" in text else text


@contextmanager
def strictly() -> Iterator[None]:
    """Have Pillow refuse files that are cut short, even where another part of the program has told it to fill them."""
    from PIL import ImageFile

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
