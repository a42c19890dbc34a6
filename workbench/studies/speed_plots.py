"""What a bench found, as tables of text and pictures: bars of speeds and ratios, lines of scaling, parts of a step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from workbench.files import replacing
from workbench.objectives import METHODS
from workbench.plotting.base import dress, panel, plain_ticks
from workbench.studies.speed import PARTS, Row
from workbench.studies.speed_against import NOTE

COLOURS = "colorblind"
BAR = 0.24  # inches
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # so that no line goes through a number
WAYS = {"batch_size": "items in a batch", "modalities": "modalities M", "samples": "importance samples K"}


def tables(results: Mapping[str, Any]) -> str:
    """Format results, each table under a line that says what it holds, and what all of its rows share."""
    where = results["measured_with"]
    machine = ", ".join(part for part in (where["gpu"], where["machine"]) if part)
    text = [f"Measured {where['date']} on {machine}; torch {where['torch']}, commit {where['commit']}."]
    titles = {
        "Training steps, their time in the best round; items are triples where there are three modalities": "speeds",
        "Against multivae, times in seconds in the best round": "comparisons",
        "Where a step's time goes: seconds under the profiler (clocked), of its parts, and without it": "profiles",
        f"Evaluation of {results.get('limit')} test items, processor seconds in the best round": "versions",
    }
    found = {title: results.get(kind) for title, kind in titles.items()}
    found |= {f"Scaling in {way}": rows for way, rows in results.get("scaling", {}).items()}
    text += [f"{title}\n{table(rows)}" for title, rows in found.items() if rows]
    return "\n\n".join([*text, *([NOTE] if results.get("comparisons") else [])])


def table(rows: Sequence[Row]) -> str:
    """Format rows, one a line, without the columns that are the same in all: these stand above."""
    frame = pd.json_normalize([*rows]).drop(columns="objective", errors="ignore")  # the method says it
    frame.columns = frame.columns.str.replace("parts.", "")
    if "peak_bytes" in frame:
        frame["peak_MB"] = frame.pop("peak_bytes") / 1e6
    if "total" in frame:
        frame["times the first"] = frame["total"] / frame["total"][0]
    if "decodings" in frame:
        _predict(frame)
    same = [name for name in frame if len(frame) > 1 and frame[name].nunique(dropna=False) == 1]
    shared = ", ".join(f"{name} {frame[name][0]}" for name in same)
    shown = frame.drop(columns=same).to_string(index=False, float_format=significant, na_rep="")
    return f"{shared}\n\n{shown}".lstrip()


def _predict(frame: pd.DataFrame) -> None:
    """Set beside each step's time, over mmJSD's, what decodings alone would make of it: mmJSD's parts, as often."""
    if (places := frame.index[frame.method == METHODS["mmjsd"].label]).empty:
        return
    first = frame.loc[places[-1]]
    share = first["decode"] / (first["encode"] + first["decode"])  # of the networks' time, and so of their gradient's
    frame["over mmJSD's"] = frame["seconds"] / first["seconds"]
    frame["by decodings"] = 1 + share * (frame["decodings"] / first["decodings"] - 1)


def significant(value: float) -> str:
    """Format three significant digits, without an exponent where the number is large."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def draw(results: Mapping[str, Any], path: Path) -> list[Path]:
    """Draw what there is; of several kinds each has its own file, NAME-KIND. ValueError when there is nothing."""
    pictures = {"speeds": speeds, "comparisons": comparisons, "scaling": scaling, "profiles": profiles}
    figures = {kind: picture(results[kind]) for kind, picture in pictures.items() if results.get(kind)}
    if not figures:
        raise ValueError("there is nothing to draw: measure something first")
    files = {kind: path if len(figures) == 1 else path.with_stem(f"{path.stem}-{kind}") for kind in figures}
    for kind, file in files.items():
        with replacing(file) as temporary:
            figures[kind].savefig(temporary, format=path.suffix[1:] or "png", dpi=144)
    return [*files.values()]


def speeds(rows: Sequence[Row]) -> Figure:
    """Draw steps a second of every method, a panel without styles and one with, on one logarithmic axis."""
    frame = pd.DataFrame(rows)
    frame["panel"] = [f"styles of {size} dimensions" if size else "shared space" for size in frame.style_dim]
    frame["name"] = frame.method.str.replace(r",? ?\(?MS\)", "", regex=True)
    frame["value"], frame["label"] = frame.steps_per_second, frame.steps_per_second.map(significant)
    figure, highest, lowest = _bars(frame, "steps per second", 4.3), frame.value.max(), frame.value.min()
    for ax in figure.axes:
        ax.set_xscale("log")
        plain_ticks(ax.xaxis, (1, 2, 5) if highest < 30 * lowest else (1,))
        ax.set_xlim(lowest / 3, highest * (highest / lowest * 9) ** 0.22)  # room for the numbers
    return figure


def comparisons(rows: Sequence[Row]) -> Figure:
    """Draw how many times faster our steps are than the other library's; a line where both are equal."""
    frame = pd.DataFrame(rows).assign(panel="", value=lambda x: x.ratio)
    frame["name"] = [f"{x.method}\nmultivae: {x.theirs}, batch {x.batch_size}" for x in frame.itertuples()]
    numbers = zip(frame.ratio, 1000 * frame.our_seconds, 1000 * frame.their_seconds, strict=True)
    frame["label"] = [f"{ratio:.2f}x   {ours:,.0f} against {theirs:,.0f} ms" for ratio, ours, theirs in numbers]
    figure = _bars(frame, "multivae's time of a step, over ours", 7.0, least=0.5, title="ours in")
    figure.axes[0].axvline(1, color="0.3", linewidth=0.9, linestyle="--")
    figure.axes[0].set_xlim(0, 2.2 * frame.ratio.max())
    return figure


def _bars(frame: pd.DataFrame, xlabel: str, width: float, least: float = 0.0, title: str | None = None) -> Figure:
    """Horizontal bars of the columns name, value and label, a colour for each precision, in panels.

    `least` are the inches of a name at least; `title` is that of the legend.
    """
    panels, hues = frame.groupby("panel", sort=False), [*frame.precision.unique()]
    height = 0.9 + panels.name.nunique().max() * max(least, BAR * (0.4 + len(hues)))
    figure, axes = panel(1, len(panels), width, height)
    for ax, (heading, group) in zip(axes[0], panels, strict=True):
        sns.barplot(group, y="name", x="value", hue="precision", hue_order=hues, palette=COLOURS, legend=False, ax=ax)
        for bars, hue in zip(ax.containers, hues, strict=True):
            ax.bar_label(bars, [*group.label[group.precision == hue]], padding=3, fontsize=9, bbox=WHITE)
        dress(ax, xlabel, title=heading)
        ax.tick_params(labelsize=9)
        ax.grid(axis="x", color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
    style = {"loc": "outside right upper", "fontsize": 9, "title_fontsize": 9, "frameon": False}
    figure.legend(axes[0, 0].containers, hues, title=title, **style)
    return figure


def scaling(sweeps: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw time and memory of a step over what is varied, a column for each sweep, on doubly logarithmic axes."""
    frame = pd.DataFrame([row | {"way": way, "x": row[way]} for way, rows in sweeps.items() for row in rows])
    frame["method"] = [METHODS[name].label for name in frame.objective]
    frame["time of a step (ms)"], frame["peak memory (MB)"] = 1000 / frame.steps_per_second, frame.peak_bytes / 1e6
    long = frame.melt(["method", "way", "x"], ["time of a step (ms)", "peak memory (MB)"], "measure")
    facets = {"row": "measure", "col": "way", "facet_kws": {"sharex": "col", "sharey": False, "margin_titles": True}}
    looks = {"hue": "method", "style": "method", "markers": True, "dashes": False, "palette": COLOURS}
    with sns.plotting_context("paper", font_scale=1.03):
        grid = sns.relplot(long, x="x", y="value", kind="line", height=2.5, aspect=0.98, **facets, **looks)
    plt.close(grid.figure)
    grid.set_titles("", row_template="", col_template="").tight_layout()
    for (measure, way), ax in grid.axes_dict.items():
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        plain_ticks(ax.yaxis)
        places = sorted(frame.x[frame.way == way].unique())
        every = 2 if len(places) > 6 else 1  # labels of more would touch
        ax.set_xticks(places, [str(place) if n % every == 0 else "" for n, place in enumerate(places)])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set(xlabel=WAYS[way], ylabel=measure)
    return grid.figure


def profiles(rows: Sequence[Row]) -> Figure:
    """Draw shares of the parts of a step, a bar for each profile, with the time of a step at its end."""
    frame = pd.DataFrame(rows).iloc[::-1]
    names = frame.method + ", " + frame.label + " (" + frame.precision + ")"
    shares = pd.DataFrame([*frame.parts], index=names).assign(rest=[*frame.rest])
    shares = shares.rename(columns={"rest": "not attributed"}).div([*frame.clocked], axis=0)
    figure, axes = panel(1, 1, 7.2, 0.8 + 0.32 * len(rows))
    ax, colours = axes[0, 0], [*sns.color_palette(COLOURS, len(PARTS)), "0.8"]
    shares.plot.barh(stacked=True, width=0.7, color=colours, legend=False, ax=ax)
    style = {"label_type": "center", "fontsize": 9, "color": "white"}
    for bars in ax.containers:
        ax.bar_label(bars, fmt=lambda x: f"{x:.0%}" if x >= 0.05 else "", **style)
    for n, seconds in enumerate(frame.clocked):
        ax.text(1.01, n, f"{significant(1000 * seconds)} ms", va="center", fontsize=9)
    ax.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.tick_params(labelsize=9)
    sns.despine(ax=ax)
    figure.legend(loc="outside upper center", ncols=len(shares.T), fontsize=9, frameon=False, handlelength=1.0)
    return figure
