"""Densities of codes against torch, scikit-learn, autograd and sums over grids."""

import math

import pytest
import torch
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from workbench.distributions import Gaussian
from workbench.metrics.samplers import densities
from workbench.metrics.samplers.densities import Flow, Gmm

WEIGHTS = torch.tensor([0.5, 0.3, 0.2])
MEANS = torch.tensor([[0.0, 0.0], [4.0, 1.0], [-3.0, 3.0]])
SCALES = torch.tensor([[[1.0, 0.0], [0.5, 0.4]], [[0.3, 0.0], [0.0, 1.2]], [[0.6, 0.0], [-0.4, 0.5]]])


def gmm() -> Gmm:
    return Gmm(WEIGHTS, MEANS, SCALES)


def bent(dims: int = 2, base: Gmm | None = None) -> Flow:
    """A flow that is far from the identity."""
    flow = Flow(base or gmm())
    for parameter in flow.parameters():
        parameter.data = 0.08 * torch.randn(parameter.shape, generator=seeded(parameter.numel()))
    return flow.requires_grad_(False)


def test_a_fitted_mixture_has_the_moments_of_the_known_one():
    codes = gmm().draw(20_000, seeded())
    found = Gmm.fit(codes, 3)
    order = found.weights.argsort(descending=True)
    torch.testing.assert_close(found.weights[order], WEIGHTS, atol=0.02, rtol=0)
    torch.testing.assert_close(found.mean[order], MEANS, atol=0.06, rtol=0)
    covariances = [x @ x.transpose(1, 2) for x in (found.scale[order], SCALES)]
    torch.testing.assert_close(*covariances, atol=0.08, rtol=0.06)
    fresh = gmm().draw(20_000, seeded(1))
    torch.testing.assert_close(fresh.mean(0), WEIGHTS @ MEANS, atol=0.06, rtol=0)
    assert found.log_prob(fresh).mean() > gmm().log_prob(fresh).mean() - 0.01


def test_a_mixtures_density_is_scikit_learns():
    codes = gmm().draw(500, seeded())
    theirs = GaussianMixture(3, max_iter=200, random_state=0).fit(codes.double().numpy())
    expected = torch.from_numpy(theirs.score_samples(codes.double().numpy())).float()
    torch.testing.assert_close(Gmm.fit(codes, 3).log_prob(codes), expected, atol=1e-4, rtol=1e-4)


def test_bic_finds_the_number_of_components():
    codes = torch.cat([torch.randn(400, 2, generator=seeded(k)) + 12.0 * k for k in range(5)])
    assert len(Gmm.fit(codes, "bic").weights) == 5 and len(Gmm.fit(codes).weights) == 10
    assert len(Gmm.fit(codes[:7]).weights) == 2, "no more than have three items each"


@pytest.mark.parametrize("density", [gmm(), bent()])
def test_densities_integrate_to_one(density):
    axis = torch.linspace(-11, 11, 441)
    grid = torch.cartesian_prod(axis, axis)
    total = density.log_prob(grid).double().exp().sum() * (axis[1] - axis[0]).double() ** 2
    assert total.item() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_a_flow_inverts_itself_and_its_determinant_is_the_jacobians(dims):
    base = Gmm.fit(torch.randn(200, dims, generator=seeded()) * 3 + 1, 2)
    flow, z = bent(dims, base), torch.randn(6, dims, generator=seeded(1))
    w, log_det = flow.to_base(z)
    torch.testing.assert_close(flow.from_base(w), z, atol=1e-3, rtol=1e-3)
    for item, expected in zip(z, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow.to_base(x[None])[0][0], item)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], expected, atol=1e-3, rtol=1e-3)
    assert dims == 1 or (w - z).abs().mean() > 0.1, "it bends something"


def test_draws_of_a_flow_follow_its_density():
    """As many of them lie in each quadrant of the plane as the density, summed over a grid, says."""
    flow, axis = bent(), torch.linspace(-11, 11, 441)
    grid, z = torch.cartesian_prod(axis, axis), flow.draw(20_000, seeded())
    mass = flow.log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
    for right, upper in ((False, False), (False, True), (True, False), (True, True)):
        inside = [((x[:, 0] > 0.5) == right) & ((x[:, 1] > 0.8) == upper) for x in (grid, z)]
        assert mass[inside[0]].sum().item() == pytest.approx(inside[1].float().mean().item(), abs=0.02)


def test_a_flow_learns_what_a_mixture_cannot_say(monkeypatch):
    """A ring: a flow over a single Gaussian is nearer to it than the Gaussian, and comes again by its seed."""
    angle = torch.rand(2000, generator=seeded()) * 2 * math.pi
    ring = Gaussian(3 * torch.stack([angle.cos(), angle.sin()], 1), torch.full((2000, 2), -3.0))
    base, fresh = Gmm.fit(ring.rsample(seeded(1)), 1), ring.rsample(seeded(2))
    monkeypatch.setattr(densities, "FEWEST_STEPS", 300)
    flow, again = (Flow.fit(base, ring, seed=3) for _ in range(2))
    assert flow.log_prob(fresh).mean() > base.log_prob(fresh).mean() + 0.5
    assert torch.equal(flow.draw(50, seeded()), again.draw(50, seeded()))
    torch.testing.assert_close(Flow(base).log_prob(fresh), base.log_prob(fresh), atol=1e-4, rtol=1e-4)


@given(temperature=st.floats(0, 3), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_temperature_scales_what_is_drawn_around_the_means(temperature, seed):
    warm, cold = gmm().draw(30, seeded(seed), temperature), gmm().draw(30, seeded(seed), 0.0)
    assert all((row == MEANS).all(1).any() for row in cold)
    torch.testing.assert_close(warm - cold, temperature * (gmm().draw(30, seeded(seed)) - cold), atol=1e-4, rtol=1e-4)
