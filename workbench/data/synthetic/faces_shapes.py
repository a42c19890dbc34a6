"""What drawn faces are made of: a scene with one coordinate system per face, signed-distance shapes, and colours.

Lengths are in pixels of a face of middle size; u points to the right of the picture and v down, both from the middle
of the head. Fields are positive inside a shape. All steps work pixel by pixel and face by face, so that a face does
not depend on its neighbours in a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.synthetic import canvas
from workbench.data.synthetic.canvas import Number, ink

SIDE = 64
CENTRE = (32.0, 31.5)  # x and y of the middle of the head
SHIFT, SCALE, TURN = 2.0, (0.93, 1.07), 0.09  # pose: at most, in pixels each way; least and most; at most, in radians

# All that is free in a face, one uniform draw in [0, 1) each. Names say what is varied where it is used.
_DRAWS = """
shift_x shift_y scale turn yaw light_x light_y exposure warmth grain_x grain_y
ground_hue ground_saturation ground_value ground_angle ground_slope ground_second
cloth_hue cloth_saturation cloth_value shoulders tie_hue tie_value tie_stripes beads metal
skin_tone skin_hue face_width face_length jaw ears ear_drop freckles
hair_tone hair_hue hair_volume hair_length parting strands phase fringe
hat_kind hat_hue hat_saturation hat_value hat_tilt frame_hue frame_shape
eye_hue eye_value eye_gap eye_size gaze_x gaze_y brow_height brow_weight lean
nose_length mouth_width mouth_height smile gape lip_tone lipstick_hue shadow_hue beard_length blur
"""
DRAWS = tuple(_DRAWS.split())
_COLUMN = {name: k for k, name in enumerate(DRAWS)}
_HAS = {name: k for k, name in enumerate(ATTRIBUTES)}

Field = Float[Tensor, "n h w"]
Each = Float[Tensor, "n 1 1"]  # one number for each face
Colour = Float[Tensor, "n 3 1 1"]


def draw_styles(count: int, seed: int) -> Float[Tensor, "count draws"]:
    """Draw all that is not said by attributes, one row of `DRAWS` each; a larger count begins with the same rows."""
    return torch.rand(count, len(DRAWS), generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Scene:
    """Faces being painted, or a part of their pictures: everything in it can be cut to a window or to some faces."""

    image: Float[Tensor, "n 3 h w"]
    u: Field
    v: Field
    attributes: Float[Tensor, "n 40"]
    styles: Float[Tensor, "n draws"]
    paints: dict[str, Tensor]  # colours and sizes that several parts need, one for each face

    @classmethod
    def of(cls, attributes: Tensor, styles: Tensor) -> "Scene":
        """Return an empty picture for each face, with the coordinates of its pose."""
        axis, n = torch.arange(SIDE) + 0.5, len(styles)
        flat = (axis - CENTRE[0]).expand(n, SIDE, SIDE), (axis[:, None] - CENTRE[1]).expand(n, SIDE, SIDE)
        still = cls(torch.zeros(n, 3, SIDE, SIDE), *flat, attributes.float(), styles, {})
        x, y = (field - still.vary(f"shift_{way}", -SHIFT, SHIFT) for way, field in zip("xy", flat, strict=True))
        turn, scale = still.vary("turn", -TURN, TURN), still.vary("scale", *SCALE)
        u, v = (x * turn.cos() + y * turn.sin()) / scale, (y * turn.cos() - x * turn.sin()) / scale
        return replace(still, u=u, v=v)

    def has(self, attribute: str) -> Each:
        """Return 1.0 where the attribute is present."""
        return self.attributes[:, _HAS[attribute], None, None]

    def vary(self, name: str, low: Number, high: Number) -> Each:
        """Return the draw of that name, between two numbers."""
        return low + (high - low) * self.styles[:, _COLUMN[name], None, None]

    def near(self, left: Number, top: Number, right: Number, bottom: Number) -> "Scene":
        """Cut out the part of the pictures that can hold this box of coordinates in any pose; not to be cut again."""
        reach = SCALE[1] * 1.01
        across, down = TURN * max(abs(top), abs(bottom)), TURN * max(abs(left), abs(right))
        columns = _span(CENTRE[0], left * reach - across, right * reach + across)
        rows = _span(CENTRE[1], top * reach - down, bottom * reach + down)
        cut = (slice(None), rows, columns)
        return replace(self, image=self.image[:, :, rows, columns], u=self.u[cut], v=self.v[cut])

    def only(self, chosen: Tensor) -> Iterator["Scene"]:
        """Paint on the faces where an [n, 1, 1] condition holds, in the one turn of a loop; no turn for none."""
        rows = (chosen.flatten() > 0).nonzero().flatten()
        if len(rows):
            fields = {name: getattr(self, name)[rows] for name in ("image", "u", "v", "attributes", "styles")}
            some = Scene(**fields, paints={name: paint[rows] for name, paint in self.paints.items()})
            yield some
            self.image[rows] = some.image

    def paint(self, cover: Field, colour: Tensor) -> None:
        """Lay a colour over the picture, where and as much as `cover` says (0..1)."""
        self.image.lerp_(colour, cover[:, None])

    def shade(self, cover: Field, factor: Number = 0.0) -> None:
        """Darken the picture to `factor` of its light where `cover` is 1, and less where it is less."""
        self.image.mul_((1 - (1 - factor) * cover)[:, None])


def _span(centre: float, low: float, high: float) -> slice:
    return slice(max(0, int(centre + low - SHIFT - 1)), min(SIDE, int(centre + high + SHIFT + 2)))


def smooth(field: Field, softness: Tensor | Number) -> Field:
    """Return `ink` with an edge that begins and ends gently, for shadows and blushes."""
    cover = ink(field, softness)
    return cover * cover * (3 - 2 * cover)


def ellipse(u: Field, v: Field, across: Tensor | Number, down: Tensor | Number) -> Field:
    """Return distance to an ellipse round (0, 0), good near its edge: the radii's mean stands for the local one."""
    return (1 - ((u / across) ** 2 + (v / down) ** 2).sqrt()) * ((across + down) / 2)


def bar(field: Field, half: Tensor | Number) -> Field:
    """Return distance to the line along `field` = 0, of that half width."""
    return half - field.abs()


def turned(u: Field, v: Field, angle: Number) -> tuple[Field, Field]:
    """Return coordinates turned clockwise by an angle in radians."""
    angle = torch.tensor(float(angle))
    return u * angle.cos() + v * angle.sin(), v * angle.cos() - u * angle.sin()


def rgb(red: Number, green: Number, blue: Number) -> Float[Tensor, "1 3 1 1"]:
    return torch.tensor([float(red), float(green), float(blue)]).view(1, 3, 1, 1)


def mix(one: Tensor, other: Tensor, share: Tensor | Number) -> Colour:
    """Mix one colour (share 0) with another (share 1); shares [n, 1, 1]."""
    share = share[:, None] if isinstance(share, Tensor) else share
    return one + (other - one) * share


def tint(hue: Each, saturation: Tensor | Number, value: Tensor | Number) -> Colour:
    """Return colours by hue (in turns: 0 red, 1/3 green, 2/3 blue), saturation and value (HSV)."""
    return canvas.tint(*(p[:, None] if isinstance(p, Tensor) else p for p in (hue, saturation, value)))
