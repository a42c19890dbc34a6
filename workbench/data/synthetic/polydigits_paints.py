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
class Draws:
    """What is drawn for each of `n` pictures."""

    chance: Chance
    n: int

    def each(self, low: Number, high: Number) -> Scalars:
        """Draw one number for each picture, uniformly."""
        return self.chance.uniform(low, high, self.n, 1, 1, 1)

    def colour(self, hue: Range, saturation: Range, value: Range) -> Colours:
        """Draw colours from a box of hue, saturation and value."""
        return canvas.tint(*(self.each(*ends) for ends in (hue, saturation, value)))

    def grain(self, scale: Number) -> Fields:
        """Draw noise that every pixel has for itself."""
        return self.chance.normal(scale, self.n, 1, SIDE, SIDE)

    def blotches(self, cells: int) -> Fields:
        """Draw smooth noise of unit scale with `cells` blotches each way."""
        return canvas.blotches(self.chance, self.n, cells, SIDE)

    def wave(self, angle: Range, period: Range) -> Fields:
        """Draw a sine in [-1, 1] of a random phase across the picture; angle in radians, period in pixels."""
        x, y = canvas.pixels(SIDE)
        turn, length, phase = (self.each(*ends) for ends in (angle, period, (0.0, 1.0)))
        return torch.sin(2 * math.pi * ((x * turn.cos() + y * turn.sin()) / length + phase))

    def grid(self, pitch: Number, half: Number) -> Fields:
        """Draw lines of a square grid of that pitch, moved at random, as a share of each pixel."""
        x, y = canvas.pixels(SIDE)
        across, down = ((p - self.each(0, pitch)) % pitch - pitch / 2 for p in (x, y))
        return torch.maximum(canvas.ink(half - across.abs()), canvas.ink(half - down.abs()))


def _line(field: Fields, half: Number | Tensor) -> Fields:
    """A line along the shape's edge, of that half width in pixels."""
    return canvas.ink(half - field.abs())


@dataclass(frozen=True)
class Style:
    """Which shapes a style draws, how they vary, and how it paints them."""

    paint: Callable[[Fields, Draws], Pictures]
    faces: tuple[int, ...] = ()  # of the atlas of glyphs; none: real handwriting
    height: Range = (19.0, 23.0)  # of the digit, in pixels
    shift: float = 1.5  # at most, each way, in pixels
    tilt: float = 0.12  # at most, either way, in radians
    shear: float = 0.12
    width: Range = (0.85, 1.1)  # times the shape's own
    weight: Range = (-0.15, 0.15)  # added to half the width of a stroke, as a share of it
    look: Callable[[Points, Points, Chance], tuple[Points, Points]] | None = None  # where a pixel sees the shape


def amber(field: Fields, draw: Draws) -> Pictures:
    ground = draw.colour((0.02, 0.1), (0.6, 1), (0.02, 0.14))
    lit = draw.colour((0.07, 0.14), (0.6, 1), (0.8, 1))
    glow = torch.exp(field.clamp(max=0) / draw.each(1, 3)) * draw.each(0.25, 0.55)
    return ground + lit * torch.maximum(canvas.ink(field), glow) + draw.grain(0.01)


def blueprint(field: Fields, draw: Draws) -> Pictures:
    ground = draw.colour((0.57, 0.64), (0.65, 0.95), (0.35, 0.65))
    paper = ground + 0.13 * draw.grid(7, 0.2) + 0.03 * draw.blotches(4)
    return torch.lerp(paper, draw.each(0.85, 1), _line(field, draw.each(0.45, 0.9)))


def chalk(field: Fields, draw: Draws) -> Pictures:
    board = draw.colour((0.3, 0.5), (0.2, 0.55), (0.12, 0.28)) + 0.05 * draw.blotches(5).abs()
    stick = draw.colour((0, 1), (0, 0.3), (0.8, 1))
    rough = (draw.grain(0.4) + draw.each(0.7, 1.1)).clamp(0, 1)
    return torch.lerp(board, stick, canvas.ink(field, 1.5) * rough) + draw.grain(0.02)


def dots(field: Fields, draw: Draws) -> Pictures:
    x, y = canvas.pixels(SIDE)
    away = ((x % DOT - DOT / 2) ** 2 + (y % DOT - DOT / 2) ** 2).sqrt()
    lamp = (draw.each(0.9, 1.2) - away + 0.5).clamp(0, 1)
    off = draw.colour((0, 1), (0.3, 0.8), (0.1, 0.2))
    lit = draw.colour((0.94, 1.04), (0.7, 1), (0.8, 1))
    return torch.lerp(off, lit, canvas.ink(field, 1.5)) * lamp + draw.each(0, 0.06)


def embossed(field: Fields, draw: Draws) -> Pictures:
    stone = draw.colour((0.04, 0.16), (0.05, 0.35), (0.45, 0.65))
    level = F.pad(canvas.ink(field, 3.0), (1, 1, 1, 1), mode="replicate")
    slope_x, slope_y = level[..., 1:-1, 2:] - level[..., 1:-1, :-2], level[..., 2:, 1:-1] - level[..., :-2, 1:-1]
    angle = draw.each(0.4, 1.2)  # the light comes from the upper left
    shade = slope_x * angle.cos() + slope_y * angle.sin()
    grains = 0.04 * draw.blotches(9) + draw.grain(0.025)
    return stone * (1 + draw.each(0.7, 1.1) * shade) + grains


def flag(field: Fields, draw: Draws) -> Pictures:
    hue = draw.each(0, 1)
    one, other = (canvas.tint(hue + gap, 0.8, draw.each(0.55, 0.8)) for gap in (0.0, 0.33))
    stripes = (draw.wave((0.5, 1.1), (6, 9)) * 3 + 0.5).clamp(0, 1)
    cloth = torch.lerp(torch.lerp(one, other, stripes), draw.each(0, 0.1), canvas.ink(field + 1.3))
    return torch.lerp(cloth, draw.each(0.9, 1), canvas.ink(field))


def graffiti(field: Fields, draw: Draws) -> Pictures:
    x, y = canvas.pixels(SIDE)
    brick = draw.colour((0.0, 0.06), (0.4, 0.7), (0.35, 0.55)) + 0.04 * draw.blotches(7)
    row = torch.floor(y / 4)
    joint = torch.minimum(2 - (y % 4 - 2).abs(), 4 - ((x + 4 * (row % 2)) % 8 - 4).abs())
    wall = torch.lerp(brick, draw.each(0.55, 0.7), (1 - joint).clamp(0, 1) * 0.7)
    hue, top = draw.each(0.25, 0.9), draw.each(-0.2, 0.2)
    one, other = (canvas.tint(hue + gap, 0.8, draw.each(0.8, 1)) for gap in (0.0, 0.2))
    paint = torch.lerp(one, other, (y / 14 + top + 0.5).clamp(0, 1))
    return torch.lerp(torch.lerp(wall, draw.each(0, 0.08), canvas.ink(field + 1)), paint, canvas.ink(field - 0.5))


def hatched(field: Fields, draw: Draws) -> Pictures:
    paper = draw.colour((0.1, 0.15), (0.1, 0.3), (0.88, 1)) + 0.02 * draw.blotches(5)
    pen = draw.colour((0, 1), (0.3, 1), (0.1, 0.4))
    strokes = (draw.wave((2.1, 2.6), (2.6, 3.2)) * 1.2 + 0.5).clamp(0, 1)
    return torch.lerp(paper, pen, torch.maximum(canvas.ink(field) * strokes, 0.5 * _line(field, 0.3)))


def ink(field: Fields, draw: Draws) -> Pictures:
    _, y = canvas.pixels(SIDE)
    paper = draw.colour((0.1, 0.6), (0, 0.08), (0.9, 1))
    rule = (1 - ((y - draw.each(0, 7)) % 7 - 1).abs()).clamp(0, 1)
    paper = torch.lerp(paper, draw.colour((0.52, 0.6), (0.3, 0.5), (0.75, 0.9)), rule)
    pen = draw.colour((0.58, 0.72), (0.5, 1), (0.1, 0.5))
    return torch.lerp(paper, pen, canvas.ink(field) * (1 - 0.12 * draw.blotches(8).abs()).clamp(0, 1))


def jolted(field: Fields, draw: Draws) -> Pictures:
    shape = F.pad(canvas.ink(field), (1, 1, 0, 0))
    shown = torch.cat([shape[..., :-2], shape[..., 1:-1], shape[..., 2:]], dim=1)  # red to the right, blue to the left
    ground = draw.colour((0.55, 0.75), (0, 0.5), (0.0, 0.22))
    lines = 0.06 * (torch.arange(SIDE) % 2).view(1, 1, SIDE, 1)
    return torch.lerp(ground, draw.colour((0, 1), (0, 0.2), (0.8, 1)), shown) - lines + draw.grain(0.03)


def knitted(field: Fields, draw: Draws) -> Pictures:
    hue = draw.each(0, 1)
    wool = canvas.tint(hue, 0.6, draw.each(0.3, 0.5))
    other = canvas.tint(hue + draw.each(0.3, 0.7), 0.35, draw.each(0.8, 1))
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    stitch = 0.85 + 0.3 * ((rows + columns // 2) % 2)  # the legs of a V are a row apart
    return torch.lerp(wool, other, (canvas.ink(field) > 0.5).float()) * stitch * (1 + draw.grain(0.06))


def label(field: Fields, draw: Draws) -> Pictures:
    x, y = canvas.pixels(SIDE)
    away = ((x - draw.each(-1, 1)) ** 2 + (y - draw.each(-1, 1)) ** 2).sqrt()
    disc = draw.each(11.5, 13) - away
    ground = draw.colour((0, 1), (0, 0.25), (0.75, 0.95)) + 0.04 * draw.blotches(3)
    paper = draw.colour((0, 1), (0.65, 1), (0.3, 0.7))
    shown = torch.lerp(ground, paper, canvas.ink(disc))
    shown = torch.lerp(shown, draw.each(0.9, 1), _line(disc - 1.5, 0.3))
    return torch.lerp(shown, draw.each(0.9, 1), canvas.ink(field))


def mosaic(field: Fields, draw: Draws) -> Pictures:
    x, y = canvas.pixels(SIDE)
    tile = [((torch.floor(p.flatten() / TILE)) + 5).long() for p in (x, y)]
    light = draw.chance.uniform(0.6, 1.15, draw.n, 1, 10, 10)[:, :, tile[1]][..., tile[0]]
    tint = draw.chance.normal(0.05, draw.n, 1, 10, 10)[:, :, tile[1]][..., tile[0]]
    warm, cool = draw.each(0.0, 0.12) + tint, draw.each(0.45, 0.65) + tint
    stones = torch.where(field > 0, canvas.tint(warm, 0.75, 0.85 * light), canvas.tint(cool, 0.5, 0.5 * light))
    seam = torch.minimum((x % TILE).clamp(max=1), (y % TILE).clamp(max=1))
    return stones * (0.55 + 0.45 * seam)


def neon(field: Fields, draw: Draws) -> Pictures:
    night = draw.colour((0.65, 0.8), (0.4, 0.8), (0.08, 0.2)) + 0.02 * draw.blotches(6)
    gas = draw.colour((0.45, 0.95), (0.75, 1), (0.8, 1))
    halo = torch.exp(field.clamp(max=0) / draw.each(1.5, 3.5)) * 0.8
    return torch.lerp(night + gas * halo, torch.ones(()), canvas.ink(field - 0.3))


def oldfilm(field: Fields, draw: Draws) -> Pictures:
    x, y = canvas.pixels(SIDE)
    sepia = draw.colour((0.07, 0.12), (0.25, 0.5), (0.75, 1))
    light = 1 - (x**2 + y**2) / draw.each(330, 700) + 0.1 * draw.blotches(3)
    aim_x, aim_y = (draw.each(-2, 2) for _ in range(2))
    circle = ((x - aim_x) ** 2 + (y - aim_y) ** 2).sqrt() - draw.each(10, 12)
    lines = torch.stack(((x - aim_x) + 0 * y, (y - aim_y) + 0 * x, circle)).abs().amin(0)
    scratch = 0.35 * (1 - (x - draw.each(-13, 13)).abs()).clamp(0, 1)
    light = light * (1 - 0.35 * (1 - lines).clamp(0, 1)) + scratch
    dark = draw.each(0.08, 0.3)
    return sepia * torch.lerp(light, dark, canvas.ink(field, draw.each(1.5, 3.0))) + draw.grain(0.05)


def pencil(field: Fields, draw: Draws) -> Pictures:
    paper = draw.each(0.88, 1) + draw.grain(0.03) + 0.02 * draw.blotches(4)
    tooth = (draw.grain(0.25) + 0.85).clamp(0, 1)
    return torch.lerp(paper.expand(-1, 3, -1, -1), draw.each(0.3, 0.6), canvas.ink(field, 1.3) * tooth)


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
