"""Importance-sampled log-likelihoods of a model, against brute-force integration over its two latent dimensions."""

import math

import pytest
import torch
from helpers import seeded, tiny_batch, tiny_model

from workbench.metrics.likelihood import log_evidence, log_mean_exp


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


@pytest.mark.parametrize(("count", "style"), [(1, 1), (3, 0), (2, 0)])
@torch.no_grad()
def test_log_evidence_is_the_integral(count, style):
    model, batch = wide_model(count, 1, style), tiny_batch(count, items=5)
    found = log_evidence(model, batch, 4000, seeded(1))
    for b in range(5):
        assert found.standard_error[b] < 0.1
        assert abs(found.value[b].item() - by_grid(model, batch, b)) < 4 * found.standard_error[b].item() + 1e-3


@torch.no_grad()
def test_absent_modalities_are_left_out():
    model, batch = wide_model(3, 1), tiny_batch(3, items=8, missing=True)
    batch = batch._replace(present=batch.present | ~batch.present.any(0))
    found = log_evidence(model, batch, 4000, seeded(1))
    for b in range(8):
        assert abs(found.value[b].item() - by_grid(model, batch, b)) < 4 * found.standard_error[b].item() + 1e-3


def test_more_samples_raise_the_estimate_on_average():
    model, batch = tiny_model(3, 2), tiny_batch(3, items=40)
    few, many = (log_evidence(model, batch, k, seeded(2)).value.mean() for k in (1, 300))
    assert few < many


def test_log_mean_exp_is_safe_and_weighted():
    logs = torch.tensor([[[1000.0], [-1000.0]], [[1001.0], [5000.0]]], dtype=torch.float64)
    found = log_mean_exp(logs, torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    assert found.value.item() == pytest.approx(1000 + math.log((1 + math.e) / 2))
    assert math.isfinite(found.standard_error.item())
    assert math.isnan(log_mean_exp(logs[:1], torch.tensor([[1.0], [0.0]]).double()).standard_error.item())
