"""Figures of faces and their descriptions: a trained model and data in, a matplotlib Figure out.

The paper's Figure 2 (`text_to_images`), Figure 7 with Table 20 (`random_faces`), edits of one word (`attribute_edits`)
and descriptions of faces (`images_to_text`). Contents are posterior means and one style goes through a whole row or
column, so that what differs between two pictures is what the figure is about.

Photographs are shown only where they are asked for: in place of a photograph stands what the model makes of it. Faces
that this project has drawn are shown as they are.
"""

import re
import textwrap
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from workbench.data.celeba.attributes import PHRASES, describe, encode_attributes, parse
from workbench.data.dataset import MultimodalDataset
from workbench.data.sources import is_rendered
from workbench.metrics.judges import Classifier
from workbench.model import MultimodalVAE
from workbench.plotting.base import panel, text_of
from workbench.studies.faces_edits import EDITS, Images, content_of, decode_images, edit, style_of

Rows = Int[Tensor, "n"] | Sequence[int]  # of a data set
CELL = 0.58  # inches of a face: ten of them and their descriptions fill a page
GAP, MARGIN = 0.03, 0.08
FONT = 9.0
LINE = 12 / 72  # inches of a line of text
LETTER = 5.2 / 72  # inches of a letter, on average
WORDS = 2.4  # inches of the descriptions at the left


def text_to_images(
    model: MultimodalVAE, descriptions: Sequence[str], columns: int = 10, fusion: str = "mixture", seed: int = 0
) -> Figure:
    """Draw faces generated from descriptions: a row each, every column in a random style of its own (Figure 2).

    Words in any order, with commas between them. `fusion` is the fusion that contents are inferred with. ValueError,
    with the nearest phrase, for a word that is none of the 40 attributes.
    """
    attributes = torch.stack([parse(text) for text in descriptions])
    content = content_of(model, "T", encode_attributes(attributes).long(), fusion)
    styles = model.prior(torch.zeros(columns, model.style_dim)).rsample(torch.Generator().manual_seed(seed))
    labels = [_wrap(describe(row), WORDS) for row in attributes]
    heights = [max(CELL, LINE * (label.count("\n") + 1)) + GAP for label in labels]
    title = "Faces from descriptions: contents are the means of q(c | text), each column has one random style"
    ax = _canvas(WORDS + columns * (CELL + GAP), sum(heights), title)
    top = 0.0
    for row, (label, height) in enumerate(zip(labels, heights, strict=True)):
        _write(ax, label, WORDS - 0.1, top + height / 2, ha="right", va="center")
        drawn = decode_images(model, content[row].expand(columns, -1), styles)
        _pictures(ax, drawn, WORDS, top + (height - GAP - CELL) / 2)
        top += height
    return ax.figure


def random_faces(model: MultimodalVAE, rows: int = 6, columns: int = 10, seed: int = 0) -> Figure:
    """Draw faces of random contents and styles, and the descriptions that the same contents give for the first row.

    Figure 7 and Table 20 of the paper.
    """
    generator = torch.Generator().manual_seed(seed)
    content = model.prior(torch.zeros(rows * columns, model.content_dim)).rsample(generator)
    style = model.prior(torch.zeros(len(model.letters), rows * columns, model.style_dim)).rsample(generator)
    values = model.generate(content.to(_device(model)), style.to(_device(model)))
    faces, texts = (values[model.letters.index(letter)].cpu() for letter in "IT")
    width = columns * (CELL + GAP)
    said = [_wrap(text_of(text) or "(no attribute)", width - 0.35) for text in texts[:columns]]
    ends = [LINE * (text.count("\n") + 1.3) for text in said]
    title = "Random faces, contents and styles from the prior; below, the descriptions of the first row"
    ax = _canvas(width, LINE + rows * (CELL + GAP) + 0.1 + sum(ends), title)
    for column in range(columns):
        _write(ax, str(column + 1), column * (CELL + GAP) + CELL / 2, LINE / 2, ha="center", va="center")
    for row in range(rows):
        _pictures(ax, faces[row * columns : (row + 1) * columns], 0.0, LINE + row * (CELL + GAP))
    top = LINE + rows * (CELL + GAP) + 0.1
    for number, (text, height) in enumerate(zip(said, ends, strict=True), start=1):
        _write(ax, str(number), 0.22, top, ha="right", va="top")
        _write(ax, text, 0.32, top, ha="left", va="top")
        top += height
    return ax.figure


def images_to_text(
    model: MultimodalVAE, data: MultimodalDataset, rows: Rows, fusion: str = "mixture", originals: bool | None = None
) -> Figure:
    """Draw faces, their own words, and the words that the model generates from the image alone; marks say which agree.

    `originals` shows the images of the data set themselves; None does where this project has drawn them.
    """
    images, attributes = _items(data, rows)
    shown, note = _faces(model, data, images, originals)
    text = model.letters.index("T")
    content = content_of(model, "I", images, fusion).to(_device(model))
    output = model.decode_one(text, content, content.new_zeros(len(content), model.style_dim))
    written = [text_of(x) for x in model.modalities[text].likelihood.mean(output).detach().cpu()]
    wide = 3.6
    said = [[_listed(side, wide) for side in marked(*pair)] for pair in zip(attributes, written, strict=True)]
    heights = [max(CELL, LINE * (max(a.count("\n"), b.count("\n")) + 1)) + 2 * GAP for a, b in said]
    title = f"{note}, its own words, and the words that the model reads off the image"
    key = "✓ in both, ○ missed, ✗ not its own, ? no attribute"
    ax = _canvas(CELL + 2 * wide + 0.3, LINE + sum(heights), f"{title}\n{key}")
    lefts = (CELL + 0.15, CELL + wide + 0.3)
    for left, heading in zip(lefts, ("its own words", "generated from the image"), strict=True):
        _write(ax, heading, left, 0.0, va="top", weight="bold")
    top = LINE * 1.2
    for face, pair, height in zip(shown, said, heights, strict=True):
        _pictures(ax, face.unsqueeze(0), 0.0, top)
        for left, words in zip(lefts, pair, strict=True):
            _write(ax, words, left, top, va="top")
        top += height
    return ax.figure


def marked(attributes: Bool[Tensor, "40"], written: str) -> tuple[list[str], list[str]]:
    """List a face's own words and those that were written about it, each behind a mark that says whether it is in both.

    ✓ in both, ○ one of its own that was not written, ✗ written but not its own, ? written but no attribute at all.
    """
    own = [phrase for phrase, has in zip(PHRASES, attributes.tolist(), strict=True) if has]
    words = [" ".join(word.split()) for word in written.split(",") if word.strip()]
    signs = {word: "✓" if word in own else "✗" if word in PHRASES else "?" for word in words}
    return [f"{'✓' if word in words else '○'} {word}" for word in own], [f"{signs[word]} {word}" for word in words]


def attribute_edits(
    model: MultimodalVAE,
    data: MultimodalDataset,
    rows: Rows,
    judge: Classifier | None = None,
    phrases: Sequence[str] = EDITS,
    fusion: str = "mixture",
    columns: int = 6,
    originals: bool | None = None,
) -> Figure:
    """Draw faces generated from their own words, and again with one word changed, in the style that their images have.

    The word of a row is added to the faces that lack it and taken from those that have it. A small picture shows what
    has changed, grey where nothing has. The first `columns` of `rows` are shown; the numbers are the probability that
    `judge`, that of images, gives the word before and after: a mean over all of `rows`.
    """
    images, attributes = _items(data, rows)
    style = style_of(model, "I", images)
    shown, note = _faces(model, data, images[:columns], originals)
    edits = [edit(model, attributes, style, phrase, fusion) for phrase in phrases]
    scale = torch.stack([(e.after - e.before)[:columns].mean(1).abs() for e in edits]).quantile(0.995).clamp(min=0.02)
    wide, high = 1.5 * CELL + GAP, CELL + 2 * GAP
    title = "One word changed, the image's style kept: + where it is added, − where it is taken away\n"
    title += f"Small: what has changed, white brighter and black darker by {scale:.2f} or more"
    title += f"; numbers: the judge's mean probability over {len(images)} faces" if judge else ""
    ax = _canvas(WORDS + len(shown) * (wide + GAP), (len(edits) + 2) * high, title)
    for row, (label, faces) in enumerate(((note, shown), ("From its own words", edits[0].before[:columns]))):
        _write(ax, _wrap(label, WORDS), WORDS - 0.1, row * high + CELL / 2, ha="right", va="center")
        _pictures(ax, faces, WORDS, row * high, wide + GAP)
    for row, edited in enumerate(edits, start=2):
        label = "\n".join([edited.phrase.capitalize(), *(edited.judged(judge) if judge else [])])
        _write(ax, label, WORDS - 0.1, row * high + CELL / 2, ha="right", va="center")
        _pictures(ax, edited.after[:columns], WORDS, row * high, wide + GAP)
        change = 0.5 + (edited.after - edited.before)[:columns].mean(1, keepdim=True) / (2 * scale)
        _pictures(ax, change, WORDS + CELL + GAP, row * high + CELL / 2, wide + GAP, CELL / 2)
        for column, added in enumerate(edited.added[:columns].tolist()):
            left = WORDS + column * (wide + GAP) + 1.25 * CELL
            _write(ax, "+" if added else "−", left, row * high + CELL / 4, ha="center", va="center", size=14.0)
    return ax.figure


def _items(data: MultimodalDataset, rows: Rows) -> tuple[Images, Bool[Tensor, "n 40"]]:
    """Images and attributes of rows of a data set."""
    batch = data.batch(torch.as_tensor(rows), torch.Generator().manual_seed(0))
    return batch.values[data.modalities.index("image")], batch.labels


def _faces(model: MultimodalVAE, data: MultimodalDataset, images: Images, originals: bool | None) -> tuple[Images, str]:
    """The faces as they may be shown, and what they are called."""
    if is_rendered(data.name) if originals is None else originals:
        return images.cpu(), "The face"
    content, style = content_of(model, "I", images), style_of(model, "I", images)
    return decode_images(model, content, style), "The face as the model reconstructs it"


def _listed(words: Sequence[str], width: float) -> str:
    return _wrap(", ".join(word.replace(" ", "\u00a0") for word in words), width) or "(none)"


def _device(model: MultimodalVAE) -> torch.device:
    return next(model.parameters()).device


# Drawing: one pair of axes in inches, from the top left


def _canvas(width: float, height: float, title: str) -> Axes:
    """Axes of that size in inches under a title, with a margin round them."""
    lines = "\n".join(_wrap(line, width + 2 * MARGIN) for line in title.split("\n"))
    above = LINE * (lines.count("\n") + 1.5) + MARGIN
    whole, tall = width + 2 * MARGIN, height + above + MARGIN
    figure, axes = panel(1, 1, whole, tall, layout=None)
    figure.subplots_adjust(MARGIN / whole, MARGIN / tall, 1 - MARGIN / whole, 1 - above / tall)
    ax = axes[0, 0]
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    ax.set_axis_off()
    figure.text(MARGIN / whole, 1 - MARGIN / tall, lines, fontsize=FONT, va="top", linespacing=1.2)
    return ax


def _pictures(
    ax: Axes, x: Float[Tensor, "n C H W"], left: float, top: float, step: float = CELL + GAP, size: float = CELL
) -> None:
    """Images side by side."""
    for n, image in enumerate(x.detach().float().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()):
        first = left + n * step
        ax.imshow(
            image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1,
            extent=(first, first + size, top + size, top), interpolation="nearest",
        )  # fmt: skip
    ax.set_aspect("auto")


def _write(ax: Axes, text: str, left: float, top: float, size: float = FONT, **style: str) -> None:
    ax.text(left, top, text, fontsize=size, linespacing=1.2, **style)


def _wrap(text: str, width: float) -> str:
    """A text in lines of so many inches at most."""
    return "\n".join(textwrap.wrap(re.sub(" +", " ", text), int(width / LETTER)))
