"""Handwriting without a download: the 1,797 real 8x8 digits that scikit-learn bundles, redrawn in MNIST's form.

Source: "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, UCI, 1998; CC BY 4.0), the writers of its test
part. Every digit comes back many times, each time with its own slant, proportions and pen width; in the train split
a smooth warp bends it too, mostly a little. The form is MNIST's (LeCun et al., 1998): the ink fills a box of 20x20
pixels and its centre of mass lies in the middle of 28x28, to the whole pixel.
"""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from sklearn.datasets import load_digits
from torch import Tensor

from workbench.data.images import Images, cached, check_split

# The forms were filled in one writer after the other, all from the same list of digits, which begins with 0..9 three
# times over: that is how the first row of a writer is found in the labels. Row 1415 starts the twelfth form, so
# splitting there (11 forms against 3) keeps every form, and with it every writer's hand, on one side.
FIRST_TEST_ORIGINAL = 1415
PER_CLASS = {"train": 2800, "test": 360}

BOX = 20.0  # side of the box that the ink fills, in pixels of the 28x28 image
CELL = BOX / 8  # an original's pixel, in pixels of the 28x28 image
MARGIN = 1  # empty cells around an original, room for the distance field
FINE = 4  # points per cell; the originals are counts over 4x4 points of a 32x32 bitmap
FIELD = (8 + 2 * MARGIN) * CELL  # side of the distance field, in pixels of the 28x28 image
TRIAL_SIZE, TRIAL_SCALE = 20, 0.5  # of the small first drawing that finds the ink
CHUNK = 1000  # images drawn at a time: bounds the memory
EDGE = 1.5  # width of the grey rim, in pixels


class Variation(NamedTuple):
    """How far a drawing may go from its original: low and high end of each uniform choice."""

    rotation: tuple[float, float]  # degrees
    shear: tuple[float, float]  # positive leans to the right
    proportions: tuple[float, float]  # log(width / height), beside the original, which was stretched to a square
    pen: tuple[float, float]  # width, beside that of the original
    fill: tuple[float, float]  # of the box
    strain: float  # of the warp: the most that one of its modes stretches or shears


WIDE = Variation((-15.0, 15.0), (-0.35, 0.6), (-0.3, 0.6), (0.5, 1.05), (0.88, 1.03), 0.25)
MILD = Variation((-6.0, 6.0), (-0.1, 0.3), (-0.1, 0.3), (0.65, 0.95), (0.95, 1.0), 0.0)
PLAIN = Variation((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (1.0, 1.0), 0.0)
# A drawing in which a stroke broke or a loop closed is made again with the next, more careful variation.
ATTEMPTS = {"train": (WIDE, MILD, PLAIN), "test": (MILD, PLAIN)}


def load_uci(split: str, seed: int = 0) -> Images:
    """Load digits as uint8 [N, 1, 28, 28], white ink on black: 28,000 for "train", 3,600 for "test", classes balanced.

    The two splits redraw different originals by different writers. Same seed, same images; kept in the cache.
    Raises ValueError for an unknown split.
    """
    check_split(split)
    return cached(f"uci-{split}-seed{seed}-{recipe_version()}", lambda: _expand(split, seed))


def recipe_version() -> str:
    """Return a fingerprint of this file: a changed recipe never meets an old cache."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def originals(split: str) -> Int[Tensor, "N"]:
    """Return rows of scikit-learn's `load_digits` that `split` redraws. Raises ValueError for an unknown split."""
    check_split(split)
    total = len(load_digits().target)
    return torch.arange(FIRST_TEST_ORIGINAL) if split == "train" else torch.arange(FIRST_TEST_ORIGINAL, total)


def redrawn(split: str) -> Int[Tensor, "N"]:
    """Return the original (row of `load_digits`) behind every image of `split`, in the order of `load_uci`."""
    rows, labels = originals(split), _labels()
    turns = torch.arange(PER_CLASS[split])
    by_class = [rows[labels[rows] == digit] for digit in range(10)]
    return torch.stack([of_class[turns % len(of_class)] for of_class in by_class], dim=1).flatten()


def _labels() -> Int[Tensor, "N"]:
    return torch.from_numpy(load_digits().target).long()


def _expand(split: str, seed: int) -> Images:
    rows, own = redrawn(split), originals(split)
    generator = torch.Generator().manual_seed(seed)
    coverage = torch.from_numpy(load_digits().images).float()[own] / 16
    ink = sharpened(F.pad(coverage, [MARGIN] * 4)) > 0.5
    field, width = edge_distance(ink)
    wanted = euler_number(ink)
    which, values = rows - own[0], torch.empty(len(rows), 1, 28, 28, dtype=torch.uint8)
    remaining = torch.arange(len(rows))
    for variation in ATTEMPTS[split]:
        for part in remaining.split(CHUNK):
            values[part] = _draw(field[which[part]], width[which[part]], variation, generator)
        remaining = remaining[euler_number(values[remaining, 0] > 127) != wanted[which[remaining]]]
    return Images(values, _labels()[rows])


def sharpened(coverage: Float[Tensor, "N 10 10"]) -> Float[Tensor, "N 40 40"]:
    """Make a smooth field whose level 0.5 outlines ink that covers each cell as much as the original does.

    Back-projection: what the outlined ink lacks in a cell is added to the field there. Without it thin strokes vanish.
    """
    cells = coverage[:, None]
    size = [cells.shape[-1] * FINE] * 2
    field = F.interpolate(cells, size=size, mode="bicubic")
    for _ in range(8):
        ink = torch.sigmoid(10 * (field - 0.5))
        field = field + F.interpolate(cells - F.avg_pool2d(ink, FINE), size=size, mode="bicubic")
    return field[:, 0]


def edge_distance(ink: Bool[Tensor, "N H W"]) -> tuple[Float[Tensor, "N H W"], Float[Tensor, "N"]]:
    """Measure the distance to the ink's edge, positive inside, and half the pen's width, in pixels of the drawing."""
    apart = (1e6, 1, 1)  # the images of the stack do not see each other
    inside, outside = (distance_transform_edt(side.numpy(), sampling=apart) for side in (ink, ~ink))
    points = inside - outside - 0.5 * np.where(ink, 1, -1)  # the edge lies half way between two points
    field = torch.from_numpy(points.astype(np.float32)) * (CELL / FINE)
    width = 2 * (field * ink).sum((1, 2)) / ink.sum((1, 2))  # in a stroke the distance averages half its half width
    return F.avg_pool2d(F.pad(field[:, None], [1] * 4, mode="replicate"), 3, stride=1)[:, 0], width


def euler_number(ink: Bool[Tensor, "N H W"]) -> Int[Tensor, "N"]:
    """Count the pieces (touching corners count as joined) less holes of the ink (Gray, IEEE Trans. Comput. 1971)."""
    ink = F.pad(ink, [1] * 4).to(torch.int8)
    upper, lower = ink[:, :-1], ink[:, 1:]
    a, b, c, d = upper[..., :-1], upper[..., 1:], lower[..., :-1], lower[..., 1:]
    count = a + b + c + d
    diagonal = (count == 2) & (a == d)
    return ((count == 1).sum((1, 2)) - (count == 3).sum((1, 2)) - 2 * diagonal.sum((1, 2))) // 4


def _draw(field: Float[Tensor, "N H W"], width: Float[Tensor, "N"], variation: Variation, generator):
    """One fresh drawing [N, 1, 28, 28] of every original."""
    count = len(field)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    shape = _linear_maps(variation, uniform), _warp(variation, uniform)
    thicker, fill = (uniform(*variation.pen) - 1) * width, uniform(*variation.fill)
    small, middle = torch.full((count,), TRIAL_SCALE), torch.zeros(count, 2)
    trial = (0.5 + _sample(field, shape, small, middle, TRIAL_SIZE) * TRIAL_SCALE).clamp(0, 1)
    extent = torch.maximum(trial.amax(1).sum(1), trial.amax(2).sum(1)) / TRIAL_SCALE
    scale = (BOX * fill - EDGE) / (extent + 2 * thicker)
    shift = uniform(-0.5, 0.5, 2) - _centre(trial) * (scale / TRIAL_SCALE)[:, None]
    distance = (_sample(field, shape, scale, shift, 28) + thicker[:, None, None]) * scale[:, None, None]
    ink = _moved((0.5 + distance / EDGE).clamp(0, 1))
    return (ink * 255).round().to(torch.uint8)[:, None]


def _linear_maps(variation, uniform):
    """From pixels of the drawing to pixels of the original [N, 2, 2]."""
    angle, shear, wide = (uniform(*v) for v in variation[:3])
    angle, wide = angle * (math.pi / 180), (-wide / 2).exp()
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([wide * cos, wide * (sin + shear), -sin / wide, cos / wide], dim=1).view(-1, 2, 2)


def _warp(variation, uniform):
    """Sizes [N, 2, 4, 4] of the modes of the warp; most drawings are bent a little, few of them much."""
    order = torch.arange(4.0)
    number = (order[:, None] ** 2 + order**2).sqrt() * (math.pi / BOX)
    number[0, 0] = math.inf  # a mere shift
    return uniform(-1.0, 1.0, 2, 4, 4) / number * variation.strain * uniform(0.0, 1.0, 1, 1, 1) ** 2


def _sample(field, shape, scale, shift, size: int):
    """`field` at the pixels of its drawing [N, size, size], enlarged by `scale`, then moved by `shift` pixels."""
    linear, warp = shape
    place = ((torch.arange(size) - size / 2)[:, None] - shift[:, None]) / scale[:, None, None]  # [N, size, (x, y)]
    modes = torch.cos((place / BOX + 0.5)[..., None] * (torch.arange(4) * math.pi))  # [N, size, (x, y), mode]
    bent = modes[:, None, :, 1] @ warp @ modes[:, None, :, 0].mT
    x, y = bent[:, 0] + place[:, None, :, 0], bent[:, 1] + place[:, :, None, 1]
    (a, b), (c, d) = (row.unbind(-1) for row in linear[:, :, None, None].unbind(1))
    grid = torch.stack([a * x + b * y, c * x + d * y], dim=-1) * (2 / FIELD)
    return F.grid_sample(field[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _centre(ink):
    """Centre of mass [N, 2] (x, y) relative to the middle."""
    axis = torch.arange(ink.shape[-1]) - ink.shape[-1] / 2
    return torch.stack([(ink.sum(1) * axis).sum(1), (ink.sum(2) * axis).sum(1)], dim=1) / ink.sum((1, 2))[:, None]


def _moved(ink):
    """The drawing moved by whole pixels, so that its centre of mass lies in the middle."""
    x, y = ((torch.arange(28) + step[:, None]).clamp(0, 27) for step in _centre(ink).round().long().unbind(1))
    rows = ink.gather(1, y[:, :, None].expand_as(ink))
    return rows.gather(2, x[:, None, :].expand_as(ink))
