"""The picture of findings: a line for each claim, in words, its differences, and shaded where they support it."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from workbench.plotting.methods import forest
from workbench.plotting.shown import Described
from workbench.reports.claims import Finding
from workbench.reports.verdicts import supporting

LETTERS = 68  # of a line of a claim's words
SAID = "shaded: supports the claim (of equality: if all of the interval lies inside)"


def claims_figures(found: Mapping[str, Sequence[Finding]], tables: Iterable[str] | None = None) -> list[Described]:
    """Draw what runs say to the claims that they can test, `found` by data set or curve: a figure for each unit.

    `tables` chooses claims about some tables. A claim is named and spelt out; the paper's difference stands beside
    those of the runs where it prints one.
    """

    def chosen(unit: str) -> dict[str, list[Finding]]:
        return {name: [f for f in some if f.metric.unit == unit and shown(f)] for name, some in found.items()}

    def shown(f: Finding) -> bool:
        return f.tested and (not tables or f.claim.table in tables)

    units = dict.fromkeys(f.metric.unit for some in found.values() for f in some if shown(f))
    return [_figure(chosen(unit), unit) for unit in units]


def _figure(found: Mapping[str, Sequence[Finding]], unit: str) -> Described:
    claims = {f.claim.name: f for some in found.values() for f in some}
    rows = {name: {"paper": (f.paper, math.nan)} if f.papers else {} for name, f in claims.items()}
    for series, some in found.items():
        for f in some:
            rows[f.claim.name][series or "these runs"] = (f.difference, f.half)
    words = {name: textwrap.fill(f"{name}: {f.claim.statement}", LETTERS) for name, f in claims.items()}
    spans = {words[name]: supporting(f.claim.kind, f.metric) for name, f in claims.items()}
    figure = forest({words[name]: row for name, row in rows.items()}, f"difference in {unit}\n{SAID}", spans)
    return Described(figure, f"Differences in {unit}. " + " ".join(_told(*pair) for pair in found.items() if pair[1]))


def _told(series: str, found: Sequence[Finding]) -> str:
    """How many claims came out how, and the two whose differences are furthest apart."""
    counts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(f.verdict for f in found).most_common())
    ends = [end(found, key=lambda f: f.difference) for end in (min, max)]
    apart = " to ".join(f"{f.difference:+.{f.metric.digits}f} of {f.claim.name}" for f in ends)
    return f"{series or 'These runs'}: {counts}; from {apart}."
