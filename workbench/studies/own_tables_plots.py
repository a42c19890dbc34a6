"""Pictures of tables: what columns share, imputations beside the truth, estimates with errors, items made up."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from workbench.plotting.base import dress, known, legend, panel
from workbench.plotting.methods import Estimates, whiskers
from workbench.studies.imputation import intervals

MARKERS = ("o", "s", "^", "D", "v", "P")
PALETTE = sns.color_palette("colorblind")
OUTSIDE = {"fontsize": 9, "frameon": False, "loc": "upper left", "bbox_to_anchor": (1, 1)}  # of a legend


def correlation_map(tables: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Correlations of the columns `[n, len(names)]` of every table with those of all tables, as a map.

    Each table has the same columns. White lines part the tables; an item whose entry is NaN is left out of that pair.
    """
    table = pd.DataFrame(np.hstack([*tables.values()])).corr()
    count, size = len(tables), len(names)
    figure, axes = panel(1, 1, 6.6, 5.6)
    ax = axes[0, 0]
    shown = ax.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
    for edge in range(1, count):
        ax.axhline(edge * size - 0.5, color="white", linewidth=3)
        ax.axvline(edge * size - 0.5, color="white", linewidth=3)
    ax.set_yticks(range(count * size), [*names] * count, fontsize=9)
    ax.set_xticks([(k + 0.5) * size - 0.5 for k in range(count)], tables, fontsize=9)
    for k, name in enumerate(tables):
        ax.text(1.01, 1 - (k + 0.5) / count, name, rotation=-90, va="center", transform=ax.transAxes, fontsize=9)
    ax.tick_params(length=0)
    sns.despine(ax=ax, left=True, bottom=True)
    bar = figure.colorbar(shown, ax=ax, shrink=0.6, pad=0.06)
    bar.set_label("correlation", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    return figure


def imputed_items(
    draws: np.ndarray, truth: np.ndarray, mean: np.ndarray, deviation: np.ndarray, names: Sequence[str]
) -> Figure:
    """Draws `[draws, items, columns]` as intervals of 50 and 95 %, and the truth as dots: a panel for each item.

    In standard deviations from the mean of each column.
    """
    half, most = (intervals((draws - mean) / deviation, [level])[0] for level in (0.5, 0.95))
    dots, place = (np.asarray(truth) - mean) / deviation, np.arange(len(names))
    figure, axes = panel(1, draws.shape[1], 2.7, 0.22 * len(names) + 0.9)
    for item, ax in enumerate(axes[0]):
        for (low, high), width, label in ((most, 2, "95 %"), (half, 6, "50 %")):
            ax.hlines(place, low[item], high[item], color=PALETTE[0], linewidth=width, alpha=0.55, label=label)
        ax.plot(dots[item], place, "o", color="black", markersize=4, label="truth")
        ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_yticks(place, names if item == 0 else [], fontsize=9)
        dress(ax, "standard deviations")
    legend(figure)
    return figure


def estimates(panels: Mapping[str, Mapping[str, Estimates]], width: float = 2.9) -> Figure:
    """`panels[title][row][series]` is a mean and its standard error: bars are two of them, titles stand below the axes.

    All panels have the same rows. An error that is NaN has no bar.
    """
    rows = [*next(iter(panels.values()))]
    figure, axes = panel(1, len(panels), width, 0.26 * len(rows) + 0.8)
    for (title, found), ax in zip(panels.items(), axes[0], strict=True):
        bars = {row: {name: (mean, 2 * error) for name, (mean, error) in found[row].items()} for row in rows}
        series = whiskers(ax, bars, MARKERS, apart=0.25)
        ax.set_yticks(range(len(rows)), rows if ax is axes[0, 0] else [])
        ax.set_axisbelow(True)
        dress(ax, title)
    if len(series) > 1:
        legend(figure)
    return figure


def calibration(curves: Mapping[str, Mapping[float, tuple[float, float]]]) -> Figure:
    """Share of true values in intervals over what the intervals promise: below the diagonal they are too sure.

    `curves[method][level]` is a mean and its standard error; bars are two of them.
    """
    figure, axes = panel(1, 1, 6.2, 3.2)
    ax = axes[0, 0]
    ax.plot([0, 1], [0, 1], color="0.5", linewidth=0.9, linestyle="--", label="as promised")
    for i, (name, found) in enumerate(curves.items()):
        level, (share, error) = [*found], np.array([*found.values()]).T
        x = np.array(level) + 0.008 * (i - (len(curves) - 1) / 2)  # bars side by side
        style = dict(fmt=f"-{MARKERS[i]}", markersize=4.5, linewidth=1.1, color=PALETTE[i])
        ax.errorbar(x, share, yerr=2 * np.nan_to_num(error), label=name, **style)
    ax.set(xlim=(0.4, 1), ylim=(0.2, 1.02), xticks=level, yticks=[0.2, 0.4, 0.6, 0.8, 1.0])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(**OUTSIDE | {"loc": "center left", "bbox_to_anchor": (1, 0.5)})
    dress(ax, "promised by the interval", "held")
    return figure


def made_up(real: Mapping[str, np.ndarray], made: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]]) -> Figure:
    """Columns of real items and made-up ones by name: a panel for each pair of columns, then all correlations.

    The last panel has a dot for every pair of columns: its correlation among the made-up items over that of the real.
    """
    figure, axes = panel(1, len(pairs) + 1, 2.6, 2.6)
    for (a, b), ax in zip(pairs, axes[0], strict=False):
        for name, found, colour, marker in (("real", real, "0.45", "o"), ("made up", made, PALETTE[1], "x")):
            ax.scatter(found[a], found[b], s=9, marker=marker, linewidths=0.8, color=colour, alpha=0.6, label=name)
        dress(ax, a, b)
    axes[0, 0].legend(fontsize=9, frameon=False, handletextpad=0.1, borderpad=0)
    ax = axes[0, -1]
    ax.plot([-1, 1], [-1, 1], color="0.5", linewidth=0.9, linestyle="--")
    ax.plot(correlations(real), correlations(made), ".", markersize=3, color=PALETTE[0], alpha=0.6)
    dress(ax, "correlation, real", "made up")
    return figure


def correlations(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Those of all pairs of columns, in the order of the upper triangle."""
    table = np.corrcoef(np.stack([*columns.values()]))
    return table[np.triu_indices(len(columns), 1)]


def stopping(trainings: Mapping[str, tuple[Mapping[str, Sequence[float]], int]]) -> Figure:
    """Histories of trainings by name, each with the step whose weights were kept: a row of two panels for each.

    On the left the objective, of the items that are learnt from and of those that are held back; on the right what of
    each modality's variance the others do not predict, held back, where 1 is no better than column means.
    """
    figure, axes = panel(len(trainings), 2, 3.8, 2.4)
    for row, (name, (history, kept)) in zip(axes, trainings.items(), strict=True):
        row[0].plot(history["step"], history["total"], color="0.4", linewidth=1.1, label="learnt from")
        row[0].plot(*known(history, "validation"), color=PALETTE[3], linewidth=1.4, label="held back")
        dress(row[0], "step", "nats per item", name)
        errors = [term for term in history if term.startswith("unpredicted_")]
        for colour, term in zip(PALETTE, errors, strict=False):
            row[1].plot(*known(history, term), color=colour, linewidth=1.1, label=term.partition("_")[2])
        row[1].axhline(1, color="0.5", linewidth=0.9, linestyle=":")
        dress(row[1], "step", "not predicted", "")
        for ax in row:
            ax.axvline(kept, color="0.5", linewidth=0.9, linestyle="--")
            ax.legend(**OUTSIDE)
    return figure
