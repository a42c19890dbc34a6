"""A pad to draw a digit on, and the drawing as an image like MNIST's."""

import base64
from pathlib import Path

import anywidget
import torch
import torch.nn.functional as F
import traitlets
from jaxtyping import Float
from torch import Tensor

SIZE = 56  # pixels of a drawing's side, as pad.js sends it
SIDE, BOX = 28, 20  # of an image of MNIST, and of the box that its ink fits into
FAINT = 0.1  # less ink than this is taken for the edge of a line


class Pad(anywidget.AnyWidget):
    """A black square and a white pen: mouse, finger or keyboard.

    `ink` holds SIZE x SIZE bytes in base64, row by row from the top, 255 for ink; '' when it was never touched.
    """

    _esm = Path(__file__).parent / "pad.js"
    ink = traitlets.Unicode("").tag(sync=True)
    how = "Drawing pad for a digit. Arrow keys move the pen, space lowers and lifts it, c clears."
    label = traitlets.Unicode(how).tag(sync=True)

    def image(self) -> Float[Tensor, "1 28 28"] | None:
        """Return the drawing in MNIST's manner; None while nothing is drawn. ValueError when `ink` is no drawing."""
        if not self.ink:
            return None
        data = base64.b64decode(self.ink, validate=True)
        if len(data) != SIZE * SIZE:
            raise ValueError(f"a drawing has {SIZE} x {SIZE} bytes, not {len(data)}")
        return like_mnist(torch.frombuffer(bytearray(data), dtype=torch.uint8).view(SIZE, SIZE).float() / 255)


def like_mnist(drawing: Float[Tensor, "H W"]) -> Float[Tensor, "1 28 28"] | None:
    """Scale and place a drawing as MNIST's digits were; None when it holds no ink.

    LeCun et al. (1998) fitted the ink into a box of 20 x 20, its shape kept, and put its centre of mass into the
    centre of 28 x 28.
    """
    ink = (drawing > FAINT).nonzero()
    if len(ink) == 0:
        return None
    (top, left), (bottom, right) = ink.amin(0).tolist(), (ink.amax(0) + 1).tolist()
    cut = drawing[top:bottom, left:right]
    height, width = cut.shape
    scale = BOX / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    fitted = F.interpolate(cut[None, None], size=size, mode="bilinear", antialias=True, align_corners=False)[0, 0]
    return _centred(fitted / fitted.amax())


def _centred(ink: Float[Tensor, "h w"]) -> Float[Tensor, "1 28 28"]:
    """Ink with its centre of mass within half a pixel of MNIST's, pixel (14, 14), unless it would leave the image."""
    places = []
    for dim, length in enumerate(ink.shape):
        mass = ink.sum(1 - dim)
        centre = float((mass * torch.arange(length)).sum() / mass.sum())
        start = min(max(round(SIDE / 2 - centre), 0), SIDE - length)
        places.append(slice(start, start + length))
    image = ink.new_zeros(1, SIDE, SIDE)
    image[0, *places] = ink
    return image
