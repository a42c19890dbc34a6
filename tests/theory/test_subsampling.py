"""Sub-sampled mixtures in the linear model: draws, torch's divergences, Schur complements and gradients."""

import math

import pytest
import torch
from helpers import seeded
from torch.distributions import MultivariateNormal, kl_divergence

from workbench.theory import subsampling
from workbench.theory.linear_gaussian import LinearGaussian
from workbench.theory.subsampling import Encoders, expected_objective

SUBSETS = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]).bool()  # {1}, {1, 2}, {3}, all


def laboratory() -> LinearGaussian:
    return LinearGaussian.random(2, (3, 2, 1), seeded(1), noise=0.7)


def some_encoders(model: LinearGaussian) -> Encoders:
    slope = 0.3 * torch.randn(4, 2, 6, generator=seeded(2), dtype=torch.float64)
    factor = torch.tensor([[0.8, 0.0], [0.3, 0.5]], dtype=torch.float64).expand(4, 2, 2)
    return Encoders(slope * subsampling.seen(model, SUBSETS).unsqueeze(1), factor)


def test_conditional_entropies_by_schur_complements():
    model = laboratory()
    loadings = torch.cat(model.loadings)
    covariance = loadings @ loadings.T + 0.7 * torch.eye(6).double()
    rest = covariance[3:, 3:] - covariance[3:, :3] @ torch.linalg.inv(covariance[:3, :3]) @ covariance[:3, 3:]
    expected = 0.5 * torch.logdet(2 * math.pi * math.e * rest)
    assert model.conditional_entropy([0]) == pytest.approx(expected.item())
    whole = 0.5 * torch.logdet(2 * math.pi * math.e * covariance)
    assert model.conditional_entropy([]) == pytest.approx(whole.item())
    assert model.conditional_entropy([0, 1, 2]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("encoders", ["best", "some"])
def test_the_expected_objective_is_what_draws_average_to(encoders):
    """By equation 1 it is the evidence less KL(q || p(z | X)), which torch computes item by item."""
    model = laboratory()
    chosen = subsampling.best(model, SUBSETS) if encoders == "best" else some_encoders(model)
    objective = expected_objective(model, chosen, model.marginal().covariance_matrix)
    _, x = model.sample(20_000, seeded(3))
    centred = torch.cat(x, dim=1) - torch.cat(model.biases)
    exact, evidence = model.posterior(x), model.log_evidence(x)
    for slope, factor, expected in zip(*chosen, objective, strict=True):
        q = MultivariateNormal(centred @ slope.T, scale_tril=factor.expand(len(centred), 2, 2))
        values = evidence - kl_divergence(q, exact)
        assert abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5


def test_the_best_encoders_reach_the_least_gap_and_none_comes_nearer():
    model = laboratory()
    covariance = model.marginal().covariance_matrix
    gap = subsampling.least_gap(model, SUBSETS)
    slope, factor = (x.clone().requires_grad_() for x in subsampling.best(model, SUBSETS))
    reached = expected_objective(model, Encoders(slope, factor), covariance)
    evidence = subsampling.expected_log_evidence(model, model)
    torch.testing.assert_close(evidence - reached, gap)
    assert gap[-1].abs() < 1e-12, "who sees everything misses nothing"
    toward = torch.autograd.grad(reached.sum(), (slope, factor))
    assert (toward[0] * subsampling.seen(model, SUBSETS).unsqueeze(1)).abs().max() < 1e-9
    assert toward[1].tril().abs().max() < 1e-9
    assert (expected_objective(model, some_encoders(model), covariance) < reached).all()


def test_the_least_gap_is_at_least_the_missing_information():
    """H(X_rest | X_A) - H(X_rest | z), entropies of the rest by its determinants; in other units both stay."""
    model = laboratory()
    whole, noise = subsampling.conditional_entropies(model, SUBSETS), subsampling.noise_entropies(model, SUBSETS)
    assert whole.tolist() == [model.conditional_entropy(given) for given in ([0], [0, 1], [2], [0, 1, 2])]
    by_hand = [0.5 * n * math.log(2 * math.pi * math.e * 0.7) for n in (3, 1, 5, 0)]
    assert noise.tolist() == pytest.approx(by_hand)
    gap = subsampling.least_gap(model, SUBSETS)
    assert ((whole - noise > 0) & (whole - noise <= gap))[:3].all()
    tenfold = LinearGaussian(
        tuple(10 * w for w in model.loadings), model.biases, tuple(v + math.log(100) for v in model.logvars)
    )
    torch.testing.assert_close(subsampling.least_gap(tenfold, SUBSETS), subsampling.least_gap(model, SUBSETS))
    assert tenfold.conditional_entropy([0]) == pytest.approx(model.conditional_entropy([0]) + 3 * math.log(10))


def test_a_model_loses_the_divergence_from_the_truth():
    truth, other = laboratory(), LinearGaussian.random(2, (3, 2, 1), seeded(5))
    other = LinearGaussian(other.loadings, truth.biases, other.logvars)
    _, x = truth.sample(20_000, seeded(3))
    values = other.log_evidence(x)
    found = subsampling.expected_log_evidence(other, truth)
    assert abs(values.mean() - found) < 4 * values.std() / len(values) ** 0.5


def test_training_reaches_the_ceiling_and_decoders_that_learn_do_no_worse():
    truth, alone = laboratory(), torch.eye(3).bool()
    found = subsampling.reach(truth, alone, seeded(4))
    evidence = subsampling.expected_log_evidence(truth, truth)
    assert found.ceiling == pytest.approx(evidence - subsampling.least_gap(truth, alone).mean().item())
    assert found.fixed == pytest.approx(found.ceiling, abs=1e-4)
    assert found.ceiling + 0.01 < found.learnt < found.evidence < evidence
    entropies = [truth.conditional_entropy([m]) for m in range(3)]
    assert found.quoted == pytest.approx(evidence - sum(entropies) / 3)
    same, _ = subsampling.train(truth, alone, False, seeded(4), steps=2)
    assert same.loadings[0].equal(truth.loadings[0])


def test_random_encoders_pay_more_than_the_least_price():
    price, least, entropy, noise = subsampling.random_prices(3, seeded(6))
    assert price.shape == (21,) and (price > least).all() and (least >= entropy - noise - 1e-12).all()
    torch.testing.assert_close(least[6::7], torch.zeros(3).double())  # the last subset is that of all
    assert (noise[6::7] == 0).all() and entropy[6::7].abs().max() < 1e-12
