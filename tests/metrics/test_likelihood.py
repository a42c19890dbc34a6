"""Importance-sampled log-likelihoods of a model, against brute-force integration over its two latent dimensions."""

import math

import pytest
import torch
from helpers import rows_of, seeded, tiny_batch, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import LOADINGS, NOISE, linear

from workbench.data.dataset import Batch
from workbench.distributions import Gaussian
from workbench.fusion import subsets
from workbench.inference import components
from workbench.metrics.likelihood import (
    Likelihoods,
    log_evidence,
    log_likelihoods,
    log_mean_exp,
    log_ratio,
    summary,
)
from workbench.model import MultimodalVAE


def wide_model(count: int, content: int, style: int = 0):
    """A tiny model whose posteriors are a little wider than the prior, so that they propose well."""
    model = tiny_model(count, content, style)
    for heads in model.heads:
        for mean, logvar in zip(heads.layers[::2], heads.layers[1::2], strict=True):
            torch.nn.init.normal_(mean.weight, std=0.2)
            torch.nn.init.zeros_(logvar.weight)
            torch.nn.init.constant_(logvar.bias, 0.4)
    return model


def by_grid(model, batch, b: int) -> float:
    """ln of the integral of p(X | c, s) p(c) p(s) over a grid, for one item with content 1 and one style of size 1."""
    axis = torch.linspace(-7, 7, 281, dtype=torch.float64)
    content = axis.repeat_interleave(len(axis)) if model.style_dim else axis
    style = axis.repeat(len(axis)) if model.style_dim else content[:, None][:, :0]
    log_p = -0.5 * content**2 - 0.5 * math.log(2 * math.pi)
    if model.style_dim:
        log_p = log_p - 0.5 * style**2 - 0.5 * math.log(2 * math.pi)
    step = float(axis[1] - axis[0]) ** (2 if model.style_dim else 1)
    for m, modality in enumerate(model.modalities):
        if batch.present[m, b]:
            output = model.decode_one(m, content[:, None], style.view(len(content), -1))
            x = batch.values[m][b : b + 1].expand(len(content), *batch.values[m].shape[1:])
            log_p = log_p + modality.likelihood.log_prob(output, x)
    return (torch.logsumexp(log_p, 0) + math.log(step)).item()


@pytest.mark.parametrize(
    ("count", "style", "items", "missing"), [(1, 1, 5, False), (3, 0, 5, False), (2, 0, 5, False), (3, 0, 8, True)]
)
@torch.no_grad()
def test_log_evidence_is_the_integral_over_the_modalities_that_are_there(count, style, items, missing):
    model, batch = wide_model(count, 1, style), tiny_batch(count, items=items, missing=missing)
    batch = batch._replace(present=batch.present | ~batch.present.any(0))
    found = log_evidence(model, batch, 3000 // count, seeded(1))
    assert (found.standard_error < (0.2 if missing else 0.1)).all()
    for b in range(items):
        assert abs(found.value[b].item() - by_grid(model, batch, b)) < 4 * found.standard_error[b].item() + 1e-3


def test_more_samples_raise_the_estimate_on_average():
    model, batch = tiny_model(3, 2), tiny_batch(3, items=40)
    few, many = (log_evidence(model, batch, k, seeded(2)).value.mean() for k in (1, 100))
    assert few < many


def test_log_mean_exp_is_safe_and_weighted():
    logs = torch.tensor([[[1000.0], [-1000.0]], [[1001.0], [5000.0]]], dtype=torch.float64)
    found = log_mean_exp(logs, torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    assert found.value.item() == pytest.approx(1000 + math.log((1 + math.e) / 2))
    assert math.isfinite(found.standard_error.item())
    assert math.isnan(log_mean_exp(logs[:1], torch.tensor([[1.0], [0.0]]).double()).standard_error.item())


# ------------------------------------------------------- given every subset, against the exact linear-Gaussian evidence
@pytest.mark.parametrize("fusion", ["mixture", "product", "dynamic_prior", "mixture_of_products", "product_alone"])
@pytest.mark.parametrize("style", [0, 1])
def test_every_estimate_is_exact_in_a_linear_gaussian_model(fusion, style):
    """Within three standard errors of the closed form on average, and within five everywhere."""
    items = 12
    model, exact, batch = linear(style, items)
    found = log_likelihoods(model, batch, [fusion], 3000, seeded(4))[fusion]

    def evidence(members):
        present = torch.tensor([[m in members] for m in range(3)]).expand(3, items)
        return exact.log_evidence(batch.values, present)

    deviations = []
    for subset, estimate in found.joint.items():
        deviations.append((estimate.value - evidence({0, 1, 2})) / estimate.standard_error)
        given = {"ABC".index(letter) for letter in subset.split(",")}
        for j in {0, 1, 2} - given:
            conditional = found.conditional["ABC"[j]][subset]
            expected = evidence(given | {j}) - evidence(given)
            deviations.append((conditional.value - expected) / conditional.standard_error)
    deviations = torch.stack(deviations)
    assert deviations.shape == (7 + 9, items)
    assert deviations.abs().max() < 5 and (deviations.abs() < 3).double().mean() > 0.98
    assert deviations.std() > 0.5, "the standard error is no exaggeration"
    errors = torch.stack([estimate.standard_error for estimate in found.joint.values()])
    assert errors.median() < 0.1


def test_predictive_is_the_expectation_under_the_subsets_posterior():
    """By quadrature over the posterior: ln of the integral of q(z | x_K) p(x_j | z)."""
    model, _, batch = linear(0, 4)
    found = log_likelihoods(model, batch, ["mixture"], 4000, seeded(5))["mixture"].predictive
    q = model.encode(batch).content
    for subset, members in {"A": [0], "A,C": [0, 2], "A,B,C": [0, 1, 2]}.items():
        for j, letter in enumerate("ABC"):
            # q_m is a Gaussian, p(x_j | z) another: the integral over z is a Gaussian density
            variance = NOISE[j] + LOADINGS[j] ** 2 * q.logvar[members].exp()
            parts = Gaussian(LOADINGS[j] * q.mean[members] + 0.2 * j, variance.log()).log_prob(batch.values[j])
            expected = torch.logsumexp(parts, 0) - math.log(len(members))
            estimate = found[letter][subset]
            assert ((estimate.value - expected).abs() < 5 * estimate.standard_error).all()


def test_items_are_not_mixed_and_chunks_join():
    """The estimate of an item does not depend on the items beside it but for the noise."""
    model, _, batch = linear(1, 6)
    whole = log_likelihoods(model, batch, ["mixture"], 2000, seeded(1))["mixture"]
    parts = [rows_of(batch, rows) for rows in ([0, 1], [2, 3, 4, 5])]
    joined = Likelihoods.joined(
        [log_likelihoods(model, part, ["mixture"], 2000, seeded(2))["mixture"] for part in parts]
    )
    for name, estimate in whole.joint.items():
        error = torch.hypot(estimate.standard_error, joined.joint[name].standard_error)
        assert ((estimate.value - joined.joint[name].value).abs() < 5 * error).all()
    assert joined.conditional["A"]["B,C"].value.shape == (6,)


def test_a_model_that_knows_its_posterior_needs_one_draw():
    """With one modality and the exact posterior every weight is the evidence: no error, all draws effective."""
    model, exact, batch = linear(0, 5)
    small = MultimodalVAE(model.modalities[:1], 1).double()
    for part in ("encoders", "heads", "decoders"):
        getattr(small, part)[0].load_state_dict(getattr(model, part)[0].state_dict())
    slope = LOADINGS[0] / (LOADINGS[0] ** 2 + NOISE[0])
    for layer, (weight, shift) in zip(small.heads[0].layers, [(slope, 0.0), (0.0, math.log(1 - slope))], strict=True):
        torch.nn.init.constant_(layer.weight, weight)
        torch.nn.init.constant_(layer.bias, shift)
    one = Batch(batch.values[:1], batch.present[:1], batch.labels)
    found = log_likelihoods(small, one, ["mixture"], 12, seeded())["mixture"].joint["A"]
    alone = torch.tensor([[True], [False], [False]]).expand(3, 5)
    torch.testing.assert_close(found.value, exact.log_evidence(batch.values, alone))
    torch.testing.assert_close(found.effective_samples, torch.full((5,), 12.0).double())
    assert summary(found)["standard_error"] < 1e-9


def test_draws_are_as_many_as_asked_for():
    model, batch = tiny_model(3, 2), tiny_batch(3, items=4)
    for fusion, counts in (("mixture", [1, 1, 1, 2, 2, 2, 3]), ("mixture_of_products", [1, 1, 1, 3, 3, 3, 7])):
        assert [len(components(fusion, subset)) for subset in subsets("ABC")] == counts
        for samples in (1, 12):
            for estimate in log_likelihoods(model, batch, [fusion], samples, seeded())[fusion].joint.values():
                assert (estimate.effective_samples <= samples + 7).all()
    assert components("product", "AB") == (("product", ("A", "B")),)
    assert components("dynamic_prior", "C") == components("mixture", "C") == (("product_alone", ("C",)),)


def test_fusions_share_their_draws():
    """A single modality's posterior is the same under mixture and dynamic prior, and so are its estimates."""
    model, batch = tiny_model(3, 2), tiny_batch(3, items=4)
    both = log_likelihoods(model, batch, ["dynamic_prior", "mixture"], 12, seeded())
    for letter in "ABC":
        assert torch.equal(both["dynamic_prior"].joint[letter].value, both["mixture"].joint[letter].value)
    assert not torch.equal(both["dynamic_prior"].joint["A,B"].value, both["mixture"].joint["A,B"].value)
    alone = log_likelihoods(model, batch, ["mixture"], 12, seeded())["mixture"]
    assert alone.joint.keys() == both["mixture"].joint.keys()


def test_incomplete_items_are_refused():
    with pytest.raises(ValueError, match="need items that have all modalities: leave the others out"):
        log_likelihoods(tiny_model(3), tiny_batch(3, missing=True), ["mixture"])


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 4))
def test_shifting_and_effective_samples(seed, samples, strata):
    logs = torch.randn(samples, strata, 3, generator=seeded(seed), dtype=torch.float64)
    weights = torch.rand(strata, 3, generator=seeded(seed + 1), dtype=torch.float64)
    weights = weights / weights.sum(0)
    one, moved = log_mean_exp(logs, weights), log_mean_exp(logs + 700, weights)
    torch.testing.assert_close(moved.value, one.value + 700)
    torch.testing.assert_close(moved.standard_error, one.standard_error)
    assert (one.effective_samples <= samples * strata + 1e-9).all() and (one.effective_samples >= 1 - 1e-9).all()
    ratio = log_ratio(logs + 2, logs, weights)
    torch.testing.assert_close(ratio.value, torch.full((3,), 2.0).double())
    assert ratio.standard_error.max() < 1e-9
