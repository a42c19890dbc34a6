"""Pictures of several methods at once: differences that claims are about, and what one quality costs in another."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.plotting.base import dress, known, legend, panel, panels

MARKERS = ("D", "o", "s", "^", "v", "P")
Estimates = Mapping[str, tuple[float, float]]  # a mean and half of its interval, by series


def forest(
    rows: Mapping[str, Estimates], xlabel: str, spans: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """`rows[name][series]` is a difference and half of its interval: a line for each row, a marker for each series.

    `spans[name]`, from a number to another, is shaded in a row. Names may have several lines. A half that is NaN has
    no bar; a series without an entry in a row is left out there.
    """
    lines = max((2, *(name.count("\n") + 1 for name in rows)))
    figure, axes = panel(1, 1, 8.8, (0.04 + 0.16 * lines) * len(rows) + 1.0)
    ax = axes[0, 0]
    whiskers(ax, rows, MARKERS, apart=0.22)
    ax.axvline(0, color="0.4", linewidth=0.8)
    low, high = ax.get_xlim()
    for y, name in enumerate(rows):
        left, right = np.clip((spans or {}).get(name, (0, 0)), low, high)
        ax.broken_barh([(left, right - left)], (y - 0.42, 0.84), facecolor="0.91", zorder=0)
    ax.set_xlim(low, high)
    ax.set_yticks(range(len(rows)), list(rows))
    legend(figure, "outside upper right", ncols=3)
    dress(ax, xlabel)
    return figure


def whiskers(ax: Axes, rows: Mapping[str, Estimates], markers: Sequence[str], apart: float) -> list[str]:
    """Draw `rows[name][series]` from the top down, series so far `apart`, with their intervals; names them.

    A half that is NaN has no bar; a series without an entry in a row is left out there.
    """
    series = list(dict.fromkeys(name for found in rows.values() for name in found))
    for i, (name, colour) in enumerate(zip(series, sns.color_palette("colorblind", len(series)), strict=True)):
        shift = (i - (len(series) - 1) / 2) * apart
        y, x, half = np.array([(y + shift, *row[name]) for y, row in enumerate(rows.values()) if name in row]).T
        look = {"fmt": markers[i % len(markers)], "markersize": 4, "linewidth": 1.2, "color": colour}
        ax.errorbar(x, y, xerr=np.nan_to_num(half), label=name, **look)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    return series


def trade_off(points: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], xlabel: str, ylabel: str) -> Figure:
    """`points[panel][method]` holds (x, y) of every seed: one panel a data set, one colour a method.

    Methods whose name says MS are filled, the others hollow, in the colour of the method without it.
    """
    figure, axes = panel(1, len(points), 3.6, 3.0)
    looks = _looks([name for found in points.values() for name in found])
    for (title, found), ax in zip(points.items(), axes[0], strict=True):
        for name, pairs in found.items():
            colour, marker = looks[_method(name)]
            filled = [colour] if name != _method(name) else "none"
            style = {"s": 34, "marker": marker, "linewidths": 1.4, "edgecolors": [colour], "facecolors": filled}
            ax.scatter(*zip(*pairs, strict=True), label=name, **style)
        ax.locator_params(nbins=5)
        dress(ax, xlabel, ylabel if ax is axes[0, 0] else "", title)
    legend(figure)
    return figure


def centres(points: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], form: str = ".3g") -> str:
    """Say in words where the dots of `trade_off` are: x and y of each method, means over its seeds."""

    def of(found: Mapping[str, Sequence[tuple[float, float]]]) -> str:
        means = {name: np.mean(pairs, axis=0) for name, pairs in found.items()}
        return "; ".join(f"{name} {x:{form}} and {y:{form}}" for name, (x, y) in means.items())

    return ". ".join(f"{title}: {of(found)}" for title, found in points.items())


def loss_curves(histories: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], columns: int = 4) -> Figure:
    """`histories[method]` holds the history of every seed: a panel for each term, a line for each seed.

    Methods whose name says MS are dashed, in the colour of the method without it. The axes leave out the first tenth
    of the steps, which would flatten all the others. In nats per item.
    """
    terms = list(dict.fromkeys(term for found in histories.values() for h in found for term in h if term != "step"))
    figure, axes = panels(len(terms), columns, 2.3, 1.9)
    looks = _looks(histories)
    for ax, term in zip(axes.flat, terms, strict=False):
        shown = []
        for name, found in histories.items():
            colour, marker = looks[_method(name)]
            style = {"color": colour, "linestyle": "-" if name == _method(name) else "--", "linewidth": 1.1}
            style |= {"marker": marker, "markersize": 3.5, "markevery": 0.3}
            for history in (h for h in found if term in h):
                steps, values = known(history, term)
                ax.plot(steps, values, label=name, **style)
                shown += [*values[len(values) // 10 :]]
        shown = shown or [0.0]  # of a modality that no other one could predict nothing is known
        margin = 0.05 * (max(shown) - min(shown)) or 1.0
        ax.set_ylim(min(shown) - margin, max(shown) + margin)
        dress(ax, "step", title=term.replace("_", " "))
    legend(figure, "outside upper left", ncols=4)
    return figure


def _looks(names: Iterable[str]) -> dict[str, tuple[Any, str]]:
    """A colour and a marker for each method, with or without subspaces."""
    plain = list(dict.fromkeys(map(_method, names)))
    return dict(zip(plain, zip(sns.color_palette("colorblind", len(plain)), cycle(MARKERS), strict=False), strict=True))


def _method(name: str) -> str:
    """The method's name without its note on subspaces: "MMVAE" of "MMVAE (MS)"."""
    return name.replace(" (MS)", "").replace(", MS)", ")")
