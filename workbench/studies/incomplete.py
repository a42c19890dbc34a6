"""What finished runs on incomplete items have come to: those that used them beside those that dropped them.

Numbers are read from metrics.json, at the posterior that the paper shows first. Rows are named tuples:
`pandas.DataFrame(rows)` is a tidy frame of them. `means` averages over seeds, `markdown` and `plot_missing` show them.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workbench.plotting.base import panel
from workbench.reports.layout import markdown as table
from workbench.reports.results import Mean, Metrics, at_papers, over_seeds
from workbench.runs.naming import label, steps_taken
from workbench.runs.run import Run
from workbench.studies.scaling import finish, lines, looks_of, mean, probes_and_paths

TITLES = {"probe": "joint probe", "coherence": "coherence of the others", "likelihood": "ln p(X), nats"}
FORMS = {"likelihood": ".0f"}  # of a number in a table; all else has two decimals
TREATMENTS = {False: ("used", "-"), True: ("dropped", ":")}  # whether incomplete items were dropped: words, dash


class Outcome(NamedTuple):
    """What one run has come to at one step."""

    method: str
    items: int  # training items; 0: all that there are
    incomplete: float  # share of them that lack something
    dropped: bool  # whether these were left out
    seed: int
    step: int
    probe: float  # accuracy of a linear probe of 256 items on the joint posterior
    coherence: float  # of modalities that were not given, the mean over all paths
    likelihood: float  # ln p(X) in nats, by the joint posterior; NaN where it was not estimated, as in snapshots


class Averaged(NamedTuple):
    """Means over the seeds of runs that differ in nothing else."""

    method: str
    items: int
    incomplete: float
    dropped: bool
    step: int
    means: dict[str, Mean]  # by measure


def outcomes(runs: Iterable[Run]) -> list[Outcome]:
    """Read a row for each snapshot of each run, and one for its end; ValueError without probe or coherence."""
    rows = []
    for run in runs:
        snapshots = [(x["step"], x) for x in run.metrics.get("over_steps") or () if x["step"] != steps_taken(run)]
        rows += [_outcome(run, step, metrics) for step, metrics in [*snapshots, (steps_taken(run), run.metrics)]]
    return rows


def _outcome(run: Run, step: int, metrics: Metrics) -> Outcome:
    probes, paths = probes_and_paths(run, metrics, "linear_probe")
    config, joint = run.config, max((x.given for x in probes), key=lambda given: given.count(","))
    whole = [x for x in at_papers(metrics, "log_likelihood") if (x.metric, x.given) == ("log_likelihood.X", joint)]
    treatment = (config.train_size, config.missing_rate, config.missing_policy == "dropped")
    values = map(mean, ([x for x in probes if x.given == joint], paths, whole))
    return Outcome(label(run), *treatment, config.seed, step, *values)


def means(rows: Sequence[Outcome]) -> list[Averaged]:
    """Average over seeds, methods in the order of the rows, then fewer items last, shares and steps upwards."""
    methods = list(dict.fromkeys(row.method for row in rows))
    groups: dict[tuple, list[Outcome]] = {}
    for row in sorted(rows, key=lambda x: (x.items, methods.index(x.method), x.incomplete, x.dropped, x.step)):
        groups.setdefault((*row[:4], row.step), []).append(row)
    return [
        Averaged(*which, {name: over_seeds([getattr(row, name) for row in group]) for name in TITLES})
        for which, group in groups.items()
    ]


def treated(rows: Sequence[Any], dropped: bool) -> list[Any]:
    """Choose rows by what was done with incomplete items; those without any belong to either way."""
    return [row for row in rows if row.dropped == dropped or not row.incomplete]


def markdown(rows: Sequence[Outcome]) -> str:
    """Write the last step of runs: a line for each method and treatment, a column for each share and measure."""
    last = {(x.items, x.method): x.step for x in sorted(rows, key=lambda x: x.step)}
    ends = [x for x in means(rows) if x.step == last[x.items, x.method]]
    shares = sorted({x.incomplete for x in ends})
    lines = [["method", "incomplete items", "measure", *(f"{share:.0%}" for share in shares)]]
    for items, method, measure in dict.fromkeys((x.items, x.method, name) for x in ends for name in TITLES):
        own, form = [x for x in ends if (x.items, x.method) == (items, method)], FORMS.get(measure, ".2f")
        for dropped, (word, _) in TREATMENTS.items():
            cells = {x.incomplete: _cell(x.means[measure], form) for x in treated(own, dropped)}
            lines.append([method, word, measure, *(cells.get(share, "") for share in shares)])
    return table(lines, words=3)


def _cell(over: Mean, form: str) -> str:
    return f"{over.mean:{form}}" + ("" if math.isnan(over.half) else f" ± {over.half:{form}}")


def plot_missing(shares: Sequence[Outcome], steps: Sequence[Outcome] = ()) -> Figure:
    """Draw probe, coherence and ln p(X) over the share of incomplete items; below, where given, over the steps.

    One colour and marker a method; solid where incomplete items are used, dotted where they are dropped. Means over
    seeds, bars of 95 %. ValueError without a row.
    """
    looks = looks_of([*shares, *steps])
    figure, axes = panel(2 if steps else 1, 3, 2.9, 2.5)
    for ax, (name, title) in zip(axes[0], TITLES.items(), strict=True):
        _draw(ax, shares, "incomplete", name, looks)
        finish(ax, title, "share of incomplete items", share=name != "likelihood")
        ax.set_xticks(places := sorted({row.incomplete for row in shares}), [f"{x:.0%}" for x in places])
    if steps:
        for ax, name in zip(axes[1], ("probe", "coherence"), strict=False):
            _draw(ax, steps, "step", name, looks)
            finish(ax, f"{TITLES[name]},\n{steps[0].items:,} items, {steps[0].incomplete:.0%}", "steps", share=True)
        axes[1, 2].axis("off")
    handles = [Line2D([], [], label=name, **look) for name, look in looks.items()]
    ways = {f"incomplete items {word}": dash for word, dash in TREATMENTS.values()}
    handles += [Line2D([], [], color="0.3", linestyle=dash, label=name) for name, dash in ways.items()]
    place, where = (axes[1, 2], "center left") if steps else (figure, "outside right upper")
    place.legend(handles=handles, loc=where, fontsize=9, frameon=False)
    return figure


def _draw(ax: Axes, rows: Sequence[Outcome], x: str, name: str, looks: dict) -> None:
    for dropped, (_, dash) in TREATMENTS.items():
        lines(ax, treated(rows, dropped), x, lambda row: getattr(row, name), looks, dash)
