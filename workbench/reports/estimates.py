"""What runs make of a contrast: numbers by method and seed with errors inside the runs, their difference, its error.

Also what must be said of a comparison: the runs that it lacks, or settings in which its methods differ.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from itertools import chain
from statistics import fmean
from typing import Any, NamedTuple

from workbench.config import READ_BY
from workbench.reports.contrasts import Contrast
from workbench.reports.results import Metrics, over_seeds, pooled
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
    """A difference of means over seeds and what is known of its error; NaN for what is not."""

    difference: float
    error: float  # standard error: by the spread over seeds, or that inside the runs where it is larger
    effect: float  # difference / standard deviation over seeds
    seeds: int  # the fewest that a method has
    freedom: float | int  # degrees of freedom; 0: the spread is not known, and the error is that inside the runs


Entrants = dict[str, list[RunNumbers]]  # method's key in `published`, or a setting -> runs
Cells = dict[str, dict[int, dict[str, Cell]]]  # the same key -> seed -> column
Groups = list[list[dict[str, Cell]]]  # rows of runs that differ in the seed alone, group by group


class Spread(NamedTuple):
    """Runs that tell how far seeds are apart, by objective; `where` names their data if it is not that of the claim."""

    groups: dict[str, Groups]
    where: str = ""

    def of(self, objective: str, columns: Set[str]) -> tuple[str, Groups]:
        """Choose an objective's groups with these columns, where it has none those of all; names whose they are."""
        known = {
            name: [group for group in groups if all(columns <= row.keys() for row in group)]
            for name, groups in self.groups.items()
        }
        own = known.get(objective)
        return (objective, own) if own else ("", [*chain(*known.values())])


Told = Callable[[str, Set[str]], tuple[str, Groups]]  # `Spread.of`, of a key's objective


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
    return [f"unequal {f}: {', '.join(f'{n} {_spelt(s[f])}' for n, s in settings.items() if f in s)}" for f in fields]


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


def evidence_of(entrants: Sequence[RunNumbers]) -> dict[int, dict[str, Cell]]:
    """Read ln p(X) by proposals fitted to each item, by seed, and as `gain` what ten times the draws add to it."""
    found = {}
    for seed, _, metrics in entrants:
        if known := metrics.get("evidence"):
            error = (metrics.get("evidence_error") or {}).get("nats", math.nan)
            found[seed] = {"X": Cell(known["nats"], error**2), "gain": Cell(known["gain"], math.nan)}
    return found


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


def spread_of(table: str, data: str, runs: Sequence[RunNumbers]) -> Spread:
    """Find what tells how far seeds are apart in a table: runs on the same data, else those on the others."""
    near, others = ([run for run in runs if (run.settings["data"] == data) is same] for same in (True, False))
    if groups := _groups(table, near):
        return Spread(groups)
    found = _groups(table, others)
    names = sorted({run.settings["data"] for run in others if found.get(run.settings["objective"])})
    return Spread(found, " and ".join(names))


def _groups(table: str, runs: Sequence[RunNumbers]) -> dict[str, Groups]:
    """Rows of a table by objective, then by all settings but the seed, where there are two of such or more."""
    alike: dict[str, list[RunNumbers]] = {}
    for run in runs:
        alike.setdefault(repr(run.settings), []).append(run)
    groups: dict[str, Groups] = {}
    for group in alike.values():
        if len(group) > 1 and len(rows := [*cells_of(table, group).values()]) > 1:
            groups.setdefault(group[0].settings["objective"], []).append(rows)
    return groups


def estimate(contrast: Contrast, cells: Cells, told: Told) -> Estimate:
    """Estimate a difference of means over each method's seeds, and its error with Welch's degrees of freedom (1947).

    How far a method's seeds are apart is pooled over the groups that `told` gives for it, and no less than the errors
    inside the runs let one expect: these are of draws and test items, and seeds differ by them, too.
    """
    columns, means_, spreads, seeds = {column for _, column in contrast}, [], [], []
    pools: dict[str, tuple[float, int]] = {}  # variances of terms whose spread is the same estimate add up before Welch
    for key in dict.fromkeys(key for key, _ in contrast):
        weights = {column: weight for (method, column), weight in contrast.items() if method == key}
        own, (name, groups) = [_sum(row, weights) for row in cells[key].values()], told(key, columns)
        between, freedom = pooled(over_seeds([_sum(row, weights).value for row in group]) for group in groups)
        known = [x for x in (between**2, fmean(cell.variance for cell in own)) if not math.isnan(x)]
        variance = pools.get(name, (0.0, 0))[0] + max(known, default=math.nan) / len(own)
        pools[name] = (variance, freedom)
        means_.append(fmean(cell.value for cell in own))
        spreads.append(between)
        seeds.append(len(own))
    difference, apart = round(math.fsum(means_), 9), math.hypot(*spreads)
    error = math.sqrt(sum(variance for variance, _ in pools.values()))
    return Estimate(difference, error, difference / apart if apart else math.nan, min(seeds), welch(pools.values()))


def welch(variances: Collection[tuple[float, int]]) -> float | int:
    """Degrees of freedom of a sum of variances with such of their own; 0 where one has none (Satterthwaite 1946)."""
    if not all(freedom for _, freedom in variances):
        return 0
    terms = sum(variance**2 / freedom for variance, freedom in variances)
    return sum(variance for variance, _ in variances) ** 2 / terms if terms else min(n for _, n in variances)


def _sum(row: Mapping[str, Cell], weights: Mapping[str, float]) -> Cell:
    """The weighted sum of cells, their errors in quadrature as if they were independent."""
    variance = math.fsum(weight**2 * row[column].variance for column, weight in weights.items())
    return Cell(math.fsum(weight * row[column].value for column, weight in weights.items()), variance)
