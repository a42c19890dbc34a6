"""What runs make of a contrast: numbers by method and seed with errors inside the runs, their difference, its error.

Also what must be said of a comparison: the runs that it lacks, or settings in which its methods differ.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any, NamedTuple

from workbench.reports import report
from workbench.reports.claims_list import spelt
from workbench.reports.contrasts import Contrast
from workbench.reports.specs import SPECS, Metrics
from workbench.runs.run import Run

# Fields that make a method what it is, and fields that are of no account in a shared space.
OF_METHODS = {"objective", "dynamic_prior", "prior_weight", "importance_samples", "posterior", "mvtcae_alpha"}
OF_STYLES = {"style_dim", "beta_style", "content_first", "content_first_factor"}


class RunNumbers(NamedTuple):
    """What a comparison needs of one run."""

    seed: int
    settings: dict[str, Any]  # the steps taken, and all fields that are not free
    metrics: Metrics


class Cell(NamedTuple):
    """A number, or a weighted sum of some, with the square of its standard error inside the run (NaN: unknown)."""

    value: float
    variance: float

    def times(self, weight: float) -> "Cell":
        """The cell with a weight."""
        return Cell(weight * self.value, weight**2 * self.variance)


Entrants = dict[str, list[RunNumbers]]  # method's key in `published` -> runs
Cells = dict[str, dict[int, dict[str, Cell]]]  # method's key -> seed -> column


class Estimate(NamedTuple):
    """A difference, the standard error of it, and over how many seeds they are; NaN for what is not known."""

    difference: float
    error: float
    effect: float  # difference / standard deviation over seeds
    seeds: int
    paired: bool


def entrants_of(runs: Sequence[Run]) -> Entrants:
    """Runs by their method; a configuration that comes twice counts once."""
    entrants: Entrants = {}
    for run in {run.config.key(): run for run in runs}.values():
        entrants.setdefault(report.paper_key(run), []).append(
            RunNumbers(run.config.seed, settings_of(run), run.metrics)
        )
    return entrants


def settings_of(run: Run) -> dict[str, Any]:
    """The steps that a run took, and the fields that runs must share to be averaged."""
    ignored = report.FREE if run.config.style_dim else report.FREE | OF_STYLES
    kept = {field: x for field, x in run.config.to_json().items() if field not in ignored}
    return {"steps": report.steps_taken(run)} | kept


# What must be said of a comparison


def mixed(key: str, entrants: Sequence[RunNumbers]) -> str:
    """In words, the settings in which runs of one method differ: they must not be averaged; "" where they agree."""
    differing = report.differing([entrant.settings for entrant in entrants])
    what = ", ".join(f"{field} {' and '.join(map(_number, values))}" for field, values in differing.items())
    return f"runs of {spelt(key)} with {what}: give those of one setting" if what else ""


def unequal(methods: Mapping[str, Sequence[RunNumbers]]) -> list[str]:
    """What makes a comparison of methods unfair, such as "unequal steps: MMVAE 4,380, mmJSD 8,760"."""
    settings = {spelt(key): entrants[0].settings for key, entrants in methods.items()}
    fields = [field for field in report.differing([*settings.values()]) if field not in OF_METHODS]
    values = [", ".join(f"{name} {_number(s[f])}" for name, s in settings.items() if f in s) for f in fields]
    return [f"unequal {field}: {value}" for field, value in zip(fields, values, strict=True)]


def _number(x: Any) -> str:
    return f"{x:,}" if isinstance(x, int) else str(x)


# From metrics to numbers with errors


def cells_of(table: str, entrants: Sequence[RunNumbers]) -> dict[int, dict[str, Cell]]:
    """Numbers of a table at the posterior that the paper shows, by seed; seeds without such numbers are left out."""
    found = {}
    for seed, _, metrics in entrants:
        numbers, errors = SPECS[table].read(metrics), SPECS[table].error(metrics)
        fusion = next(iter(numbers), "")
        row = {column: x for column, x in numbers.get(fusion, {}).items() if x is not None}
        known = errors.get(fusion, {})
        if row:
            found[seed] = {c: Cell(x, _variance(table, x, known.get(c), metrics)) for c, x in row.items()}
    return found


def _variance(table: str, x: float, error: float | None, metrics: Metrics) -> float:
    """The squared standard error inside a run: its own where it has one, else that of a share of n items."""
    if error is not None:
        return error**2
    items = (metrics.get("quality") or {}).get("images") if table == "quality" else metrics.get("test_items")
    return x * (1 - x) / items if items and 0 <= x <= 1 else math.nan


def means(seeds: Mapping[int, Mapping[str, Cell]]) -> dict[str, float]:
    """Means over seeds of the columns that all of them have."""
    first, *others = seeds.values()
    columns = [column for column in first if all(column in row for row in others)]
    return {column: fmean(row[column].value for row in seeds.values()) for column in columns}


# From numbers to a difference


def estimate(contrast: Contrast, cells: Cells) -> Estimate:
    """The difference and its error: over the seeds that all methods share, else over each method's own seeds."""
    terms = {
        key: {
            seed: _sum([row[c].times(w) for (k, c), w in contrast.items() if k == key]) for seed, row in seeds.items()
        }
        for key, seeds in cells.items()
        if any(k == key for k, _ in contrast)
    }
    shared = set.intersection(*(set(seeds) for seeds in terms.values()))
    together = [[_sum([seeds[seed] for seeds in terms.values()]) for seed in sorted(shared)]]
    groups = together if shared else [list(seeds.values()) for seeds in terms.values()]
    difference = round(sum(fmean(cell.value for cell in group) for group in groups), 9)
    spread = math.sqrt(sum(map(_spread, groups)))
    error = math.sqrt(sum(map(_squared_error, groups)))
    return Estimate(difference, error, difference / spread if spread else math.nan, min(map(len, groups)), bool(shared))


def _sum(cells: Sequence[Cell]) -> Cell:
    """The sum of cells, their errors in quadrature as if they were independent."""
    return Cell(math.fsum(cell.value for cell in cells), math.fsum(cell.variance for cell in cells))


def _spread(group: Sequence[Cell]) -> float:
    """Variance over seeds; NaN for one."""
    return variance([cell.value for cell in group]) if len(group) > 1 else math.nan


def _squared_error(group: Sequence[Cell]) -> float:
    """The larger of the variances over seeds and inside runs; divided by the number of seeds where there are three."""
    known = [x for x in (_spread(group), fmean(cell.variance for cell in group)) if not math.isnan(x)]
    return max(known, default=math.nan) / (len(group) if len(group) > 2 else 1)
