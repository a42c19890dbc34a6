"""What runs make of a contrast: numbers by method and seed with errors inside the runs, their difference, its error.

Also what must be said of a comparison: the runs that it lacks, or settings in which its methods differ.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from workbench.config import READ_BY
from workbench.reports.contrasts import Contrast
from workbench.reports.results import Metrics, over_seeds
from workbench.reports.specs import SPECS
from workbench.runs.naming import FREE, differing, paper_key, spelt, steps_taken
from workbench.runs.run import Run

# Fields that make a method what it is, and fields that are of no account in a shared space.
OF_METHODS = {"objective", "prior_weight", "importance_samples", "mvtcae_alpha", *READ_BY}
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


class Estimate(NamedTuple):
    """A difference, its standard error, and over how many seeds they are; NaN for what is not known."""

    difference: float
    error: float
    effect: float  # difference / standard deviation over seeds
    seeds: int
    paired: bool


Entrants = dict[str, list[RunNumbers]]  # method's key in `published`, or a setting -> runs
Cells = dict[str, dict[int, dict[str, Cell]]]  # the same key -> seed -> column


def numbers_of(run: Run) -> RunNumbers:
    """Read what a comparison needs of a run; its settings are those that runs must share to be averaged."""
    ignored = FREE if run.config.style_dim else FREE | OF_STYLES
    kept = {field: x for field, x in run.config.to_json().items() if field not in ignored}
    return RunNumbers(run.config.seed, {"steps": steps_taken(run)} | kept, run.metrics)


def entrants_of(runs: Sequence[Run]) -> Entrants:
    """Sort runs by their method; a configuration that comes twice counts once."""
    entrants: Entrants = {}
    for run in {run.config.key(): run for run in runs}.values():
        entrants.setdefault(paper_key(run), []).append(numbers_of(run))
    return entrants


# What must be said of a comparison


def in_words(fields: Mapping[str, Sequence[Any]]) -> str:
    """Say in which fields settings differ, such as "beta 1.0 and 5.0, steps 4,380 and 8,760"."""
    return ", ".join(f"{field} {' and '.join(map(_spelt, values))}" for field, values in fields.items())


def unequal(entrants: Entrants, contrast: Contrast) -> list[str]:
    """Say what makes a contrast of methods unfair, such as "unequal steps: MMVAE 4,380, mmJSD 8,760"."""
    settings = {spelt(key): entrants[key][0].settings for key, _ in contrast}
    fields = [field for field in differing([*settings.values()]) if field not in OF_METHODS]
    return [
        f"unequal {f}: {', '.join(f'{name} {_spelt(s[f])}' for name, s in settings.items() if f in s)}" for f in fields
    ]


def _spelt(x: Any) -> str:
    return f"{x:,}" if isinstance(x, int) else str(x)


# From metrics to a difference


def cells_of(table: str, entrants: Sequence[RunNumbers]) -> dict[int, dict[str, Cell]]:
    """Read a table's numbers at the paper's posterior, by seed; seeds without such numbers are left out."""
    rows = {seed: (SPECS[table].row(metrics), metrics) for seed, _, metrics in entrants}
    return {
        seed: {c: Cell(x.value, _variance(table, x.value, x.error, metrics)) for c, x in row.items()}
        for seed, (row, metrics) in rows.items()
        if row
    }


def _variance(table: str, x: float, error: float | None, metrics: Metrics) -> float:
    """The squared standard error inside a run: its own where it has one, else that of a share of n items."""
    if error is not None:
        return error**2
    items = (metrics.get("quality") or {}).get("images") if table == "quality" else metrics.get("test_items")
    return x * (1 - x) / items if items and 0 <= x <= 1 else math.nan


def means(seeds: Mapping[int, Mapping[str, Cell]]) -> dict[str, float]:
    """Average over seeds the columns that all of them have."""
    columns = [column for column in next(iter(seeds.values())) if all(column in row for row in seeds.values())]
    return {column: over_seeds([row[column].value for row in seeds.values()]).mean for column in columns}


def estimate(contrast: Contrast, cells: Cells) -> Estimate:
    """Estimate a difference and its error: over the seeds that all methods share, else over each method's own."""
    weights = {key: {c: w for (k, c), w in contrast.items() if k == key} for key in cells}
    terms = {
        key: {seed: _sum([(row[c], w) for c, w in weights[key].items()]) for seed, row in seeds.items()}
        for key, seeds in cells.items()
        if weights[key]
    }
    shared = set.intersection(*map(set, terms.values()))
    together = [[_sum([(seeds[seed], 1.0) for seeds in terms.values()]) for seed in sorted(shared)]]
    groups = together if shared else [[*seeds.values()] for seeds in terms.values()]
    over = [over_seeds([cell.value for cell in group]) for group in groups]
    spreads = [mean.error**2 * mean.seeds for mean in over]  # variances over seeds
    inside = [fmean(cell.variance for cell in group) for group in groups]
    # the larger of the two, of a mean where there are three seeds: two say little about a spread
    squared = [
        max([x for x in pair if not math.isnan(x)], default=math.nan) / (mean.seeds if mean.seeds > 2 else 1)
        for *pair, mean in zip(spreads, inside, over, strict=True)
    ]
    difference, spread = round(sum(mean.mean for mean in over), 9), math.sqrt(sum(spreads))
    effect = difference / spread if spread else math.nan
    return Estimate(difference, math.sqrt(sum(squared)), effect, min(mean.seeds for mean in over), bool(shared))


def _sum(weighted: Sequence[tuple[Cell, float]]) -> Cell:
    """The weighted sum of cells, their errors in quadrature as if they were independent."""
    variance = math.fsum(weight**2 * cell.variance for cell, weight in weighted)
    return Cell(math.fsum(weight * cell.value for cell, weight in weighted), variance)
