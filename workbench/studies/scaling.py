"""How methods scale in the number of modalities: what a training step costs, and what finished runs have come to.

Costs are measured here and now; qualities are read from metrics.json of runs, at the posterior that the paper shows
first (`Method.inference`). Rows are named tuples: `pandas.DataFrame(rows)` is a tidy frame of them.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from workbench.config import Config
from workbench.data.sources import load_dataset
from workbench.data.synthetic.polydigits import FAMILY
from workbench.device import pick_device
from workbench.fusion import takes
from workbench.objectives import METHODS, method
from workbench.paths import replacing
from workbench.reports import results
from workbench.reports.report import label, label_of
from workbench.reports.results import Number
from workbench.runs.run import Run, build_model
from workbench.runs.versions import provenance
from workbench.theory.anatomy import step_memory, step_time

PROBES = ("linear_probe_full", "linear_probe")  # on all training items, else on 256


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
    """Time and memory of a training step of a configuration, on a test batch of its data and its device.

    Raises ValueError when the method cannot take so many modalities.
    """
    data = load_dataset(config.data, "test", root=config.data_root or None, repeats=config.repeats)
    objective = method(config.objective, len(data.storages)).objective
    device = pick_device(config.device)
    model = build_model(config, data).to(device)
    batch = next(data.batches(config.batch_size, device, torch.Generator(device).manual_seed(config.seed)))
    return Cost(
        label_of(config),
        len(data.storages),
        step_time(model, objective, batch, config, rounds),
        step_memory(model, objective, batch, config),
        sum(parameter.numel() for parameter in model.parameters()),
        config.batch_size,
    )


def costs(objectives: Sequence[str], counts: Sequence[int], rounds: int = 5, **settings: Any) -> list[Cost]:
    """`cost` of several objectives on polydigits-M for every M of `counts`, but for those that cannot take so many.

    `settings` are further fields of `Config`.
    """
    feasible = [(name, m) for name in objectives for m in counts if takes(method(name).posterior, m)]
    return [cost(Config(objective=name, data=f"{FAMILY}-{m}", **settings), rounds) for name, m in feasible]


def write_costs(rows: Sequence[Cost], path: Path) -> None:
    """Keep costs as JSON, with machine, date and versions; whole or not at all."""
    with replacing(path) as temporary:
        content = {"measured_with": provenance(), "costs": [row._asdict() for row in rows]}
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_costs(path: Path) -> list[Cost]:
    """Costs that were kept."""
    return [Cost(**row) for row in json.loads(path.read_text())["costs"]]


def qualities(runs: Iterable[Run]) -> list[Quality]:
    """Joint probe and coherences of finished runs, one row for each of two modalities or more."""
    rows = []
    for run in runs:
        found = gains([run])
        if len(found) > 1:
            rows.append(Quality(*found[0][:3], found[-1].probe, found[0].coherence, found[-2].coherence))
    return rows


def gains(runs: Iterable[Run]) -> list[Gain]:
    """Probe and coherence of finished runs by the number of given modalities, fewer first, run after run.

    ValueError for a run that was evaluated without probe or coherence.
    """
    rows = []
    for run in runs:
        probes, coherence = _numbers(run, *PROBES), _numbers(run, "coherence")
        if not probes or not coherence:
            raise ValueError(f"{run.folder} was evaluated without probe or coherence: evaluate it again with both")
        count = max(_size(x) for x in probes)
        for given in sorted({_size(x) for x in probes}):
            probe = fmean(_values(x for x in probes if _size(x) == given))
            others = _values(x for x in coherence if _size(x) == given and x.target not in x.given.split(","))
            rows.append(Gain(label(run), count, run.config.seed, given, probe, fmean(others) if others else math.nan))
    return rows


def _numbers(run: Run, *sections: str) -> list[Number]:
    """The first of some sections of metrics.json that a run has, for the posterior that the paper shows first."""
    fusion = METHODS[run.config.objective].inference[0]
    found = ([x for x in results.numbers(run.metrics, name) if x.posterior == fusion] for name in sections)
    return next(filter(None, found), [])


def _values(numbers: Iterable[Number]) -> list[float]:
    return [math.nan if x.value is None else x.value for x in numbers]


def _size(number: Number) -> int:
    """How many modalities were given."""
    return number.given.count(",") + 1
