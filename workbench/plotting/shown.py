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

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Give what IPython shows: a picture of so many points to the inch, its text, size and smallest letters."""
        file = sharp_png(self.figure)
        said = {"alt": self.alt, **size_shown(file), "points": smallest_text(self.figure)}
        png = base64.b64encode(file.getvalue()).decode()
        return {"image/png": png, "text/plain": repr(self.figure)}, {"image/png": said}


def sharp_png(figure: Figure) -> io.BytesIO:
    """Draw a figure as a PNG; without pictures in it 256 colours do, in a third of the bytes."""
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=SHARP, bbox_inches="tight", pad_inches=0.05)
    with Image.open(drawn) as image:
        colours = image.convert("RGB")
    if not any(ax.images for ax in figure.axes):
        colours = colours.quantize(256, dither=Image.Dither.NONE)
    colours.save(file, format="png", optimize=True)
    return file


def size_shown(file: Any) -> dict[str, int]:
    """Return width and height in pixels of a page at which a sharp PNG (a path, or an open file) is to be shown."""
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
