"""Encodings: how raw arrays become a model's values, and values raw arrays in their users' units again.

Each kind of data is a frozen dataclass that JSON can hold. Whatever it must know of the data (sizes, means, levels) is
fitted on the training part only. A subclass of `Encoding` with a `kind` of its own is a new kind, wherever it is
defined. Here are images and text; tables are in `workbench.data.own.tables`.

Values are in the model's units: images float32 in [0, 1], vectors standardised float32, tokens int64.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.data.alphabet import ALPHABET, UNKNOWN, decode, table_of
from workbench.data.own.foreign import as_array, is_missing
from workbench.data.own.raw import strings_of

ENCODINGS: dict[str, type["Encoding"]] = {}  # by kind
Present = Bool[Tensor, "n"]
CHANNELS = (1, 3, 4)  # of images
NEAR = 0.5  # outside of [0, 1], as far as resizing and rounding go beyond it
DARK = 100  # the brightest pixel of images in 0..255 is brighter
# Arrays of images by layout: with channels first, and back.
LAYOUTS = {
    "HW": (lambda x: x[:, None], lambda x: x[:, 0]),
    "CHW": (lambda x: x, lambda x: x),
    "HWC": (lambda x: np.moveaxis(x, -1, 1), lambda x: np.moveaxis(x, 1, -1)),
}
SEEN = ("largest",)  # fields that say what training showed, which no value depends on, and older versions have not
ABSENT = "is absent in every item of the training part: leave this modality out"


@dataclass(frozen=True)
class Encoding(ABC):
    """One kind of data, fitted: raw arrays to values and back.

    Arrays are kept as `stored` says, compactly, and read as `values` at every gather.
    """

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.kind:
            ENCODINGS[cls.kind] = cls

    @classmethod
    @abstractmethod
    def fit(cls, raw: Any) -> "Encoding":
        """Fit the encoding of a training part; ValueError, in one sentence, on what cannot be encoded."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one item's values."""

    @abstractmethod
    def stored(self, raw: Any) -> tuple[Tensor, Present]:
        """Bring raw arrays into the form in which a data set keeps them, and say which items have this modality."""

    @abstractmethod
    def original(self, values: Tensor, present: Present | None = None) -> Any:
        """Bring values, or the means of a decoder, into the user's units and form; what is not present is missing."""

    def read(self, stored: Tensor) -> Tensor:
        """Read what was stored as values."""
        return stored

    def values(self, raw: Any) -> tuple[Tensor, Present]:
        """Read raw arrays as values `[n, *shape]`, and which items have them; ValueError where they do not fit."""
        stored, present = self.stored(raw)
        return self.read(stored), present

    def check(self, stored: Tensor) -> None:
        """Raise ValueError on stored values of a whole data set that look like those of another kind."""
        return

    def remark(self, stored: Tensor) -> str | None:
        """Say what is odd about stored values that can be read; None, as for most kinds: nothing."""
        return None

    @property
    def alphabet(self) -> int:
        """Tokens that there are; 0 where values are numbers."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Return its kind and fields as JSON values."""
        return {"kind": self.kind, **asdict(self)}


def identity(content: dict[str, Any]) -> dict[str, Any]:
    """Return of what `to_json` gave all that values depend on: encodings that share it are one."""
    return {name: value for name, value in content.items() if name not in SEEN}


@dataclass(frozen=True)
class Image(Encoding):
    """Images of one size: uint8 in 0..255 or floats in [0, 1]; an image of only NaN, or None in a list, is missing."""

    kind: ClassVar[str] = "image"
    size: tuple[int, int, int]  # channels, height, width
    layout: str = "CHW"  # HW | CHW | HWC: as they were given
    dtype: str = "uint8"  # uint8 | float16 | float32 | float64

    @classmethod
    def fit(cls, raw: Any) -> "Image":
        """Fit size, layout and type of images `[n, H, W]`, `[n, C, H, W]` or `[n, H, W, C]` with C in 1, 3, 4."""
        array, present = _images(raw)
        if not present.any():
            raise ValueError(ABSENT)
        layout = _layout(array.shape[1:])
        size = LAYOUTS[layout][0](array[:1]).shape[1:]
        return cls(tuple(map(int, size)), layout, str(array.dtype))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.size

    def stored(self, raw: Any) -> tuple[Tensor, Present]:
        """Keep images `[n, C, H, W]` as uint8 where they were given so, else as float32."""
        array, present = _images(raw, self.size)
        if self.dtype != "uint8" and array.dtype == np.uint8:
            _check_bytes(array)
        wanted = {name: back(np.empty((0, *self.size))).shape[1:] for name, (_, back) in LAYOUTS.items()}
        layouts = [self.layout, "CHW", "HWC", *["HW"] * (self.size[0] == 1)]
        fitting = [layout for layout in layouts if array.shape[1:] == wanted[layout]]
        if not fitting:
            raise ValueError(
                f"images of shape {array.shape[1:]} where {wanted[self.layout]} is wanted: resize them, or train anew"
            )
        array = LAYOUTS[fitting[0]][0](array)
        if array.dtype != np.uint8:
            array = array.astype(np.float32)
            array[~present] = 0
        return torch.from_numpy(np.require(array, requirements=["C", "W"])), torch.from_numpy(present)

    def check(self, stored: Tensor) -> None:
        """Raise ValueError on bytes that are 0 and 1 alone."""
        if stored.dtype == torch.uint8:
            _check_bytes(stored)

    def read(self, stored: Tensor) -> Tensor:
        """Read pixels in [0, 1]."""
        return stored.to(torch.float32) / 255 if stored.dtype == torch.uint8 else stored

    def original(self, values: Tensor, present: Present | None = None) -> np.ndarray:
        """Return images as they were given: layout, type and range."""
        array = values.detach().cpu().double().numpy().copy()
        if self.dtype == "uint8":
            array = np.rint(array.clip(0, 1) * 255)
        elif present is not None:
            array[~present.cpu().numpy()] = np.nan
        return LAYOUTS[self.layout][1](array).astype(self.dtype)


def _images(raw: Any, size: tuple[int, int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """An array of images and which of them are there; None or NaN in a list stands for a missing one."""
    present = np.ones(len(raw), dtype=bool)
    if isinstance(raw, list | tuple):
        present = np.array([not is_missing(value) for value in raw], dtype=bool)
        if not present.any():
            return np.zeros((len(raw), *(size or (1, 1, 1))), np.uint8), present
        given = as_array([value for value in raw if not is_missing(value)])
        array = np.zeros((len(raw), *given.shape[1:]), given.dtype)
        array[present] = given
    elif isinstance(raw, np.ma.MaskedArray) and raw.dtype.kind != "f":
        missing = np.ma.getmaskarray(raw).reshape(len(raw), -1)
        present, array = ~missing.all(1), raw.filled(0)
        _check_whole(missing, present)
    else:
        array = as_array(raw)
    if 0 in array.shape[1:]:
        raise ValueError(f"images of shape {array.shape[1:]} have no pixels: leave this modality out")
    if array.dtype.kind == "f":
        missing = np.isnan(array).reshape(len(array), -1)
        present = present & ~missing.all(1)
        _check_range(array, missing, present)
    elif array.dtype.kind == "O" and any(map(is_missing, array.flat)):
        raise ValueError("some images lack some of their pixels: fill them, or make the whole image missing")
    elif array.dtype != np.uint8:
        raise ValueError(
            f"images are {array.dtype}: give uint8 in 0..255, or floats in [0, 1], such as x / x.max() over all of them"
        )
    return array, present


def _check_bytes(array: np.ndarray | Tensor) -> None:
    if math.prod(array.shape) and array.max() == 1:
        raise ValueError(
            "images hold only 0 and 1 as uint8, of which 255 is white: give them as floats, x.astype('float32'), or "
            "times 255"
        )


def _check_whole(missing: np.ndarray, present: np.ndarray) -> None:
    if (missing.any(1) & present).any():
        raise ValueError(
            "some images have pixels that are NaN and others: fill them, or make all of them NaN if it is missing"
        )


def _check_range(array: np.ndarray, missing: np.ndarray, present: np.ndarray) -> None:
    _check_whole(missing, present)
    if not present.any():
        return
    low, high = np.nanmin(array), np.nanmax(array)
    if np.isinf([low, high]).any():
        raise ValueError("some images have pixels that are infinite: fill them, or make all of an image NaN")
    if low < 0 or high > 1:
        cure = "divide by 255" if low >= 0 and DARK <= high <= 255 else "use (x - low) / (high - low)"
        cure = (
            "clip them to [0, 1]"
            if low >= -NEAR and high <= 1 + NEAR
            else f"{cure}, with the same numbers for all of them"
        )
        raise ValueError(f"images are uint8 or lie in [0, 1], these run from {low:.9g} to {high:.9g}: {cure}")


def _layout(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "HW"
    for layout, channels in (("CHW", 0), ("HWC", 2)):
        if len(shape) == 3 and shape[channels] in CHANNELS:
            return layout
    raise ValueError(
        f"items of shape {shape} are no images: give [n, H, W], [n, C, H, W] or [n, H, W, C], C in 1, 3, 4"
    )


@dataclass(frozen=True)
class Text(Encoding):
    """Strings over `workbench.data.alphabet.ALPHABET`, filled at the end to one length; None is a missing string.

    `fill` at the end of a string cannot be told from the filling.
    """

    kind: ClassVar[str] = "text"
    length: int
    fill: str = " "

    @classmethod
    def fit(cls, raw: Any) -> "Text":
        """Fit the longest string's length."""
        strings = strings_of(raw)
        if all(string is None for string in strings):
            raise ValueError(ABSENT)
        return cls(max(1, *(len(string or "") for string in strings)))

    @property
    def shape(self) -> tuple[int]:
        """Characters of a string."""
        return (self.length,)

    @property
    def alphabet(self) -> int:
        """Characters that there are."""
        return len(ALPHABET)

    def stored(self, raw: Any) -> tuple[Tensor, Present]:
        """Keep tokens as uint8 `[n, length]`, of a missing string those of an empty one."""
        strings = strings_of(raw)
        present = torch.tensor([string is not None for string in strings], dtype=torch.bool)
        if long := [(i, string) for i, string in enumerate(strings) if string and len(string) > self.length]:
            row, string = long[0]
            raise ValueError(
                f"string {row} ({_cut(string)!r}) has {len(string)} characters, at most {self.length} were there in "
                f"training: cut it to {self.length}, or train on it"
            )
        tokens = table_of([string or "" for string in strings], self.length, self.fill)
        if len(unknown := np.argwhere(tokens == UNKNOWN)):
            row, place = map(int, unknown[0])
            raise ValueError(
                f"string {row} ({_cut(strings[row])!r}) holds {strings[row][place]!r}, which the alphabet lacks: "
                f"replace it (capitals by lower()) by one of {ALPHABET!r}"
            )
        return torch.from_numpy(tokens), present

    def read(self, stored: Tensor) -> Int[Tensor, "n length"]:
        """Read tokens as int64."""
        return stored.long()

    def original(self, values: Tensor, present: Present | None = None) -> list[str | None]:
        """Return strings without filling, of tokens or of the most probable characters; None where not present."""
        tokens = values.argmax(-1) if values.dim() == 3 else values
        shown = [True] * len(tokens) if present is None else present.tolist()
        return [x.rstrip(self.fill) if is_shown else None for x, is_shown in zip(decode(tokens), shown, strict=True)]


def _cut(string: str, most: int = 30) -> str:
    return string if len(string) <= most else f"{string[:most]}..."
