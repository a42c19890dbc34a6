"""Pictures of the theory: bell curves, divergences along a line, where a claim holds. Tensors in, a Figure out."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from workbench.plotting.base import dress, panel

PALETTE = sns.color_palette("colorblind")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
BESIDE = {"fontsize": 9, "frameon": False, "loc": "center left", "bbox_to_anchor": (1.01, 0.5)}  # of a legend


def line_plot(
    x: Float[Tensor, "points"],
    lines: Mapping[str, Tensor],
    xlabel: str,
    ylabel: str,
    bands: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Curves over one variable, told apart by colour and dashes; bands between two curves; level lines."""
    figure, axes = panel(1, 1, 5.6, 2.7)
    ax = axes[0, 0]
    for name, (low, high) in (bands or {}).items():
        ax.fill_between(x, low, high, alpha=0.25, color="0.5", linewidth=0, label=name)
    for i, (name, y) in enumerate(lines.items()):
        ax.plot(x, y, linestyle=DASHES[i % 5], color=PALETTE[i], linewidth=1.4, label=name)
    for name, level in (levels or {}).items():
        ax.axhline(level, color="0.35", linestyle=(0, (1, 3)), linewidth=1, label=name)
    dress(ax, xlabel, ylabel)
    ax.legend(**BESIDE)
    return figure


def bell_curves(
    z: Float[Tensor, "points"],
    experts: Mapping[str, Float[Tensor, "points"]],
    means: Mapping[str, Float[Tensor, "points"]],
    numbers: Mapping[str, float] | None = None,
) -> Figure:
    """Densities of experts (dashed) and of their means (filled), and beside them numbers in nats as bars."""
    figure, axes = panel(1, 2 if numbers else 1, 4.2, 2.7)
    ax = axes[0, 0]
    for i, (name, density) in enumerate(experts.items()):
        ax.plot(z, density, linestyle=DASHES[1 + i % 4], color=PALETTE[i], linewidth=1.2, label=name)
    for i, (name, density) in enumerate(means.items(), start=len(experts)):
        ax.fill_between(z, density, alpha=0.25, color=PALETTE[i], linewidth=0)
        ax.plot(z, density, color=PALETTE[i], linewidth=1.4, label=name)
    dress(ax, "latent code z", "density")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=9, frameon=False, loc="upper left")
    if numbers:
        _bars(axes[0, 1], numbers)
    return figure


def _bars(ax: Axes, numbers: Mapping[str, float]) -> None:
    bars = ax.barh([*numbers], [*numbers.values()], color="0.65", height=0.6)
    ax.bar_label(bars, fmt="{:.3f}", padding=3, fontsize=9)
    ax.invert_yaxis()
    ax.margins(x=0.2)
    dress(ax, "nats")
    ax.tick_params(axis="y", labelsize=9)


def sign_maps(
    panels: Mapping[str, Float[Tensor, "rows columns"]],
    x: Float[Tensor, "columns"],
    y: Float[Tensor, "rows"],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Where a margin is negative (hatched, the claim fails), on a plane of two variables, a panel for each claim."""
    figure, axes = panel(1, len(panels), 2.6, 2.7)
    for ax, (title, margin) in zip(axes[0], panels.items(), strict=True):
        looks = {"colors": ["white", PALETTE[3]], "hatches": ["", "///"], "alpha": 0.55}
        ax.contourf(x, y, np.where(margin.numpy() < 0, 1.0, 0.0), levels=[-0.5, 0.5, 1.5], **looks)
        dress(ax, xlabel, ylabel, title)
        ax.label_outer()
    return figure


def dots(
    rows: Mapping[str, Float[Tensor, "n"]], xlabel: str, level: float | None = None, level_name: str = ""
) -> Figure:
    """Values of several groups as dots on lines, one line a group, with a level to compare them with."""
    figure, axes = panel(1, 1, 5.6, 0.28 * len(rows) + 0.8)
    ax = axes[0, 0]
    for place, values in enumerate(rows.values()):
        ax.plot(values, np.full(len(values), place), "o", color=PALETTE[0], markersize=4, alpha=0.7)
    if level is not None:
        ax.axvline(level, color=PALETTE[3], linestyle="--", linewidth=1.2, label=level_name)
        ax.legend(**BESIDE)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    dress(ax, xlabel)
    ax.tick_params(axis="y", labelsize=9)
    return figure


def against(x: Float[Tensor, "n"], lines: Mapping[str, Float[Tensor, "n"]], xlabel: str, ylabel: str) -> Figure:
    """Quantities of the same items against one of them; above the diagonal they exceed it."""
    figure, axes = panel(1, 1, 4.4, 3.0)
    ax = axes[0, 0]
    for i, (name, y) in enumerate(lines.items()):
        ax.plot(x, y, "ox^s"[i % 4], color=PALETTE[i], markersize=4, alpha=0.7, label=name)
    ax.axline((float(x.mean()), float(x.mean())), slope=1, color="0.4", linestyle=":", linewidth=1, label="equal")
    dress(ax, xlabel, ylabel)
    ax.legend(**BESIDE)
    return figure
