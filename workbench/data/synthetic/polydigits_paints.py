"""The sixteen styles of polydigits: from a digit's signed distances to a picture, many at a time.

A style says which shapes it draws and how they may lie, and paints them. Distances are in pixels, positive inside the
digit, `[N, 1, 28, 28]`; pictures are `[N, 3, 28, 28]`, about in [0, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from workbench.data.synthetic import canvas
from workbench.data.synthetic.canvas import Chance, Number

SIDE = 28
Range = tuple[Number, Number]
Fields = Float[Tensor, "N 1 28 28"]
Pictures = Float[Tensor, "N 3 28 28"]
Points = Float[Tensor, "N 28 28"]
Scalars = Float[Tensor, "N 1 1 1"]  # one number for each picture
Colours = Float[Tensor, "N 3 1 1"]

# Faces of `glyphs.atlas`, by kind.
SANS, BOLD, MONO = (0, 2, 16, 23), (1, 3, 17), (4, 5, 6, 18)
SERIF, HEAVY_SERIF, STROKES = (8, 10, 12, 14, 21, 24), (9, 11, 13, 15, 22), tuple(range(26, 38))
DOT, STITCH, TILE = SIDE / 12, 2.0, SIDE / 10  # pixels from one to the next


def as_it_is(x: Points, y: Points, chance: Chance) -> tuple[Points, Points]:
    """Let every pixel see the shape where it is."""
    return x, y


def in_cells(pitch: Number, x: Points, y: Points, chance: Chance) -> tuple[Points, Points]:
    """Let every pixel see the shape where the middle of its square cell is, so that a cell has one colour."""
    x, y = ((torch.floor(p / pitch) + 0.5) * pitch for p in (x, y))
    return x, y


def torn(x: Points, y: Points, chance: Chance) -> tuple[Points, Points]:
    """Let bands of four rows lie beside their places."""
    slide = chance.normal(1.3, len(x), 9).clamp(-2.6, 2.6)
    band = (torch.arange(SIDE) + chance.integers(4, len(x), 1)) // 4
    return x + slide.gather(1, band)[:, :, None], y


@dataclass(frozen=True)
class Style:
    """Which shapes a style draws, how they vary, and how it paints them."""

    paint: Callable[[Fields, Chance], Pictures]
    faces: tuple[int, ...] = ()  # of the atlas of glyphs; none: real handwriting
    height: Range = (19.0, 23.0)  # of the digit, in pixels
    shift: float = 1.5  # at most, each way, in pixels
    tilt: float = 0.12  # at most, either way, in radians
    shear: float = 0.12
    width: Range = (0.85, 1.1)  # times the shape's own
    weight: Range = (-0.15, 0.15)  # added to half the width of a stroke, as a share of it
    look: Callable[[Points, Points, Chance], tuple[Points, Points]] = as_it_is  # where a pixel sees the shape


# ---- what paints are made of


def _each(chance: Chance, n: int, low: Number, high: Number) -> Scalars:
    """One uniform draw for each picture."""
    return chance.uniform(low, high, n, 1, 1, 1)


def _colour(chance: Chance, n: int, hue: Range, saturation: Range, value: Range) -> Colours:
    """Colours drawn from a box of hue, saturation and value."""
    return canvas.tint(*(_each(chance, n, *ends) for ends in (hue, saturation, value)))


def _line(field: Fields, half: Number | Tensor) -> Fields:
    """A line along the shape's edge, of that half width in pixels."""
    return canvas.ink(half - field.abs())


def _grain(chance: Chance, n: int, scale: Number) -> Fields:
    """Noise that every pixel has for itself."""
    return chance.normal(scale, n, 1, SIDE, SIDE)


def _wave(chance: Chance, n: int, angle: Range, period: Range) -> Fields:
    """A sine in [-1, 1] of a random phase across the picture; angle in radians, period in pixels."""
    x, y = canvas.pixels(SIDE)
    turn, length, phase = (_each(chance, n, *ends) for ends in (angle, period, (0.0, 1.0)))
    return torch.sin(2 * math.pi * ((x * turn.cos() + y * turn.sin()) / length + phase))


def _grid(chance: Chance, n: int, pitch: Number, half: Number) -> Fields:
    """Lines of a square grid of that pitch, moved at random, as a share of each pixel."""
    x, y = canvas.pixels(SIDE)
    across, down = ((p - _each(chance, n, 0, pitch)) % pitch - pitch / 2 for p in (x, y))
    return torch.maximum(canvas.ink(half - across.abs()), canvas.ink(half - down.abs()))


# ---- the styles


def amber(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    ground = _colour(chance, n, (0.02, 0.1), (0.6, 1), (0.02, 0.14))
    lit = _colour(chance, n, (0.07, 0.14), (0.6, 1), (0.8, 1))
    glow = torch.exp(field.clamp(max=0) / _each(chance, n, 1, 3)) * _each(chance, n, 0.25, 0.55)
    return ground + lit * torch.maximum(canvas.ink(field), glow) + _grain(chance, n, 0.01)


def blueprint(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    ground = _colour(chance, n, (0.57, 0.64), (0.65, 0.95), (0.35, 0.65))
    paper = ground + 0.13 * _grid(chance, n, 7, 0.2) + 0.03 * canvas.blotches(chance, n, 4, SIDE)
    return torch.lerp(paper, _each(chance, n, 0.85, 1), _line(field, _each(chance, n, 0.45, 0.9)))


def chalk(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    board = _colour(chance, n, (0.3, 0.5), (0.2, 0.55), (0.12, 0.28)) + 0.05 * canvas.blotches(chance, n, 5, SIDE).abs()
    stick = _colour(chance, n, (0, 1), (0, 0.3), (0.8, 1))
    rough = (_grain(chance, n, 0.4) + _each(chance, n, 0.7, 1.1)).clamp(0, 1)
    return torch.lerp(board, stick, canvas.ink(field, 1.5) * rough) + _grain(chance, n, 0.02)


def dots(field: Fields, chance: Chance) -> Pictures:
    n, (x, y) = len(field), canvas.pixels(SIDE)
    away = ((x % DOT - DOT / 2) ** 2 + (y % DOT - DOT / 2) ** 2).sqrt()
    lamp = (_each(chance, n, 0.9, 1.2) - away + 0.5).clamp(0, 1)
    off = _colour(chance, n, (0, 1), (0.3, 0.8), (0.1, 0.2))
    lit = _colour(chance, n, (0.94, 1.04), (0.7, 1), (0.8, 1))
    return torch.lerp(off, lit, canvas.ink(field, 1.5)) * lamp + _each(chance, n, 0, 0.06)


def embossed(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    stone = _colour(chance, n, (0.04, 0.16), (0.05, 0.35), (0.45, 0.65))
    level = F.pad(canvas.ink(field, 3.0), (1, 1, 1, 1), mode="replicate")
    slope_x, slope_y = level[..., 1:-1, 2:] - level[..., 1:-1, :-2], level[..., 2:, 1:-1] - level[..., :-2, 1:-1]
    angle = _each(chance, n, 0.4, 1.2)  # the light comes from the upper left
    shade = slope_x * angle.cos() + slope_y * angle.sin()
    grains = 0.04 * canvas.blotches(chance, n, 9, SIDE) + _grain(chance, n, 0.025)
    return stone * (1 + _each(chance, n, 0.7, 1.1) * shade) + grains


def flag(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    hue = _each(chance, n, 0, 1)
    one, other = (canvas.tint(hue + gap, 0.8, _each(chance, n, 0.55, 0.8)) for gap in (0.0, 0.33))
    stripes = (_wave(chance, n, (0.5, 1.1), (6, 9)) * 3 + 0.5).clamp(0, 1)
    cloth = torch.lerp(torch.lerp(one, other, stripes), _each(chance, n, 0, 0.1), canvas.ink(field + 1.3))
    return torch.lerp(cloth, _each(chance, n, 0.9, 1), canvas.ink(field))


def graffiti(field: Fields, chance: Chance) -> Pictures:
    n, (x, y) = len(field), canvas.pixels(SIDE)
    brick = _colour(chance, n, (0.0, 0.06), (0.4, 0.7), (0.35, 0.55)) + 0.04 * canvas.blotches(chance, n, 7, SIDE)
    row = torch.floor(y / 4)
    joint = torch.minimum(2 - (y % 4 - 2).abs(), 4 - ((x + 4 * (row % 2)) % 8 - 4).abs())
    wall = torch.lerp(brick, _each(chance, n, 0.55, 0.7), (1 - joint).clamp(0, 1) * 0.7)
    hue, top = _each(chance, n, 0.25, 0.9), _each(chance, n, -0.2, 0.2)
    one, other = (canvas.tint(hue + gap, 0.8, _each(chance, n, 0.8, 1)) for gap in (0.0, 0.2))
    paint = torch.lerp(one, other, (y / 14 + top + 0.5).clamp(0, 1))
    return torch.lerp(
        torch.lerp(wall, _each(chance, n, 0, 0.08), canvas.ink(field + 1)), paint, canvas.ink(field - 0.5)
    )


def hatched(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    paper = _colour(chance, n, (0.1, 0.15), (0.1, 0.3), (0.88, 1)) + 0.02 * canvas.blotches(chance, n, 5, SIDE)
    pen = _colour(chance, n, (0, 1), (0.3, 1), (0.1, 0.4))
    strokes = (_wave(chance, n, (2.1, 2.6), (2.6, 3.2)) * 1.2 + 0.5).clamp(0, 1)
    return torch.lerp(paper, pen, torch.maximum(canvas.ink(field) * strokes, 0.5 * _line(field, 0.3)))


def ink(field: Fields, chance: Chance) -> Pictures:
    n, (_, y) = len(field), canvas.pixels(SIDE)
    paper = _colour(chance, n, (0.1, 0.6), (0, 0.08), (0.9, 1))
    rule = (1 - ((y - _each(chance, n, 0, 7)) % 7 - 1).abs()).clamp(0, 1)
    paper = torch.lerp(paper, _colour(chance, n, (0.52, 0.6), (0.3, 0.5), (0.75, 0.9)), rule)
    pen = _colour(chance, n, (0.58, 0.72), (0.5, 1), (0.1, 0.5))
    return torch.lerp(
        paper, pen, canvas.ink(field) * (1 - 0.12 * canvas.blotches(chance, n, 8, SIDE).abs()).clamp(0, 1)
    )


def jolted(field: Fields, chance: Chance) -> Pictures:
    n, shape = len(field), F.pad(canvas.ink(field), (1, 1, 0, 0))
    shown = torch.cat([shape[..., :-2], shape[..., 1:-1], shape[..., 2:]], dim=1)  # red to the right, blue to the left
    ground = _colour(chance, n, (0.55, 0.75), (0, 0.5), (0.0, 0.22))
    lines = 0.06 * (torch.arange(SIDE) % 2).view(1, 1, SIDE, 1)
    return torch.lerp(ground, _colour(chance, n, (0, 1), (0, 0.2), (0.8, 1)), shown) - lines + _grain(chance, n, 0.03)


def knitted(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    hue = _each(chance, n, 0, 1)
    wool = canvas.tint(hue, 0.6, _each(chance, n, 0.3, 0.5))
    other = canvas.tint(hue + _each(chance, n, 0.3, 0.7), 0.35, _each(chance, n, 0.8, 1))
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    stitch = 0.85 + 0.3 * ((rows + columns // 2) % 2)  # the legs of a V are a row apart
    return torch.lerp(wool, other, (canvas.ink(field) > 0.5).float()) * stitch * (1 + _grain(chance, n, 0.06))


def label(field: Fields, chance: Chance) -> Pictures:
    n, (x, y) = len(field), canvas.pixels(SIDE)
    away = ((x - _each(chance, n, -1, 1)) ** 2 + (y - _each(chance, n, -1, 1)) ** 2).sqrt()
    disc = _each(chance, n, 11.5, 13) - away
    ground = _colour(chance, n, (0, 1), (0, 0.25), (0.75, 0.95)) + 0.04 * canvas.blotches(chance, n, 3, SIDE)
    paper = _colour(chance, n, (0, 1), (0.65, 1), (0.3, 0.7))
    shown = torch.lerp(ground, paper, canvas.ink(disc))
    shown = torch.lerp(shown, _each(chance, n, 0.9, 1), _line(disc - 1.5, 0.3))
    return torch.lerp(shown, _each(chance, n, 0.9, 1), canvas.ink(field))


def mosaic(field: Fields, chance: Chance) -> Pictures:
    n, (x, y) = len(field), canvas.pixels(SIDE)
    tile = [((torch.floor(p.flatten() / TILE)) + 5).long() for p in (x, y)]
    light = chance.uniform(0.6, 1.15, n, 1, 10, 10)[:, :, tile[1]][..., tile[0]]
    tint = chance.normal(0.05, n, 1, 10, 10)[:, :, tile[1]][..., tile[0]]
    warm, cool = _each(chance, n, 0.0, 0.12) + tint, _each(chance, n, 0.45, 0.65) + tint
    stones = torch.where(field > 0, canvas.tint(warm, 0.75, 0.85 * light), canvas.tint(cool, 0.5, 0.5 * light))
    seam = torch.minimum((x % TILE).clamp(max=1), (y % TILE).clamp(max=1))
    return stones * (0.55 + 0.45 * seam)


def neon(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    night = _colour(chance, n, (0.65, 0.8), (0.4, 0.8), (0.08, 0.2)) + 0.02 * canvas.blotches(chance, n, 6, SIDE)
    gas = _colour(chance, n, (0.45, 0.95), (0.75, 1), (0.8, 1))
    halo = torch.exp(field.clamp(max=0) / _each(chance, n, 1.5, 3.5)) * 0.8
    return torch.lerp(night + gas * halo, torch.ones(()), canvas.ink(field - 0.3))


def oldfilm(field: Fields, chance: Chance) -> Pictures:
    n, (x, y) = len(field), canvas.pixels(SIDE)
    sepia = _colour(chance, n, (0.07, 0.12), (0.25, 0.5), (0.75, 1))
    light = 1 - (x**2 + y**2) / _each(chance, n, 330, 700) + 0.1 * canvas.blotches(chance, n, 3, SIDE)
    aim_x, aim_y = (_each(chance, n, -2, 2) for _ in range(2))
    circle = ((x - aim_x) ** 2 + (y - aim_y) ** 2).sqrt() - _each(chance, n, 10, 12)
    lines = torch.stack(((x - aim_x) + 0 * y, (y - aim_y) + 0 * x, circle)).abs().amin(0)
    scratch = 0.35 * (1 - (x - _each(chance, n, -13, 13)).abs()).clamp(0, 1)
    light = light * (1 - 0.35 * (1 - lines).clamp(0, 1)) + scratch
    dark = _each(chance, n, 0.08, 0.3)
    return sepia * torch.lerp(light, dark, canvas.ink(field, _each(chance, n, 1.5, 3.0))) + _grain(chance, n, 0.05)


def pencil(field: Fields, chance: Chance) -> Pictures:
    n = len(field)
    paper = _each(chance, n, 0.88, 1) + _grain(chance, n, 0.03) + 0.02 * canvas.blotches(chance, n, 4, SIDE)
    tooth = (_grain(chance, n, 0.25) + 0.85).clamp(0, 1)
    return torch.lerp(paper.expand(-1, 3, -1, -1), _each(chance, n, 0.3, 0.6), canvas.ink(field, 1.3) * tooth)


PAINTS = {
    "amber": Style(amber, SANS),
    "blueprint": Style(blueprint, (*SANS, *BOLD), weight=(0.0, 0.3)),
    "chalk": Style(chalk, weight=(-0.3, 0.0)),
    "dots": Style(dots, MONO, height=(21.0, 25.0), weight=(0.15, 0.6), tilt=0.05, look=partial(in_cells, DOT)),
    "embossed": Style(embossed, HEAVY_SERIF, height=(20.0, 24.0)),
    "flag": Style(flag, BOLD, tilt=0.3),
    "graffiti": Style(graffiti, STROKES, weight=(0.3, 0.8), tilt=0.25, shear=0.25),
    "hatched": Style(hatched, (*BOLD, *HEAVY_SERIF), height=(21.0, 25.0), weight=(0.0, 0.3)),
    "ink": Style(ink, shear=0.2, height=(18.0, 22.0), weight=(-0.4, -0.1)),
    "jolted": Style(jolted, (*BOLD, *STROKES), look=torn),
    "knitted": Style(knitted, MONO, height=(21.0, 25.0), weight=(0.0, 0.4), tilt=0.05, look=partial(in_cells, STITCH)),
    "label": Style(label, (*SANS, *SERIF), height=(14.0, 17.0), shift=1.0, weight=(0.0, 0.4), tilt=0.4),
    "mosaic": Style(
        mosaic, (*BOLD, *STROKES), height=(23.0, 26.0), weight=(0.1, 0.5), tilt=0.05, look=partial(in_cells, TILE)
    ),
    "neon": Style(neon, weight=(-0.5, -0.3)),
    "oldfilm": Style(oldfilm, (*SANS, *HEAVY_SERIF), weight=(0.0, 0.4)),
    "pencil": Style(pencil, shear=0.2, height=(18.0, 23.0), weight=(-0.45, -0.2)),
}
