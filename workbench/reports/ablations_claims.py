"""What the paper says about its ablations in words, put to the test on finished runs: `findings`, then `table`.

Verdicts follow the rule of `workbench.reports.verdicts`. A claim about a direction compares along a straight line: the
change from the smallest to the largest value of the setting, by least squares through all values. A claim of stability
compares the paper's value with the one whose mean is furthest from its own. Nothing but the text is claimed: the
figures themselves are pictures, whose numbers the paper does not print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from workbench.reports import layout
from workbench.reports.ablations import ABLATIONS, BETA, PRIOR_WEIGHT, SUBSPACE_SIZE, Ablation, entrants, series
from workbench.reports.claims import HEADING as PAPERS
from workbench.reports.claims import OURS, Finding, as_family, judged
from workbench.reports.claims_list import ANY, CONDITIONAL, EQUAL, PRIOR, Claim, where
from workbench.reports.contrasts import Comparison, Contrast, Numbers, Pick, means, of_means
from workbench.reports.estimates import cells_of, spread_of
from workbench.runs.naming import differing
from workbench.runs.run import Run

AGREE = where("count of random generations that all agree", lambda column: column == "all agree")
HEADING = [*PAPERS[:2], *OURS]


# Comparisons between settings of one method, whose numbers go by the setting's value as text


@dataclass(frozen=True)
class Trend(Comparison):
    """By how much the mean over columns rises from the smallest setting to the largest, along a straight line.

    `sign` -1: by how much it falls. `above` leaves out settings up to there.
    """

    sign: int = 1
    above: float = -math.inf

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        places = {key: x for key in numbers if (x := float(key)) > self.above}
        if len(places) < 2:
            return {}
        centre, reach = fmean(places.values()), max(places.values()) - min(places.values())
        spread = sum((x - centre) ** 2 for x in places.values())
        weights = {key: self.sign * reach * (x - centre) / spread for key, x in places.items()}
        return of_means(weights, means({key: numbers[key] for key in places}, pick)[1])


@dataclass(frozen=True)
class Furthest(Comparison):
    """The setting whose mean over columns is furthest from the reference's, minus the reference."""

    reference: float
    field: str = ""  # what the settings are of

    def remarks(self, contrast: Contrast) -> list[str]:
        """Name the setting that is furthest."""
        return [f"furthest: {self.field} {next(iter(contrast))[0]}"]

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        own = f"{self.reference:g}"
        mean, columns = means(numbers, pick)
        if own not in mean or len(mean) < 2:
            return {}
        far = max((key for key in mean if key != own), key=lambda key: abs(mean[key] - mean[own]))
        return of_means({far: 1.0, own: -1.0}, columns)


@dataclass(frozen=True)
class Dip(Comparison):
    """The mean of the nearest settings below and above a range minus the mean of the settings inside."""

    low: float
    high: float

    def __call__(self, numbers: Numbers, pick: Pick) -> Contrast:
        inside = [key for key in numbers if self.low <= float(key) <= self.high]
        below = max((key for key in numbers if float(key) < self.low), key=float, default="")
        above = min((key for key in numbers if float(key) > self.high), key=float, default="")
        if not (inside and below and above):
            return {}
        return of_means({below: 0.5, above: 0.5} | dict.fromkeys(inside, -1 / len(inside)), means(numbers, pick)[1])


# The claims

COHERENT, AGREEING, GOOD = ("coherence", CONDITIONAL), ("random_coherence", AGREE), ("quality", CONDITIONAL)
GOOD_RANDOM, PROBE, STYLE = ("quality", PRIOR), ("linear_probe", ANY), ("style_probe", ANY)
_FALLS, _RISES = Trend(-1, above=0.0), Trend()
_WEIGHT, _BETA = (Furthest(ablation.papers, ablation.field) for ablation in (PRIOR_WEIGHT, BETA))
_AROUND, _NO_SIZE = Dip(0.35, 0.45), Furthest(0.0, SUBSPACE_SIZE.field)
_SIZE_AT, _WEIGHT_AT, _BETA_AT = SUBSPACE_SIZE.where, PRIOR_WEIGHT.where, BETA.where

# fmt: off
CLAIMS: dict[str, tuple[Claim, ...]] = {
    SUBSPACE_SIZE.name: (
        Claim("size-probe", _SIZE_AT, *PROBE, _NO_SIZE,
              "Subspaces have a minor effect on the probes: mean over subsets, the size furthest from none", EQUAL),
        Claim("size-coherence", _SIZE_AT, *COHERENT, _FALLS,
              "Conditional coherence falls with the size of the subspaces: mean over paths, sizes above zero"),
        Claim("size-random-coherence", _SIZE_AT, *AGREEING, _FALLS,
              "Random coherence falls with the size of the subspaces: all modalities agree, sizes above zero"),
        Claim("size-quality", _SIZE_AT, *GOOD, _RISES,
              "Images generated from other modalities get better with the size of the subspaces: mean over paths"),
        Claim("size-random-quality", _SIZE_AT, *GOOD_RANDOM, _RISES,
              "Images generated at random get better with the size of the subspaces: mean over modalities"),
        Claim("size-leak", "section C.2.5, as a guess", *STYLE, Trend(above=0.0),
              "Subspaces encode shared information, larger ones more: probe of styles, mean over modalities"),
    ),
    PRIOR_WEIGHT.name: (
        Claim("weight-probe", _WEIGHT_AT, *PROBE, _WEIGHT,
              "The weight of p(z) leaves the probes constant: mean over subsets, the weight furthest from 0.25", EQUAL),
        Claim("weight-quality", _WEIGHT_AT, *GOOD, _WEIGHT,
              "The weight of p(z) leaves the quality of images from other modalities constant: mean over paths", EQUAL),
        Claim("weight-random-quality", _WEIGHT_AT, *GOOD_RANDOM, _WEIGHT,
              "The weight of p(z) leaves the quality of random images constant: mean over modalities", EQUAL),
        Claim("weight-dip", _WEIGHT_AT, *COHERENT, _AROUND,
              "Conditional coherence drops at weights around 0.4, below those on either side: mean over paths"),
        Claim("weight-random-dip", _WEIGHT_AT, *AGREEING, _AROUND,
              "Random coherence drops at weights around 0.4, below those on either side: all modalities agree"),
        Claim("weight-random-trend", "section 4.2, as a question", *GOOD_RANDOM, _RISES,
              "The dynamic prior affects random images: more weight of p(z) makes them better, mean over modalities"),
    ),
    BETA.name: (
        Claim("beta-probe", _BETA_AT, *PROBE, _BETA,
              "The probes are stable: mean over subsets, the β furthest from 5", EQUAL),
        Claim("beta-coherence", _BETA_AT, *COHERENT, _BETA,
              "Conditional coherence is stable: mean over paths, the β furthest from 5", EQUAL),
        Claim("beta-random-coherence", _BETA_AT, *AGREEING, _BETA,
              "Random coherence is stable: all modalities agree, the β furthest from 5", EQUAL),
        Claim("beta-quality", _BETA_AT, *GOOD, _BETA,
              "The quality of images from other modalities is stable: mean over paths, the β furthest from 5", EQUAL),
        Claim("beta-random-quality", _BETA_AT, *GOOD_RANDOM, _BETA,
              "The quality of random images is stable: mean over modalities, the β furthest from 5", EQUAL),
    ),
}
# fmt: on


def findings(runs: Sequence[Run], ablation: Ablation) -> list[Finding]:
    """Put every claim about an ablation to its runs; ValueError as `ablations.entrants`."""
    groups = {f"{x:g}": group for x, group in entrants(runs, ablation).items()}
    steps = differing([entrant.settings for group in groups.values() for entrant in group]).get("steps", ())
    unfair = [f"unequal steps: {', '.join(f'{n:,}' for n in steps)}"] if steps else []
    found, data = [], runs[0].config.data
    for claim in CLAIMS[ablation.name]:
        cells = {key: row for key, group in groups.items() if (row := cells_of(claim.table, group))}
        missing = f"not enough values of {ablation.field} ({', '.join(cells)}) with a {claim.pick.words}"
        missing = missing if cells else f"these runs have no {claim.table.replace('_', ' ')}"
        spread = spread_of(claim.table, data, [run for group in groups.values() for run in group])
        told = lambda key, columns, spread=spread: spread.of("", columns)  # noqa: E731 all are of one method
        found.append(judged(claim, data, cells, missing, lambda contrast: unfair, told, spread.where))
    return as_family(found)


def all_findings(runs: Sequence[Run]) -> list[Finding]:
    """Put the claims to the curves among some runs, of whichever ablations: each named with its curve."""
    return [
        replace(f, claim=replace(f.claim, name=", ".join(filter(None, (f.claim.name, name)))))
        for ablation in ABLATIONS.values()
        for name, group in series(runs, ablation).items()
        for f in findings(group, ablation)
    ]


def table(found: Sequence[Finding]) -> layout.Rows:
    """Make rows for `layout.markdown`, a heading first."""
    return [HEADING, *([*row[:2], *row[3:]] for row in (finding.row() for finding in found))]
