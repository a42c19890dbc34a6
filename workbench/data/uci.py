"""Handwriting without a download: the 1,797 real 8x8 digits that scikit-learn bundles, redrawn in MNIST's form.

Source: "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, UCI, 1998; CC BY 4.0), the writers of its test
part. Every digit comes back many times, each time with its own rotation, shear, proportions, smooth warp and pen width.
The recipe follows MNIST's (LeCun et al., 1998): the ink fills a box of 20x20 pixels and its centre of mass lies in the
middle of 28x28.
"""

import hashlib
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
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
MARGIN = 2  # empty cells around an original, room for the distance field
FINE = 4  # points per cell; the originals are counts over 4x4 points of a 32x32 bitmap
FIELD = (8 + 2 * MARGIN) * CELL  # side of the distance field, in pixels of the 28x28 image
FIRST_SCALE = 2 / 3  # of the trial drawing that finds the ink
CHUNK = 500  # images drawn at a time: bounds the memory

ROTATION = math.radians(14)
SHEAR = (-0.3, 0.6)  # positive leans to the right
PROPORTIONS = (-0.2, 0.6)  # log(width / height), beside the original
FILL = (0.92, 1.02)  # of the box
WAVES = 5  # of the smooth warp
WAVE_NUMBER = (0.08, 0.4)  # radians per pixel
STRAIN = 0.33  # of each wave: the most that it stretches or shears, per axis
BARLESS = 0.3  # share of the drawings without short side strokes
SIDE_STROKE = 7  # points: longest side stroke that is left out
PEN = (0.9, 2.0)  # half width of the pen, in pixels
PRESSURE = (0.0, 1.0)  # share of the unevenness of the pen that is kept
EDGE = (1.2, 1.8)  # width of the grey rim, in pixels
OFF_CENTRE = 0.5  # pixels


def load_uci(split: str, seed: int = 0) -> Images:
    """Digits as uint8 [N, 1, 28, 28], white ink on black: 28,000 for "train", 3,600 for "test", classes balanced.

    The two splits redraw different originals by different writers. Same seed, same images; kept in the cache.
    Raises ValueError for an unknown split.
    """
    check_split(split)
    return cached(f"uci-{split}-seed{seed}-{recipe_version()}", lambda: _expand(split, seed))


def recipe_version() -> str:
    """Fingerprint of this file: a changed recipe never meets an old cache."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def originals(split: str) -> Int[Tensor, "N"]:
    """Rows of scikit-learn's `load_digits` that `split` redraws. Raises ValueError for an unknown split."""
    check_split(split)
    total = len(load_digits().target)
    return torch.arange(FIRST_TEST_ORIGINAL) if split == "train" else torch.arange(FIRST_TEST_ORIGINAL, total)


def redrawn(split: str) -> Int[Tensor, "N"]:
    """The original (row of `load_digits`) behind every image of `split`, in the order of `load_uci`."""
    rows, labels = originals(split), _labels()
    turns = torch.arange(PER_CLASS[split])
    by_class = [rows[labels[rows] == digit] for digit in range(10)]
    return torch.stack([of_class[turns % len(of_class)] for of_class in by_class], dim=1).flatten()


def _labels() -> Int[Tensor, "N"]:
    return torch.from_numpy(load_digits().target).long()


def _expand(split: str, seed: int) -> Images:
    rows, own = redrawn(split), originals(split)
    coverage = torch.from_numpy(load_digits().images).float()[own] / 16
    fields = [ridge_and_edge(part) for part in coverage.split(64)]
    ridge, edge = (torch.cat(parts) for parts in zip(*fields, strict=True))
    generator = torch.Generator().manual_seed(seed)
    barless = (torch.rand(len(rows), generator=generator) < BARLESS).long()
    chunks = zip((rows - own[0]).split(CHUNK), barless.split(CHUNK), strict=True)
    return Images(torch.cat([_draw(ridge[c, b], edge[c, b], generator) for c, b in chunks]), _labels()[rows])


def ridge_and_edge(coverage: Float[Tensor, "N 8 8"]) -> tuple[Float[Tensor, "N 2 48 48"], Float[Tensor, "N 2 48 48"]]:
    """Two readings of every original, in pixels of the 28x28 image, about zero on the middle line of the pen.

    The first is minus the distance to the middle line: its levels are strokes of one even pen, of any width. The
    second is the signed distance to the edge of the ink, less its mean on the middle line: it keeps the writer's
    uneven pressure. Each with all strokes (index 0) and without the short side strokes (index 1): many writers put
    a bar through the 7 or a flag on the 1, many do not.
    """
    ink = _sharpened(F.pad(coverage, [MARGIN] * 4)) > 0.5
    line = thinned(ink)
    lines = torch.stack([line, without_side_strokes(line, SIDE_STROKE)], dim=1)
    ridge = -_distance_to(lines.flatten(0, 1)).unflatten(0, (-1, 2))
    edge = _distance_to(~ink) - _distance_to(ink)
    level = (edge * line).sum((1, 2)) / line.sum((1, 2))
    edge = torch.minimum((edge - level[:, None, None])[:, None], ridge + FINE / CELL)  # no ink away from the line
    smooth = F.avg_pool2d(F.pad(torch.cat([ridge, edge], dim=1), [1] * 4, mode="replicate"), 3, stride=1)
    return tuple((smooth * (CELL / FINE)).split(2, dim=1))


def without_side_strokes(line: Bool[Tensor, "N H W"], length: int) -> Bool[Tensor, "N H W"]:
    """Middle lines without the branches of at most `length` points; the other branches keep their full length."""
    short = line
    for _ in range(length):
        short = short & ~_ends(short)
    grown = _ends(short)
    for _ in range(length):
        grown = (F.max_pool2d(grown.float(), 3, stride=1, padding=1) > 0) & line
    kept = short | grown
    enough = kept.sum((1, 2)) > 0.5 * line.sum((1, 2))
    return torch.where(enough[:, None, None], kept, line)


def _ends(line):
    around = F.avg_pool2d(line.float(), 3, stride=1, padding=1) * 9
    return line & (around.round() <= 2)


def thinned(ink: Bool[Tensor, "N H W"]) -> Bool[Tensor, "N H W"]:
    """Middle line of the ink, one point wide and connected as the ink is (Zhang & Suen, CACM 1984)."""
    while True:
        before = ink
        for first in (True, False):
            ink = ink & ~_removable(ink, first)
        if torch.equal(ink, before):
            return ink


def _removable(ink, first: bool):
    around = F.pad(ink, [1] * 4)
    h, w = ink.shape[-2:]
    ring = [(0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0)]  # clockwise, from the north
    p = [around[:, r : r + h, c : c + w] for r, c in ring]
    count = sum(q.to(torch.uint8) for q in p)
    turns = sum((~p[k] & p[(k + 1) % 8]).to(torch.uint8) for k in range(8))
    north, east, south, west = p[0], p[2], p[4], p[6]
    if first:
        open_side = ~(north & east & south) & ~(east & south & west)
    else:
        open_side = ~(north & east & west) & ~(north & south & west)
    return ink & (count >= 2) & (count <= 6) & (turns == 1) & open_side


def _sharpened(coverage: Float[Tensor, "N 12 12"]) -> Float[Tensor, "N 48 48"]:
    """Smooth field whose level 0.5 outlines ink that covers each cell as much as the original does.

    Back-projection: what the outlined ink lacks in a cell is added to the field there. Without it thin strokes vanish.
    """
    cells = coverage[:, None]
    size = [cells.shape[-1] * FINE] * 2
    field = F.interpolate(cells, size=size, mode="bicubic")
    for _ in range(12):
        ink = torch.sigmoid(10 * (field - 0.5))
        field = field + F.interpolate(cells - F.avg_pool2d(ink, FINE), size=size, mode="bicubic")
    return field[:, 0]


def _distance_to(target, reach: int = 12):
    """Euclidean distance of every point to the nearest True one, at most `reach` points along either axis."""
    squared = torch.where(target, 0.0, float(reach**2))
    for axis in (-1, -2):
        size, before = squared.shape[axis], squared
        squared = before.clone()
        for k in range(1, reach):
            here, there = squared.narrow(axis, k, size - k), squared.narrow(axis, 0, size - k)
            torch.minimum(here, before.narrow(axis, 0, size - k) + float(k * k), out=here)
            torch.minimum(there, before.narrow(axis, k, size - k) + float(k * k), out=there)
    return squared.sqrt()


def _draw(ridge: Float[Tensor, "N 48 48"], edge: Float[Tensor, "N 48 48"], generator) -> UInt8[Tensor, "N 1 28 28"]:
    """One fresh drawing of every original."""
    count = len(ridge)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    maps, waves, pen, rim = _linear_maps(uniform), _waves(uniform), uniform(*PEN), uniform(*EDGE)
    field = ridge.lerp(edge, uniform(*PRESSURE, 1, 1))
    # A first drawing, small enough that nothing is cut off and one field pixel around the line, tells where the ink is.
    small = torch.full((count,), FIRST_SCALE)
    centre, extent = _placement(1 + _sample(field, maps, waves, small, torch.zeros(count, 2)))
    scale = (BOX * uniform(*FILL) - 2 * pen - rim) / (extent / FIRST_SCALE - 2)
    shift = uniform(-OFF_CENTRE, OFF_CENTRE, 2) - centre * (scale / FIRST_SCALE)[:, None]
    distance = _sample(field, maps, waves, scale, shift) * scale[:, None, None]
    distance = distance - distance.amax((1, 2), keepdim=True).clamp(max=0)  # a pen too thin for the grid still marks
    ink = (0.5 + (distance + pen[:, None, None]) / rim[:, None, None]).clamp(0, 1)
    return (ink * 255).round().to(torch.uint8)[:, None]


def _linear_maps(uniform):
    """From pixels of the drawing to pixels of the original, row by row [N, 4]: (x, y) -> (a x + b y, c x + d y)."""
    angle, shear, squeeze = uniform(-ROTATION, ROTATION), uniform(*SHEAR), -uniform(*PROPORTIONS)
    cos, sin, wide = angle.cos(), angle.sin(), (squeeze / 2).exp()
    return torch.stack([wide * cos, wide * (sin + shear), -sin / wide, cos / wide], dim=1)


def _waves(uniform):
    """Frequencies, phases and amplitudes of the warp: long waves move the ink further, all of them bend it alike."""
    number, angle = uniform(*WAVE_NUMBER, WAVES), uniform(0.0, 2 * math.pi, WAVES)
    frequency = torch.stack([number * angle.cos(), number * angle.sin()], dim=-1)
    return frequency, uniform(0.0, 2 * math.pi, WAVES), uniform(-STRAIN, STRAIN, WAVES, 2) / number[..., None]


def _sample(field, maps, waves, scale, shift):
    """`field` at the pixels of its drawing, [N, 28, 28], enlarged by `scale`, then moved by `shift` pixels."""
    axis = torch.arange(28) - 14.0
    x = (axis[None, None, :] - shift[:, 0, None, None]) / scale[:, None, None]
    y = (axis[None, :, None] - shift[:, 1, None, None]) / scale[:, None, None]
    a, b, c, d = (maps[:, i, None, None] for i in range(4))
    u, v = a * x + b * y, c * x + d * y
    du, dv = torch.zeros_like(u), torch.zeros_like(v)
    frequency, phase, size = (w[..., None, None] for w in waves)
    for k in range(WAVES):
        wave = torch.sin(frequency[:, k, 0] * u + frequency[:, k, 1] * v + phase[:, k])
        du, dv = du + size[:, k, 0] * wave, dv + size[:, k, 1] * wave
    grid = torch.stack([u + du, v + dv], dim=-1) * (2 / FIELD)
    return F.grid_sample(field[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _placement(distance):
    """Centre of mass [N, 2] (x, y) relative to the middle and the longer side [N] of the ink, in pixels."""
    ink = (0.5 + distance).clamp(0, 1)
    axis = torch.arange(28) - 14.0
    mass = ink.sum((1, 2))
    centre = torch.stack([(ink.sum(1) * axis).sum(1), (ink.sum(2) * axis).sum(1)], dim=1) / mass[:, None]
    extent = torch.maximum(ink.amax(1).sum(1), ink.amax(2).sum(1))
    return centre, extent
