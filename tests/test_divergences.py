"""Divergences of several Gaussians against their written-out closed forms and numerical quadrature."""

import math

import pytest
import torch
from helpers import random_gaussian, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from workbench.distributions import Gaussian, Mixture, kl
from workbench.divergences import geometric_mean, jensen_shannon_geometric, weighted_kl

CASES = [
    (((0.0, 0.0), (1.0, -1.0), (-0.5, 0.4)), (0.25, 0.5, 0.25)),
    (((2.0, -2.0), (-1.0, 1.0)), (0.35, 0.65)),
    (((0.0, 0.0), (0.0, 0.0), (0.3, 0.2), (-2.0, -1.0)), (0.1, 0.2, 0.3, 0.4)),
]


def stack(rows) -> Gaussian:
    """One-dimensional experts `[K, 1]` from (mean, logvar)."""
    columns = torch.tensor(rows, dtype=torch.float64)
    return Gaussian(columns[:, :1], columns[:, 1:])


def normal(z: float, mean: float, logvar: float) -> float:
    variance = math.exp(logvar)
    return math.exp(-((z - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def log_normal(z: float, mean: float, logvar: float) -> float:
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mean) ** 2 / math.exp(logvar))


def integral(f) -> float:
    return quad(f, -25, 25, points=[-2, -1, 0, 1, 2], limit=400, epsabs=1e-12, epsrel=1e-12)[0]


class ByQuadrature:
    """The geometric mean of one-dimensional experts, normalised numerically."""

    def __init__(self, rows, weights) -> None:
        self.rows, self.weights = rows, weights
        self.z = integral(lambda z: math.exp(self.log_unnormalised(z)))

    def log_unnormalised(self, z: float) -> float:
        return sum(w * log_normal(z, *row) for row, w in zip(self.rows, self.weights, strict=True))

    def log_density(self, z: float) -> float:
        return self.log_unnormalised(z) - math.log(self.z)

    def kl_from(self, row) -> float:
        return integral(lambda z: normal(z, *row) * (log_normal(z, *row) - self.log_density(z)))

    def jensen_shannon(self) -> float:
        return sum(w * self.kl_from(row) for row, w in zip(self.rows, self.weights, strict=True))


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_jensen_shannon_by_quadrature(rows, weights):
    ours = jensen_shannon_geometric(stack(rows), torch.tensor(weights, dtype=torch.float64))
    assert ours.item() == pytest.approx(ByQuadrature(rows, weights).jensen_shannon(), abs=1e-8)


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_geometric_mean_is_the_normalised_one(rows, weights):
    mean, numerical = (
        geometric_mean(stack(rows), torch.tensor(weights, dtype=torch.float64)),
        ByQuadrature(rows, weights),
    )
    for z in (-1.5, 0.0, 0.8):
        assert mean.log_prob(torch.tensor([z], dtype=torch.float64)).item() == pytest.approx(numerical.log_density(z))


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_the_partner_identity_gives_the_normaliser(rows, weights):
    """sum_k pi_k KL(G || q_k) = -ln Z, with Z <= 1 the mass of the unnormalised geometric mean."""
    experts, pi = stack(rows), torch.tensor(weights, dtype=torch.float64)
    reverse = (pi * kl(geometric_mean(experts, pi), experts)).sum()
    mass = ByQuadrature(rows, weights).z
    assert mass <= 1
    assert reverse.item() == pytest.approx(-math.log(mass), abs=1e-8)
    assert jensen_shannon_geometric(experts, pi, dual=True).item() == pytest.approx(-math.log(mass), abs=1e-8)


def test_closed_form_written_out():
    """1/2 [ln var_G - sum pi ln var_k + sum pi (var_k + (mu_k - mu_G)^2) / var_G - 1], summed over dimensions."""
    experts = random_gaussian(4, 5, 3)
    weights = torch.softmax(random_gaussian(4, 5, seed=1).mean, 0)
    ours = jensen_shannon_geometric(experts, weights)
    for b in range(5):
        total = 0.0
        for d in range(3):
            pi = weights[:, b].tolist()
            mu, var = experts.mean[:, b, d].tolist(), experts.logvar[:, b, d].exp().tolist()
            precision = sum(w / v for w, v in zip(pi, var, strict=True))
            mean = sum(w * m / v for w, m, v in zip(pi, mu, var, strict=True)) / precision
            spread = sum(w * (v + (m - mean) ** 2) for w, m, v in zip(pi, mu, var, strict=True))
            logs = sum(w * math.log(v) for w, v in zip(pi, var, strict=True))
            total += 0.5 * (-math.log(precision) - logs + spread * precision - 1)
        assert ours[b].item() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_lemma_3_bounds_the_kl_of_the_mixture(rows, weights):
    experts, pi = stack(rows), torch.tensor(weights, dtype=torch.float64)
    prior = Gaussian(torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    mixture = Mixture(experts, pi)

    def integrand(z: float) -> float:
        point = torch.tensor([z], dtype=torch.float64)
        log_q = mixture.log_prob(point).item()
        return math.exp(log_q) * (log_q - log_normal(z, 0.0, 0.0))

    exact, bound = integral(integrand), weighted_kl(experts, pi, prior).item()
    expected = sum(
        w * integral(lambda z, row=row: normal(z, *row) * (log_normal(z, *row) - log_normal(z, 0.0, 0.0)))
        for row, w in zip(rows, weights, strict=True)
    )
    assert bound == pytest.approx(expected, abs=1e-8)
    assert exact < bound


def test_identical_experts_do_not_diverge():
    one = random_gaussian(1, 6, 4)
    experts = Gaussian(one.mean.expand(3, 6, 4), one.logvar.expand(3, 6, 4))
    weights = torch.softmax(random_gaussian(3, 6, seed=1).mean, 0)
    torch.testing.assert_close(jensen_shannon_geometric(experts, weights), torch.zeros(6, dtype=torch.float64))
    mean = geometric_mean(experts, weights)
    torch.testing.assert_close((mean.mean, mean.logvar), (one.mean[0], one.logvar[0]))


def test_an_expert_of_weight_zero_does_not_count():
    experts, weights = (
        random_gaussian(3, 4, 2),
        torch.tensor([0.4, 0.0, 0.6], dtype=torch.float64)[:, None].expand(3, 4),
    )
    fewer = Gaussian(experts.mean[::2], experts.logvar[::2])
    torch.testing.assert_close(
        jensen_shannon_geometric(experts, weights), jensen_shannon_geometric(fewer, weights[::2])
    )


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.1, 6))
def test_jensen_shannon_is_not_negative(seed, experts, spread):
    many = random_gaussian(experts, 8, 3, seed=seed, spread=spread, dtype=torch.float32)
    pi = torch.softmax(torch.randn(experts, 8, generator=seeded(seed)), 0)
    divergence = jensen_shannon_geometric(many, pi)
    assert torch.isfinite(divergence).all() and (divergence >= -1e-4).all()


@pytest.mark.parametrize("divergence", [jensen_shannon_geometric, lambda e, w: weighted_kl(e, w, e[0])])
def test_gradients(divergence):
    experts, weights = random_gaussian(3, 2, 2), torch.softmax(random_gaussian(3, 2, seed=1).mean, 0)
    inputs = [experts.mean.requires_grad_(), experts.logvar.requires_grad_(), weights.requires_grad_()]
    assert torch.autograd.gradcheck(lambda m, v, w: divergence(Gaussian(m, v), w), inputs)
