"""What finished runs on incomplete items have come to: those that used them beside those that dropped them.

Numbers are read from metrics.json, at the posterior that the paper shows first (`Method.inference`). Rows are named
tuples: `pandas.DataFrame(rows)` is a tidy frame of them. `workbench.studies.incomplete_plots` draws them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from workbench.metrics.representation import standard_error
from workbench.objectives import METHODS
from workbench.reports import results
from workbench.reports.report import label, steps_taken
from workbench.reports.results import Number
from workbench.reports.specs import Metrics
from workbench.runs.run import Run

MEASURES = ("probe", "coherence", "likelihood")


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


class Mean(NamedTuple):
    """Means over the seeds of runs that differ in nothing else, with standard errors: NaN of a single seed."""

    method: str
    items: int
    incomplete: float
    dropped: bool
    step: int
    seeds: int
    means: dict[str, float]  # by measure
    errors: dict[str, float]


def outcomes(runs: Iterable[Run]) -> list[Outcome]:
    """A row for each snapshot of each run, and one for its end; ValueError for a run without probe or coherence."""
    rows = []
    for run in runs:
        snapshots = [(x["step"], x) for x in run.metrics.get("over_steps") or () if x["step"] != steps_taken(run)]
        rows += [_outcome(run, step, metrics) for step, metrics in [*snapshots, (steps_taken(run), run.metrics)]]
    return rows


def _outcome(run: Run, step: int, metrics: Metrics) -> Outcome:
    fusion, config = METHODS[run.config.objective].inference[0], run.config
    probes, paths, nats = (
        [x for x in results.numbers(metrics, section) if x.posterior == fusion]
        for section in ("linear_probe", "coherence", "log_likelihood")
    )
    if not probes or not paths:
        raise ValueError(f"{run.folder} was evaluated without probe or coherence: evaluate it again with both")
    joint = max((x.given for x in probes), key=lambda given: given.count(","))
    others = [x for x in paths if x.target not in x.given.split(",")]
    of_all = [x for x in nats if (x.metric, x.given) == ("log_likelihood.X", joint)]
    return Outcome(
        label(run),
        config.train_size,
        config.missing_rate,
        config.missing_policy == "dropped",
        config.seed,
        step,
        _mean([x for x in probes if x.given == joint]),
        _mean(others),
        _mean(of_all) if of_all else math.nan,
    )


def _mean(found: Sequence[Number]) -> float:
    return fmean(math.nan if x.value is None else x.value for x in found)


def means(rows: Sequence[Outcome]) -> list[Mean]:
    """Means over seeds, methods in the order of the rows, then fewer items last, shares and steps upwards."""
    key: Callable[[Outcome], tuple] = lambda x: (x.method, x.items, x.incomplete, x.dropped, x.step)  # noqa: E731
    methods = list(dict.fromkeys(row.method for row in rows))
    groups: dict[tuple, list[Outcome]] = {}
    for row in sorted(rows, key=lambda x: (x.items, methods.index(x.method), x.incomplete, x.dropped, x.step)):
        groups.setdefault(key(row), []).append(row)
    return [Mean(*which, len(group), *_statistics(group)) for which, group in groups.items()]


def _statistics(group: Sequence[Outcome]) -> tuple[dict[str, float], dict[str, float]]:
    columns = {name: [getattr(row, name) for row in group] for name in MEASURES}
    errors = {name: standard_error(x) if len(x) > 1 else math.nan for name, x in columns.items()}
    return {name: fmean(x) for name, x in columns.items()}, errors


def markdown(rows: Sequence[Outcome]) -> str:
    """A table of the last step of runs: a line for each method and treatment, a column for each share and measure."""
    last = {(x.items, x.method): max(r.step for r in rows if (r.items, r.method) == (x.items, x.method)) for x in rows}
    found = [x for x in means(rows) if x.step == last[x.items, x.method]]
    shares = sorted({x.incomplete for x in found})
    heads = ["method", "incomplete items", "measure", *(f"{share:.0%}" for share in shares)]
    lines = [heads, ["---"] * 3 + ["---:"] * len(shares)]
    for items, method, measure in dict.fromkeys((x.items, x.method, name) for x in found for name in MEASURES):
        for dropped in (False, True):
            cells = {
                x.incomplete: _cell(x, measure)
                for x in found
                if (x.items, x.method) == (items, method) and (x.dropped == dropped or not x.incomplete)
            }
            lines.append([method, "dropped" if dropped else "used", measure, *(cells.get(s, "") for s in shares)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(found: Mean, measure: str) -> str:
    digits = 0 if measure == "likelihood" else 2
    error = found.errors[measure]
    return f"{found.means[measure]:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")
