"""Verdicts and counterexamples: computed from margins, found again by independent quadrature."""

import math

import pytest
import torch
from helpers import seeded
from scipy.integrate import quad

from workbench.distributions import Gaussian
from workbench.theory import statements
from workbench.theory.statements import distance, judge, random_experts, smallest_counterexample


def test_a_verdict_follows_from_the_margins():
    assert str(judge("a", torch.tensor([0.0, 1.0]))) == "holds"
    assert str(judge("a", torch.tensor([-1e-9, 1.0]), reading="that of x")) == "holds under the reading: that of x"
    bad = judge("a", torch.tensor([0.5, -0.25, math.nan, 1.0]), counterexample="q_1 = N(0, 2)")
    assert str(bad) == "fails: smallest counterexample q_1 = N(0, 2)"
    assert (bad.cases, bad.failures, bad.worst) == (4, 2, -math.inf)
    assert bad.row() == ["a", str(bad), "4", "50.0%"]
    assert judge("a", torch.tensor([0.5])).row()[-1] == "never"
    with pytest.raises(ValueError, match="no case was tried for 'a'"):
        judge("a", torch.tensor([]))


def normal(z: float, mean: float, variance: float) -> float:
    return math.exp(-((z - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def by_quadrature(rows: list[tuple[float, float]]) -> dict[str, float]:
    """The terms of lemma_2_terms from densities alone; rows hold mean and variance."""
    everyone, count = [*rows, (0.0, 1.0)], len(rows)

    def q(z):
        return sum(normal(z, *row) for row in rows) / count

    def arithmetic(z):
        return sum(normal(z, *row) for row in everyone) / (count + 1)

    def geometric(z):
        return math.prod(normal(z, *row) for row in everyone) ** (1 / (count + 1))

    def prior(z):
        return normal(z, 0, 1)

    def integral(f):
        return quad(f, -14, 14, points=[-4, -2, -1, 0, 1, 2, 4], limit=600, epsabs=1e-11)[0]

    mass = integral(geometric)

    def divergence(left, right, of=1.0):
        return integral(lambda z: left(z) * math.log(left(z) * of / right(z)))

    single = [lambda z, row=row: normal(z, *row) for row in everyone]  # of each expert, the prior last
    return {
        "KL(q || p)": divergence(q, prior),
        "KL(q || A)": divergence(q, arithmetic),
        "KL(q || G)": divergence(q, geometric, mass),
        "sum KL(q_m || p) / M": sum(divergence(s, prior) for s in single[:-1]) / count,
        "sum KL(q_m || A) / M": sum(divergence(s, arithmetic) for s in single[:-1]) / count,
        "KL(A || p)": divergence(arithmetic, prior),
        "KL(A || G)": divergence(arithmetic, geometric, mass),
        "JS_A": sum(divergence(s, arithmetic) for s in single) / (count + 1),
        "JS_G": sum(divergence(s, geometric, mass) for s in single) / (count + 1),
    }


@pytest.mark.parametrize("rows", [[(0.5, 0.6)], [(-1.0, 0.5), (0.8, 1.5)], [(0.0, 1.0), (1.2, 0.4), (-0.7, 0.8)]])
def test_the_terms_of_lemma_2(rows):
    columns = torch.tensor(rows, dtype=torch.float64)
    ours = statements.lemma_2_terms(Gaussian(columns[:, None, :1], columns[:, None, 1:].log()))
    expected = by_quadrature(rows)
    assert set(ours) == set(expected)
    for name, value in expected.items():
        assert ours[name].item() == pytest.approx(value, abs=1e-7), name


def test_random_experts_follow_the_seed():
    one, two = random_experts(3, 50, seeded(1)), random_experts(3, 50, seeded(1))
    assert torch.equal(one.mean, two.mean) and one.mean.shape == (3, 50, 1) and one.mean.dtype == torch.float64
    assert one.logvar.min() >= -4 and one.logvar.max() <= 2


def too_wide(experts: Gaussian) -> torch.Tensor:
    """The false claim that no variance exceeds two: its nearest counterexample has all means at zero."""
    return (2 - experts.logvar.exp()).amin(0).squeeze(-1)


def test_the_smallest_counterexample_is_small():
    found = smallest_counterexample(too_wide, random_experts(2, 16, seeded()))
    variances = sorted(found.logvar.exp().flatten().tolist())
    assert too_wide(found).item() <= -0.01
    assert variances[1] == pytest.approx(2.0, abs=0.11) and variances[0] == pytest.approx(1.0, abs=0.11)
    assert found.mean.abs().max() < 0.05


def test_a_true_claim_has_no_counterexample():
    assert smallest_counterexample(lambda experts: distance(experts), random_experts(2, 8, seeded()), steps=60) is None


def test_rounding_and_spelling():
    mean, variance = torch.tensor([[[[0.123]], [[-2.0]]], [[[0.01234]], [[12.34]]]]).double()
    q = statements.rounded(Gaussian(mean, variance.log()))
    assert statements.spelt(q) == "q_1 = N(0.12, 0.012), q_2 = N(-2.00, 12)"
