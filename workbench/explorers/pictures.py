"""Generations as HTML: pictures with a text for those who do not see them, and what the judges say in words.

Explorers show HTML rather than figures: it is drawn in a few milliseconds, read aloud by screen readers, and its text
can be selected. Every picture says the same by its alternative text, and no meaning is carried by colour alone.
"""

import base64
import io
from collections.abc import Sequence
from html import escape

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from workbench.plotting.base import is_description, text_of

SIDE = 84  # pixels of a picture's longer side on the page
BLOCKS = "▁▂▃▄▅▆▇█"  # a probability from 0 to 1 as the height of a bar
STYLE = """<style>
.workbench table { border-collapse: collapse; margin: 4px 0 }
.workbench th, .workbench td { padding: 3px 6px; text-align: center; vertical-align: top; font-weight: normal }
.workbench th { text-align: left; vertical-align: middle; white-space: nowrap; font-weight: 600 }
.workbench thead th { text-align: center }
.workbench img { image-rendering: pixelated; display: block; margin: 0 auto 2px; border: 1px solid #555 }
.workbench .text { font: 15px/1.25 monospace; white-space: pre; margin: 0 }
.workbench .bars { opacity: .45 }
.workbench .words { font-size: 12px; line-height: 1.35; text-align: left; min-width: 96px; max-width: 240px;
  overflow-wrap: anywhere; margin: 0 auto }
.workbench .note { font-size: 12px; line-height: 1.3; white-space: normal; opacity: .85 }
.workbench td .note { max-width: 210px; margin: 0 auto }
.workbench .alert { border-left: 4px solid #b34700; padding: 2px 8px; margin: 4px 0 }
.widget-tab .lm-TabBar-tabLabel { color: var(--jp-ui-font-color1, #212121) }
</style>"""


def page(*parts: str) -> str:
    """Put parts of HTML in one block with the explorers' style."""
    return f'{STYLE}<div class="workbench">{"".join(parts)}</div>'


def table(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], caption: str = "") -> str:
    """Make a table with headings above and, before each row, its name; cells are HTML, headings and names are text."""
    head, body = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", *headings)), ""
    for name, cells in rows:
        body += f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def message(text: str) -> str:
    """Say in a line what is wrong and how to mend it; announced by screen readers when it appears."""
    return f'<p class="alert" role="alert">⚠ {escape(text)}</p>'


def note(*lines: str) -> str:
    """Put lines in small print."""
    return f'<div class="note">{"<br>".join(map(escape, lines))}</div>'


def cell(name: str, x: Tensor, said: str = "", side: int = SIDE) -> str:
    """Show one value of a modality and, below it, what the judge has said; `name` begins its alternative text.

    An image `[C, H, W]` becomes a picture; tokens `[length]` and probabilities `[length, alphabet]` become text.
    """
    below = note(said) if said else ""
    if x.dim() != 3:
        return characters(x) + below
    alt = escape(f"{name}, judged {said}" if said else name, quote=True)
    return f'<img alt="{alt}" src="{data_url(to_png(x))}" height="{side}">{below}'


def characters(x: Tensor) -> str:
    """Show a string; of probabilities the likeliest characters, and below each a bar as high as its probability.

    A description is shown as words, without its filling and without bars.
    """
    if is_description(x):
        return f'<div class="words">{escape(text_of(x)) or "no attribute"}</div>'
    string = escape(text_of(x).replace(" ", "·"))
    if not x.is_floating_point():
        return f'<pre class="text">{string}</pre>'
    chances = x.amax(-1).tolist()
    bars = "".join(BLOCKS[min(int(p * len(BLOCKS)), len(BLOCKS) - 1)] for p in chances)
    title = " ".join(f"{p:.0%}" for p in chances)
    bars = f'<span class="bars" aria-hidden="true">{bars}</span>'
    return f'<pre class="text" title="probabilities: {title}">{string}\n{bars}</pre>'


def to_png(x: Float[Tensor, "C H W"]) -> bytes:
    """Return an image in [0, 1] as the bytes of a PNG file of as many pixels; values beyond are cut."""
    pixels = (x.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def data_url(png: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
