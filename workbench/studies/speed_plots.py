"""Pictures of a bench: speeds and ratios as bars, scaling as lines, the parts of a step as stacked bars."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

from workbench.objectives import METHODS
from workbench.paths import replacing
from workbench.plotting.base import panel
from workbench.studies.scaling import legend, lines, looks_of
from workbench.studies.speed import StepCost
from workbench.studies.speed_against import Comparison
from workbench.studies.speed_profile import PARTS, REST, Profile
from workbench.studies.speed_results import MEGABYTE, Results, significant

DPI = 144
COLOURS = "colorblind"
BAR = 0.24  # inches
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # so that no line goes through a number
WAYS = {"batch_size": "items in a batch", "modalities": "modalities M", "samples": "importance samples K"}
MEASURES: dict[str, Callable[[StepCost], float]] = {
    "time of a step (ms)": lambda row: 1000 / row.steps_per_second,
    "peak memory (MB)": lambda row: row.peak_bytes / MEGABYTE,
}


def draw(results: Results, path: Path) -> list[Path]:
    """Draw what there is; of several kinds each has its own file, NAME-KIND. ValueError when there is nothing."""
    kinds = {
        "speed": (speeds, results.speeds),
        "against": (comparisons, results.comparisons),
        "scaling": (scaling, results.scaling),
        "profile": (profiles, results.profiles),
    }
    there = {kind: picture(rows) for kind, (picture, rows) in kinds.items() if rows}
    if not there:
        raise ValueError("there is nothing to draw: measure something first")
    written = []
    for kind, figure in there.items():
        file = path if len(there) == 1 else path.with_stem(f"{path.stem}-{kind}")
        with replacing(file) as temporary:
            figure.savefig(temporary, format=file.suffix[1:] or "png", dpi=DPI)
        written.append(file)
    return written


def speeds(rows: Sequence[StepCost]) -> Figure:
    """Steps a second of every method, a panel without styles and one with, on one logarithmic axis."""
    styles = sorted({row.style_dim for row in rows})
    groups = [[row for row in rows if row.style_dim == style] for style in styles]
    height = _height(max(len({row.method for row in group}) for group in groups), rows)
    figure, axes = panel(1, len(groups), 4.3, height)
    for ax, style, group in zip(axes[0], styles, groups, strict=True):
        values = [(_without_style(row.method), row.steps_per_second, row.precision) for row in group]
        _bars(ax, values, [significant(value) for _, value, _ in values])
        ax.set_xscale("log")
        ax.set_title(f"styles of {style} dimensions" if style else "shared space", fontsize=9)
        ax.set_xlabel("steps per second", fontsize=8)
    highest, lowest = (pick(row.steps_per_second for row in rows) for pick in (max, min))
    for ax in axes[0]:
        _plain_ticks(ax.xaxis, (1, 2, 5) if highest < 30 * lowest else (1,))
        ax.set_xlim(lowest / 3, highest * (highest / lowest * 9) ** 0.22)  # room for the numbers
    _precisions(figure)
    return figure


def comparisons(rows: Sequence[Comparison]) -> Figure:
    """How many times faster our steps are than the other library's; a line where both are equal."""
    names = [f"{row.method}\nmultivae: {row.theirs}, batch {row.batch_size}" for row in rows]
    figure, axes = panel(1, 1, 7.0, _height(len(set(names)), rows, least=0.5))
    values = [(name, row.ratio, row.precision) for name, row in zip(names, rows, strict=True)]
    times = [f"{1000 * row.our_seconds:,.0f} against {1000 * row.their_seconds:,.0f} ms" for row in rows]
    labels = [f"{row.ratio:.2f}x   {text}" for row, text in zip(rows, times, strict=True)]
    ax = axes[0, 0]
    _bars(ax, values, labels)
    ax.axvline(1, color="0.3", linewidth=0.9, linestyle="--")
    ax.set_xlim(0, 2.2 * max(row.ratio for row in rows))
    ax.set_xlabel("multivae's time of a step, over ours", fontsize=8)
    _precisions(figure, "ours in")
    return figure


def _without_style(method: str) -> str:
    return method.replace(", MS)", ")").replace(" (MS)", "")


def _height(groups: int, rows: Sequence[StepCost | Comparison], least: float = 0.0) -> float:
    """Inches for groups of bars, one bar for each precision."""
    return 0.9 + groups * max(least, BAR * (0.4 + len({row.precision for row in rows})))


def _bars(ax: Axes, values: Sequence[tuple[str, float, str]], labels: Sequence[str]) -> None:
    """Horizontal bars of (name, value, precision), a colour for each precision, each with its label at its end."""
    frame = pd.DataFrame(values, columns=["name", "value", "precision"])
    hues = [*dict.fromkeys(frame["precision"])]
    sns.barplot(frame, y="name", x="value", hue="precision", hue_order=hues, palette=COLOURS, errorbar=None, ax=ax)
    for container, hue in zip(ax.containers, hues, strict=True):
        named = dict(zip(frame["name"][frame["precision"] == hue], _of(labels, frame["precision"] == hue), strict=True))
        order = [tick.get_text() for tick in ax.get_yticklabels()]
        ax.bar_label(container, [named[name] for name in order if name in named], padding=3, fontsize=7, bbox=WHITE)
    ax.set_ylabel("")
    ax.tick_params(labelsize=8)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    sns.despine(ax=ax)


def _of(labels: Sequence[str], chosen: "pd.Series[bool]") -> list[str]:
    return [label for label, take in zip(labels, chosen, strict=True) if take]


def _precisions(figure: Figure, title: str | None = None) -> None:
    """One legend for all panels, above them."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    for ax in figure.axes:
        if ax.get_legend():
            ax.get_legend().remove()
    figure.legend(handles, names, title=title, loc="outside right upper", fontsize=8, title_fontsize=8, frameon=False)


def scaling(sweeps: Mapping[str, Sequence[StepCost]]) -> Figure:
    """Time and memory of a step over what is varied, a column for each sweep, on doubly logarithmic axes."""
    named = {way: [row._replace(method=METHODS[row.objective].label) for row in rows] for way, rows in sweeps.items()}
    looks = looks_of([row for rows in named.values() for row in rows])
    figure, axes = panel(len(MEASURES), len(named), 3.0, 2.5)
    for column, (way, rows) in enumerate(named.items()):
        for ax, (title, measure) in zip(axes[:, column], MEASURES.items(), strict=True):
            lines(ax, rows, way, measure, looks)
            _logarithmic(ax, sorted({getattr(row, way) for row in rows}))
            ax.set_ylabel(title if column == 0 else "", fontsize=8)
        axes[-1, column].set_xlabel(WAYS[way], fontsize=8)
    legend(figure)
    return figure


def _logarithmic(ax: Axes, places: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(places, [str(place) for place in places])
    ax.xaxis.set_minor_locator(NullLocator())
    _plain_ticks(ax.yaxis)
    ax.tick_params(labelsize=7)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    sns.despine(ax=ax)


def _plain_ticks(axis: Axis, steps: Sequence[int] = (1, 2, 5)) -> None:
    """Numbers without powers of ten on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def profiles(rows: Sequence[Profile]) -> Figure:
    """Shares of the parts of a step, a bar for each profile, with the time of a step at its end."""
    figure, axes = panel(1, 1, 7.2, 0.8 + 0.32 * len(rows))
    ax, parts = axes[0, 0], [*PARTS, REST]
    shares = pd.DataFrame([_shares(row) for row in rows], columns=parts)
    left = pd.Series(0.0, index=shares.index)
    for part, colour in zip(parts, [*sns.color_palette(COLOURS, len(PARTS)), "0.8"], strict=True):
        bars = ax.barh(shares.index, shares[part], left=left, height=0.7, color=colour, label=part)
        texts = [f"{share:.0%}" if share >= 0.05 else "" for share in shares[part]]
        ax.bar_label(bars, texts, label_type="center", fontsize=7, color="white")
        left += shares[part]
    for n, row in enumerate(rows):
        ax.text(1.01, n, f"{significant(1000 * row.clocked)} ms", va="center", fontsize=7)
    ax.set_yticks(range(len(rows)), [f"{row.method}, {row.label} ({row.precision})" for row in rows])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.12)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.tick_params(labelsize=8)
    sns.despine(ax=ax)
    figure.legend(loc="outside upper center", ncols=len(parts), fontsize=7.5, frameon=False, handlelength=1.0)
    return figure


def _shares(row: Profile) -> list[Any]:
    return [seconds / row.clocked for seconds in (*row.parts.values(), row.rest)]
