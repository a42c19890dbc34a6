"""Pictures: tensors in, a matplotlib Figure out. Nothing is kept, nothing is trained or drawn from a model here."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PatchCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from workbench.data.alphabet import decode
from workbench.data.celeba import attributes
from workbench.plotting.shown import INCH, SMALLEST, WIDEST

CELL = 0.66  # inches of an item in a grid
LINE, LINES = 21, 10  # characters of a description in a line, lines of it in a grid
WORDS_CELL = 1.6  # inches of an item in a grid with descriptions
DIGIT_COLOURS = "tab10"


def panel(
    rows: int, columns: int, width: float = 0.8, height: float = 0.8, layout: str | None = "constrained"
) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns axes of the given size in inches; not registered with pyplot, so shown only once.

    Axes that are wider together than a page are made narrower. `layout` None leaves the margins to the caller.
    """
    size = (min(columns * width, WIDEST), rows * height)
    figure, axes = plt.subplots(rows, columns, figsize=size, dpi=INCH, squeeze=False, layout=layout)
    plt.close(figure)
    return figure, axes


def panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """Make `count` axes of the given size in lines of at most `columns`; what is left of the last line stays blank."""
    columns = min(columns, count)
    figure, axes = panel(-(-count // columns), columns, width, height)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return figure, axes


def dress(ax: Axes, xlabel: str, ylabel: str = "", title: str = "") -> None:
    """Give axes their words, of the smallest size that a page should have, and take the frame."""
    ax.set_title(title, fontsize=SMALLEST + 1)
    ax.set_xlabel(xlabel, fontsize=SMALLEST)
    ax.set_ylabel(ylabel, fontsize=SMALLEST)
    ax.tick_params(labelsize=SMALLEST)
    sns.despine(ax=ax)


def legend(figure: Figure, loc: str = "outside right upper", ncols: int = 1) -> None:
    """Put one legend beside the panels: of everything that is named in any of them, once."""
    named = {name: x for ax in figure.axes for x, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named, loc=loc, ncols=ncols, fontsize=SMALLEST, frameon=False)


def plain_ticks(axis: Axis, steps: Sequence[int] = (1, 2, 5)) -> None:
    """Put numbers without powers of ten on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def text_of(x: Tensor) -> str:
    """The string of one text item: its tokens, or the most likely character at each position.

    A description is without its filling.
    """
    tokens = x.argmax(-1) if x.is_floating_point() else x
    return (attributes.text_of if is_description(x) else decode)(tokens.unsqueeze(0))[0]


def is_description(x: Tensor) -> bool:
    """Whether an item is the description of a face: tokens `[256]`, or probabilities `[256, alphabet]`."""
    return x.dim() < 3 and len(x) == attributes.LENGTH


def item_grid(
    items: Sequence[Tensor | Sequence[Tensor]],
    names: Sequence[str],
    headings: Sequence[str] = (),
    cell: float | None = None,
) -> Figure:
    """A grid of items of any modality: one row of pictures for each sequence, named at the left; headings above.

    An item is a grey or colour image in [0, 1], tokens, or character probabilities, which are shown as a string;
    descriptions of faces are wrapped, and all items of their grid are larger. All are in one pair of axes: matplotlib
    takes a second to make and draw a hundred of them. `cell` is the size of an item in inches.
    """
    heights = [_height(row) for row in items]
    tops, columns = np.cumsum([0.0, *heights]), len(items[0])
    widest = max((TextPath((0, 0), name, size=9).get_extents().width / 66 for name in names if name), default=0.0)
    left = np.ceil(10 * widest + 1.4) / 10  # in tenths of an inch: fonts of another version move no picture
    above, edge = (0.22 if headings else 0.04), 0.04
    cell = cell or (WORDS_CELL if any(is_description(row[0]) for row in items) else CELL)
    cell = min(cell, (WIDEST - left - edge) / columns)
    width, height = columns * cell + left + edge, tops[-1] * cell + above + edge
    figure, axes = panel(1, 1, width, height, layout=None)
    figure.subplots_adjust(left / width, edge / height, 1 - edge / width, 1 - above / height)
    ax, frames = axes[0, 0], []
    for row, name, top, size in zip(items, names, tops, heights, strict=False):
        frames += [_place(ax, x, column + 0.5, top + size / 2) for column, x in enumerate(row)]
        ax.text(-0.1, top + size / 2, name, ha="right", va="center", fontsize=9)
    for column, heading in enumerate(headings):
        ax.text(column + 0.5, -0.05, heading, ha="center", va="bottom", fontsize=9)
    frames = [frame for frame in frames if frame]
    ax.add_collection(PatchCollection(frames, facecolor="none", edgecolor="0.1", linewidth=0.6))
    ax.set(xlim=(0, columns), ylim=(tops[-1], 0), aspect="auto")
    ax.set_axis_off()
    return figure


def _height(row: Tensor | Sequence[Tensor]) -> float:
    """Of a row in units of an image's: a word needs less, a description as many lines as the longest has."""
    if row[0].dim() == 3:
        return 1.0
    if not is_description(row[0]):
        return 0.45
    return 0.1 + 0.1 * max(wrapped(text_of(x)).count("\n") + 1 for x in row)


def wrapped(text: str, width: int = LINE, lines: int = LINES) -> str:
    """A description in lines of so many characters, runs of blanks as one, what is beyond the last line cut."""
    return "\n".join(textwrap.wrap(" ".join(text.split()), width, max_lines=lines, placeholder=" ..."))


def _place(ax: Axes, x: Tensor, column: float, row: float) -> Rectangle | None:
    """Draw an item round a place; returns the frame of an image."""
    if is_description(x):
        ax.text(column, row, wrapped(text_of(x)), ha="center", va="center", fontsize=9, linespacing=1.1)
        return None
    if x.dim() != 3:
        ax.text(column, row, text_of(x).replace(" ", "·"), ha="center", va="center", family="monospace", fontsize=9)
        return None
    pixels = x.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    height, width = (0.94 * n / max(pixels.shape[:2]) for n in pixels.shape[:2])
    left, right, top, bottom = column - width / 2, column + width / 2, row - height / 2, row + height / 2
    image = pixels if pixels.shape[2] == 3 else pixels[..., 0]
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(left, right, bottom, top))
    return Rectangle((left, top), width, height)


def training_curves(histories: Mapping[str, Mapping[str, Sequence[float]]], terms: Sequence[str]) -> Figure:
    """Terms of the loss over the steps, one panel a term, one line a run; in nats per item.

    Beside the total stands, dotted, that of the items that were held back, where a run held some back.
    """
    figure, axes = panel(1, len(terms), 2.7, 2.3)
    for term, ax in zip(terms, axes[0], strict=True):
        for name, history in histories.items():
            if term in history:
                line = ax.plot(history["step"], history[term], label=name, linewidth=1.2)[0]
            if term == "total" and "validation" in history:
                style = {"color": line.get_color(), "linestyle": ":", "label": f"{name}, held back"}
                ax.plot(*known(history, "validation"), **style)
        dress(ax, "step", "nats per item" if ax is axes[0, 0] else "", term.replace("_", " "))
    if len(axes[0, 0].get_lines()) > 1:
        legend(figure, "outside upper left", ncols=4)
    return figure


def known(history: Mapping[str, Sequence[float]], term: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which a term was known, and what it was: held-back items are not looked at in every row."""
    steps, values = np.asarray(history["step"]), np.asarray(history[term])
    return steps[~np.isnan(values)], values[~np.isnan(values)]


def accuracy_bars(
    groups: Mapping[str, Mapping[str, float]],
    title: str,
    chance: float = 0.1,
    errors: Mapping[str, Mapping[str, float]] | None = None,
    words: tuple[str, str] = ("accuracy", "chance"),
) -> Figure:
    """Accuracies side by side: one cluster of bars for each subset, one bar for each method.

    `errors`, of the groups that have them, are drawn as whiskers of that length up and down. `words` name the height
    of a bar and the line at `chance`, where these are something else.
    """
    figure, axes = panel(1, 1, 7.5, 2.6)
    ax, names = axes[0, 0], list(next(iter(groups.values())))
    width = 0.8 / len(groups)
    palette = sns.color_palette("colorblind", len(groups))
    for i, (method, values) in enumerate(groups.items()):
        places = np.arange(len(names)) + (i - (len(groups) - 1) / 2) * width
        whiskers = [errors[method][name] for name in names] if errors and method in errors else None
        heights = [values[name] for name in names]
        ax.bar(places, heights, width, label=method, color=palette[i], yerr=whiskers, ecolor="0.15", capsize=2)
    ax.axhline(chance, color="0.4", linestyle=":", linewidth=1, label=words[1])
    ax.set_xticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(0, 1.02)
    ax.set_ylabel(words[0], fontsize=9)
    ax.tick_params(axis="y", labelsize=9)
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=9, frameon=False, ncols=min(len(groups) + 1, 3), loc="upper center", bbox_to_anchor=(0.5, -0.14))
    sns.despine(ax=ax)
    return figure


def coherence_map(coherence: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Conditional coherence of every target (rows) given every subset (columns), as an annotated heat map."""
    targets, subsets = list(coherence), list(next(iter(coherence.values())))
    values = torch.tensor([[coherence[t][s] for s in subsets] for t in targets])
    return share_maps({title: values}, targets, subsets, ("generated", "given"))


def class_coherence(by_class: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Coherence of every path (rows) for the items of every class (columns); blank for a class without items."""
    values = torch.tensor([*map(list, by_class.values())])
    classes = [str(c) for c in range(values.shape[1])]
    return share_maps({title: values}, [*by_class], classes, ("", "class of what is given"), cell=0.7)


def confusion_maps(
    counts: Mapping[str, Int[Tensor, "C C"] | Sequence[Sequence[int]]],
    axes: tuple[str, str] = ("given", "judged"),
    columns: int = 6,
) -> Figure:
    """Confusion counts as small maps, at most `columns` in a line: every row as shares of its items.

    All maps share one colour bar, whose scale goes with the square root so that rare confusions are seen, too.
    """
    figure, grid = panels(len(counts), columns, 1.75, 2.05)
    norm = PowerNorm(0.5, 0, 1)
    for i, (ax, (title, rows)) in enumerate(zip(grid.flat, counts.items(), strict=False)):
        found = torch.as_tensor(rows).double()
        shares = (found / found.sum(1, keepdim=True)).cpu().numpy()  # NaN, and blank, where a class has no items
        drawn = ax.imshow(shares, cmap="viridis", norm=norm)
        ax.set_title(title, fontsize=9)
        ax.set_xticks(range(len(found)))
        ax.set_yticks(range(len(found)))
        ax.tick_params(labelsize=9, length=0)
        ax.set_xlabel(axes[1], fontsize=9)
        if i % grid.shape[1] == 0:
            ax.set_ylabel(axes[0], fontsize=9)
    bar = figure.colorbar(drawn, ax=grid, ticks=[0, 0.05, 0.25, 0.5, 1], aspect=30, pad=0.02)
    bar.set_label("share of the row", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    return figure


def code_scatter(
    points: Mapping[str, Float[Tensor, "n 2"]], labels: Int[Tensor, "n"], axis_names: tuple[str, str]
) -> Figure:
    """Two coordinates of codes, one panel for each name, coloured by digit; all panels share their limits."""
    figure, axes = panel(1, len(points), 2.6, 2.6)
    for (name, xy), ax in zip(points.items(), axes[0], strict=True):
        dots = ax.scatter(*xy.T.cpu().numpy(), c=labels.cpu().numpy(), cmap=DIGIT_COLOURS, s=4, vmin=-0.5, vmax=9.5)
        ax.set_title(name, fontsize=9)
        ax.sharex(axes[0, 0])
        ax.sharey(axes[0, 0])
        ax.set_xlabel(axis_names[0], fontsize=9)
        ax.tick_params(labelsize=9)
    axes[0, 0].set_ylabel(axis_names[1], fontsize=9)
    figure.colorbar(dots, ax=axes[0, -1], ticks=range(10), label="digit")
    return figure


def lines_over_steps(curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], ylabel: str) -> Figure:
    """`curves[panel][line]` holds (step, value) pairs: one panel a subset or path, one line a method."""
    figure, axes = panel(1, len(curves), 2.5, 2.4)
    for (title, lines), ax in zip(curves.items(), axes[0], strict=True):
        for name, pairs in lines.items():
            ax.plot(*zip(*pairs, strict=True), marker=".", label=name, linewidth=1.2)
        ax.set_ylim(0, 1.02)
        dress(ax, "step", ylabel if ax is axes[0, 0] else "", title)
    legend(figure, "outside upper left", ncols=4)
    return figure


def share_maps(
    maps: Mapping[str, Float[Tensor, "rows columns"]],
    rows: Sequence[str],
    columns: Sequence[str],
    axes: tuple[str, str],
    cell: float = 0.62,
) -> Figure:
    """Matrices of shares in [0, 1] as annotated heat maps side by side; `axes` names what rows and columns are.

    `cell` is the width of a cell in inches, row names included: more for long ones.
    """
    figure, line = panel(1, len(maps), cell * len(columns) + 0.6, 0.5 * len(rows) + 0.7)
    for (title, values), ax in zip(maps.items(), line[0], strict=True):
        sns.heatmap(
            values.cpu().numpy(), vmin=0, vmax=1, annot=True, fmt=".2f", cmap="viridis", ax=ax, cbar=False,
            xticklabels=columns, yticklabels=rows, annot_kws={"fontsize": 9},
        )  # fmt: skip
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(axes[1], fontsize=9)
        ax.tick_params(labelsize=9, rotation=0, length=0)
    line[0, 0].set_ylabel(axes[0], fontsize=9)
    return figure


def log_lines(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], xlabel: str, ylabel: str = ""
) -> Figure:
    """`curves[panel][line]` holds (x, y) pairs, drawn on doubly logarithmic axes; the ticks are the x of the pairs."""
    figure, axes = panel(1, len(curves), 3.8, 2.8)
    for (title, lines), ax in zip(curves.items(), axes[0], strict=True):
        for (name, pairs), dash in zip(lines.items(), ("-", "--", "-.", ":") * len(lines), strict=False):
            ax.loglog(*zip(*pairs, strict=True), marker=".", linestyle=dash, label=name, linewidth=1.5)
        ticks = sorted({x for pairs in lines.values() for x, _ in pairs})
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.xaxis.minorticks_off()
        low, high = ax.get_ylim()
        plain_ticks(ax.yaxis, (1, 2, 5) if high < 30 * low else (1,))  # exponents would be too small to read
        dress(ax, xlabel, ylabel if ax is axes[0, 0] else "", title)
    legend(figure)
    return figure
