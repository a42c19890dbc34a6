"""What the latent explorer shows of a map: signs and colours, lines of ellipses, pages, and a static figure."""

import math
from collections.abc import Collection
from typing import Any

import seaborn as sns
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse as Outline
from torch import Tensor

from workbench.explorers.generation import decode
from workbench.explorers.latent_map import JOINT, STEPS, LatentMap, interpolate, item_ellipses
from workbench.explorers.pictures import cell, page, table
from workbench.plotting import panel

PALETTE = sns.color_palette("colorblind", 10).as_hex()  # of digits, or of modalities; never without a sign
DASHES = ((), (7, 3), (2, 2), (9, 3, 2, 3), (12, 4))  # lengths in pixels: of the modalities' ellipses
OVER = {JOINT: ((), 3.0), "dynamic prior": ((7, 4), 3.0), "p(c)": ((1, 4), 2.0)}  # dashes and width of those over them
INK = "currentColor"  # as the text around, in a light theme or a dark one
COLOURS = ("class", "modality")
PICTURE, THUMB = 72, 48  # pixels of a picture beside the map, and of one on the line below it


def signs(chart: LatentMap, colour: str) -> tuple[list[str], list[str]]:
    """Mark and colour (#rrggbb) of every point: its digit, or the sign of what it was inferred from."""
    if colour == "class":
        digits = chart.batch.labels.tolist() * len(chart.groups)
        return [str(digit) for digit in digits], [PALETTE[digit % 10] for digit in digits]
    groups = group_numbers(chart)
    return [chart.marks[g] for g in groups], [PALETTE[g % 10] for g in groups]


def group_numbers(chart: LatentMap) -> list[int]:
    """The place of each point's group in `LatentMap.groups`."""
    return [g for g in range(len(chart.groups)) for _ in range(chart.items)]


def legend(chart: LatentMap, colour: str) -> list[list[str]]:
    """Mark, colour and meaning of each kind of point."""
    if colour == "class":
        return [[str(digit), PALETTE[digit % 10], f"digit {digit}"] for digit in chart.batch.labels.unique().tolist()]
    names = [*(f"from {m.name}" for m in chart.exhibit.model.modalities), "from all (joint)"]
    return [[mark, PALETTE[g % 10], name] for g, (mark, name) in enumerate(zip(chart.marks, names, strict=True))]


def axis_names(chart: LatentMap) -> list[str]:
    """Names of the principal components, with their shares of the variance of the unimodal means."""
    return [f"component {k} ({share:.0%} of the variance)" for k, share in enumerate(chart.plane.shares, start=1)]


def ellipse_lines(chart: LatentMap, item: int) -> list[dict[str, Any]]:
    """An item's ellipses at one and two standard deviations, as `Map` draws them."""
    lines = []
    for name, ellipse in item_ellipses(chart, item).items():
        if name in OVER:
            (dash, width), colour, text = OVER[name], INK, name
        else:
            g = chart.groups.index(name)
            dash, width, colour, text = DASHES[g % len(DASHES)], 2.0, PALETTE[g % 10], f"q(c | {name})"
        x, y = ellipse.centre
        look = {"colour": colour, "dash": " ".join(map(str, dash)), "width": width, "text": text}
        place = {"x": x, "y": y, "angle": ellipse.angle}
        lines += [place | look | {"a": size * ellipse.a, "b": size * ellipse.b} for size in (1, 2)]
    return lines


def item_page(chart: LatentMap, point: int, name: str) -> str:
    """The item of a point in all modalities and, beside it, what is decoded from the content at the point."""
    _, item = chart.place(point)
    made = decode(chart.exhibit, chart.content(point).unsqueeze(0), {})
    rows = []
    for modality, x in zip(chart.exhibit.model.modalities, chart.batch.values, strict=True):
        letter = modality.letter
        given = cell(f"{letter}, test item", x[item], side=PICTURE)
        decoded = cell(f"{letter}, decoded", made.values[letter][0], made.opinions[letter][0], PICTURE)
        rows.append((f"{letter} {modality.name}", [given, decoded]))
    return page(table(["test item", "decoded"], rows, f"{name}: {chart.describe(point)}"))


def line_page(chart: LatentMap, a: int, b: int) -> str:
    """Contents on the straight line from one point to another, decoded into every modality."""
    made = decode(chart.exhibit, interpolate(chart.content(a), chart.content(b)), {})
    names = ["A", *(f"{k}/{STEPS - 1}" for k in range(1, STEPS - 1)), "B"]
    rows = [
        (letter, [cell(f"{letter} at {name}", *of, THUMB) for name, *of in zip(names, values, said, strict=True)])
        for letter, values, said in zip(
            chart.exhibit.letters, made.values.values(), made.opinions.values(), strict=True
        )
    ]
    return page(table(names, rows, f"From A ({chart.describe(a)}) to B ({chart.describe(b)})"))


def draw_latent_map(
    chart: LatentMap,
    colour: str = "class",
    groups: Collection[str] | None = None,
    item: int | None = None,
    positions: Float[Tensor, "groups n 2"] | None = None,
) -> Figure:
    """The map as a picture: points of some groups (None: of all modalities) and the ellipses of one item.

    `positions` other than those in the plane, such as those of `tsne`, have no axes and no ellipses.
    """
    groups = chart.exhibit.letters if groups is None else groups
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
        _finish(figure, chart, item)
    else:
        ax.set(xticks=[], yticks=[])
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _finish(figure: Figure, chart: LatentMap, item: int | None) -> None:
    """Names of the axes, and ellipses over the points."""
    (ax,) = figure.axes
    for number, line in enumerate([] if item is None else ellipse_lines(chart, item)):
        ax.add_patch(_outline(line, "_" if number % 2 else line["text"]))
    ax.set_xlabel(axis_names(chart)[0], fontsize=9)
    ax.set_ylabel(axis_names(chart)[1], fontsize=9)
    ax.tick_params(labelsize=8)


def _outline(line: dict[str, Any], label: str) -> Outline:
    gaps = tuple(float(length) / line["width"] for length in line["dash"].split())  # in units of the line's width
    return Outline(
        (line["x"], line["y"]),
        2 * line["a"],
        2 * line["b"],
        angle=math.degrees(line["angle"]),
        fill=False,
        label=label,
        edgecolor="black" if line["colour"] == INK else line["colour"],
        linewidth=0.7 * line["width"],
        linestyle=(0, gaps) if gaps else "-",
    )
