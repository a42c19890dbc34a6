"""The rule by which claims about differences are decided: `decide`, and `p_value` for many at once.

A claim is about a difference. One that it is positive is supported when the difference is above the margin and its 95 %
interval above 0, not supported when it is below minus the margin and its interval below 0, else undecided. A claim
that two numbers are equal is supported when the interval lies within the margin of equality, and not supported when it
lies outside; for a claim that one is not below the other, only the lower side counts. Margins: 0.01 of accuracies, 0.02
of average precision, 5 nats; of equality 0.02, 0.04 and 10 nats. The difference is one of means over each method's
seeds, that of the nearest two where methods are several, of which all pairs must pass; its interval is Student's t. How
far a method's seeds are apart is pooled over its groups of several seeds in the same table on the same data, with and
without subspaces or along an ablation (two groups of two seeds: 2 degrees of freedom), and no less than the errors
inside the runs; of two methods, Welch's degrees of freedom. Methods are not pooled with each other, whose seeds are not
equally far apart, but for a method without two seeds, which has the spread of all. Where no method has two, it is that
of other data; where there is none, everything is undecided. A verdict that rests on one seed of some method is a class
of its own. Of all claims put to the runs on one data set together, the verdicts keep a false discovery rate of 5 %
(Benjamini and Hochberg 1995); what does not is undecided. ln p(X) is that by fitted proposals where all runs have it,
and a difference within what ten times the draws add to either method's is undecided. The effect size is the difference
over its standard deviation over seeds.
"""

import math
import sys
from typing import NamedTuple

from scipy.special import stdtr

from workbench.reports.claims_list import EQUAL, GREATER, NOT_BELOW

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


def decide(kind: str, difference: float, half: float, metric: Metric) -> str:
    """Say supported, not supported or undecided by an interval, `half` to both sides; undecided when that is NaN."""
    low, high = difference - half, difference + half
    margin, equality = metric.margin, metric.equality
    yes, no = {
        GREATER: (difference > margin and low > 0, difference < -margin and high < 0),
        EQUAL: (-equality < low and high < equality, low > equality or high < -equality),
        NOT_BELOW: (low > -equality, high < -equality),
    }[kind]
    return SUPPORTED if yes else CONTRADICTED if no else UNDECIDED


def supporting(kind: str, metric: Metric) -> tuple[float, float]:
    """Return between which numbers a difference supports a claim, and its interval where that is not of more."""
    return {
        GREATER: (metric.margin, math.inf),
        EQUAL: (-metric.equality, metric.equality),
        NOT_BELOW: (-metric.equality, math.inf),
    }[kind]


def p_value(kind: str, difference: float, error: float, freedom: float | int, metric: Metric) -> float:
    """Twice the smaller p-value of two tests, of the claim and of its contrary; NaN without a degree of freedom.

    Each is one-sided, or two one-sided ones (Schuirmann 1987) of a claim that two numbers are equal: below 0.05 where
    the 95 % interval decides.
    """
    if not freedom or math.isnan(error):
        return math.nan

    def lower(x: float) -> float:
        return float(stdtr(freedom, x / (error or sys.float_info.min)))

    d, e = difference, metric.equality
    either = {
        GREATER: (lower(-d), lower(d)),
        EQUAL: (max(lower(-d - e), lower(d - e)), min(lower(e - d), lower(d + e))),
        NOT_BELOW: (lower(-d - e), lower(d + e)),
    }[kind]
    return min(1.0, 2 * min(either))
