"""Pareto-smoothed weights: the fit against draws of known shape and arviz-stats, smoothing by its properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto

from workbench.metrics.evidence.pareto import fitted, smoothed

# Of RandomState(seed).standard_normal(draws) * scale: k-hat, and the largest smoothed weight's share in logarithms,
# by arviz-stats 0.8.0 (`pip download --no-deps arviz-stats`, unzipped): with its `_DiagnosticsBase()` as `d`,
# `smooth, k = d._psislw(-logs, 1.0)`, then `k, smooth.max()`.
ARVIZ = [
    (30, 1.0, 0, 0.47352279733381863, -2.0351636962461717),
    (100, 3.0, 1, 1.1175966485738442, -0.9975781543616994),
    (225, 0.2, 2, 0.22242551862779641, -4.618598571337488),
    (1000, 2.0, 3, 0.6488594622857704, -2.2452080529531284),
    (4000, 8.0, 4, 2.782074065031993, -0.06735305507752498),
]


@pytest.mark.parametrize(("draws", "scale", "seed", "shape", "largest"), ARVIZ)
def test_it_is_what_arviz_makes_of_the_same_weights(draws, scale, seed, shape, largest):
    logs = torch.from_numpy(np.random.RandomState(seed).standard_normal(draws) * scale)
    others = torch.randn(draws, generator=torch.Generator().manual_seed(seed)).double()
    smooth, k_hat = smoothed(torch.stack([others, logs], 1))
    assert k_hat[1].item() == pytest.approx(shape, abs=1e-6)
    assert torch.log_softmax(smooth[:, 1], 0).max().item() == pytest.approx(largest, abs=1e-6)


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.7, 1.5])
def test_shape_and_scale_of_generalised_pareto_draws_are_found(shape):
    draws = genpareto.rvs(shape, scale=2.0, size=(4000, 8), random_state=0)
    found, scale = fitted(torch.from_numpy(np.sort(draws, 0)))
    assert ((found - shape).abs() < 0.1).all() and (found - shape).mean().abs() < 0.03
    assert ((scale - 2).abs() < 0.2).all()


def test_heavier_weights_have_a_larger_k_hat_and_hopeless_ones_no_bound():
    noise = torch.randn(400, 3, generator=torch.Generator().manual_seed(1)).double()
    k_hat = smoothed(noise * torch.tensor([0.3, 2.0, 1e4]))[1]
    assert k_hat[0] < 0.4 < k_hat[1] < k_hat[2] == torch.inf
    smooth, flat = smoothed(torch.zeros(400, 3))
    assert (flat == 0).all() and (smooth == 0).all(), "equal weights have no tail"


def test_few_draws_have_no_shape_and_keep_their_weights():
    logs = torch.randn(24, 2, generator=torch.Generator().manual_seed(2)).double()
    smooth, k_hat = smoothed(logs)
    assert k_hat.isnan().all() and torch.equal(smooth, logs)
    assert not smoothed(torch.cat([logs, logs[:1] - 0.1]))[1].isnan().any()


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(25, 200), st.floats(0.1, 30), st.floats(-2000, 2000))
def test_smoothing_moves_the_tail_alone_and_nothing_above_the_largest(seed, draws, spread, shift):
    logs = torch.randn(draws, 3, generator=torch.Generator().manual_seed(seed)).double() * spread
    smooth, k_hat = smoothed(logs + shift)
    assert smooth.isfinite().all() and (smooth <= logs.amax(0) + shift + 1e-9).all()
    order = logs.argsort(0)
    ordered = smooth.gather(0, order)
    assert (ordered.diff(dim=0) >= -1e-9).all(), "the order stays"
    tail = draws // 5
    torch.testing.assert_close(ordered[:-tail], logs.gather(0, order)[:-tail] + shift)
    torch.testing.assert_close(smoothed(logs)[1], k_hat, atol=1e-5, rtol=1e-5)
