"""Where codes lie: rates and aggregate posteriors, against closed forms, torch.distributions and draws."""

import math

import pytest
import torch
from helpers import seeded, tiny_batch, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal, kl_divergence

from workbench.distributions import Gaussian, Laplace, kl
from workbench.inference import subset_posterior
from workbench.metrics.encode import codes, encode_batches, subset_posteriors
from workbench.metrics.latent import marginal_kl, moments, rate


def items(n: int = 4000, latent: int = 3, seed: int = 0) -> Gaussian:
    noise = torch.randn(2, n, latent, generator=seeded(seed))
    return Gaussian(1.5 * noise[0] + 0.3, 0.5 * noise[1] - 1)


def test_rate_is_the_mean_kl_to_the_prior():
    q = items()
    exact = kl(q, Gaussian.standard_like(q))
    log_ratios = [q.log_prob(z) - Gaussian.standard_like(q).log_prob(z) for z in q.draws(50, seeded(1))]
    error = torch.stack(log_ratios).std(0).square().sum().sqrt().item() / len(exact)  # of one draw's estimate
    assert rate(q, seeded(2)) == pytest.approx(exact.mean().item(), abs=4 * error)


def test_rate_of_a_laplace_against_torch():
    q = Laplace(items().mean, items().logvar)
    theirs, scale = torch.distributions.Laplace, (q.logvar / 2).exp() / math.sqrt(2)
    exact = kl_divergence(theirs(q.mean, scale), theirs(torch.zeros(3), math.sqrt(0.5))).sum(-1)
    assert rate(q, seeded(2)) == pytest.approx(exact.mean().item(), abs=0.15)


def test_moments_are_those_of_draws():
    q = items(n=5)
    draws = q.draws(50_000, seeded(3)).flatten(0, 1).double()
    mean, covariance = moments(q)
    torch.testing.assert_close(mean, draws.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(covariance, torch.cov(draws.T), atol=0.03, rtol=0)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_marginal_kl_is_that_of_the_gaussian_of_the_same_moments(seed, latent):
    q = items(n=50, latent=latent, seed=seed)
    mean, covariance = moments(q)
    there = MultivariateNormal(torch.zeros(latent).double(), torch.eye(latent).double())
    exact = kl_divergence(MultivariateNormal(mean, covariance), there).item()
    assert marginal_kl(q) == pytest.approx(exact, rel=1e-5, abs=1e-6)
    # all items together are never farther from the prior than they are on average
    assert marginal_kl(q) <= kl(q, Gaussian.standard_like(q)).mean().item() + 1e-6


def test_codes_of_the_prior_have_no_marginal_kl_and_two_clusters_have():
    clustered = Gaussian(torch.tensor([[-1.0], [1.0]]), torch.full((2, 1), -20.0))
    # mean 0, variance 1: a Gaussian by its moments, so that only a lower bound is claimed
    assert marginal_kl(clustered) == pytest.approx(0, abs=1e-6)
    assert marginal_kl(Gaussian(3 * clustered.mean, clustered.logvar)) == pytest.approx(4 - math.log(3))
    same = Gaussian(torch.zeros(7, 2), torch.zeros(7, 2))
    assert marginal_kl(same) == pytest.approx(0, abs=1e-12) and rate(same, seeded()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("fusion", ["product", "mixture", "dynamic_prior", "mixture_of_products"])
def test_posteriors_of_subsets_span_all_items(fusion):
    model, batches = tiny_model(), [tiny_batch(items=9), tiny_batch(items=6, seed=1)]
    found = subset_posteriors(model, encode_batches(model, batches), fusion)
    assert [*found] == ["A", "B", "C", "A,B", "A,C", "B,C", "A,B,C"]
    assert {q.mean.shape for q in found.values()} == {q.logvar.shape for q in found.values()} == {(15, 2)}
    second, _ = encode_batches(model, batches[1:])[0]
    for name, q in found.items():
        expected = subset_posterior(model, second, name.split(","), fusion)
        assert torch.equal(q.mean[9:], expected.mean) and torch.equal(q.logvar[9:], expected.logvar)
    means = codes(model, encode_batches(model, batches), fusion)
    assert all(torch.equal(q.mean, means[name]) for name, q in found.items())
