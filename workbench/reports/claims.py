"""The paper's ordinal claims put to the test on finished runs: `findings`, then `table`, or `markdown` at once.

A claim is a difference that supports it when positive. It is supported when the difference is above the margin and
above 2 standard errors, not supported when it is below minus the margin and below minus 2 standard errors, else
undecided. A claim that two numbers are equal is supported when the difference, give or take 2 standard errors, lies
within the margin of equality, and not supported when it lies outside; for a claim that one is not below the other,
only the lower side counts. Margins: 0.01 of accuracies, 0.02 of average precision, 5 nats; of equality 0.02, 0.04 and
10 nats. The difference is the mean over seeds, paired by seed where all methods share some. Its standard error comes
from the spread over seeds or from the errors inside the runs, whichever is larger, and shrinks with the number of
seeds from three on: two say little about a spread. One seed has the errors inside its run alone (over draws of a
probe or of importance samples, else that of a share of the test items), and decides little. The effect size is the
difference over its standard deviation over seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from workbench.data.sources import describe, is_known
from workbench.reports import layout
from workbench.reports.claims_list import ATTRIBUTE_CLAIMS, CLAIMS, EQUAL, GREATER, NOT_BELOW, Claim
from workbench.reports.contrasts import Contrast, value
from workbench.reports.estimates import Cells, Entrants, cells_of, entrants_of, estimate, in_words, means, unequal
from workbench.reports.specs import SPECS, of_attributes
from workbench.runs.naming import differing, spelt
from workbench.runs.run import Run

RULE = " ".join((__doc__ or "").partition("\n\n")[2].split())
SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTED = "supported", "not supported", "undecided", "not tested"


class Metric(NamedTuple):
    """What differences of one kind of number are measured with."""

    unit: str
    margin: float  # a difference within it is of no account
    equality: float  # numbers that differ by less are called equal
    digits: int


ACCURACY = Metric("accuracy", margin=0.01, equality=0.02, digits=3)
PRECISION = Metric("average precision", margin=0.02, equality=0.04, digits=3)
ATTRIBUTES = Metric("mean average precision", margin=0.02, equality=0.04, digits=3)
NATS = Metric("nats", margin=5.0, equality=10.0, digits=1)
METRICS = {"quality": PRECISION, "log_likelihood": NATS, "attributes": ATTRIBUTES}
METRICS |= dict.fromkeys(("linear_probe", "coherence", "random_coherence", "style_probe"), ACCURACY)
OURS = ["our difference ± standard error", "effect size", "seeds", "verdict"]
HEADING = ["claim", "where in the paper", "paper's difference", *OURS]


def decide(kind: str, difference: float, error: float, metric: Metric) -> str:
    """Say supported, not supported or undecided, by the rule above; undecided when the error is NaN."""
    low, high = difference - 2 * error, difference + 2 * error
    margin, equality = metric.margin, metric.equality
    yes, no = {
        GREATER: (difference > margin and low > 0, difference < -margin and high < 0),
        EQUAL: (-equality < low and high < equality, low > equality or high < -equality),
        NOT_BELOW: (low > -equality, high < -equality),
    }[kind]
    return SUPPORTED if yes else CONTRADICTED if no else UNDECIDED


@dataclass(frozen=True)
class Finding:
    """What runs on one data set say to a claim: a difference that supports it when positive, in the metric's unit.

    NaN: `error` where nothing is known of it, `effect` below two seeds, all of them where the claim was not tested.
    """

    claim: Claim
    data: str
    paper: float  # the same difference in the paper's own table, NaN where it prints none
    verdict: str
    difference: float = math.nan
    error: float = math.nan  # standard error
    effect: float = math.nan  # difference / standard deviation over seeds
    seeds: int = 0
    notes: tuple[str, ...] = ()  # what the verdict must not be read without, or what is missing

    @property
    def metric(self) -> Metric:
        """Unit and margins of the difference."""
        return METRICS[self.claim.table]

    @property
    def tested(self) -> bool:
        """Whether there were the runs for it."""
        return self.verdict != UNTESTED

    @property
    def paper_verdict(self) -> str:
        """What the paper's own table says to the claim, by the margins alone: it has no errors."""
        return decide(self.claim.kind, self.paper, 0.0, self.metric)

    @property
    def papers(self) -> str:
        """The paper's difference, "" where it prints none; what its table says to it where that is not "supported"."""
        number = self._number(self.paper)
        return number + (f" ({self.paper_verdict})" if number and self.paper_verdict != SUPPORTED else "")

    def row(self) -> list[str]:
        """Show the finding as a table does, below `HEADING`."""
        effect = "" if math.isnan(self.effect) else f"{self.effect:+.1f}"
        words = self.verdict + (f" ({'; '.join(self.notes)})" if self.notes else "")
        ours = [self._number(self.difference, self.error), effect, str(self.seeds or ""), words]
        return [self.claim.statement, self.claim.where, self.papers, *ours]

    def cell(self) -> str:
        """Show verdict and difference, and in a word each what they must not be read without."""
        notes = dict.fromkeys("unequal scale" if note.startswith("unequal") else note for note in self.notes)
        after = f" ({', '.join(notes)})" if notes else ""
        return f"{self.verdict}: {self._number(self.difference, self.error)}{after}" if self.tested else UNTESTED

    def _number(self, difference: float, error: float = math.nan) -> str:
        """A difference and its standard error, as far as they are there."""
        digits, unit = self.metric.digits, " nats" if self.metric is NATS else ""
        rounded = round(difference, digits) + 0.0  # no minus before a zero
        after = "" if math.isnan(error) else f" ± {error:.{digits}f}"
        return "" if math.isnan(difference) else f"{rounded:+.{digits}f}{after}{unit}"


# From runs to findings


def claims_on(runs: Sequence[Run]) -> Sequence[Claim]:
    """Choose the claims for runs on one data set: those about attributes where labels are attributes."""
    return ATTRIBUTE_CLAIMS if any(of_attributes(run.metrics) for run in runs) else CLAIMS


def paper_data(runs: Sequence[Run]) -> str:
    """Name what the paper's differences beside runs on one data set were measured on."""
    return SPECS[claims_on(runs)[0].table].source.title


def findings(runs: Sequence[Run], claims: Sequence[Claim] | None = None) -> list[Finding]:
    """Put claims (None: all that there are on such data) to complete runs on one data set.

    ValueError without runs, or on several data sets.
    """
    data = sorted({run.config.data for run in runs})
    if len(data) != 1:
        what = f"runs on {', '.join(data)} do not share a comparison" if data else "there is no run to test claims on"
        raise ValueError(f"{what}: give those of one data set")
    entrants, claims = entrants_of(runs), claims_on(runs) if claims is None else claims
    return [_finding(claim, data[0], entrants) for claim in claims]


def _finding(claim: Claim, data: str, entrants: Entrants) -> Finding:
    """The finding of one claim; of a later paper's the paper of 2020 has no numbers."""
    printed = {key: row for key in claim.methods if (row := SPECS[claim.table].paper.get(key))}
    known = len(printed) == len({*claim.methods})
    paper = value(claim.contrast(printed), printed) if known else math.nan
    cells = {key: cells_of(claim.table, entrants.get(key, [])) for key in claim.methods}
    missing = _missing(claim, entrants, cells)
    words = missing or f"these runs have no {claim.pick.words}"
    return judged(claim, data, {} if missing else cells, words, partial(unequal, entrants), paper)


def judged(
    claim: Claim,
    data: str,
    cells: Cells,
    missing: str,
    unfair: Callable[[Contrast], list[str]],
    paper: float = math.nan,
) -> Finding:
    """Judge a claim by cells; `missing` says what is missing where there are none, or none for its contrast.

    `unfair` says what makes a contrast unfair.
    """
    contrast = claim.contrast({key: means(seeds) for key, seeds in cells.items()}) if cells else {}
    if not contrast:
        return Finding(claim, data, paper, UNTESTED, notes=(missing,))
    difference, error, effect, seeds, paired = estimate(contrast, cells)
    notes = [*claim.compare.remarks(contrast), *(["one seed"] if seeds == 1 else [])]
    notes += [*([] if paired else ["no seed in common"]), *unfair(contrast)]
    verdict = decide(claim.kind, difference, error, METRICS[claim.table])
    return Finding(claim, data, paper, verdict, difference, error, effect, seeds, tuple(notes))


def _missing(claim: Claim, entrants: Entrants, cells: Cells) -> str:
    """What keeps a claim from being tested, in words; "" when nothing does."""
    if absent := [spelt(key) for key in claim.methods if key not in entrants]:
        return f"no run of {', '.join(absent)}"
    for key in claim.methods:
        if what := in_words(differing([entrant.settings for entrant in entrants[key]])):  # they must not be averaged
            return f"runs of {spelt(key)} with {what}: give those of one setting"
    without = [spelt(key) for key in claim.methods if not cells[key]]
    return f"no {claim.table.replace('_', ' ')} of {', '.join(without)}" if without else ""


# As tables


def table(found: Sequence[Finding]) -> layout.Rows:
    """Make rows for `layout.markdown`, a heading first."""
    return [HEADING, *(finding.row() for finding in found)]


def side_by_side(found: Mapping[str, Sequence[Finding]]) -> layout.Rows:
    """Make rows of the same claims on several data sets, a column for each, without those that none tests."""
    rows = [["name", "claim", "where in the paper", "paper's difference", *found]]
    for several in zip(*found.values(), strict=True):
        if any(finding.tested for finding in several):
            claim = several[0].claim
            cells = [finding.cell() for finding in several]
            rows.append([claim.name, claim.statement, claim.where, several[0].papers, *cells])
    return rows


def markdown(runs: Sequence[Run]) -> str:
    """Write the findings of each data set as Markdown, below the rule and a heading that says what is real in the data.

    Where there are several data sets with the same claims, a table of verdicts side by side ends it.
    """
    sections, on = [RULE], {}
    for data in sorted({run.config.data for run in runs}):
        real = [f"Data: {describe(data)}."] if is_known(data) else []
        chosen = [run for run in runs if run.config.data == data]
        found = on.setdefault(paper_data(chosen), {})[data] = findings(chosen)
        beside = f"The paper's differences are those of {paper_data(chosen)}."
        sections += [f"## Claims on {data}", *real, beside, layout.markdown(table(found))]
    for group in on.values():
        sections += ["## Side by side", layout.markdown(side_by_side(group))] if len(group) > 1 else []
    return "\n\n".join(sections)
