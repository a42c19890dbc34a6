"""How methods scale in the number of modalities: what a training step costs, what finished runs have come to, pictures.

Costs are measured here and now; qualities are read from metrics.json of runs, at the posterior that the paper shows
first. Rows are named tuples: `pandas.DataFrame(rows)` is a tidy frame of them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.config import Config
from workbench.data.load import load_dataset
from workbench.data.synthetic.polydigits import FAMILY
from workbench.device import pick_device
from workbench.files import write_json
from workbench.fusion import takes
from workbench.objectives import method
from workbench.plotting.base import dress, legend, panel, plain_ticks
from workbench.plotting.methods import MARKERS
from workbench.reports.results import Metrics, Number, along, at_papers
from workbench.reports.specs import crossed
from workbench.runs.naming import label, label_of
from workbench.runs.run import Run, build_model
from workbench.runs.versions import provenance
from workbench.theory.anatomy import step_memory, step_time

PROBES = ("linear_probe_full", "linear_probe")  # on all training items, else on 256
Looks = dict[str, dict[str, Any]]  # colour and marker of each method


class Cost(NamedTuple):
    """What one training step of a method costs."""

    method: str
    modalities: int
    seconds: float  # for the loss of a batch and its gradient, the best of some rounds
    peak_bytes: int  # of the tensors that the step makes
    parameters: int  # of the whole model
    batch_size: int


class Quality(NamedTuple):
    """What a finished run has come to, in accuracies."""

    method: str
    modalities: int
    seed: int
    joint_probe: float  # a linear probe of the joint posterior, on all training items where there is one
    coherence_single: float  # of all others given one modality, the mean over all pairs
    coherence_rest: float  # of each modality given all others, the mean over them


class Gain(NamedTuple):
    """What is known of the class when `given` of the modalities are: means over the evaluated subsets of that size."""

    method: str
    modalities: int
    seed: int
    given: int
    probe: float  # a linear probe of the subset's posterior
    coherence: float  # of the modalities that are not given; NaN when all are


def cost(config: Config, rounds: int = 5) -> Cost:
    """Measure a training step of a configuration, on a test batch of its data and its device.

    Raises ValueError when the method cannot take so many modalities.
    """
    data = load_dataset(config.data, "test", root=config.data_root or None, repeats=config.repeats)
    objective, device = method(config.objective, len(data.storages)).objective, pick_device(config.device)
    model = build_model(config, data).to(device)
    batch = next(data.batches(config.batch_size, device, torch.Generator(device).manual_seed(config.seed)))
    step = (model, objective, batch, config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    measured = (step_time(*step, rounds), step_memory(*step))
    return Cost(label_of(config), len(data.storages), *measured, parameters, config.batch_size)


def costs(objectives: Sequence[str], counts: Sequence[int], rounds: int = 5, **settings: Any) -> list[Cost]:
    """Measure several objectives on polydigits-M for every M of `counts`, but for those that cannot take so many.

    `settings` are further fields of `Config`.
    """
    feasible = [(name, m) for name in objectives for m in counts if takes(method(name).posterior, m)]
    return [cost(Config(objective=name, data=f"{FAMILY}-{m}", **settings), rounds) for name, m in feasible]


def write_costs(rows: Sequence[Cost], path: Path) -> None:
    """Keep costs as JSON, with machine, date and versions; whole or not at all."""
    write_json(path, {"measured_with": provenance(), "costs": [row._asdict() for row in rows]})


def qualities(runs: Iterable[Run]) -> list[Quality]:
    """Read joint probe and coherences of finished runs, one row for each of two modalities or more."""
    by_run = [rows for run in runs if len(rows := gains([run])) > 1]
    return [Quality(*rows[0][:3], rows[-1].probe, rows[0].coherence, rows[-2].coherence) for rows in by_run]


def gains(runs: Iterable[Run]) -> list[Gain]:
    """Read probe and coherence of finished runs by the number of given modalities, fewer first, run after run.

    ValueError for a run that was evaluated without probe or coherence.
    """
    rows = []
    for run in runs:
        probes, paths = probes_and_paths(run, run.metrics, *PROBES)
        sizes = sorted({x.given.count(",") for x in probes})
        for size in sizes:
            values = (mean([x for x in numbers if x.given.count(",") == size]) for numbers in (probes, paths))
            rows.append(Gain(label(run), sizes[-1] + 1, run.config.seed, size + 1, *values))
    return rows


def probes_and_paths(run: Run, metrics: Metrics, *sections: str) -> tuple[list[Number], list[Number]]:
    """Read the first of some probes that is there, and coherences of what was not given; ValueError without either.

    Numbers are those at the posterior that the paper shows; `metrics` are the run's, or those of a snapshot.
    """
    probes, paths = at_papers(metrics, *sections), at_papers(metrics, "coherence")
    if not probes or not paths:
        raise ValueError(f"{run.folder} was evaluated without probe or coherence: evaluate it again with both")
    return probes, [x for x in paths if crossed(x)]


def mean(numbers: Sequence[Number]) -> float:
    """Average numbers; NaN of none, and of one that was not finite."""
    return fmean(math.nan if x.value is None else x.value for x in numbers) if numbers else math.nan


# Pictures


def plot_scaling(costs: Sequence[Cost], qualities: Sequence[Quality]) -> Figure:
    """Draw time and memory of a step, joint probe and coherence over the number of modalities, one line a method.

    Accuracies are means over seeds, bars of 95 %. Coherence: solid given all others, dotted given one.
    Without either kind of rows its panels are empty; ValueError without both.
    """
    looks, counts = looks_of([*costs, *qualities]), sorted({row.modalities for row in (*costs, *qualities)})
    figure, axes = panel(2, 2, 3.6, 2.5)
    panels = (
        ("time of a step (ms)", costs, lambda row: 1000 * row.seconds),
        ("memory of a step (MB)", costs, lambda row: row.peak_bytes / 1e6),
        ("joint probe", qualities, lambda row: row.joint_probe),
        ("coherence (dotted: given one)", qualities, lambda row: row.coherence_rest),
    )
    for ax, (title, rows, y) in zip(axes.flat, panels, strict=True):
        lines(ax, rows, "modalities", y, looks)
        ax.set_xscale("log", base=2)
        finish(ax, title, "modalities M", counts, share=rows is qualities)
    lines(axes[1, 1], qualities, "modalities", lambda row: row.coherence_single, looks, ":", named=False)
    for ax in axes[0, :2]:
        ax.set_yscale("log")
        plain_ticks(ax.yaxis)
    legend(figure)
    return figure


def plot_information_gain(gains: Sequence[Gain]) -> Figure:
    """Draw probe and coherence over the number of given modalities, one line a method: what each further one adds.

    Means over seeds, bars of 95 %. ValueError without a row, or with rows of several numbers of modalities.
    """
    if len(several := {row.modalities for row in gains}) > 1:
        raise ValueError(f"runs with {', '.join(map(str, sorted(several)))} modalities: choose those of one number")
    looks = looks_of(gains)
    figure, axes = panel(1, 2, 3.3, 2.7)
    lines(axes[0, 0], gains, "given", lambda row: row.probe, looks)
    generated = [row for row in gains if row.given < row.modalities]  # where all are given nothing is left to generate
    lines(axes[0, 1], generated, "given", lambda row: row.coherence, looks)
    counts = sorted({row.given for row in gains})
    for ax, title in zip(axes[0], ("probe", "coherence of the others"), strict=True):
        finish(ax, title, f"given modalities of {gains[0].modalities}", counts, share=True)
    legend(figure)
    return figure


def looks_of(rows: Sequence[Any]) -> Looks:
    """Choose a colour and a marker for each method of rows, the same in all figures of the same methods.

    ValueError without a row.
    """
    if not rows:
        raise ValueError("there is nothing to draw: measure a step, or train and evaluate a run, first")
    names = sorted({row.method for row in rows})
    looks = zip(names, sns.color_palette("colorblind", len(names)), cycle(MARKERS), strict=False)
    return {name: {"color": colour, "marker": marker} for name, colour, marker in looks}


def lines(
    ax: Axes, rows: Sequence[Any], x: str, y: Callable[[Any], float], looks: Looks, dash: str = "-", named: bool = True
) -> None:
    """Draw one line for each method, the mean over its rows at every x; bars as `along` has them."""
    for name, look in looks.items():
        values: dict[int, list[float]] = {}
        for row in rows:
            if row.method == name:
                values.setdefault(getattr(row, x), []).append(y(row))
        if values:
            means, halves, *_ = zip(*along(values[place] for place in sorted(values)), strict=True)
            style = {"linestyle": dash, "markersize": 4, "linewidth": 1.4, "label": name if named else None}
            ax.errorbar(sorted(values), means, np.nan_to_num(halves), **style, **look)


def finish(ax: Axes, title: str, xlabel: str, counts: Sequence[int] = (), share: bool = False) -> None:
    """Give a panel its words, ticks at `counts` where there are some, and, for a share, the range from 0 to 1."""
    if counts:
        named = counts[::-1][:: 2 if len(counts) > 10 else 1]  # labels of more would touch
        ax.set_xticks(named, [str(count) for count in named])
        ax.xaxis.minorticks_off()
    if share:
        ax.set_ylim(0, 1.02)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    dress(ax, xlabel, title=title)
