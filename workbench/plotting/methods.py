"""Pictures of several methods at once: differences that claims are about, and what one quality costs in another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from workbench.plotting.base import panel

MARKERS = ("D", "o", "s", "^", "v", "P")


def forest(rows: Mapping[str, Mapping[str, tuple[float, float]]], xlabel: str) -> Figure:
    """`rows[name][series]` is a difference and its standard error: a line for each row, a marker for each series.

    Bars are two standard errors; a series without an entry in a row is left out there.
    """
    series = list(dict.fromkeys(name for found in rows.values() for name in found))
    figure, axes = panel(1, 1, 8.2, 0.32 * len(rows) + 0.9)
    ax, palette = axes[0, 0], sns.color_palette("colorblind", len(series))
    for i, name in enumerate(series):
        shift = (i - (len(series) - 1) / 2) * 0.22
        found = [(y + shift, *row[name]) for y, row in enumerate(rows.values()) if name in row]
        y, x, error = np.array(found).T
        ax.errorbar(
            x, y, xerr=2 * np.nan_to_num(error), fmt=MARKERS[i % len(MARKERS)], markersize=4, linewidth=1.2,
            color=palette[i], label=name,
        )  # fmt: skip
    ax.axvline(0, color="0.4", linewidth=0.8)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=7)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(xlabel, fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.legend(fontsize=7, frameon=False, ncols=len(series), loc="lower left", bbox_to_anchor=(0, 1))
    sns.despine(ax=ax)
    return figure


def trade_off(points: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], xlabel: str, ylabel: str) -> Figure:
    """`points[panel][method]` holds (x, y) of every seed: one panel a data set, one colour a method.

    Methods whose name says MS are filled, the others hollow, in the colour of the method without it.
    """
    figure, axes = panel(1, len(points), 3.6, 3.0)
    colours = _colours([name for found in points.values() for name in found])
    plain = list(colours)
    for (title, found), ax in zip(points.items(), axes[0], strict=True):
        for name, pairs in found.items():
            colour, method = colours[_method(name)], _method(name)
            ax.scatter(
                *zip(*pairs, strict=True), s=34, marker=MARKERS[plain.index(method) % len(MARKERS)], linewidths=1.4,
                edgecolors=[colour], facecolors=[colour] if name != method else "none", label=name,
            )  # fmt: skip
        ax.set_title(title, fontsize=9)
        ax.set_xlabel(xlabel, fontsize=8)
        ax.locator_params(nbins=5)
        ax.tick_params(labelsize=7)
        sns.despine(ax=ax)
    axes[0, 0].set_ylabel(ylabel, fontsize=8)
    axes[0, -1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def loss_curves(histories: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], columns: int = 4) -> Figure:
    """`histories[method]` holds the history of every seed: a panel for each term, a line for each seed.

    Methods whose name says MS are dashed, in the colour of the method without it. The axes leave out the first tenth
    of the steps, which would flatten all the others. In nats per item.
    """
    terms = list(dict.fromkeys(term for found in histories.values() for h in found for term in h if term != "step"))
    columns = min(columns, len(terms))
    figure, axes = panel(-(-len(terms) // columns), columns, 2.3, 1.9)
    colours = _colours(histories)
    for ax, term in zip(axes.flat, terms, strict=False):
        shown = []
        for name, found in histories.items():
            style = _line_style(name, colours)
            for history in (h for h in found if term in h):
                ax.plot(history["step"], history[term], label=name, **style)
                shown += list(history[term])[len(history[term]) // 10 :]
        margin = 0.05 * (max(shown) - min(shown)) or 1.0
        ax.set_ylim(min(shown) - margin, max(shown) + margin)
        ax.set_title(term.replace("_", " "), fontsize=9)
        ax.set_xlabel("step", fontsize=8)
        ax.tick_params(labelsize=7)
        sns.despine(ax=ax)
    for ax in axes.flat[len(terms) :]:
        ax.axis("off")
    lines = {line.get_label(): line for ax in axes.flat for line in ax.get_lines()}
    figure.legend(lines.values(), lines, fontsize=8, frameon=False, loc="outside upper left", ncols=4)
    return figure


def _line_style(name: str, colours: Mapping[str, tuple[float, float, float]]) -> dict[str, Any]:
    """Colour and markers of the method, dashes for subspaces."""
    method = _method(name)
    marker = MARKERS[[*colours].index(method) % len(MARKERS)]
    dashes = "-" if name == method else "--"
    return dict(color=colours[method], linestyle=dashes, linewidth=1.1, marker=marker, markersize=3.5, markevery=0.3)


def _colours(names: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """A colour for each method, with or without subspaces."""
    plain = list(dict.fromkeys(_method(name) for name in names))
    return dict(zip(plain, sns.color_palette("colorblind", len(plain)), strict=True))


def _method(name: str) -> str:
    """The method's name without its note on subspaces: "MMVAE" of "MMVAE (MS)"."""
    return name.replace(" (MS)", "").replace(", MS)", ")")
