"""A figure as people meet it: sharp at the size shown, its words legible, and said in words to who does not see it."""

import base64
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

INCH = 96  # pixels of a page
SHARP = 144  # pixels of a file in an inch of the page
SMALLEST = 9.0  # points of any text
WIDEST = 8.8  # inches between the margins of a page, and of a notebook beside the file browser


@dataclass(frozen=True)
class Described:
    """A figure that a notebook shows with an alternative text: what is to be seen in it, and not its title again.

    Pages that nbconvert makes read the text from the output's metadata. JupyterLab 4.6 has no alternative text of
    images, and takes only the size.
    """

    figure: Figure
    alt: str
    kind: str = "png"  # or jpeg, for many small photographs

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Give what IPython shows: a picture of so many points to the inch, its text, size and smallest letters."""
        file, mime = sharp(self.figure, self.kind), f"image/{self.kind}"
        said = {"alt": self.alt, **size_shown(file), "points": smallest_text(self.figure)}
        data = base64.b64encode(file.getvalue()).decode()
        return {mime: data, "text/plain": repr(self.figure)}, {mime: said}


def sharp(figure: Figure, kind: str = "png") -> io.BytesIO:
    """Draw a figure as PNG or JPEG; a PNG without pictures in it needs 256 colours, a third of the bytes."""
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=SHARP, bbox_inches="tight", pad_inches=0.05)
    with Image.open(drawn) as image:
        colours = image.convert("RGB")
    if kind == "png" and not any(ax.images for ax in figure.axes):
        colours = colours.quantize(256, dither=Image.Dither.NONE)
    colours.save(file, format=kind, optimize=True, **({"quality": 70} if kind == "jpeg" else {}))
    return file


def size_shown(file: Any) -> dict[str, int]:
    """Return width and height in pixels of a page at which a sharp picture (a path, or an open file) is to be shown."""
    with Image.open(file) as image:
        return {name: round(x * INCH / SHARP) for name, x in zip(("width", "height"), image.size, strict=True)}


def smallest_text(figure: Figure) -> float:
    """Return the size in points of a figure's smallest text at the size shown: smaller where it is wider than a page.

    Infinite without any text.
    """
    texts = [x for x in figure.findobj(Text) if x.get_visible() and x.get_text().strip()]
    fits = min(1.0, WIDEST / figure.get_size_inches()[0])
    return fits * min((float(x.get_size()) for x in texts), default=float("inf"))


def ends(lines: Mapping[str, Any], form: str = ".3g") -> str:
    """Say in words where lines begin and end, given what is on them from left to right."""
    return "; ".join(f"{name} from {y[0]:{form}} to {y[-1]:{form}}" for name, y in lines.items())
