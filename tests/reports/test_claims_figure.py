"""The picture of findings: claims in words, and shaded what supports each kind."""

import math
import re

from workbench.plotting.shown import SMALLEST, smallest_text
from workbench.reports.claims import CLAIMS, Finding
from workbench.reports.claims_figure import claims_figures
from workbench.reports.claims_list import EQUAL, GREATER, NOT_BELOW
from workbench.reports.verdicts import ACCURACY, METRICS, SUPPORTED, UNDECIDED, UNTESTED, decide, supporting

PROBES = [claim for claim in CLAIMS if claim.table == "linear_probe"][:6]
FOUND = [
    Finding(claim, "data", 0.05, SUPPORTED, difference, 0.001, freedom=4)
    for claim, difference in zip(PROBES, (0.1, -0.2, 0.3, 0.0, 0.01, 0.02), strict=True)
]


def test_a_line_for_each_tested_claim_in_words_with_the_papers_difference_beside():
    lacking = Finding(CLAIMS[-1], "data", math.nan, UNTESTED)
    (shown,) = claims_figures({"some data": FOUND, "other": [*FOUND[:2], lacking]})
    (ax,) = shown.figure.axes
    words = [" ".join(label.get_text().split()) for label in ax.get_yticklabels()]
    assert words == [f"{f.claim.name}: {f.claim.statement}" for f in FOUND]
    drawn = {x.get_label(): x.lines[0].get_xdata().tolist() for x in ax.containers}
    assert drawn == {"paper": [0.05] * 6, "some data": [f.difference for f in FOUND], "other": [0.1, -0.2]}
    assert ax.get_xlabel().startswith("difference in accuracy") and smallest_text(shown.figure) == SMALLEST
    assert shown.alt.startswith("Differences in accuracy. some data: 6 supported; from -0.200 of ")
    assert re.search(r"other: 2 supported; from -0.200 of \S+ to \+0.100 of \S+\.$", shown.alt)


def test_units_have_figures_of_their_own_and_tables_can_be_chosen():
    of = {table: next(claim for claim in CLAIMS if claim.table == table) for table in ("quality", "coherence")}
    more = [Finding(claim, "data", math.nan, UNDECIDED, 0.1) for claim in of.values()]
    figures = claims_figures({"": [*FOUND, *more]})
    assert [x.figure.axes[0].get_xlabel().split("\n")[0] for x in figures] == [
        "difference in accuracy", "difference in average precision",
    ]  # fmt: skip
    (chosen,) = claims_figures({"": [*FOUND, *more]}, ["quality"])
    assert "These runs: 1 undecided" in chosen.alt and len(chosen.figure.axes[0].get_yticklabels()) == 1


def test_what_is_shaded_is_what_the_rule_supports():
    """A difference that is known exactly is supported where it is shaded, and nowhere else."""
    for metric in {*METRICS.values(), ACCURACY}:
        for kind in (GREATER, EQUAL, NOT_BELOW):
            low, high = supporting(kind, metric)
            top = min(high, 1e4)
            for x in (-1e4, low - 1e-9, low + 1e-9, 0.0, metric.margin + 1e-9, top - 1e-9, top + 1):
                assert (decide(kind, x, 0.0, metric) == SUPPORTED) == (low < x < high), (kind, metric, x)
