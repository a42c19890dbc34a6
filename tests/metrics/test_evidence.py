"""ln p(X) by proposals that cover and by annealing, against the closed form of linear and Gaussian models."""

import math

import pytest
import torch
from helpers import seeded, tiny_batch, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import NOISE, linear
from torch.distributions import MultivariateNormal

from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Laplace, Mixture
from workbench.metrics.evidence import estimates, local
from workbench.metrics.evidence.annealed import annealed
from workbench.metrics.evidence.estimates import Proposals, judged, numbers, stratified_error, weighed
from workbench.metrics.evidence.proposals import FullGaussian, Stratified, fused, log_joint_of
from workbench.metrics.likelihood import importance_sampled, log_evidence

FUSIONS = ("dynamic_prior", "mixture")
SHARP = tuple(noise / 1e4 for noise in NOISE)  # a decoder that is nearly deterministic


def agrees(value, error, expected) -> bool:
    """Most items within two stated standard errors, of which few draws know little; the mean of p(X) has no bias."""
    ratio = torch.exp(value - expected) - 1
    most = ((value - expected).abs() < 2 * error + 1e-3).double().mean() > 0.75
    return bool(most and ratio.mean().abs() < 3 * ratio.std() / len(ratio) ** 0.5 + 1e-3)


def without(batch: Batch, m: int, items: int) -> Batch:
    """The same batch, of whose first items one modality is absent, NaN in its place."""
    present, values = batch.present.clone(), [x.clone() for x in batch.values]
    present[m, :items], values[m][:items] = False, math.nan
    return Batch(tuple(values), present, batch.labels)


@pytest.mark.parametrize("draws", [12, 100, 1000])
@pytest.mark.parametrize("steps", [0, 40])
@pytest.mark.parametrize("style", [0, 1])
def test_every_proposal_is_exact_in_a_linear_gaussian_model(style, steps, draws):
    model, exact, batch = linear(style, 100)
    whole, batch = batch, without(batch, 1, 20)
    proposals = Proposals(model, batch, FUSIONS, generator=seeded(1), steps=steps)
    found = proposals.weighed(draws)
    assert agrees(found.value, found.standard_error, exact.log_evidence(whole.values, batch.present))
    assert found.k_hat.isnan().all() == (draws < 25)
    if draws == 1000:
        assert (found.value - found.smoothed).abs().median() < 0.02 and (found.k_hat < 0.7).double().mean() > 0.9


def test_annealing_is_exact_from_far_away():
    """From N(0, 4) instead of the posterior, without styles and with them."""
    for style in (0, 1):
        model, exact, batch = linear(style, 40)
        size = model.content_dim + 3 * style
        start = FullGaussian(torch.zeros(40, size).double(), 2 * torch.eye(size).double().expand(40, -1, -1))
        found = annealed(log_joint_of(model, batch), start, seeded(2), chains=12, temperatures=40)
        assert agrees(found.value, found.standard_error, exact.log_evidence(batch.values))


def test_a_decoder_that_is_nearly_deterministic_is_flagged_and_annealing_gets_it():
    """Posteriors a hundred times wider than what is left of the uncertainty: few draws count, and k-hat says so."""
    model, exact, batch = linear(0, 30, SHARP)
    for heads in model.heads:
        torch.nn.init.zeros_(heads.layers[1].bias)  # encoders that do not know how much they know
    truth = exact.log_evidence(batch.values)
    proposals = Proposals(model, batch, FUSIONS, generator=seeded(3), steps=0)
    coarse = proposals.weighed(100)
    assert coarse.effective_samples.median() < 3 and (coarse.k_hat > 0.7).double().mean() > 0.8
    assert ((coarse.value - truth).abs() > 1).any()
    proposals = Proposals(model, batch, FUSIONS, generator=seeded(3))
    judge, fine = proposals.annealed(), proposals.weighed(100)
    assert agrees(judge.value, judge.standard_error, truth) and ((judge.value - truth).abs() < 0.5).all()
    assert fine.effective_samples.median() > 50 and (fine.k_hat < 0.7).all()


def test_fitted_gaussians_are_the_exact_posteriors_a_little_wider():
    model, exact, batch = linear(0, 25)
    log_joint, start = log_joint_of(model, batch), fused(model.encode(batch))
    found, posterior = local.fitted(log_joint, start, seeded()), exact.posterior(batch.values)
    deviation = posterior.covariance_matrix[:, 0].sqrt()
    assert ((found.mean - posterior.mean).abs() < 0.1 * deviation).all()
    torch.testing.assert_close(found.factor[:, 0], deviation * local.WIDER**0.5, rtol=0.05, atol=0.0)


def test_fitted_precisions_hold_what_dimensions_have_in_common():
    """A Gaussian with strong correlations, from a start that knows nothing of it."""
    basis, mean = torch.randn(4, 6, 6, generator=seeded(1)).double(), torch.randn(4, 6, generator=seeded(2)).double()
    target = MultivariateNormal(mean, basis @ basis.mT / 6 + torch.eye(6) / 5)
    zeros = torch.zeros(4, 6).double()
    found = local.fitted(target.log_prob, Gaussian(zeros, zeros), seeded(3))
    covariance = found.factor @ found.factor.mT / local.WIDER
    # a precision below that of p(z) is taken for noise
    values, vectors = torch.linalg.eigh(target.precision_matrix)
    expected = torch.linalg.inv(vectors * values.clamp(min=local.LEAST).unsqueeze(-2) @ vectors.mT)
    without = torch.diag_embed(expected.diagonal(dim1=1, dim2=2))
    assert (covariance - expected).norm() < 0.35 * expected.norm()
    assert (covariance - expected).norm() < 0.5 * (without - expected).norm()


# ------------------------------------------------------------------------------------------- densities and their errors


def apart(items: int) -> Gaussian:
    """Three Gaussians that overlap in part."""
    mean = torch.tensor([-1.0, 0.5, 2.0]).double().view(3, 1, 1).expand(-1, items, 2)
    return Gaussian(mean, torch.tensor([0.0, -1.0, 0.7]).double().view(3, 1, 1).expand(-1, items, 2))


def test_draws_are_weighed_by_the_density_of_the_whole_mixture():
    """Of the mixture itself every weight is one; by the density of the component drawn from none would be."""
    parts = apart(4)
    mixture = Mixture.of(parts)
    found = importance_sampled(mixture.log_prob, mixture, 10, seeded())
    torch.testing.assert_close(found.value, torch.zeros(4).double(), atol=1e-12, rtol=0)
    assert found.standard_error.max() < 1e-12 and found.effective_samples.min() > 29.99
    proposal = Stratified([parts[0], parts[1], parts[2]], [1, 5, 14])
    weights = torch.tensor([1.0, 5.0, 14.0]).double().view(3, 1).expand(-1, 4) / 20
    found = weighed(Mixture.of(parts, weights).log_prob, proposal, seeded())
    torch.testing.assert_close(found.value, torch.zeros(4).double(), atol=1e-12, rtol=0)
    assert found.standard_error.max() < 1e-12 and found.effective_samples.min() > 19.99


@pytest.mark.parametrize("way", ["log_evidence", "importance_sampled", "covering", "annealed"])
def test_the_stated_error_is_the_spread_over_200_repetitions(way):
    """One item two hundred times over has two hundred independent estimates."""
    model, _, one = linear(0, 1)
    batch = Batch(tuple(x.expand(200, -1) for x in one.values), one.present.expand(-1, 200), one.labels.expand(200))
    parts, proposals = apart(200), Proposals(model, batch, FUSIONS, generator=seeded(5), steps=0)
    found = {
        "log_evidence": lambda: log_evidence(model, batch, 40, seeded(6)),
        "importance_sampled": lambda: importance_sampled(
            Gaussian.standard_like(parts[0]).log_prob, Mixture.of(parts), 60, seeded(7)
        ),
        "covering": lambda: proposals.weighed(200),
        "annealed": lambda: annealed(
            proposals.log_joint,
            FullGaussian(torch.zeros(200, 1).double(), torch.ones(200, 1, 1).double()),
            seeded(8), chains=16, temperatures=12,
        ),
    }[way]()  # fmt: skip
    stated = found.standard_error.square().mean().sqrt()
    assert stated == pytest.approx(found.value.std().item(), rel=0.2)


def test_the_error_of_strata_is_that_of_a_loop_and_lone_draws_are_taken_together():
    share = torch.rand(9, 3, generator=seeded()).double()
    strata = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2])
    variance = sum(share[strata == k].var(0) * (strata == k).sum() for k in range(3)) / 81
    torch.testing.assert_close(stratified_error(share, strata), variance.sqrt())
    alone = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8])
    torch.testing.assert_close(stratified_error(share, alone), share.std(0) / 3)
    torch.testing.assert_close(stratified_error(share[:3], torch.tensor([0, 0, 1])), share[:3].std(0) / 3**0.5)
    assert stratified_error(share[:1], torch.tensor([0])).isnan().all()


@given(st.integers(1, 60), st.lists(st.floats(0.01, 1), min_size=1, max_size=9))
def test_draws_are_split_by_shares(draws, shares):
    q = Gaussian(torch.zeros(1, 1), torch.zeros(1, 1))
    made = Stratified.of([(q, share) for share in shares], draws)
    assert sum(made.counts) == draws == len(made.draws(seeded())) == len(made.strata()) and min(made.counts) > 0
    exact = sorted(draws * share / sum(shares) for share in shares)
    counts = sorted([*made.counts] + [0] * (len(shares) - len(made.counts)))
    assert all(abs(n - x) < 1 + 1e-9 for n, x in zip(counts, exact, strict=True))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_full_gaussians_have_the_density_of_torch(seed, size):
    root = torch.randn(3, size, size, generator=seeded(seed)).double()
    factor = torch.linalg.cholesky(root @ root.mT + 0.1 * torch.eye(size))
    q = FullGaussian(torch.randn(3, size, generator=seeded(seed + 1)).double(), factor)
    z = q.draws(4, seeded(seed))
    torch.testing.assert_close(q.log_prob(z), MultivariateNormal(q.mean, scale_tril=factor).log_prob(z))
    noise = torch.randn(4, 3, size, generator=seeded(seed), dtype=torch.float64)
    torch.testing.assert_close(z, q.mean + (factor @ noise.unsqueeze(-1)).squeeze(-1))


# --------------------------------------------------------------------------------------------------------- whole models


@pytest.mark.parametrize("family", [Gaussian, Laplace])
def test_images_and_text_of_incomplete_items_in_either_family(family):
    """Two ways to ln p(X) of what is there, the other by 20,000 draws of p(z); fitting brings more effective draws."""
    model, batch = tiny_model(3, 2, 1), tiny_batch(3, items=12, missing=True)
    model.family = family
    for heads in model.heads:
        heads.family = family
    batch = batch._replace(present=batch.present | ~batch.present.any(0))
    plain, fitted = (Proposals(model, batch, ["mixture"], generator=seeded(1), steps=n).weighed(200) for n in (0, 30))
    prior = model.prior(torch.zeros(12, model.content_dim + 3 * model.style_dim))
    reference = weighed(log_joint_of(model, batch), Stratified([prior], [20_000]), seeded(2))
    for found in (plain, fitted):
        error = torch.hypot(found.standard_error, reference.standard_error)
        assert ((found.value - reference.value).abs() < 5 * error + 0.02).all()
    assert fitted.effective_samples.mean() > plain.effective_samples.mean()
    assert all(p.grad is None for p in model.parameters()), "the model is not trained"


def test_a_model_is_judged_in_numbers(monkeypatch):
    for name, size in {"AT_A_TIME": 4, "MORE_ITEMS": 8, "ANNEALED_ITEMS": 4}.items():
        monkeypatch.setattr(estimates, name, size)
    model, exact, batch = linear(0, 11)
    seen = []
    arguments = {"draws": 50, "steps": 20, "progress": seen.append}
    found, errors = judged(model, batch.split(9), FUSIONS, generator=seeded(1), annealing=True, **arguments)
    assert seen == [4, 4, 1, 2] and (found["draws"], found["items"]) == (50, 11)
    assert (found["gain_items"], found["annealed_gap_items"]) == (8, 4)
    truth = exact.log_evidence(batch.values).mean().item()
    assert abs(found["nats"] - truth) < 5 * errors["nats"] and abs(found["smoothed"] - truth) < 0.1
    assert abs(found["gain"]) < 5 * errors["gain"] and abs(found["annealed_gap"]) < 5 * errors["annealed_gap"] + 0.01
    assert 1 < found["effective_samples"] <= 50 and 0 <= found["k_hat_above"] <= 1
    assert "annealed_gap" not in judged(model, [batch], FUSIONS, generator=seeded(1), **arguments)[0]
    with pytest.raises(ValueError, match="fitted to the items"):
        Proposals(model, batch, FUSIONS, steps=0).annealed()


def test_numbers_are_those_of_the_items():
    rows = torch.tensor([[-3.0, -1.0, -5.0], [0.6, 0.8, 0.0], [4.0, 8.0, 6.0], [-2.0, -1.0, -3.0], [0.2, 0.9, 0.8]])
    found = estimates.Weighed(*rows.double())
    more = estimates.Weighed(*rows[:, :2].double() + torch.tensor([0.5, 0.7]))
    known, errors = numbers(10, found, more)
    assert (known["nats"], known["smoothed"], known["effective_samples"], known["items"]) == (-3.0, -2.0, 6.0, 3)
    assert known["gain"] == pytest.approx(0.6) and errors["gain"] == pytest.approx(0.1)
    assert known["k_hat_above"] == pytest.approx(2 / 3) and errors["nats"] == pytest.approx(1 / 3)
