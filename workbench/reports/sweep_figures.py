"""Every metric over what was swept: a panel for each number of an evaluation, a figure for each family of them.

`fields` finds what was swept, `curves` makes a tidy table of one field, `draw` the picture of one of its families.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.objectives import METHODS
from workbench.plotting.base import dress, legend, panels
from workbench.plotting.methods import MARKERS
from workbench.reports import results
from workbench.reports.ablations import MOST_LINES, summary
from workbench.reports.published import RANDOM
from workbench.runs.naming import FREE
from workbench.runs.run import Run

COLUMNS = 4
DASHES = ("-", "--", "-.", ":")
NOT_OF_THE_MODEL = ("base_rate", "classifier_accuracy")  # but of the data and of the judges
# Sections that share a figure with another one, and those that have a figure for each of their metrics.
FAMILIES = {"marginal_kl": "rate", "style_probe": "linear_probe", "random_coherence": "coherence"}
LARGE = ("quality", "log_likelihood", "samplers")
FEW = 3  # values of a field that make a curve
WIDE = 20  # the largest value by the smallest: beyond it the axis is logarithmic


def fields(runs: Sequence[Run]) -> list[str]:
    """Name the fields of the configuration that were swept: numbers, of which some line has three or more."""
    frame, varying = results.frame(runs), results.varying_fields(runs)
    numbers = [name for name in varying if not isinstance(getattr(runs[0].config, name), bool | str)]
    return [name for name in numbers if not _lines(frame, varying, name).empty]


def _lines(frame: pd.DataFrame, varying: Sequence[str], field: str) -> pd.DataFrame:
    """Rows of `results.frame` of finished models, with x and the name of their line; of lines that are long enough.

    What is said in a name is what the lines differ in, besides the objective.
    """
    x = pd.to_numeric(frame[field], errors="coerce")
    others = [results.RENAMED.get(other, other) for other in varying if other != field and other not in FREE]
    found = frame[x.notna() & frame["step"].isna()].assign(x=x)
    keys = found.groupby(["objective", *others], dropna=False, sort=False)
    found = found[keys["x"].transform("nunique") >= FEW]
    line = found["objective"].map(lambda objective: METHODS[objective].label)
    for other in others:
        if found[other].nunique(dropna=False) > 1:
            line += f", {other.replace('_', ' ')} " + found[other].astype(str)
    return found.assign(line=line)


def curves(runs: Sequence[Run], field: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give each family with its table: columns panel, line, objective, x, and those of `results.Mean` over seeds.

    Of each number the posterior that the paper shows; of more than seven subsets means over those of one size.
    Attributes are not told apart.
    """
    found = _lines(results.frame(runs), results.varying_fields(runs), field).dropna(subset="value")
    section, _, measure = found["metric"].str.partition(".").to_numpy().T
    found = found[~np.isin(section, NOT_OF_THE_MODEL) & ~np.isin(measure, ATTRIBUTES)]
    found = found[found["posterior"] == found.groupby(["run", "metric"])["posterior"].transform("first")]
    subsets = found[found["given"] != RANDOM].groupby("metric")["given"].unique().to_dict()
    rows = []
    for (metric, given, target), group in found.groupby(["metric", "given", "target"], sort=False):
        size, others = given, subsets.get(metric, ())
        if len(others) > MOST_LINES and given != RANDOM:
            size = f"{given.count(',') + 1} of {max(other.count(',') for other in others) + 1}"
        family, path = family_of(metric), " → ".join(filter(None, [size, target.replace("_", " ")]))
        words = metric.removeprefix(f"{family}.").replace("_", " ")
        title = path if family == metric or family == "coherence" else f"{words} {path}"
        own = group[["line", "objective", "x", "seed", "value"]]
        rows += [(family, title, *row) for row in own.itertuples(index=False)]
    table = pd.DataFrame(rows, columns=["family", "panel", "line", "objective", "x", "seed", "value"])
    keys = ["family", "panel", "line", "objective"]
    for family, group in table.groupby("family", sort=False):
        seeds = group.groupby([*keys, "x", "seed"], sort=False)["value"].mean().reset_index()
        yield family, summary(seeds, keys)


def family_of(metric: str) -> str:
    """Name the family of a metric: its section, or one that shares a figure with it."""
    section = metric.partition(".")[0]
    return metric if section in LARGE else FAMILIES.get(section, section)


def draw(table: pd.DataFrame, field: str) -> Figure:
    """Draw a family: a panel for each of its numbers, a colour for each objective, 95 % intervals where seeds tell.

    Panels of shares have one scale; lines of one objective are told apart by dashes.
    """
    names, lines = [*table["panel"].unique()], table.drop_duplicates("line")[["line", "objective"]]
    objectives = [*lines["objective"].unique()]
    colours = dict(zip(objectives, sns.color_palette("colorblind", len(objectives)), strict=True))
    looks = {}
    for objective, own in lines.groupby("objective", sort=False)["line"]:
        for i, line in enumerate(own):
            marker = MARKERS[objectives.index(objective) % len(MARKERS)]
            looks[line] = {"color": colours[objective], "linestyle": DASHES[i % len(DASHES)], "marker": marker}
    figure, axes = panels(len(names), COLUMNS, 2.6, 1.9)
    half, values = table["half"].fillna(0.0), sorted(table["x"].unique())
    low, high = (table["mean"] - half).min(), (table["mean"] + half).max()
    shares = table["mean"].between(0, 1).all()
    for ax, name in zip(axes.flat, names, strict=False):
        for line, row in table[table["panel"] == name].groupby("line", sort=False):
            look = {"label": line, "markersize": 3.5, "linewidth": 1.2, "capsize": 2, **looks[line]}
            ax.errorbar(row["x"], row["mean"], np.nan_to_num(row["half"]), **look)
        if values[0] > 0 and values[-1] / values[0] >= WIDE:
            ax.set_xscale("log")
        ax.set_xticks(values if len(values) < 6 else values[:: -(-len(values) // 4)])
        ax.xaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
        if shares:
            margin = 0.06 * max(high - low, 0.05)
            ax.set_ylim(max(0, low - margin), min(1, high) + margin)
        dress(ax, field.replace("_", " "), "", name)
    legend(figure, "outside upper left", ncols=3)
    return figure
