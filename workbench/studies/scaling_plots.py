"""Pictures of scaling in the number of modalities: rows of `workbench.studies.scaling` in, a matplotlib Figure out."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from workbench.plotting.base import panel
from workbench.plotting.methods import MARKERS
from workbench.studies.scaling import Cost, Gain, Quality

MEGABYTE = 1e6
JudgedSet = dict[str, dict[str, Any]]  # colour and marker of each method


def scaling(costs: Sequence[Cost], qualities: Sequence[Quality]) -> Figure:
    """Time and memory of a step, joint probe and coherence over the number of modalities, one line a method.

    Accuracies are means over seeds, bars one standard error. Coherence: solid given all others, dotted given one.
    Without either kind of rows its panels are empty; ValueError without both.
    """
    looks = looks_of([*costs, *qualities])
    figure, axes = panel(1, 4, 2.9, 2.7)
    seconds, memory, probe, coherence = axes[0]
    lines(seconds, costs, "modalities", lambda row: 1000 * row.seconds, looks)
    lines(memory, costs, "modalities", lambda row: row.peak_bytes / MEGABYTE, looks)
    lines(probe, qualities, "modalities", lambda row: row.joint_probe, looks)
    lines(coherence, qualities, "modalities", lambda row: row.coherence_rest, looks)
    lines(coherence, qualities, "modalities", lambda row: row.coherence_single, looks, ":", named=False)
    counts = sorted({row.modalities for row in (*costs, *qualities)})
    titles = ("time of a step (ms)", "memory of a step (MB)", "joint probe", "coherence (dotted: given one)")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_xscale("log", base=2)
        _finish(ax, title, counts, "modalities M")
    for ax in (seconds, memory):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    for ax in (probe, coherence):
        ax.set_ylim(0, 1.02)
    legend(figure)
    return figure


def information_gain(gains: Sequence[Gain]) -> Figure:
    """Probe and coherence over the number of given modalities, one line a method: what each further one adds.

    Means over seeds, bars one standard error. ValueError without a row, or with rows of several numbers of modalities.
    """
    if len(found := {row.modalities for row in gains}) > 1:
        raise ValueError(f"runs with {', '.join(map(str, sorted(found)))} modalities: choose those of one number")
    looks = looks_of(gains)
    figure, axes = panel(1, 2, 3.3, 2.7)
    lines(axes[0, 0], gains, "given", lambda row: row.probe, looks)
    generated = [row for row in gains if row.given < row.modalities]  # where all are given nothing is left to generate
    lines(axes[0, 1], generated, "given", lambda row: row.coherence, looks)
    counts = sorted({row.given for row in gains})
    for ax, title in zip(axes[0], ("probe", "coherence of the others"), strict=True):
        _finish(ax, title, counts, f"given modalities of {gains[0].modalities}")
        ax.set_ylim(0, 1.02)
    legend(figure)
    return figure


def looks_of(rows: Sequence[Any]) -> JudgedSet:
    """A colour and a marker for each method of rows, the same in all panels and in all figures of the same methods.

    ValueError without a row.
    """
    if not rows:
        raise ValueError("there is nothing to draw: measure a step, or train and evaluate a run, first")
    names = sorted({row.method for row in rows})
    colours = sns.color_palette("colorblind", len(names))
    return {name: {"color": colours[i], "marker": MARKERS[i % len(MARKERS)]} for i, name in enumerate(names)}


def lines(
    ax: Axes,
    rows: Sequence[Any],
    x: str,
    y: Callable[[Any], float],
    looks: JudgedSet,
    dash: str = "-",
    named: bool = True,
) -> None:
    """One line for each method, the mean over its rows at every x."""
    for name, look in looks.items():
        values: dict[int, list[float]] = {}
        for row in rows:
            if row.method == name:
                values.setdefault(getattr(row, x), []).append(y(row))
        if values:
            places = sorted(values)
            means = [fmean(values[k]) for k in places]
            errors = [stdev(values[k]) / len(values[k]) ** 0.5 if len(values[k]) > 1 else 0.0 for k in places]
            ax.errorbar(
                places,
                means,
                errors,
                linestyle=dash,
                markersize=4,
                linewidth=1.4,
                label=name if named else None,
                **look,
            )


def _finish(ax: Axes, title: str, counts: Sequence[int], xlabel: str) -> None:
    named = counts[::-1][:: 2 if len(counts) > 10 else 1]  # labels of more would touch
    ax.set_xticks(named, [str(count) for count in named])
    ax.xaxis.minorticks_off()
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(xlabel, fontsize=8)
    ax.tick_params(labelsize=7)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    sns.despine(ax=ax)


def legend(figure: Figure) -> None:
    """One legend of all methods beside the panels."""
    named = {name: handle for ax in figure.axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=8, frameon=False)
