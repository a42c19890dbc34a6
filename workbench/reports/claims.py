"""The paper's ordinal claims put to the test on finished runs: `findings`, then `table`, or `markdown` at once.

Verdicts follow the rule of `workbench.reports.verdicts`.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from workbench.data.sources import describe, is_known
from workbench.reports import estimates, layout
from workbench.reports.claims_list import ATTRIBUTE_CLAIMS, CLAIMS, Claim
from workbench.reports.contrasts import Contrast, value
from workbench.reports.results import LEVEL, student
from workbench.reports.specs import SPECS, of_attributes
from workbench.reports.verdicts import METRICS, NATS, RULE, SUPPORTED, UNDECIDED, UNTESTED, Metric, decide, p_value
from workbench.runs.naming import differing, spelt
from workbench.runs.run import Run

ONE_SEED = " (one seed)"  # after a verdict that rests on such
BIAS = "bias unknown: at K = 12 it differs by up to 7 nats between methods"
OURS = ["our difference, 95 % interval", "effect size", "seeds (degrees of freedom)", "verdict"]
HEADING = ["claim", "where in the paper", "paper's difference", *OURS]


@dataclass(frozen=True)
class Finding:
    """What runs on one data set say to a claim: a difference, in the metric's unit, and whether it supports the claim.

    NaN: `error` where nothing is known of it, `effect` and `p` where no seeds tell how far they are apart, all of them
    where the claim was not tested.
    """

    claim: Claim
    data: str
    paper: float  # the same difference in the paper's own table, NaN where it prints none
    verdict: str
    difference: float = math.nan
    error: float = math.nan  # standard error
    effect: float = math.nan  # difference / standard deviation over seeds
    seeds: int = 0  # the fewest that a method has
    freedom: float | int = 0  # degrees of freedom of the interval; 0: there is none, the error is that inside the runs
    p: float = math.nan  # `p_value`
    notes: tuple[str, ...] = ()  # what the verdict must not be read without, or what is missing

    @property
    def metric(self) -> Metric:
        """Unit and margins of the difference."""
        return METRICS[self.claim.table]

    @property
    def half(self) -> float:
        """Half of the 95 % interval of the difference, NaN where none is known."""
        return student(self.freedom) * self.error

    @property
    def decided(self) -> bool:
        """Whether it was supported or not, of however many seeds."""
        return self.tested and self.verdict != UNDECIDED

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
        seeds = f"{self.seeds} ({_span(self.freedom)})" if self.tested else ""
        ours = [self._number(self.difference, self.half), effect, seeds, self._verdict(self.notes, "; ")]
        return [self.claim.statement, self.claim.where, self.papers, *ours]

    def cell(self) -> str:
        """Show verdict and difference, and in a word each what they must not be read without."""
        words = ("unequal scale" if note.startswith("unequal") else note.partition(":")[0] for note in self.notes)
        verdict, bracket, notes = self._verdict([*dict.fromkeys(words)], ", ").partition(" (")
        return f"{verdict}: {self._number(self.difference, self.half)}{bracket}{notes}" if self.tested else UNTESTED

    def _verdict(self, notes: Sequence[str], between: str) -> str:
        """The verdict, and in one pair of brackets what it must not be read without."""
        return self.verdict.removesuffix(ONE_SEED) + (f" ({between.join(notes)})" if notes else "")

    def _number(self, difference: float, error: float = math.nan) -> str:
        """A difference and half of its interval, as far as they are there."""
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


def findings(runs: Sequence[Run], claims: Sequence[Claim] | None = None, spread: Sequence[Run] = ()) -> list[Finding]:
    """Put claims (None: all that there are on such data) to complete runs on one data set, as one family.

    `spread` are runs, also on other data, that may tell how far seeds are apart. ValueError without runs, or on several
    data sets.
    """
    data = sorted({run.config.data for run in runs})
    if len(data) != 1:
        what = f"runs on {', '.join(data)} do not share a comparison" if data else "there is no run to test claims on"
        raise ValueError(f"{what}: give those of one data set")
    entrants, claims = estimates.entrants_of(runs), claims_on(runs) if claims is None else claims
    told = [estimates.numbers_of(run) for run in {run.config.key(): run for run in (*runs, *spread)}.values()]
    spreads = {table: estimates.spread_of(table, data[0], told) for table in {claim.table for claim in claims}}
    return as_family([_finding(claim, data[0], entrants, spreads[claim.table]) for claim in claims])


def _finding(claim: Claim, data: str, entrants: estimates.Entrants, spread: estimates.Spread) -> Finding:
    """The finding of one claim; of a later paper's the paper of 2020 has no numbers."""
    printed = {key: row for key in claim.methods if (row := SPECS[claim.table].paper.get(key))}
    known = len(printed) == len({*claim.methods})
    paper = value(claim.contrast(printed), printed) if known else math.nan
    cells = {key: estimates.cells_of(claim.table, entrants.get(key, [])) for key in claim.methods}
    better = {m: estimates.evidence_of(entrants.get(m, [])) for m in claim.methods if METRICS[claim.table] is NATS}
    better = {key: x for key, x in better.items() if x.keys() == cells[key].keys()}
    cells = better if better.keys() == cells.keys() else cells
    missing = _missing(claim, entrants, cells)
    words = missing or f"these runs have no {claim.pick.words}"
    told = lambda key, columns: spread.of(entrants[key][0].settings["objective"], columns)  # noqa: E731
    shown = {} if missing else cells
    found = judged(claim, data, shown, words, partial(estimates.unequal, entrants), told, spread.where, paper)
    return _beyond_bias(found, cells) if found.tested and found.metric is NATS else found


def judged(
    claim: Claim,
    data: str,
    cells: estimates.Cells,
    missing: str,
    unfair: Callable[[Contrast], list[str]],
    told: estimates.Told,
    where: str,
    paper: float = math.nan,
) -> Finding:
    """Judge a claim by cells; `missing` says what is missing where there are none, or none for its contrast.

    `unfair` says what makes a contrast unfair, `told` how far seeds are apart, `where` on which other data.
    """
    numbers = {key: estimates.means(seeds) for key, seeds in cells.items()}
    contrast = claim.contrast(numbers) if cells else {}
    if not contrast:
        return Finding(claim, data, paper, UNTESTED, notes=(missing,))
    found = estimates.estimate(contrast, cells, told)
    verdict, p = _decided(claim, found)
    others = claim.compare.others(numbers, claim.pick) if verdict == SUPPORTED else ()
    further = [(estimates.estimate(other, cells, told), other) for other in others]
    seeds = min([found.seeds, *(x.seeds for x, _ in further)])
    notes = [*claim.compare.remarks(contrast), *(["one seed"] if seeds == 1 else []), *unfair(contrast)]
    if not found.freedom:
        notes.append(f"no seeds tell its spread: {found.error:.2g} inside the runs")
    elif where:
        notes.append(f"spread of {where}")
    for x, other in further:
        decided, p_other = _decided(claim, x)
        p = max(p, p_other)
        if decided != SUPPORTED:
            verdict, pair = UNDECIDED, " and ".join(spelt(key) for key in dict.fromkeys(key for key, _ in other))
            notes.append(f"undecided between {pair}: {x.difference:+.3g} ± {student(x.freedom) * x.error:.2g}")
    verdict += ONE_SEED if seeds == 1 and verdict != UNDECIDED else ""
    return Finding(claim, data, paper, verdict, *found._replace(seeds=seeds), p, tuple(notes))


def _decided(claim: Claim, found: estimates.Estimate) -> tuple[str, float]:
    """The verdict and the p-value of one estimate."""
    metric, half = METRICS[claim.table], student(found.freedom) * found.error
    return decide(claim.kind, found.difference, half, metric), p_value(claim.kind, *found[:2], found.freedom, metric)


def _beyond_bias(found: Finding, cells: estimates.Cells) -> Finding:
    """A finding about ln p(X), undecided where its estimates' bias may have made it."""
    gains = [row["gain"].value for seeds in cells.values() for row in seeds.values() if "gain" in row]
    if not gains:
        return replace(found, notes=(*found.notes, BIAS))
    words = f"ten times the draws add up to {max(gains):.1f} nats"
    beyond = abs(found.difference) > max(gains)
    return found if beyond else replace(found, verdict=UNDECIDED, notes=(*found.notes, words))


def as_family(found: Sequence[Finding]) -> list[Finding]:
    """Leave undecided what does not keep the false discovery rate of all claims that were tested together."""
    from scipy.stats import false_discovery_control  # takes half a second to import

    told = [i for i, f in enumerate(found) if not math.isnan(f.p)]
    adjusted = false_discovery_control([found[i].p for i in told]) if told else []
    kept = dict(zip(told, adjusted, strict=True))
    words = f"chance, among {len(told)} comparisons"
    return [
        replace(f, verdict=UNDECIDED, notes=(*f.notes, words)) if f.decided and kept[i] > LEVEL else f
        for i, f in enumerate(found)
    ]


def by_chance(found: Sequence[Finding]) -> str:
    """Say what came out, how much of it chance makes of so many comparisons, and what its intervals are."""
    counts = Counter(f.verdict for f in found if f.tested)
    words = f"{counts.total()} comparisons: {', '.join(f'{n} {verdict}' for verdict, n in counts.most_common())}."
    told = [f for f in found if not math.isnan(f.p)]
    if not told:
        return f"{words} No method has two seeds, so that nothing is decided."
    decided, low, high = sum(f.decided for f in told), *(end(f.freedom for f in told) for end in (min, max))
    return (
        f"{words} If there were nothing to find, {LEVEL * len(told):.1f} of them would leave their 95 % interval by "
        f"chance; of the {decided} verdicts at most {LEVEL * decided:.1f} are expected to be false. ± is half of a "
        f"95 % interval by Student's t: {_span(low, high)} degrees of freedom, so "
        f"{_span(student(low), student(high))} standard errors."
    )


def _span(*ends: float | int) -> str:
    return " to ".join(dict.fromkeys(f"{x:.1f}".removesuffix(".0") for x in ends))


def _missing(claim: Claim, entrants: estimates.Entrants, cells: estimates.Cells) -> str:
    """What keeps a claim from being tested, in words; "" when nothing does."""
    if absent := [spelt(key) for key in claim.methods if key not in entrants]:
        return f"no run of {', '.join(absent)}"
    for key in claim.methods:
        settings = [entrant.settings for entrant in entrants[key]]  # those that differ must not be averaged
        if what := estimates.in_words(differing(settings)):
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
        found = on.setdefault(paper_data(chosen), {})[data] = findings(chosen, spread=runs)
        beside = f"The paper's differences are those of {paper_data(chosen)}."
        sections += [f"## Claims on {data}", *real, beside, by_chance(found), layout.markdown(table(found))]
    for group in on.values():
        sections += ["## Side by side", layout.markdown(side_by_side(group))] if len(group) > 1 else []
    return "\n\n".join(sections)
