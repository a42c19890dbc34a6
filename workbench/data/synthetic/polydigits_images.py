"""Rendering of the styles of polydigits: shapes, where they lie, their pictures, and the splits that are kept.

Shapes are signed distances, from the atlas of glyphs or from the real UCI digits: one look-up gives every weight and
size, and a whole chunk of pictures is made at a time.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from workbench.data.images import SPLITS, Images, cached, check_split
from workbench.data.synthetic import canvas, glyphs, handwriting, polydigits_paints
from workbench.data.synthetic.canvas import Chance, as_bytes, in_chunks, pixels
from workbench.data.synthetic.polydigits import STYLES
from workbench.data.synthetic.polydigits_paints import PAINTS, SIDE, Draws, Style

PER_CLASS = {"train": 800, "test": 200}
CHUNK = 500


def load_polydigits(style: str, split: str, seed: int = 0) -> Images:
    """Load one style and split, uint8 [N, 3, 28, 28], 800 of each class for "train" and 200 for "test", in order.

    The splits have other random streams; where the shapes are handwriting, they redraw other originals. Rendered
    once and kept in the cache. ValueError for an unknown style or split.
    """
    check_split(split)
    labels = torch.arange(10).repeat(PER_CLASS[split])
    name = f"polydigits-{style}-{split}-{seed}-{recipe_version()}"
    return cached(name, lambda: Images(render(style, labels, split, seed), labels))


def recipe_version() -> str:
    """Return a short hash of the code that renders."""
    return canvas.recipe_version(__file__, polydigits_paints.__file__, glyphs.__file__, handwriting.__file__)


def render(style: str, labels: Int[Tensor, "N"], split: str = "train", seed: int = 0) -> UInt8[Tensor, "N 3 28 28"]:
    """Draw one picture per label in the shapes of a split; ValueError for an unknown style or split, or no digits."""
    check_split(split)
    if style not in PAINTS:
        raise ValueError(f"unknown style {style!r}: choose one of {', '.join(PAINTS)}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
        raise ValueError("labels must be digits from 0 to 9")
    if seed < 0:
        raise ValueError(f"the seed must not be negative, but is {seed}")
    chosen, stream = PAINTS[style], (seed, list(STYLES).index(style), SPLITS.index(split))
    _ = glyphs.atlas() if chosen.faces else writing(split)  # made here, not by several threads at once

    def draw(i: int, part: Int[Tensor, "n"]) -> UInt8[Tensor, "n 3 28 28"]:
        chance = Chance(*stream, i)
        return as_bytes(chosen.paint(_shapes(chosen, part, split, chance)[:, None], Draws(chance, len(part))))

    return in_chunks(draw, labels.cpu().long().split(CHUNK))


def _shapes(style: Style, labels: Int[Tensor, "N"], split: str, chance: Chance) -> Float[Tensor, "N 28 28"]:
    """Signed distances in pixels of one shape for each label."""
    n = len(labels)
    x, y = (p.expand(n, SIDE, SIDE) for p in pixels(SIDE))
    x, y = style.look(x, y, chance) if style.look else (x, y)
    height = chance.uniform(*style.height, n, 1, 1)
    x, y = ((p - chance.uniform(-style.shift, style.shift, n, 1, 1)) / height for p in (x, y))
    tilt, shear = (chance.uniform(-most, most, n, 1, 1) for most in (style.tilt, style.shear))
    x, y = x * tilt.cos() + y * tilt.sin(), y * tilt.cos() - x * tilt.sin()
    x = (x + shear * y) / chance.uniform(*style.width, n, 1, 1)
    weight = chance.uniform(*style.weight, n, 1, 1)
    of_glyphs = style.faces and _glyphs(style.faces, labels, x, y, chance)
    distance, half = of_glyphs or _writing(labels, split, x, y, chance)
    return (distance + weight * half[:, None, None]) * height


def _glyphs(faces: tuple[int, ...], labels: Tensor, x: Tensor, y: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Distances to glyphs of some faces at the points, and half the widths of their strokes, in digit heights."""
    face = torch.tensor(faces)[chance.integers(len(faces), len(labels))]
    return glyphs.look_up(face, labels, x, y), glyphs.atlas().half_stroke[face, labels]


class Writing(NamedTuple):
    """Handwritten originals of a split, class by class; distances and widths in digit heights."""

    field: Float[Tensor, "n side side"]  # signed distances
    half: Float[Tensor, "n"]  # half the pen's width
    first: Int[Tensor, "10"]  # where a class begins
    count: Int[Tensor, "10"]


def originals(split: str) -> Int[Tensor, "n"]:
    """Return rows of scikit-learn's `load_digits` that a split redraws: every fourth one is a test digit.

    Both splits have all writers, unlike those of `uci`: what a style hides is to be hard to read, not whose hand it is.
    """
    rows = torch.arange(len(load_digits().target))
    return rows[(rows % 4 == 3) == (split == "test")]


@lru_cache(maxsize=2)
def writing(split: str) -> Writing:
    """Return the real digits that a split redraws."""
    digits, rows = load_digits(), originals(split)
    labels = torch.from_numpy(digits.target).long()[rows]
    rows, count = rows[labels.argsort(stable=True)], labels.bincount(minlength=10)
    coverage = torch.from_numpy(digits.images).float()[rows] / 16
    inside = handwriting.sharpened(F.pad(coverage, [handwriting.MARGIN] * 4)) > 0.5
    field, half = handwriting.edge_distance(inside)
    return Writing(field / handwriting.BOX, half / handwriting.BOX, count.cumsum(0) - count, count)


def _writing(labels: Tensor, split: str, x: Tensor, y: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Distances to handwritten digits at the points, and half the pens' widths, in digit heights."""
    all_of = writing(split)
    which = (chance.uniform(0, 1, len(labels)) * all_of.count[labels]).long() + all_of.first[labels]
    points = torch.stack((x, y), -1) * (2 * handwriting.BOX / handwriting.FIELD)
    distance = F.grid_sample(all_of.field[which][:, None], points, padding_mode="border", align_corners=False)[:, 0]
    return distance, all_of.half[which]
