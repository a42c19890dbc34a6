"""What the latent explorer shows of a map: a widget to point at, signs and colours, ellipses, pages, and a figure."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import anywidget
import seaborn as sns
import traitlets
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse as Outline
from torch import Tensor

from workbench.data.celeba.attributes import PHRASES
from workbench.explorers.generation import decode
from workbench.explorers.latent_map import JOINT, STEPS, LatentMap, interpolate, item_ellipses
from workbench.explorers.models import ExploredModel
from workbench.explorers.pictures import cell, page, table
from workbench.explorers.subjects import Faces
from workbench.plotting.base import panel

PALETTE = sns.color_palette("colorblind", 10).as_hex()  # of digits, or of modalities; never without a sign
DASHES = ((), (7, 3), (2, 2), (9, 3, 2, 3), (12, 4))  # lengths in pixels: of the modalities' ellipses
OVER = {JOINT: ((), 2.6), "dynamic prior": ((7, 4), 2.6), "p(c)": ((2, 4), 2.4)}  # dashes and width of those over them
GREY = "#949494"  # the joint's points
INK = "currentColor"  # as the text around, in a light theme or a dark one
CLASS, MODALITY, FIRST = "class", "modality", "male"
PICTURE, THUMB = 72, 48  # pixels of a picture beside the map, and of one on the line below it
NONE = -1  # in place of a point's number


class Map(anywidget.AnyWidget):
    """A scatter plot of characters to be pointed at: one is hovered over, and two, A and B, are chosen.

    What it draws is in its traits, in the units of the data, equally long on both axes; map.js turns them into SVG.
    Mouse: hover, click for A, Shift-click for B. Keyboard: arrow keys go to the nearest point in that direction, Enter
    or A and Shift-Enter or B choose it. All points are numbered in the order of `points`, shown or not; the points
    chosen are always shown.
    """

    _esm = Path(__file__).with_name("map.js")

    title = traitlets.Unicode("Map").tag(sync=True)  # what screen readers call it
    # equally long lists: x, y, mark (a character or two), colour (#rrggbb), group (a number), text (in words)
    points = traitlets.Dict().tag(sync=True)
    shown = traitlets.List(traitlets.Int()).tag(sync=True)  # groups
    legend = traitlets.List().tag(sync=True)  # [mark, colour, text]
    axes = traitlets.List(traitlets.Unicode(), ["", ""]).tag(sync=True)  # names; empty ones have no ticks either
    bounds = traitlets.List(traitlets.Float(), [-1.0, 1.0, -1.0, 1.0]).tag(sync=True)  # left, right, bottom, top
    # dictionaries of x, y, a, b, angle (radians), colour, dash (as in SVG), width, text
    ellipses = traitlets.List().tag(sync=True)
    path = traitlets.List().tag(sync=True)  # [x, y] of stations on a line
    hovered = traitlets.Int(NONE).tag(sync=True)
    a = traitlets.Int(NONE).tag(sync=True)
    b = traitlets.Int(NONE).tag(sync=True)


def colours(explored: ExploredModel) -> tuple[str, ...]:
    """List what the points of a map can be coloured by: their class, or any attribute of faces; or their modality."""
    return (*PHRASES, MODALITY) if isinstance(explored.subject, Faces) else (CLASS, MODALITY)


def first_colour(explored: ExploredModel) -> str:
    """Return what points are coloured by at first."""
    return FIRST if isinstance(explored.subject, Faces) else CLASS


def signs(chart: LatentMap, colour: str) -> tuple[list[str], list[str]]:
    """Return mark and colour (#rrggbb) of every point: digit, 1 or 0 for an attribute, or what it was inferred from.

    ValueError for a colour that is none of `colours`.
    """
    if colour not in (known := colours(chart.explored)):
        raise ValueError(f"points can be coloured by {' or '.join(known)}, not by {colour!r}")
    if colour == MODALITY:
        groups, shades = group_numbers(chart), group_colours(chart)
        return [chart.marks[g] for g in groups], [shades[g] for g in groups]
    classes = _classes(chart, colour) * len(chart.groups)
    return [*map(str, classes)], [PALETTE[number % 10] for number in classes]


def _classes(chart: LatentMap, colour: str) -> list[int]:
    """The class of each item, or whether it has an attribute."""
    labels = chart.batch.labels
    return (labels if colour == CLASS else labels[:, PHRASES.index(colour)].int()).tolist()


def group_numbers(chart: LatentMap) -> list[int]:
    """Return the place of each point's group in `LatentMap.groups`."""
    return [g for g in range(len(chart.groups)) for _ in range(chart.items)]


def group_colours(chart: LatentMap) -> list[str]:
    """Return a colour for each modality, and grey for the joint."""
    return [*(PALETTE[m % 10] for m in range(len(chart.explored.letters))), GREY]


def legend(chart: LatentMap, colour: str) -> list[list[str]]:
    """Return mark, colour and meaning of each kind of point."""
    if colour == MODALITY:
        names = [*(f"from {m.name}" for m in chart.explored.model.modalities), "from all (joint)"]
        return [list(row) for row in zip(chart.marks, group_colours(chart), names, strict=True)]
    classes = sorted({*_classes(chart, colour)})  # of an attribute: 1 for faces that have it, 0 for others
    names = {k: f"digit {k}" for k in classes} if colour == CLASS else {0: f"not {colour!r}", 1: colour}
    return [[str(k), PALETTE[k % 10], names[k]] for k in classes]


def axis_names(chart: LatentMap) -> list[str]:
    """Name the principal components, with their shares of the variance of the unimodal means."""
    return [f"component {k} ({share:.0%} of the variance)" for k, share in enumerate(chart.plane.shares, start=1)]


def ellipse_lines(chart: LatentMap, item: int) -> list[dict[str, Any]]:
    """Return an item's ellipses at one and two standard deviations, as `Map` draws them."""
    ellipses = item_ellipses(chart, item)
    if chart.fusion == "dynamic_prior":
        del ellipses["dynamic prior"]  # which is the joint
    return [
        {"x": e.centre[0], "y": e.centre[1], "angle": e.angle, "a": size * e.a, "b": size * e.b} | _look(chart, name)
        for name, e in ellipses.items()
        for size in (1, 2)
    ]


def _look(chart: LatentMap, name: str) -> dict[str, Any]:
    """Colour, dashes, width and meaning of an ellipse."""
    if name in OVER:
        (dash, width), colour = OVER[name], INK
        text = f"joint: {chart.fusion.replace('_', ' ')}" if name == JOINT else name
    else:
        m = chart.explored.index(name)
        dash, width, colour, text = DASHES[m % len(DASHES)], 2.0, PALETTE[m % 10], f"q(c | {name})"
    return {"colour": colour, "dash": " ".join(map(str, dash)), "width": width, "text": text}


def item_page(chart: LatentMap, point: int, name: str) -> str:
    """Show the item of a point in all modalities and, beside it, what is decoded from the content at the point."""
    _, item = chart.place(point)
    made, subject = decode(chart.explored, chart.content(point).unsqueeze(0), {}), chart.explored.subject
    side, rows = round(PICTURE * subject.scale), []
    for modality, x in zip(chart.explored.model.modalities, chart.batch.values, strict=True):
        letter = modality.letter
        (value,), (opinion,) = made.values[letter], made.opinions[letter]
        given = cell(f"{letter}, test item", x[item], side=side)
        decoded = cell(f"{letter}, decoded", value, subject.verdict(opinion), side)
        rows.append((f"{letter} {modality.name}", [given, decoded]))
    return page(table(["test item", "decoded"], rows, f"{name}: {chart.describe(point)}"))


def line_page(chart: LatentMap, a: int, b: int) -> str:
    """Show contents on the straight line from one point to another, decoded into every modality."""
    made, subject = decode(chart.explored, interpolate(chart.content(a), chart.content(b)), {}), chart.explored.subject
    names = ["A", *(f"{k}/{STEPS - 1}" for k in range(1, STEPS - 1)), "B"]
    side, rows = round(THUMB * subject.scale), []
    for letter, values in made.values.items():
        stations = zip(names, values, map(subject.verdict, made.opinions[letter]), strict=True)
        rows.append((letter, [cell(f"{letter} at {name}", x, said, side) for name, x, said in stations]))
    return page(table(names, rows, f"From A ({chart.describe(a)}) to B ({chart.describe(b)})"))


def draw_latent_map(
    chart: LatentMap,
    colour: str = "",
    groups: Collection[str] | None = None,
    item: int | None = None,
    positions: Float[Tensor, "groups n 2"] | None = None,
) -> Figure:
    """Draw the map as a picture: points of some groups (None: of all modalities) and the ellipses of one item.

    `colour` is one of `colours`, by default the first that the explorer offers: classes, or FIRST of the attributes.

    `positions` other than those in the plane, such as those of `tsne`, have no axes and no ellipses. ValueError for
    an unknown colour or group.
    """
    colour, groups = colour or first_colour(chart.explored), chart.explored.letters if groups is None else groups
    if unknown := set(groups) - set(chart.groups):
        raise ValueError(f"unknown groups {sorted(unknown)}: this map has {', '.join(chart.groups)}")
    figure, axes = panel(1, 1, 7.0, 5.2)
    ax, marks = axes[0, 0], signs(chart, colour)[0]
    places = (chart.positions() if positions is None else positions).flatten(0, 1)
    shown = [point for point in range(len(places)) if chart.place(point)[0] in groups]
    for mark, shade, name in legend(chart, colour):
        kind = places[[point for point in shown if marks[point] == mark]]
        if len(kind):
            ax.scatter(*kind.T.numpy(), marker=f"${mark}$", color=shade, s=28, linewidths=0.3, label=name)
    ax.set(aspect="equal", adjustable="box", autoscale_on=False)
    if positions is None:
        for number, line in enumerate([] if item is None else ellipse_lines(chart, item)):
            _add_ellipse(ax, line, named=number % 2 == 0)
        for axis, name in zip((ax.xaxis, ax.yaxis), axis_names(chart), strict=True):
            axis.set_label_text(name, fontsize=9)
        ax.tick_params(labelsize=9)
    else:
        ax.set(xticks=[], yticks=[])
    figure.legend(loc="outside right upper", fontsize=9, frameon=False)
    return figure


def _add_ellipse(ax: Axes, line: dict[str, Any], named: bool) -> None:
    """One ellipse and, if `named`, a line for the legend."""
    gaps = tuple(float(length) / line["width"] for length in line["dash"].split())  # in units of the line's width
    colour = "black" if line["colour"] == INK else line["colour"]
    look = {"linewidth": 0.7 * line["width"], "linestyle": (0, gaps) if gaps else "-"}
    turn, centre = math.degrees(line["angle"]), (line["x"], line["y"])
    ax.add_patch(Outline(centre, 2 * line["a"], 2 * line["b"], angle=turn, fill=False, edgecolor=colour, **look))
    if named:
        ax.plot([], [], color=colour, label=line["text"], **look)
