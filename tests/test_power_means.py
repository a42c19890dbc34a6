"""Means from the geometric to the arithmetic one, and the Wasserstein barycenter, by quadrature and quantiles."""

import itertools
import math

import pytest
import torch
import torch.distributions as td
from adaptive_quadrature import CASES, exact, integral, log_density, stack
from helpers import random_gaussian, seeded, tiny_batch, tiny_model
from hypothesis import given
from hypothesis import strategies as st

from workbench import divergences
from workbench.distributions import Gaussian, Mixture
from workbench.fusion import fuse, hellinger, holder
from workbench.inference import component_posterior, components, parts_posterior

cases = pytest.mark.parametrize(("rows", "weights"), CASES)


def uniform(count: int, items: int) -> torch.Tensor:
    return torch.full((count, items), 1 / count, dtype=torch.float64)


@cases
def test_the_mean_of_order_a_half_is_this_mixture(rows, weights):
    experts, pi = stack(rows, weights)
    mixture, log_mass = divergences.hellinger_mean(experts, pi)
    log_q, exact_mass = log_density(0.5, rows, weights)
    assert log_mass.item() == pytest.approx(exact_mass, abs=1e-9)
    for z in (-3.0, -0.4, 0.0, 1.3, 4.0):
        assert mixture.log_prob(torch.tensor([z], dtype=torch.float64)).item() == pytest.approx(log_q(z), abs=1e-8)
    mean, second = (integral(lambda z, n=n: z**n * math.exp(log_q(z))) for n in (1, 2))
    moments = mixture.moments()
    assert moments.mean.item() == pytest.approx(mean, abs=1e-7)
    assert moments.logvar.exp().item() == pytest.approx(second - mean**2, abs=1e-7)


def test_in_several_dimensions_a_grid_says_the_same():
    experts = random_gaussian(3, 2, seed=3)
    mixture, log_mass = divergences.hellinger_mean(experts, torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    axis = torch.linspace(-14, 14, 1401, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    roots = sum(w * (0.5 * experts[k].log_prob(z)).exp() for k, w in enumerate((0.2, 0.3, 0.5)))
    assert (roots**2).sum().item() * 0.02**2 == pytest.approx(log_mass.exp().item(), abs=1e-9)
    torch.testing.assert_close(mixture.log_prob(z[::9973]), (roots**2).log()[::9973] - log_mass)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 50))
def test_equal_experts_are_their_own_mean(count, latent, seed):
    one = random_gaussian(5, latent, seed=seed)
    experts, there = Gaussian.stack([one] * count), torch.ones(count, 5, dtype=torch.bool)
    for fusion in ("hellinger", "wasserstein"):
        found = fuse(fusion, experts, there)
        torch.testing.assert_close(found.mean, one.mean)
        torch.testing.assert_close(found.logvar, one.logvar)
    z = random_gaussian(5, latent, seed=seed + 1).mean
    for fusion in ("holder", "mixture_of_wasserstein"):
        torch.testing.assert_close(fuse(fusion, experts, there).log_prob(z), one.log_prob(z))
    pi = uniform(count, 5)
    assert divergences.jensen_shannon_wasserstein(experts, pi).abs().max() < 1e-9
    for power in (0.0, 0.3, 0.5, 1.0):
        assert divergences.jensen_shannon_power(experts, pi, power, samples=3).value.abs().max() < 1e-9


@pytest.mark.parametrize("power", [0.25, 0.5, 0.8])
@cases
def test_the_divergence_to_a_power_mean_meets_quadrature(rows, weights, power):
    experts, pi = stack(rows, weights)
    found = divergences.jensen_shannon_power(experts, pi, power, samples=40_000, generator=seeded())
    assert 0 < found.standard_error.item() < 0.01 * max(1, found.value.item())
    assert abs(found.value.item() - exact(power, rows, weights, False)) < 4 * found.standard_error.item()


@pytest.mark.parametrize("power", [0.3, 0.5])
def test_the_stated_standard_error_is_the_spread_of_the_estimates(power):
    experts, pi = stack(*CASES[1])
    many = Gaussian(experts.mean[:, None].expand(-1, 400, -1), experts.logvar[:, None].expand(-1, 400, -1))
    found = divergences.jensen_shannon_power(many, pi, power, samples=300, generator=seeded())
    assert found.standard_error.mean().item() == pytest.approx(found.value.std().item(), rel=0.12)


@cases
def test_the_ends_of_the_dial_are_the_two_means(rows, weights):
    experts, pi = stack(rows, weights)
    geometric = divergences.jensen_shannon_geometric(experts, pi)
    assert torch.equal(divergences.jensen_shannon_power(experts, pi, 0.0).value, geometric)
    near = exact(1e-4, rows, weights, False)
    assert near == pytest.approx(geometric.item(), rel=0.05), "and it is continuous there"
    one = divergences.jensen_shannon_power(experts, pi, 1.0, samples=50, generator=seeded())
    same = divergences.jensen_shannon_arithmetic(experts, pi, samples=50, generator=seeded())
    torch.testing.assert_close(one.value, same.value)


@cases
def test_the_barycenter_averages_quantiles(rows, weights):
    """Of one-dimensional densities the barycenter's quantile function is the mean of theirs."""
    experts, pi = stack(rows, weights)
    found = divergences.wasserstein_mean(experts, pi)
    p = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)
    quantiles = [td.Normal(e.mean, (e.logvar / 2).exp()).icdf(p) for e in (experts[k] for k in range(len(weights)))]
    expected = sum(w * q for w, q in zip(weights, quantiles, strict=True))
    torch.testing.assert_close(td.Normal(found.mean, (found.logvar / 2).exp()).icdf(p), expected)


def test_the_divergence_to_the_barycenter_is_its_kls():
    experts, pi = random_gaussian(3, 4, 2), torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    scale = sum(w * (experts[k].logvar / 2).exp() for k, w in enumerate(pi))
    mean = sum(w * experts[k].mean for k, w in enumerate(pi))
    to = td.Independent(td.Normal(mean, scale), 1)
    each = [
        td.kl_divergence(td.Independent(td.Normal(e.mean, (e.logvar / 2).exp()), 1), to)
        for e in map(experts.__getitem__, range(3))
    ]
    torch.testing.assert_close(
        divergences.jensen_shannon_wasserstein(experts, pi), sum(w * x for w, x in zip(pi, each, strict=True))
    )


def test_draws_of_items_with_weights_of_their_own_are_as_frequent_as_the_weights():
    """Each item's component is drawn by itself: one and the same item many times has all its components."""
    mixture, _ = divergences.hellinger_mean(random_gaussian(3, 1, 2, seed=5), uniform(3, 1))
    shifted = torch.arange(2000, dtype=torch.float64) * 1e-12  # weights that differ, if hardly
    weights = mixture.weights + shifted * torch.tensor([[1.0], [-1.0], [0], [0], [0], [0]])
    many = Mixture(
        Gaussian(*(x.expand(-1, 2000, -1) for x in (mixture.components.mean, mixture.components.logvar))),
        weights,
        alike=False,
    )
    _, chosen = many.rsample_from(seeded())
    shares = chosen.bincount(minlength=6) / 2000
    torch.testing.assert_close(shares.double(), mixture.weights.flatten(), atol=0.04, rtol=0)
    means = many.components.mean[:, 0]
    places = (many.select().mean.unsqueeze(0) == means.unsqueeze(1)).all(-1).int().argmax(0)
    torch.testing.assert_close(
        places.bincount(minlength=6).double() / 2000, mixture.weights.flatten(), atol=0.002, rtol=0
    )


@pytest.mark.parametrize("fusion", ["hellinger", "holder", "wasserstein", "mixture_of_wasserstein"])
@pytest.mark.parametrize("keep", [[0], [1, 2], [0, 1, 2]])
def test_what_is_absent_is_as_if_it_were_not(fusion, keep):
    experts, z = random_gaussian(3, 4, 2), random_gaussian(4, 2, seed=9).mean
    present = torch.tensor([m in keep for m in range(3)]).unsqueeze(1).expand(3, 4)
    fewer = fuse(fusion, experts[keep], torch.ones(len(keep), 4, dtype=torch.bool))
    torch.testing.assert_close(fuse(fusion, experts, present).log_prob(z), fewer.log_prob(z))


def test_with_nothing_there_is_the_prior_or_no_mixture():
    experts, nothing = random_gaussian(3, 4, 2), torch.zeros(3, 4, dtype=torch.bool)
    for fusion in ("hellinger", "wasserstein"):
        found = fuse(fusion, experts, nothing)
        assert found.mean.abs().max() == 0 and found.logvar.abs().max() == 0
    assert holder(experts, nothing).weights.abs().max() == 0
    experts = Gaussian(experts.mean.requires_grad_(), experts.logvar.requires_grad_())
    hellinger(experts, nothing).logvar.sum().backward()
    assert torch.isfinite(experts.logvar.grad).all()


@pytest.mark.parametrize("fusion", ["hellinger", "holder", "wasserstein", "mixture_of_wasserstein"])
def test_evaluation_draws_from_the_posterior_of_every_subset(fusion):
    """From a component of each item, or from the Gaussian; of a single modality its own posterior."""
    model = tiny_model(3, 2)
    q = model.encode(tiny_batch(3, items=12))
    for size, subset in itertools.product((1, 2, 3), ["ABC"]):
        given = subset[:size]
        parts = components(fusion, given)
        assert len(parts) == (2**size - 1 if fusion == "mixture_of_wasserstein" else 1)
        found = parts_posterior(model, q, parts)
        whole = model.infer(q, given, fusion)
        among = whole.components.mean if isinstance(whole, Mixture) else whole.mean.unsqueeze(0)
        assert torch.isclose(found.mean.unsqueeze(0), among).all(-1).any(0).all()
        if size == 1:
            torch.testing.assert_close(component_posterior(model, q, parts[0]).mean, q.content.mean[0])
