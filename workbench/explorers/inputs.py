"""What is given to an explorer: for each modality a switch and a way to choose, draw or type its value.

Those of faces and their descriptions are in `inputs_faces`.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import torch
import torch.nn.functional as F
import traitlets
from jaxtyping import Float
from torch import Tensor

from workbench.data.text import WORDS, encode
from workbench.explorers.controls import close
from workbench.explorers.generation import test_item
from workbench.explorers.models import ExploredModel

DRAWABLE = (1, 28, 28)
SIZE = 56  # pixels of a drawing's side, as pad.js sends it
SIDE, BOX = 28, 20  # of an image of MNIST, and of the box that its ink fits into
FAINT = 0.1  # less ink than this is taken for the edge of a line


class Input:
    """The input of one modality: `widget` to show, `value` to read, `problem` and `remark` to tell.

    `value` is None while the modality is switched off, or on but without a drawing.
    """

    def __init__(self, explored: ExploredModel, letter: str, given: bool = True) -> None:
        name = explored.model.modalities[explored.index(letter)].name
        self.explored, self.letter = explored, letter
        self.problem = self.remark = ""
        self.given = widgets.Checkbox(given, description=f"{letter}: {name} is given", indent=False)
        self._listeners: list[Callable[[], None]] = []
        self.given.observe(self._changed, names="value")
        self.widget = widgets.VBox([self.given])
        self._show()

    def value(self) -> Tensor | None:
        """The value of the modality, without a batch dimension, or None."""
        return self.read() if self.given.value else None

    def read(self) -> Tensor | None:
        """What the controls say, whether the modality is switched on or not."""
        raise NotImplementedError

    def controls(self) -> list[widgets.Widget]:
        """What is shown while the modality is given."""
        raise NotImplementedError

    def on_change(self, call: Callable[[], None]) -> None:
        """Call a function whenever the value may have changed."""
        self._listeners.append(call)

    def _watch(self, *controls: widgets.Widget, names: str = "value") -> None:
        for control in controls:
            control.observe(self._changed, names=names)

    def _show(self) -> None:
        self.widget.children = [self.given, *(self.controls() if self.given.value else [])]

    def close(self) -> None:
        """Close all its widgets, those that are not shown among them."""
        close(*(value for value in vars(self).values() if isinstance(value, widgets.Widget)))

    def _changed(self, *_: Any) -> None:
        self._show()
        for call in self._listeners:
            call()


class ImageInput(Input):
    """An image: the test items of a class, one after the other, or a drawing where the modality is handwriting."""

    def __init__(self, explored: ExploredModel, letter: str, given: bool = True, digit: int = 3) -> None:
        self.digit = widgets.Dropdown(options=list(range(10)), value=digit, description="class", layout=narrow())
        self.number = widgets.BoundedIntText(0, min=0, max=9999, description="example", layout=narrow())
        self.item = widgets.VBox([self.digit, self.number])
        self.pad = Pad()
        self.source = widgets.ToggleButtons(options=["test item", "drawing"], style={"button_width": "auto"})
        self.drawable = explored.data.shapes[explored.index(letter)] == DRAWABLE
        super().__init__(explored, letter, given)
        self._watch(self.digit, self.number, self.source)
        self._watch(self.pad, names="ink")

    def controls(self) -> list[widgets.Widget]:
        """A choice between test items and drawing, and what belongs to it."""
        if not self.drawable:
            return [self.item]
        return [self.source, self.pad if self.source.value == "drawing" else self.item]

    def read(self) -> Tensor | None:
        """The chosen test item, or the drawing; None, with a remark, while nothing is drawn."""
        self.remark = ""
        if self.drawable and self.source.value == "drawing":
            if (drawing := self.pad.image()) is None:
                self.remark = f"{self.letter}: draw a digit; until then it is not given."
            return drawing
        return test_item(self.explored, self.digit.value, self.number.value)[self.letter]


class TextInput(Input):
    """A text, typed. What cannot be read leaves the last readable text in place, with a problem to tell."""

    def __init__(self, explored: ExploredModel, letter: str, given: bool = True, word: str = "three") -> None:
        self.text = widgets.Text(word, description="word", placeholder="zero ... nine", layout=narrow("220px"))
        self._last = encode(word)
        super().__init__(explored, letter, given)
        self._watch(self.text)

    def controls(self) -> list[widgets.Widget]:
        """The field to type in."""
        return [self.text]

    def read(self) -> Tensor:
        """Tokens of the text, in lower case, blanks before it kept."""
        typed, self.problem, self.remark = self.text.value.lower(), "", ""
        try:
            self._last = encode(typed)
        except ValueError as error:
            self.problem = f"{self.letter}: {error}. The last readable text is still in use."
        else:
            odd = f"{self.letter}: {typed!r} is no digit from {WORDS[0]} to {WORDS[-1]}: no model has seen it."
            self.remark = "" if typed.strip() in WORDS else odd
        return self._last.long()


def item_of(inputs: list[Input]) -> dict[str, Tensor]:
    """Collect what is given, by letter."""
    values = {one.letter: one.value() for one in inputs}
    return {letter: x for letter, x in values.items() if x is not None}


def narrow(width: str = "170px") -> widgets.Layout:
    """Return the layout of a control of that width."""
    return widgets.Layout(width=width)


# A pad to draw a digit on, and the drawing as an image like MNIST's


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
