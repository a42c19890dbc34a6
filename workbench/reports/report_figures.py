"""The figures of a report: claims as a forest, coherence against likelihood, losses by method, pictures of runs.

Each is a `Picture`: embedded, with a caption and, for those who cannot see it, a text with what it shows.
"""

import base64
import io
import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from workbench.plotting import attributes as plotting_attributes
from workbench.plotting import methods
from workbench.reports import ablations, report, results
from workbench.reports.ablation_figure import ablation_figure
from workbench.reports.claims import METRICS, SUPPORTED, Finding
from workbench.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

UNITS = {  # of claims: what they are about, and the axis
    "accuracy": ("accuracies", "difference in accuracy"),
    "average precision": ("the quality of images", "difference in average precision"),
    "mean average precision": ("attributes", "difference in mean average precision"),
    "nats": ("log-likelihoods", "difference in nats per item"),
}
ATTRIBUTE_BARS = {
    plotting_attributes.PROBES: "Linear probes on 256 items (as Figure 8)",
    plotting_attributes.GENERATED: "Generated samples (as Figure 9)",
}
PICTURES = {  # files that notebooks leave in a run's folder
    "coherence.png": "Map of conditional coherence: generated modality by given subset",
    "generation.png": "Given test items, and modalities generated from each of them alone",
}


class Picture(NamedTuple):
    """A picture as HTML shows it."""

    source: str  # data URL
    alt: str
    caption: str
    wide: bool = True  # a chart with small print: scrolled, not shrunk, on a narrow screen


def all_pictures(runs: Sequence[Run], findings: Sequence[Finding]) -> list[Picture]:
    """What runs on one data set have to show; only what there are numbers for."""
    return [*sweeps(runs), *forests(findings), *attributes(runs), *trade_off(runs), *losses(runs), *samples(runs)]


def methods_of(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by what they are called and what sets them apart: those of one name may be averaged."""
    labels: dict[str, list[Run]] = {}
    for run in runs:
        labels.setdefault(report.label(run), []).append(run)
    named: dict[str, list[Run]] = {}
    for label, group in labels.items():
        for run, apart in zip(group, report.apart(group), strict=True):
            named.setdefault(label + apart, []).append(run)
    return named


def sweeps(runs: Sequence[Run]) -> list[Picture]:
    """The curves of the paper's ablations that runs make."""
    pictures = []
    for ablation in ablations.ABLATIONS.values():
        for name, group in ablations.series(runs, ablation).items():
            curves = ablations.curves(group, ablation)
            if len(curves):
                pictures.append(Picture(_svg(ablation_figure(curves, ablation)), *_told(curves, ablation, name)))
    return pictures


def _told(curves: "pd.DataFrame", ablation: ablations.Ablation, name: str) -> tuple[str, str]:
    """Where the lines of an ablation begin and end in words, and the caption."""
    ends = ablations.summary(curves).groupby(["panel", "line"], sort=False)["mean"].agg(["first", "last"])
    told = [f"{panel}, {line}: {first:.2f} to {last:.2f}" for (panel, line), first, last in ends.itertuples()]
    where = ", ".join(filter(None, (ablation.where, name)))
    caption = f"{where}: means over seeds, bands of two standard errors, dotted the paper's own choice."
    return f"From the smallest to the largest value of {ablation.field}: {'; '.join(told)}", caption


def forests(findings: Sequence[Finding]) -> list[Picture]:
    """The differences behind claims with two standard errors, those of each unit in one picture."""
    pictures = []
    for unit, (words, axis) in UNITS.items():
        found = [f for f in findings if f.tested and METRICS[f.claim.table].unit == unit]
        if found:
            papers = {f.claim.name: {"paper": (f.paper, 0.0)} for f in found if not math.isnan(f.paper)}
            rows = {f.claim.name: papers.get(f.claim.name, {}) | {"these runs": (f.difference, f.error)} for f in found}
            figure = methods.forest(rows, f"{axis}, positive supports")
            supported = sum(f.verdict == SUPPORTED for f in found)
            alt = f"{supported} of {len(found)} claims about {words} are supported. Differences: " + "; ".join(
                f"{f.claim.name} {f.difference:+.2f}" for f in found
            )
            caption = f"Claims about {words}: the paper's differences and those of these runs, ± 2 standard errors."
            pictures.append(Picture(_svg(figure), alt, caption))
    return pictures


def attributes(runs: Sequence[Run]) -> list[Picture]:
    """Average precision of every attribute, of probes and of generated samples, of the first run of each method."""
    pictures = []
    for section, words in ATTRIBUTE_BARS.items():
        found = {
            name: having[0].metrics
            for name, group in methods_of(runs).items()
            if (having := [run for run in group if section in (run.metrics.get("by_attribute") or {})])
        }
        if found:
            figure = plotting_attributes.plot_attribute_bars(found, section)
            means = [
                f"{name}: " + ", ".join(f"{panel} {np.nanmean(row):.2f}" for panel, row in rows.items())
                for name, rows in ((name, plotting_attributes.attribute_rows(m, section)) for name, m in found.items())
            ]
            caption = f"{words}: each attribute's average precision, at the posterior that the paper shows; black: its "
            caption += "base rate, which knowing nothing reaches. One run of each method."
            pictures.append(Picture(_svg(figure), f"{words}. Means over attributes: {'; '.join(means)}", caption))
    return pictures


def trade_off(runs: Sequence[Run]) -> list[Picture]:
    """Coherence between single modalities against ln p(X), a dot for every run that has both."""
    points = {name: [p for p in map(_point, group) if p] for name, group in methods_of(runs).items()}
    points = {name: pairs for name, pairs in points.items() if pairs}
    if not points:
        return []
    title = f"{sum(map(len, points.values()))} runs"
    figure = methods.trade_off({title: points}, "coherence, mean over single inputs", "ln p(X), nats per item")
    means = [f"{name} {fmean(x for x, _ in p):.2f} and {fmean(y for _, y in p):.0f}" for name, p in points.items()]
    alt = f"Coherence and log-likelihood in nats, means by method: {'; '.join(means)}"
    return [Picture(_svg(figure), alt, "Is coherence traded off against the likelihood? Each dot is one run.")]


def _point(run: Run) -> tuple[float, float] | None:
    """Mean coherence of one modality generated from another, and ln p(X), at the posterior that the paper shows."""
    found = [x for x in results.numbers(run.metrics, "coherence") if "," not in x.given and x.target != x.given]
    nats = [x for x in results.numbers(run.metrics, "log_likelihood") if x.metric == "log_likelihood.X"]
    crossed = [x.value for x in found if x.posterior == found[0].posterior and x.value is not None]
    joint = max((x for x in nats if x.posterior == nats[0].posterior), key=lambda x: len(x.given), default=None)
    return (fmean(crossed), joint.value) if crossed and joint and joint.value is not None else None


def losses(runs: Sequence[Run]) -> list[Picture]:
    """Every term of the loss over the steps."""
    histories = {name: [h for run in group if (h := run.history())] for name, group in methods_of(runs).items()}
    histories = {name: found for name, found in histories.items() if found}
    if not histories:
        return []
    ends = [f"{name} {fmean(h['total'][-1] for h in found):,.0f}" for name, found in histories.items()]
    alt = f"Terms of the loss over the steps. Total at the end, in nats per item: {'; '.join(ends)}"
    caption = (
        "Terms of the loss in nats per item over the steps, unweighted but for the total; one line for each run. "
        "The axes leave out the first tenth."
    )
    return [Picture(_svg(methods.loss_curves(histories)), alt, caption)]


def samples(runs: Sequence[Run]) -> list[Picture]:
    """The pictures that notebooks left in run folders, of the first run of each method that has some."""
    pictures = []
    for name, group in methods_of(runs).items():
        having = [run for run in group if any((run.folder / file).is_file() for file in PICTURES)]
        for file, words in PICTURES.items():
            if having and (having[0].folder / file).is_file():
                told = f"{words}; {name}, seed {having[0].config.seed}."
                source = _data_url((having[0].folder / file).read_bytes(), "image/png")
                pictures.append(Picture(source, told, told, wide=False))
    return pictures


def _svg(figure: Figure) -> str:
    """A figure as a data URL, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "workbench"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _data_url(buffer.getvalue(), "image/svg+xml")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
