"""The dial's divergences by adaptive quadrature, and its theorem by distributions of two values."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.distributions as td
from adaptive_quadrature import exact, integral, log_density, log_normal, log_sum
from hypothesis import given
from hypothesis import strategies as st

from workbench.distributions import Gaussian
from workbench.theory import power_means
from workbench.theory.power_means import is_proven, largest_prior_weight, mean_terms, psi
from workbench.theory.statements import agreeing, random_experts

ROWS = [[(0.5, -0.5)], [(-1.0, -0.7), (0.8, 0.4)], [(-2.0, -2.5), (2.5, -1.0), (0.3, 1.5)]]  # mean, log-variance


def stacked(rows) -> Gaussian:
    columns = torch.tensor(rows, dtype=torch.float64)
    return Gaussian(columns[:, None, :1], columns[:, None, 1:])


def mixture_of(rows) -> Callable[[float], float]:
    """The log-density of the equal mixture of these normals."""
    return lambda z: log_sum([log_normal(z, *row) for row in rows]) - math.log(len(rows))


def divergence(log_p, log_q) -> float:
    return integral(lambda z: math.exp(log_p(z)) * (log_p(z) - log_q(z)))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("order", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("prior_weight", [None, 0.15])
def test_terms_of_a_power_mean(rows, order, prior_weight):
    prior = 1 / (len(rows) + 1) if prior_weight is None else prior_weight
    pi = [*[(1 - prior) / len(rows)] * len(rows), prior]
    kind, everyone = {0.0: "geometric", 1.0: "arithmetic"}.get(order, order), [*rows, (0.0, 0.0)]
    log_mean, _ = log_density(kind, everyone, pi)
    log_q = mixture_of(rows)
    ours = mean_terms(stacked(rows), order, prior_weight)
    assert ours["JS"].item() == pytest.approx(exact(kind, everyone, pi, False), abs=1e-7)
    assert ours["KL(q || P)"].item() == pytest.approx(divergence(log_q, log_mean), abs=1e-7)
    assert ours["KL(q || p)"].item() == pytest.approx(divergence(log_q, lambda z: log_normal(z, 0, 0)), abs=1e-7)


@pytest.mark.parametrize("rows", ROWS)
def test_terms_of_the_barycenter(rows):
    everyone = [*rows, (0.0, 0.0)]
    mean = sum(m for m, _ in everyone) / len(everyone)
    std = sum(math.exp(v / 2) for _, v in everyone) / len(everyone)
    to = [td.kl_divergence(td.Normal(m, math.exp(v / 2)), td.Normal(mean, std)).item() for m, v in everyone]
    ours = mean_terms(stacked(rows), "wasserstein")
    assert ours["JS"].item() == pytest.approx(sum(to) / len(to), rel=1e-6)
    expected = divergence(mixture_of(rows), lambda z: log_normal(z, mean, 2 * math.log(std)))
    assert ours["KL(q || P)"].item() == pytest.approx(expected, abs=1e-7)


def test_a_finer_grid_changes_nothing():
    for modalities in (1, 3):
        experts = random_experts(modalities, 40, torch.Generator().manual_seed(modalities))
        for order in (0.1, 0.25, 0.5, 0.75):
            coarse, fine = mean_terms(experts, order), mean_terms(experts, order, points=2401)
            assert all((coarse[name] - fine[name]).abs().max() < 1e-6 for name in fine)


def coins(p: float, q: float, power: float, weight: float) -> float:
    """KL(p || P) - KL(q || P) of two coins, written out."""
    faces = [(p, q), (1 - p, 1 - q)]
    mean = [((1 - weight) * b**power + weight * a**power) ** (1 / power) for a, b in faces]
    mean = [value / sum(mean) for value in mean]
    return sum(
        (a * math.log(a / m) if a else 0) - (b * math.log(b / m) if b else 0)
        for (a, b), m in zip(faces, mean, strict=True)
    )


probabilities = st.floats(1e-9, 1 - 1e-9)


@given(probabilities, probabilities, st.floats(0.05, 1), st.floats(0.01, 0.9))
def test_the_difference_is_an_expectation_of_psi(p, q, power, weight):
    ratios = torch.tensor([p / q, (1 - p) / (1 - q)], dtype=torch.float64)
    found = (torch.tensor([q, 1 - q], dtype=torch.float64) * psi(ratios, power, weight)).sum().item()
    assert found == pytest.approx(coins(p, q, power, weight), abs=1e-6)


@given(probabilities, probabilities, st.floats(0.02, 1), st.floats(0, 1))
def test_up_to_the_largest_weight_no_coin_breaks_the_bound(p, q, power, share):
    weight = share * largest_prior_weight(torch.tensor([power], dtype=torch.float64)).item()
    assert coins(p, q, power, weight) > -1e-9


@pytest.mark.parametrize(("power", "ratio"), [(0.25, 0.0), (0.5, 0.0), (0.75, 400.0), (1.0, 1e5)])
def test_beyond_the_largest_weight_a_coin_does(power, ratio):
    """A rare face whose probability under p is `ratio` times that under q."""
    weight = 1.02 * largest_prior_weight(torch.tensor([power], dtype=torch.float64)).item()
    rare = 1e-3 / max(1, ratio)
    assert coins(ratio * rare, rare, power, weight) < 0


def test_the_largest_weight_in_closed_form():
    """1 - e^-a up to a = 1/2; 1/e of the arithmetic mean; for 1 - e^-a <= 1/e nothing else counts."""
    powers = torch.tensor([0.01, 0.1, 0.25, 0.45, 0.5, 1.0], dtype=torch.float64)
    expected = [*(1 - torch.exp(-powers[:-1])).tolist(), 1 / math.e]
    assert largest_prior_weight(powers).tolist() == pytest.approx(expected, abs=1e-9)


def test_with_equal_weights_the_theorem_begins_at_a_threshold():
    for modalities in range(2, 12):
        threshold = math.log(1 + 1 / modalities)
        assert is_proven(modalities, threshold + 1e-6) and not is_proven(modalities, threshold - 1e-6)
    proven = {M: [mean for mean in power_means.DIAL if is_proven(M, mean)] for M in (1, 2, 4)}
    assert proven == {1: [], 2: [0.5, 0.75, 1.0], 4: [0.25, 0.5, 0.75, 1.0]}


def test_posteriors_that_agree_are_one_with_the_weight_of_all():
    several, one = (mean_terms(agreeing(M, 0.7, 1.9), 0.25, 0.25) for M in (3, 1))
    for name, value in one.items():
        assert several[name].item() == pytest.approx(value.item(), abs=1e-9)
    experts = random_experts(1, 30, torch.Generator().manual_seed(0))
    fixed, dynamic = power_means.smallest_ratios(experts, [0.0, 1.0])
    terms = mean_terms(experts, 1.0, points=401)
    assert fixed[1] == (terms["JS"] / terms["KL(q || p)"]).min()
    assert dynamic[1] == (terms["JS"] / terms["KL(q || P)"]).min()


def test_the_table_has_a_row_for_each_mean():
    words = {(M, mean): f"{M} of {mean}"[:8] for M in (1, 2) for mean in (0.5, "wasserstein")}
    assert power_means.verdict_table(words).splitlines() == [
        "mean        fixed p(z)  P, M = 1    P, M = 2",
        "0.5         fails       1 of 0.5    2 of 0.5",
        "wasserstein fails       1 of was    2 of was",
    ]
