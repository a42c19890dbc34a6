"""The sweep of the family: what every method, and every mean on the dial, comes to, and which one is best for what.

`scores` makes a tidy frame of a few measures of each run, `summary` averages it over seeds; `against_coherence` and
`along_the_dial` are what the two figures show, `choices` is the decision table. What is not there yet is left out, and
`lacking` says what it is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from workbench.config import Config
from workbench.objectives import METHODS
from workbench.plotting.family import Pair
from workbench.reports.ablations import Ablation
from workbench.reports.claims_list import CONDITIONAL, SINGLE
from workbench.reports.layout import Rows
from workbench.reports.results import Mean, Metrics, over_seeds, pooled, student
from workbench.reports.specs import SPECS
from workbench.reports.verdicts import ACCURACY, PRECISION
from workbench.runs.run import Run

FAMILY = Ablation("family", "beyond the paper", "power", "order a of the mean", 0.0, ())  # for `ablations.load`
SOURCES = {
    "mvae": "Wu and Goodman 2018",
    "mmvae": "Shi et al. 2019",
    "mmjsd": "Sutter et al. 2020",
    "mmvae_iwae": "Shi et al. 2019",
    "mmvae_dreg": "Shi et al. 2019",
    "mopoe": "Sutter et al. 2021",
    "mvtcae": "Hwang et al. 2021",
    "mmvm": "Sutter et al. 2024",
    "mmvae_plus": "Palumbo et al. 2023",
    "mmvae_plus_dreg": "Palumbo et al. 2023",
    "hellinger": "after Vo and Valera 2026",
    "holder": "after Vo and Valera 2026",
    "wasserstein": "after Qiu et al. 2025",
    "mixture_of_wasserstein": "after Qiu et al. 2025",
    "crmvae": "ICLR submission Rn8u4MYgeNJ 2023",
    "dmvae": "Lee and Pavlovic 2021",
    "masked_bound": "after Hirt et al. 2024",
}
PRODUCT, MIXTURE, BETWEEN = "product-like", "mixture-like", "between them"
KINDS = {"product": PRODUCT, "product_alone": PRODUCT, "mixture": MIXTURE}  # of joint posteriors; all others: between
SPACES = {False: "shared space", True: "subspaces (MS)"}
BARYCENTER = 1.3  # its place beside the dial
DIAL = {"geometric": 0.0, "arithmetic": 1.0, "wasserstein": BARYCENTER}
FEW = 4  # names in a cell of the decision table


class Measure(NamedTuple):
    """One number of a run: the mean over some columns of a table, at the posterior that the method infers by."""

    title: str
    table: str
    columns: str  # joint | single (modalities) | crossed (paths)
    margin: float  # a difference within it is of no account
    higher: bool = True


MEASURES = {
    "coherence": Measure("conditional coherence", "coherence", "crossed", ACCURACY.margin),
    "joint": Measure("linear probe, joint", "linear_probe", "joint", ACCURACY.margin),
    "single": Measure("linear probe, one modality", "linear_probe", "single", ACCURACY.margin),
    "quality": Measure("average precision of images", "quality", "crossed", PRECISION.margin),
    "fid": Measure("Fréchet distance of images", "fid", "crossed", math.inf, higher=False),
}
PURPOSES = {
    "one modality from others": "coherence",
    "one code of all": "joint",
    "a code of one modality": "single",
    "images from other modalities": "quality",
}


# The methods


def kind(objective: str) -> str:
    """Say whether a method's joint posterior in training is a product, a mixture, or what lies between them."""
    return KINDS.get(METHODS[objective].posterior, BETWEEN)


def methods() -> Rows:
    """Make the table of all methods, oldest first, as `layout.markdown` shows it."""
    rows = [["year", "method", "source", "joint posterior", "regulariser", "paths", "subsets infer by"]]
    for name in sorted(METHODS, key=lambda name: SOURCES[name][-4:]):
        row, (source, year) = METHODS[name], (SOURCES[name][:-5], SOURCES[name][-4:])
        joint, inferred = (word.replace("_", " ") for word in (row.posterior, ", then ".join(row.inference)))
        rows.append([year, row.label, source, joint, row.regulariser.replace("|", "\\|"), row.paths, inferred])
    return rows


def name(config: Config) -> str:
    """Name a method, and on the dial its mean."""
    label, order = METHODS[config.objective].label, place(config)
    return label if not order else f"{label} ({'barycenter' if order == BARYCENTER else f'a = {order:g}'})"


def place(config: Config) -> float | None:
    """Give the place of a run of mmJSD on the dial: the order a of its mean, or BARYCENTER; None for all others."""
    if config.objective != "mmjsd" or config.dynamic_prior == "none":
        return None
    return DIAL.get(config.dynamic_prior, config.power)


# The numbers


def scores(runs: Sequence[Run]) -> pd.DataFrame:
    """Make a tidy frame: columns data, space, method, objective, place, seed, measure, value; one configuration once.

    No rows for what runs lack.
    """
    rows = [
        (c.data, SPACES[c.style_dim > 0], name(c), c.objective, place(c), c.seed, key, value)
        for c, run in {run.config.key(): (run.config, run) for run in runs}.values()
        for key, value in _measured(run.metrics)
    ]
    heads = ["data", "space", "method", "objective", "place", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=heads).astype({"place": float})


def _measured(metrics: Metrics) -> Iterable[tuple[str, float]]:
    for key, measure in MEASURES.items():
        row = SPECS[measure.table].row(metrics)
        most = max((column.count(",") for column in row), default=0)
        chosen = {
            "crossed": CONDITIONAL.of([*row]),
            "joint": [c for c in row if c.count(",") == most],
            "single": SINGLE.of([*row]),
        }[measure.columns]
        if chosen:
            yield key, fmean(row[column].value for column in chosen)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Average scores over seeds: the fields of `results.Mean` take the place of seed and value."""
    heads = ["data", "space", "method", "objective", "place", "measure"]
    groups = found.groupby(heads, sort=False, dropna=False)["value"]
    rows = [(*key, *over_seeds([*values])) for key, values in groups]
    return pd.DataFrame(rows, columns=[*heads, *Mean._fields])


def lacking(runs: Sequence[Run], planned: Iterable[Config]) -> str:
    """Say which of the planned runs are not there, a line for each data set and space, whatever their scale."""
    wanted = [_row(config) for config in planned]
    there = {_row(run.config) for run in runs}
    seeds: dict[str, dict[str, list[int]]] = {}
    for where, what, seed in (row for row in wanted if row not in there):
        seeds.setdefault(where, {}).setdefault(what, []).append(seed)
    lines = [f"{len(there.intersection(wanted))} of {len(wanted)} planned runs are there"]
    for where, absent in seeds.items():
        begun = {what for at, what, _ in there if at == where}
        parts = [f"{what} (seed {', '.join(map(str, of))})" if what in begun else what for what, of in absent.items()]
        lines.append(f"not there, {where}: {', '.join(parts)}")
    return "\n".join(lines)


def _row(config: Config) -> tuple[str, str, int]:
    return f"{config.data}, {SPACES[config.style_dim > 0]}", name(config), config.seed


# What the figures show


def against_coherence(means: pd.DataFrame, measures: Sequence[str]) -> dict[str, dict[str, tuple[Pair, Pair]]]:
    """Set measures of every method against its coherence: a panel for each space and measure; the dial at mmJSD alone.

    `means` is a `summary` of one data set.
    """
    plain = means[~(means["place"] > 0)]
    panels: dict[str, dict[str, tuple[Pair, Pair]]] = {}
    for space in (space for space in SPACES.values() if (plain["space"] == space).any()):
        pairs = {m: _pairs(plain[(plain["space"] == space) & (plain["measure"] == m)], "method") for m in MEASURES}
        for measure in measures:
            both = [method for method in pairs["coherence"] if method in pairs[measure]]
            panels[f"{space}: {MEASURES[measure].title}"] = {
                m: (pairs["coherence"][m], pairs[measure][m]) for m in both
            }
    return {title: found for title, found in panels.items() if found}


def along_the_dial(means: pd.DataFrame, measures: Sequence[str]) -> dict[str, dict[str, dict[float, Pair]]]:
    """Follow measures along the dial: a panel for each, a line for each space; `means` is of one data set."""
    on = means[means["place"].notna()]
    panels = {
        MEASURES[measure].title: {
            space: _pairs(on[(on["space"] == space) & (on["measure"] == measure)], "place") for space in SPACES.values()
        }
        for measure in measures
    }
    return {name: {s: row for s, row in lines.items() if row} for name, lines in panels.items() if any(lines.values())}


def _pairs(rows: pd.DataFrame, by: str) -> dict:
    return {row[by]: (row["mean"], row["half"]) for row in rows.to_dict("records")}


# Which method for what


def choices(means: pd.DataFrame, costs: Mapping[str, float] | None = None) -> Rows:
    """Make the decision table of one data set: for each purpose the best method, and those that are as good.

    As good: not further from the best than the margin of claims, or than half a 95 % interval of the difference, by
    what all methods' seeds are apart. `costs` are the decodings of a step by objective, of which fewer are better;
    without them there is no row of them.
    """
    spaces = [space for space in SPACES.values() if (means["space"] == space).any()]
    rows = [["what for", *spaces]]
    for words, key in PURPOSES.items():
        chosen = means[means["measure"] == key]
        if len(chosen):
            rows.append([words, *(_best(chosen[chosen["space"] == space], MEASURES[key]) for space in spaces)])
    if not costs:
        return rows
    least = min(costs.values())
    names = [METHODS[objective].label for objective, cost in costs.items() if cost == least]
    return [*rows, ["a short step", *[_few(names, f"{least:g} decodings")] * len(spaces)]]


def _best(rows: pd.DataFrame, measure: Measure) -> str:
    ordered = rows.sort_values("mean", ascending=not measure.higher).to_dict("records")
    if not ordered:
        return ""
    first = ordered[0]
    deviation, freedom = pooled(Mean(*(row[field] for field in Mean._fields)) for row in ordered)
    half = student(freedom) * deviation  # of a difference between two single seeds, but for the root below
    near = [
        row["method"]
        for row in ordered
        if not abs(row["mean"] - first["mean"])
        > max(measure.margin, half * math.sqrt(1 / row["seeds"] + 1 / first["seeds"]) if freedom else 0.0)
    ]
    return _few(near, f"{first['mean']:.2f}")


def _few(names: Sequence[str], number: str) -> str:
    more = f", and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{', '.join(names[:FEW])}{more} ({number})"
