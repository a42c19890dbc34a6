"""The picture of an ablation: a panel for each aspect, a line for each subset or path, seeds as bands."""

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.paths import outputs_dir
from workbench.plotting.base import dress, panels
from workbench.plotting.shown import Described
from workbench.reports.ablations import Ablation, Panel, curves, series, summary
from workbench.runs.collected import sound
from workbench.runs.run import find_runs

COLUMNS = 2
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
COLOURS = [*sns.color_palette("colorblind", 6), (0.15, 0.15, 0.15), *sns.color_palette("colorblind")[7:]]
NEAR_CHANCE = 0.3  # a line of chance far below all others would only flatten them


def own_sweep(ablation: Ablation, preset: str) -> list[Described | Markdown]:
    """The curves of one's own sweep, each after its name; where there is none at this preset, the command for it."""
    shown: list[Described | Markdown] = []
    runs = [*sound(find_runs(outputs_dir() / preset / "sweeps" / ablation.name))]
    for name, group in series(runs, ablation).items():
        heading = Markdown(f"**{name or 'one curve'}**: {len(group)} runs")
        shown += [heading, described(curves(group, ablation), ablation)]
    return shown or [Markdown(f"There is none yet. Make one with: `{ablation.command} --preset {preset}`")]


def described(frame: pd.DataFrame, ablation: Ablation) -> Described:
    """Draw `ablation_figure` and say where each of its lines begins and ends."""
    means = summary(frame).groupby(["panel", "line"], sort=False)["mean"].agg(["first", "last"])
    words = (f"{panel}, {line}: {first:.2f} to {last:.2f}" for (panel, line), first, last in means.itertuples())
    low, high = frame["x"].min(), frame["x"].max()
    alt = f"From {ablation.label} {low:g} to {high:g}. {'; '.join(words)}"
    return Described(ablation_figure(frame, ablation), alt)


def ablation_figure(frame: pd.DataFrame, ablation: Ablation) -> Figure:
    """`frame` as `ablations.curves` makes it: means over seeds, with the intervals of `ablations.summary`.

    Where all are single seeds there are no bands. A dotted line marks the paper's choice. Panels without a number are
    left out; ValueError when all are.
    """
    shown = [chosen for chosen in ablation.panels if (frame["panel"] == chosen.title).any()]
    if not shown:
        raise ValueError(f"these runs have nothing to show of {ablation.name}: evaluate them with `workbench evaluate`")
    figure, axes = panels(len(shown), COLUMNS, 4.9, 2.75)
    for ax, chosen in zip(axes.flat, shown, strict=False):
        _draw(ax, frame[frame["panel"] == chosen.title], chosen, ablation)
    return figure


def _draw(ax: Axes, curves: pd.DataFrame, chosen: Panel, ablation: Ablation) -> None:
    lines, values = [*curves["line"].unique()], sorted(curves["x"].unique())
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(lines))]
    looks = {"hue": "line", "style": "line", "hue_order": lines, "style_order": lines, "palette": colours}
    markers = {line: MARKERS[i % len(MARKERS)] for i, line in enumerate(lines)}
    means = summary(curves)
    sns.lineplot(means, x="x", y="mean", ax=ax, markers=markers, linewidth=1.4, markersize=5.5, errorbar=None, **looks)
    for name, colour in zip(lines, colours, strict=True):
        x, mean, half = means.loc[means["line"] == name, ["x", "mean", "half"]].to_numpy().T
        ax.fill_between(x, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)
    if ablation.log and values[0] > 0:
        ax.set_xscale("log")
    ax.set_xticks(values, [f"{x:g}" for x in values])
    ax.minorticks_off()
    ax.axvline(ablation.papers, color="0.5", linewidth=0.9, linestyle=":", zorder=0)
    if chosen.chance is not None and curves["value"].min() < chosen.chance + NEAR_CHANCE:
        ax.axhline(chosen.chance, color="0.5", linewidth=0.9, linestyle="--", zorder=0)
        at = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        ax.annotate("chance", (1, chosen.chance), fontsize=9, color="0.35", **at)
    dress(ax, ablation.label, chosen.ylabel, chosen.title)
    ax.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), handlelength=2.6, labelspacing=0.35)
