"""Digit shapes as signed distances: one atlas of faces, from matplotlib's fonts and from strokes drawn here.

A signed distance (positive inside, in digit heights) gives every weight, outline and softness of a digit from one
look-up, so variety costs no further rasterising.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn.functional import grid_sample

TILE = 64  # pixels of one atlas tile, each way
SPAN = 1.6  # digit heights covered by one tile: the digit is 40 pixels high, with a margin for outlines
_FINE = 3  # rasterising resolution: multiple of the tile's
ASCII, SANS, SANS_BOLD, MONO, HOLLOW = 0x30, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1D7D8  # code points of the digit zero
# (file, code point of zero, character to use for zero instead: DejaVu Sans Mono puts a dot into its own)
_FONT_FACES = (
    *((f"DejaVuSans{style}", ASCII, None) for style in ("", "-Bold", "-Oblique", "-BoldOblique")),  # 0 to 3
    *((f"DejaVuSansMono{style}", ASCII, "O") for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *((f"DejaVuSerif{style}", ASCII, None) for style in ("", "-Bold", "-Italic", "-BoldItalic")),  # 8 to 11
    *((f"STIXGeneral{style}", ASCII, None) for style in ("", "Bol", "Italic", "BolIta")),
    *(("STIXGeneral", zero, None) for zero in (SANS, SANS_BOLD, MONO, HOLLOW)),  # 16 to 19
    ("DejaVuSans", HOLLOW, None),
    *((f"cm{style}10", ASCII, None) for style in ("r", "b", "ss", "ti", "tt")),  # 21 to 25
)
_HOLLOW_FACES = tuple(i for i, face in enumerate(_FONT_FACES) if face[1] == HOLLOW)
_STROKE_FACES = 12


class Atlas(NamedTuple):
    """All digits of all faces.

    `field`: signed distances in digit heights, the tiles of a face in a row; `half_stroke`: half the width of its
    strokes and `width`: of the whole digit, both in digit heights; `street` and `plain`: how often a face is drawn.
    """

    field: Float[Tensor, "faces*tile 10*tile"]
    half_stroke: Float[Tensor, "faces 10"]
    width: Float[Tensor, "faces 10"]
    street: Float[Tensor, "faces"]
    plain: Float[Tensor, "faces"]


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """Make the atlas, once per process."""
    fonts = np.array([[_font_field(*face, digit) for digit in range(10)] for face in _FONT_FACES])
    strokes = np.array([[_stroke_field(face, digit) for digit in range(10)] for face in range(_STROKE_FACES)])
    pooled = fonts.reshape(*fonts.shape[:-2], TILE, _FINE, TILE, _FINE).mean((-3, -1))
    fields = torch.from_numpy(np.concatenate((pooled, strokes)).astype(np.float32))
    pixel = SPAN / TILE
    # A stroke of length L and half-width h has area 2hL and an edge of length 2L: their ratio is h. The edge is
    # counted in a band of one pixel.
    half_stroke = (fields > 0).sum((2, 3)) / (fields.abs() <= pixel / 2).sum((2, 3)) * pixel
    width = (fields > 0).any(2).sum(2) * pixel
    tiles = fields.permute(0, 2, 1, 3).reshape(-1, 10 * TILE).contiguous()
    street = torch.ones(len(fields))
    street[list(_HOLLOW_FACES)] = 0.25
    street[len(_FONT_FACES) :] = 1.5  # plain strokes without serifs are commoner on houses than in font folders
    plain = torch.zeros(len(fields))
    plain[[0, 1, 4, 5, 16, 17, 23]] = 1.0
    return Atlas(tiles, half_stroke, width, street, plain)


def look_up(
    face: Int[Tensor, "P"], digit: Int[Tensor, "P"], x: Float[Tensor, "P H W"], y: Float[Tensor, "P H W"]
) -> Float[Tensor, "P H W"]:
    """Look up signed distances to P digits at the points (x, y), in digit heights and from the digits' centres."""
    edge = SPAN / 2 - SPAN / TILE  # the clamped point stays a pixel inside its tile, clear of the neighbours'
    inside_x, inside_y = x.clamp(-edge, edge), y.clamp(-edge, edge)
    beyond = (x - inside_x).abs_().add_((y - inside_y).abs_())
    table = atlas().field
    scale = torch.tensor([2 / table.shape[1], 2 / table.shape[0]])
    points = torch.stack((inside_x, inside_y), -1).mul_(scale * (TILE / SPAN))
    tile = torch.stack((digit, face), -1) * TILE + TILE / 2
    points.add_((tile * scale - 1)[:, None, None])
    return grid_sample(table[None, None], points.flatten(0, 1)[None], align_corners=False).view_as(x).sub_(beyond)


def _font_field(name: str, zero: int, other_zero: str | None, digit: int) -> np.ndarray:
    """Signed distances of one digit of a font file, centred, one digit height high."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    character = other_zero if other_zero and digit == 0 else chr(zero + digit)
    count = TILE * _FINE
    height = round(count / SPAN)
    probe = ImageFont.truetype(path, 200).getbbox(character)
    font = ImageFont.truetype(path, 200 * height / (probe[3] - probe[1]))
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (count, count))
    place = ((count - left - right) / 2, (count - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(place, character, font=font, fill=255)
    inside = np.asarray(canvas) > 127
    # Distances run between pixel centres: the edge lies half a pixel nearer.
    inner, outer = distance_transform_edt(inside) - 0.5, distance_transform_edt(~inside) - 0.5
    return np.where(inside, inner, -outer) * SPAN / count


def _arc(centre_x, centre_y, radius_x, radius_y, start, end, square=2.0):
    """Points on an ellipse (a superellipse for `square` > 2), angles in degrees, clockwise from the right, y down."""
    angle = np.radians(np.linspace(start, end, 19))
    bend = 2.0 / square
    cos, sin = np.cos(angle), np.sin(angle)
    x = centre_x + radius_x * np.sign(cos) * np.abs(cos) ** bend
    y = centre_y + radius_y * np.sign(sin) * np.abs(sin) ** bend
    return list(zip(x, y, strict=True))


def _skeletons(square: float) -> list[list[list[list[tuple[float, float]]]]]:
    """For each digit its variants; a variant is a list of polylines in the unit box, x right, y down."""
    ring = _arc(0.5, 0.68, 0.5, 0.32, 180, 540, square)
    six = [
        [[(0.82, 0.0), (0.35, 0.33), *_arc(0.5, 0.68, 0.5, 0.32, 200, 560, square)]],
        [[*_arc(0.52, 0.3, 0.48, 0.3, -25, -90, square), *_arc(0.5, 0.5, 0.5, 0.5, 270, 180, square), *ring]],
        [[(0.75, 0.0), *_arc(1.0, 0.68, 1.0, 0.68, 255, 180), *ring]],
    ]
    nine = [[[(1 - x, 1 - y) for x, y in line] for line in variant] for variant in six]
    foot = [(0.0, 1.0), (1.0, 1.0)]
    bowl = _arc(0.45, 0.68, 0.55, 0.32, 230, 500, square)
    return [
        [[_arc(0.5, 0.5, 0.5, 0.5, 0, 360, square)], [_arc(0.5, 0.5, 0.42, 0.5, 0, 360, square + 1)]],
        [
            [[(0.5, 0.0), (0.5, 1.0)]],
            [[(0.2, 0.25), (0.5, 0.0), (0.5, 1.0)]],
            [[(0.25, 0.18), (0.5, 0.12), (0.5, 0.0), (0.5, 1.0)]],
            [[(0.15, 0.25), (0.5, 0.0), (0.5, 1.0)], [(0.15, 1.0), (0.85, 1.0)]],
        ],
        [
            [[*_arc(0.5, 0.29, 0.48, 0.29, 170, 390, square), *foot]],
            [[*_arc(0.5, 0.3, 0.5, 0.3, 190, 370, square), *_arc(0.9, 1.0, 0.9, 0.5, 270, 180), *foot]],
        ],
        [
            [[*_arc(0.45, 0.25, 0.48, 0.25, 200, 450, square), *_arc(0.45, 0.73, 0.55, 0.27, 270, 520, square)]],
            [[(0.05, 0.0), (0.95, 0.0), (0.45, 0.38), *_arc(0.45, 0.69, 0.55, 0.31, 270, 510, square)]],
        ],
        [
            [[(0.75, 1.0), (0.75, 0.0), (0.0, 0.7), (1.0, 0.7)]],
            [[(0.3, 0.0), (0.0, 0.65), (1.0, 0.65)], [(0.72, 0.3), (0.72, 1.0)]],
            [[(0.0, 0.0), (0.0, 0.55), (0.9, 0.55)], [(0.85, 0.0), (0.85, 1.0)]],
        ],
        [
            [[(0.9, 0.0), (0.12, 0.0), (0.06, 0.47), *bowl]],
            [[(0.95, 0.0), (0.05, 0.0), (0.05, 0.45), *_arc(0.45, 0.7, 0.55, 0.3, 250, 490, square)]],
        ],
        six,
        [
            [[(0.0, 0.0), (1.0, 0.0), (0.35, 1.0)]],
            [[(0.0, 0.12), (0.0, 0.0), (1.0, 0.0), *_arc(1.1, 1.0, 0.75, 0.8, 250, 180)]],
            [[(0.0, 0.0), (1.0, 0.0), (0.4, 1.0)], [(0.3, 0.5), (0.9, 0.5)]],
        ],
        [
            [_arc(0.5, 0.24, 0.42, 0.24, 0, 360, square), _arc(0.5, 0.73, 0.5, 0.27, 0, 360, square)],
            [_arc(0.5, 0.25, 0.48, 0.25, 0, 360, square), _arc(0.5, 0.75, 0.48, 0.25, 0, 360, square)],
        ],
        nine,
    ]


def _stroke_field(face: int, digit: int) -> np.ndarray:
    """Signed distances of one digit of a stroke face: the distance to a skeleton, less half the stroke width."""
    half = (0.05, 0.075, 0.1)[face % 3]
    variants = _skeletons(square=(2.0, 2.6, 3.4)[face // 3 % 3])[digit]
    variant = variants[(face + digit) % len(variants)]
    box = np.array([(0.52, 0.6, 0.68)[face // 2 % 3] - half * 2, 1 - 2 * half])
    dots = np.concatenate([_densely((np.array(line) - 0.5) * box) for line in variant])
    axis = (np.arange(TILE) + 0.5) / TILE * SPAN - SPAN / 2
    x, y = np.meshgrid(axis, axis)
    nearest, _ = KDTree(dots).query(np.stack((x, y), -1))
    return half - nearest


def _densely(knots: np.ndarray) -> np.ndarray:
    """Points along a polyline, 0.004 digit heights apart at most."""
    counts = np.ceil(np.linalg.norm(np.diff(knots, axis=0), axis=1) / 0.004).astype(int)
    at = np.concatenate([i + np.arange(n) / n for i, n in enumerate(counts) if n] + [[len(counts)]])
    return np.stack([np.interp(at, np.arange(len(knots)), knots[:, k]) for k in (0, 1)], -1)
