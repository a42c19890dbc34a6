"""Pictures of the family: a mean of densities in one and two dimensions, methods as named points, lines over a dial."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.transforms import Bbox
from torch import Tensor

from workbench.plotting.base import dress, legend, panel, panels, plain_ticks
from workbench.plotting.curves import DASHES, PALETTE

Pair = tuple[float, float]  # a mean and half of its 95 % interval, which is NaN where there is one seed
POOLED, BESIDE = "mean of order a", "barycenter"  # of the dial, and what stands beside it
LOOKS = {POOLED: {"color": "0.1", "linewidth": 1.8}, BESIDE: {"color": PALETTE[4], "linewidth": 1.6}}
SIGNS = ("o", "s", "^", "D", "v", "P")
REACH = (11, 14, 18, 24, 31, 39, 48, 58, 70, 84, 100)  # points from a dot to its name: as near as there is room


# The dial


def dial(
    z: Float[Tensor, "points"],
    line: Mapping[str, Float[Tensor, "points"]],
    plane: tuple[Float[Tensor, "axis"], Float[Tensor, "axis axis"]],
    ellipses: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    along: Mapping[str, tuple[Float[Tensor, "orders"], Float[Tensor, "orders"], float, float]],
) -> Figure:
    """Densities on a line, contours in a plane, and below them numbers along the dial.

    `line` and `ellipses` (means, standard deviations) go by name: experts first, then POOLED and BESIDE; of POOLED the
    plane has contours, of `plane`: its axis and the density on it, first coordinate first. `along[name]` holds
    orders a, the number at each, the order that is shown, and the number of BESIDE, a level.
    """
    figure, axes = panel(2, 2, 3.4, 2.35, layout=None)  # fixed margins: a slider's picture must not take half a second
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.1, top=0.87, wspace=0.22, hspace=0.45)
    experts = [name for name in line if name not in LOOKS]
    looks = {n: {"color": PALETTE[i], "linestyle": DASHES[1 + i % 4]} for i, n in enumerate(experts)} | LOOKS
    for name, density in line.items():
        axes.flat[0].plot(z, density, label=name, **{"linewidth": 1.3} | looks[name])
    axes.flat[0].fill_between(z, line[POOLED], color="0.1", alpha=0.15, linewidth=0)
    axes.flat[0].set_ylim(bottom=0)
    dress(axes.flat[0], "z", "density", "one dimension")
    _plane(axes.flat[1], plane, ellipses, looks)
    for ax, (name, (orders, values, shown, level)) in zip(axes.flat[2:], along.items(), strict=True):
        ax.plot(orders, values, **LOOKS[POOLED])
        ax.plot([shown], np.interp([shown], orders, values), "o", color="0.1", markersize=7)
        ax.axhline(level, linestyle=(0, (4, 2)), **LOOKS[BESIDE])
        dress(ax, "order a: 0 geometric, 1/2 Hellinger, 1 arithmetic", "nats", f"{name}, one dimension")
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", ncols=len(line), fontsize=9, frameon=False, columnspacing=1.2)
    return figure


def _plane(ax: Axes, plane: tuple[Tensor, Tensor], ellipses: Mapping, looks: Mapping[str, Mapping]) -> None:
    """Contours at shares of the highest density, and ellipses at one standard deviation."""
    axis, density = plane
    top = density.max().item()
    shades = {"levels": [top * share for share in (0.03, 0.1, 0.3, 0.6, 0.9, 1.01)], "cmap": "Greys", "vmax": 1.3 * top}
    ax.contourf(axis, axis, density.T, **shades)
    for name, (mean, deviation) in ellipses.items():
        width, height = (2 * x for x in deviation)
        ax.add_patch(Ellipse(tuple(mean), width, height, fill=False, **{"linewidth": 1.3} | looks[name]))
    ax.set(aspect="equal", xlim=(-4, 4), ylim=(-3, 3))
    dress(ax, "first coordinate", "second", "two dimensions")


def over_orders(lines: Mapping[str, Mapping[str, Mapping[float, Pair]]], ends: float, ylabel: str = "") -> Figure:
    """`lines[panel][line][place]` is a mean and half of its interval: orders a up to 1, and one beyond `ends`, BESIDE.

    Bars are the intervals; a single seed has none.
    """
    figure, axes = panels(len(lines), 2, 3.9, 2.5)
    for ax, (title, found) in zip(axes.flat, lines.items(), strict=False):
        for i, (name, points) in enumerate(found.items()):
            look = {"color": PALETTE[i], "marker": SIGNS[i], "markersize": 5, "capsize": 2, "linewidth": 1.3}
            for label, shown in ((name, _part(points, ends, False)), (None, _part(points, ends, True))):
                x = np.array([*shown]) + 0.012 * (2 * i - len(found) + 1)  # side by side where they meet
                y, error = np.array([*shown.values()]).reshape(-1, 2).T
                ax.errorbar(x, y, yerr=np.nan_to_num(error), label=label, linestyle=DASHES[i], **look)
        ax.axvline(ends, color="0.8", linewidth=0.8)
        _widen(ax, 0.05)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1, 2 * ends - 1], ["0", "¼", "½", "¾", "1", BESIDE])
        dress(ax, "order a of the mean", ylabel, title)
    for ax in axes.flat[len(lines) :]:
        ax.axis("off")
    legend(figure, "outside upper left", ncols=4)
    return figure


def _part(points: Mapping[float, Pair], ends: float, beyond: bool) -> dict[float, Pair]:
    return {x: points[x] for x in sorted(points) if (x > ends) is beyond}


# Methods as points


def named_points(
    panels_of: Mapping[str, Mapping[str, tuple[Pair, Pair]]],
    kinds: Mapping[str, str],
    xlabel: str,
    ylabels: Sequence[str],
    turned: Sequence[bool] = (),
) -> Figure:
    """`panels_of[title][name]` holds x and y with their intervals: a dot with bars, and its name.

    Colours and signs are those of `kinds[name]`. Panels stand two in a line; `ylabels` and `turned` (where less is
    better, on a logarithmic scale whose upper end is the best) are of the columns.
    """
    figure, axes = panels(len(panels_of), 2, 5.0, 3.9)
    known = [*dict.fromkeys(kinds.values())]
    looks = dict(zip(known, zip(sns.color_palette("colorblind", len(known)), SIGNS, strict=False), strict=True))
    for place, (ax, (title, found)) in enumerate(zip(axes.flat, panels_of.items(), strict=False)):
        for kind, (colour, sign) in looks.items():
            rows = np.array([[*x, *y] for name, (x, y) in found.items() if kinds[name] == kind]).reshape(-1, 4)
            bars = {"xerr": np.nan_to_num(rows[:, 1]), "yerr": np.nan_to_num(rows[:, 3])}
            look = dict(fmt=sign, color=colour, markersize=5, elinewidth=0.8, label=kind if len(rows) else None)
            ax.errorbar(rows[:, 0], rows[:, 2], **bars, **look)
        ax.margins(0.16)
        ylabel, less = ylabels[place % 2], bool(turned) and turned[place % 2]
        if less:
            ax.set_yscale("log")
            ax.invert_yaxis()
            plain_ticks(ax.yaxis)
        else:
            _widen(ax, 0.1)
        dress(ax, xlabel, f"{ylabel} (up is less)" if less else ylabel, title)
    legend(figure, "outside upper left", ncols=4)
    figure.draw_without_rendering()  # the axes are where they stay
    for ax, found in zip(axes.flat, panels_of.values(), strict=False):
        _name(ax, {name: (x[0], y[0]) for name, (x, y) in found.items()}, {n: looks[kinds[n]][0] for n in found})
    return figure


def _widen(ax: Axes, share: float) -> None:
    """Let axes span no less than a share of their values, so that small differences do not look large."""
    for limits, set_limits in ((ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)):
        low, high = limits()
        more = max(0.0, share * abs(low + high) / 2 - (high - low)) / 2
        set_limits(low - more, high + more)
    ax.ticklabel_format(useOffset=False)


def _name(ax: Axes, points: Mapping[str, Pair], colours: Mapping[str, Sequence[float]]) -> None:
    """Write names beside dots, where they cover neither a dot nor each other; a hair line leads to one further off."""
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in ax.transData.transform([*points.values()])]
    for name in sorted(points, key=lambda name: points[name]):
        free = [place for place in _places(ax, name, points[name]) if _fits(ax, place[1], taken)]
        (right, up), box = free[0] if free else _places(ax, name, points[name])[0]
        taken.append(box)
        look = {"fontsize": 9, "color": [0.75 * c for c in colours[name]], "ha": "center", "va": "center"}
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        text = ax.annotate(name, points[name], (right, up), textcoords="offset points", arrowprops=line, **look)
        text.set_in_layout(False)


def _places(ax: Axes, name: str, point: Pair) -> list[tuple[Pair, Bbox]]:
    """Where a name may stand, nearer places first: by its middle, in points from the dot, and the box in pixels."""
    scale = ax.figure.dpi / 72
    x, y = ax.transData.transform(point)
    width, height = 5.6 * len(name) + 2, 10.0  # in points, at 9 points
    found = []
    for reach in REACH:
        for turn in range(12):
            angle = 2 * math.pi * turn / 12
            right = math.cos(angle) * (reach + (width / 2 - 4) * abs(math.cos(angle)))
            up = math.sin(angle) * reach
            box = (x + scale * (right - width / 2), y + scale * (up - height / 2), scale * width, scale * height)
            found.append(((right, up), Bbox.from_bounds(*box)))
    return found


def _fits(ax: Axes, box: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = ax.bbox.x0 < box.x0 and box.x1 < ax.bbox.x1 and ax.bbox.y0 < box.y0 and box.y1 < ax.bbox.y1
    return bool(inside) and not any(box.overlaps(other) for other in taken)
