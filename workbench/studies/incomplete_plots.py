"""Pictures of training on incomplete items: rows of `workbench.studies.incomplete` in, a matplotlib Figure out."""

from collections.abc import Sequence

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workbench.plotting.base import panel
from workbench.studies.incomplete import Outcome
from workbench.studies.scaling_plots import lines, looks_of

TITLES = {"probe": "joint probe", "coherence": "coherence of the others", "likelihood": "ln p(X), nats"}
DASHES = {False: "-", True: ":"}  # whether incomplete items were dropped
WHAT = {False: "used", True: "dropped"}


def missing(shares: Sequence[Outcome], steps: Sequence[Outcome] = ()) -> Figure:
    """Probe, coherence and ln p(X) over the share of incomplete items; below, where given, over the steps.

    One colour and marker a method; solid where incomplete items are used, dotted where they are dropped. Means over
    seeds, bars one standard error. ValueError without a row.
    """
    looks = looks_of([*shares, *steps])
    figure, axes = panel(2 if steps else 1, 3, 2.9, 2.5)
    for ax, (name, title) in zip(axes[0], TITLES.items(), strict=True):
        _draw(ax, shares, "incomplete", name, looks)
        _finish(ax, title, "share of incomplete items", name)
        ax.set_xticks(found := sorted({row.incomplete for row in shares}), [f"{x:.0%}" for x in found])
    if steps:
        for ax, name in zip(axes[1], ("probe", "coherence"), strict=False):
            _draw(ax, steps, "step", name, looks)
            _finish(ax, f"{TITLES[name]}, {steps[0].items:,} items, {steps[0].incomplete:.0%}", "steps", name)
        axes[1, 2].axis("off")
    _legend(figure, axes[1, 2] if steps else None, looks)
    return figure


def _draw(ax: Axes, rows: Sequence[Outcome], x: str, name: str, looks: dict) -> None:
    for dropped, dash in DASHES.items():
        # where all items are complete there is nothing to drop: that point is on both lines
        chosen = [row for row in rows if row.dropped == dropped or not row.incomplete]
        lines(ax, chosen, x, lambda row: getattr(row, name), looks, dash)


def _finish(ax: Axes, title: str, xlabel: str, name: str) -> None:
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(xlabel, fontsize=8)
    if name != "likelihood":
        ax.set_ylim(0, 1.02)
    ax.tick_params(labelsize=7)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    sns.despine(ax=ax)


def _legend(figure: Figure, place: Axes | None, looks: dict) -> None:
    handles = [Line2D([], [], label=name, **look) for name, look in looks.items()]
    handles += [
        Line2D([], [], color="0.3", linestyle=dash, label=f"incomplete items {WHAT[dropped]}")
        for dropped, dash in DASHES.items()
    ]
    if place is None:
        figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False)
    else:
        place.legend(handles=handles, loc="center left", fontsize=8, frameon=False)
