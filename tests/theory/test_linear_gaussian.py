"""The linear-Gaussian laboratory against the full covariance of the observations, quadrature and brute force."""

import math

import pytest
import torch
from helpers import random_gaussian, seeded
from torch.distributions import MultivariateNormal, kl_divergence

from workbench.distributions import Gaussian, Mixture, kl
from workbench.metrics.likelihood import importance_sampled
from workbench.theory import quadrature
from workbench.theory.linear_gaussian import LinearGaussian

PATTERNS = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 1, 1, 0], [1, 0, 0, 0, 1]]).bool()


def laboratory(latent: int = 2, items: int = 5) -> tuple[LinearGaussian, tuple[torch.Tensor, ...]]:
    model = LinearGaussian.random(latent, (3, 2, 4), seeded(1), noise=0.7)
    return model, model.sample(items, seeded(2))[1]


def joint(model: LinearGaussian, there: list[int], prior: Gaussian | None = None) -> MultivariateNormal:
    """p(x of those modalities), written with its full covariance: W P W' + N."""
    loadings = torch.cat([model.loadings[m] for m in there])
    of_prior = (torch.zeros(model.latent_dim).double(), torch.ones(model.latent_dim).double())
    mean, variance = (prior.mean, prior.logvar.exp()) if prior is not None else of_prior
    noise = torch.cat([model.logvars[m] for m in there]).exp()
    biases = torch.cat([model.biases[m] for m in there])
    return MultivariateNormal(loadings @ mean + biases, loadings @ variance.diag() @ loadings.T + noise.diag())


def log_joint(model: LinearGaussian, x: tuple[torch.Tensor, ...], z: torch.Tensor) -> torch.Tensor:
    return model.log_likelihood(x, z) + model.prior(len(x[0])).log_prob(z)


@pytest.mark.parametrize("latent", [1, 2, 3])
def test_evidence_of_every_subset(latent):
    model, x = laboratory(latent)
    prior = random_gaussian(5, latent, seed=4)
    for arguments in ((), (PATTERNS,), (PATTERNS, prior)):
        for b, value in enumerate(model.log_evidence(x, *arguments)):
            there = [m for m in range(3) if not arguments or PATTERNS[m, b]]
            other = [prior[b]] if prior in arguments[1:] else []
            expected = joint(model, there, *other).log_prob(torch.cat([x[m][b] for m in there]))
            assert value.item() == pytest.approx(expected.item(), rel=1e-10)


def test_nothing_present_is_the_prior():
    model, x = laboratory(2)
    nothing = torch.zeros(3, 5, dtype=torch.bool)
    torch.testing.assert_close(model.log_evidence(x, nothing), torch.zeros(5).double())
    posterior = model.posterior(x, nothing)
    torch.testing.assert_close(posterior.mean, torch.zeros(5, 2).double())
    torch.testing.assert_close(posterior.covariance_matrix, torch.eye(2).double().expand(5, 2, 2))


def test_posterior_is_bayes_rule():
    """p(z | X) p(X) = p(X | z) p(z) at random codes, for every pattern of missing modalities."""
    model, x = laboratory(2)
    z = random_gaussian(7, 5, 2, seed=3).mean
    left = model.posterior(x, PATTERNS).log_prob(z) + model.log_evidence(x, PATTERNS)
    right = model.log_likelihood(x, z, PATTERNS) + model.prior(5).log_prob(z)
    torch.testing.assert_close(left, right)


def test_log_likelihood_by_loop():
    model, x = laboratory(2)
    z = random_gaussian(5, 2, seed=3).mean
    ours = model.log_likelihood(x, z, PATTERNS)
    for b in range(5):
        total = 0.0
        for m in range(3):
            if PATTERNS[m, b]:
                mean = model.loadings[m] @ z[b] + model.biases[m]
                total += torch.distributions.Normal(mean, model.logvars[m].div(2).exp()).log_prob(x[m][b]).sum().item()
        assert ours[b].item() == pytest.approx(total, rel=1e-10)


def test_elbo_and_gap_make_the_evidence():
    """Equation 1, and the parts of equation 2 by quadrature in one dimension."""
    model, x = laboratory(1)
    q = random_gaussian(5, 1, seed=6)
    both = model.elbo(x, q, PATTERNS) + model.posterior_kl(x, q, PATTERNS)
    torch.testing.assert_close(both, model.log_evidence(x, PATTERNS))
    by_grid = quadrature.expectation(q, lambda z: model.log_likelihood(x, z, PATTERNS))
    torch.testing.assert_close(model.expected_log_likelihood(x, q, PATTERNS), by_grid)
    torch.testing.assert_close(model.elbo(x, q, PATTERNS), by_grid - kl(q, model.prior(5)))


def test_elbo_of_a_mixture():
    model, x = laboratory(1)
    mixture = Mixture.of(random_gaussian(3, 5, 1, seed=6, spread=0.5))
    value = quadrature.mixture_expectation(mixture, lambda z: log_joint(model, x, z) - mixture.log_prob(z))
    torch.testing.assert_close(model.elbo(x, mixture), value)
    assert (value <= model.log_evidence(x)).all()


def test_experts_are_the_exact_posteriors_in_one_dimension():
    model, x = laboratory(1)
    experts = model.experts(x)
    for m in range(3):
        alone = (torch.arange(3) == m)[:, None].expand(3, 5)
        torch.testing.assert_close(model.elbo(x, experts[m], alone), model.log_evidence(x, alone))


def test_no_diagonal_gaussian_is_nearer_than_the_best():
    model, x = laboratory(3)
    best = model.best_diagonal(x)
    least = model.posterior_kl(x, best)
    assert (least > 0).all()
    for seed in range(20):
        noise = random_gaussian(5, 3, seed=seed, spread=0.1)
        assert (model.posterior_kl(x, Gaussian(best.mean + noise.mean, best.logvar + noise.logvar)) > least).all()
    exact = MultivariateNormal(best.mean, torch.diag_embed(best.logvar.exp()))
    torch.testing.assert_close(least, kl_divergence(exact, model.posterior(x)))


def test_samples_have_the_covariance_of_the_model():
    model, _ = laboratory(2)
    _, x = model.sample(60_000, seeded(9))
    flat, expected = torch.cat(x, dim=1), joint(model, [0, 1, 2])
    assert ((flat.mean(0) - expected.mean).abs() < 0.05).all()
    torch.testing.assert_close(torch.cov(flat.T), expected.covariance_matrix, atol=0.15, rtol=0.05)


@pytest.mark.parametrize("mixed", [False, True])
def test_importance_sampling_finds_the_evidence(mixed):
    model, x = laboratory(2)
    proposal = Mixture.of(model.experts(x)) if mixed else model.best_diagonal(x)
    found = importance_sampled(lambda z: log_joint(model, x, z), proposal, 1000, seeded(3))
    assert (found.standard_error < 0.1).all()
    assert ((found.value - model.log_evidence(x)).abs() < 4 * found.standard_error + 1e-3).all()


def test_importance_sampling_with_the_posterior_has_no_noise():
    """With one latent dimension the best diagonal proposal is the posterior: every sample gives the evidence."""
    model, x = laboratory(1)
    found = importance_sampled(lambda z: log_joint(model, x, z), model.best_diagonal(x), 3, seeded(3))
    torch.testing.assert_close(found.value, model.log_evidence(x))
    assert (found.standard_error < 1e-10).all()


def test_the_standard_error_of_a_logarithm():
    """300 independent estimates of the same item spread as the stated error says."""
    model, x = laboratory(1, items=1)
    many = tuple(values.expand(300, -1) for values in x)
    wide = Gaussian(model.best_diagonal(many).mean, model.best_diagonal(many).logvar + 0.8)
    found = importance_sampled(lambda z: log_joint(model, many, z), wide, 400, seeded(5))
    spread = found.value.std().item()
    assert found.standard_error.mean().item() == pytest.approx(spread, rel=0.15)
    assert found.value.mean().item() == pytest.approx(model.log_evidence(x).item(), abs=5 * spread / math.sqrt(300))
