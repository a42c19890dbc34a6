"""Divergences of several Gaussians against their written-out closed forms and numerical quadrature."""

import math

import pytest
import torch
from adaptive_quadrature import CASES, integral, kl_to, log_density, log_normal, stack
from helpers import random_gaussian, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.distributions import Gaussian, Mixture, kl
from workbench.divergences import geometric_mean, jensen_shannon_geometric, weighted_kl


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_geometric_mean_is_the_normalised_one(rows, weights):
    mean, (numerical, _) = geometric_mean(*stack(rows, weights)), log_density("geometric", rows, weights)
    for z in (-1.5, 0.0, 0.8):
        assert mean.log_prob(torch.tensor([z], dtype=torch.float64)).item() == pytest.approx(numerical(z))


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_the_partner_identity_gives_the_normaliser(rows, weights):
    """sum_k pi_k KL(G || q_k) = -ln Z, with Z <= 1 the mass of the unnormalised geometric mean."""
    experts, pi = stack(rows, weights)
    reverse = (pi * kl(geometric_mean(experts, pi), experts)).sum()
    _, log_mass = log_density("geometric", rows, weights)
    assert log_mass <= 0
    assert reverse.item() == pytest.approx(-log_mass, abs=1e-8)
    assert jensen_shannon_geometric(experts, pi, dual=True).item() == pytest.approx(-log_mass, abs=1e-8)


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
    experts, pi = stack(rows, weights)
    prior = Gaussian(torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    mixture = Mixture(experts, pi)

    def integrand(z: float) -> float:
        point = torch.tensor([z], dtype=torch.float64)
        log_q = mixture.log_prob(point).item()
        return math.exp(log_q) * (log_q - log_normal(z, 0.0, 0.0))

    exact, bound = integral(integrand), weighted_kl(experts, pi, prior).item()
    expected = sum(w * kl_to(lambda z: log_normal(z, 0.0, 0.0), row) for row, w in zip(rows, weights, strict=True))
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
