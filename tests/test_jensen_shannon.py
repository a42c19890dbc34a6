"""The three Jensen-Shannon divergences, their duals and bounds, against scipy's adaptive quadrature in 1-D and 2-D."""

import math
import subprocess
import sys

import pytest
import torch
import torch.distributions as td
from adaptive_quadrature import CASES, exact, integral, log_mean, log_normal, stack
from helpers import random_gaussian, seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad

from workbench import divergences
from workbench.distributions import Gaussian, Mixture, checked
from workbench.theory import quadrature

FUNCTIONS = {
    "geometric": divergences.jensen_shannon_geometric,
    "arithmetic": divergences.jensen_shannon_arithmetic,
    "harmonic": divergences.jensen_shannon_harmonic,
    "bounds": divergences.jensen_shannon_bounds,
}


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("kind", ["arithmetic", "harmonic"])
@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_monte_carlo_meets_quadrature_within_its_standard_error(kind, rows, weights, dual):
    experts, pi = stack(rows, weights)
    found = FUNCTIONS[kind](experts, pi, dual=dual, samples=40_000, generator=seeded())
    assert 0 < found.standard_error.item() < 0.01 * max(1, found.value.item())
    assert abs(found.value.item() - exact(kind, rows, weights, dual)) < 4 * found.standard_error.item()


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_the_geometric_divergence_and_its_dual_are_exact(rows, weights, dual):
    experts, pi = stack(rows, weights)
    ours = divergences.jensen_shannon_geometric(experts, pi, dual=dual).item()
    assert ours == pytest.approx(exact("geometric", rows, weights, dual), abs=1e-8)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("kind", ["arithmetic", "harmonic"])
def test_the_stated_standard_error_is_the_spread_of_the_estimates(kind, dual):
    """400 independent estimates of one value, side by side as items of a batch."""
    experts, pi = stack(*CASES[1])
    many = Gaussian(experts.mean[:, None].expand(-1, 400, -1), experts.logvar[:, None].expand(-1, 400, -1))
    found = FUNCTIONS[kind](many, pi, dual=dual, samples=300, generator=seeded())
    assert found.standard_error.mean().item() == pytest.approx(found.value.std().item(), rel=0.12)
    error = found.value.std().item() / math.sqrt(400)
    assert found.value.mean().item() == pytest.approx(exact(kind, *CASES[1], dual), abs=4 * error + 1 / 300)


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_grid_quadrature_agrees_with_adaptive_quadrature(rows, weights):
    experts, pi = stack(rows, weights)
    ours = quadrature.jensen_shannon_arithmetic(experts, pi).item()
    assert ours == pytest.approx(exact("arithmetic", rows, weights), abs=1e-8)


def test_two_dimensions():
    """Diagonal Gaussians in the plane: the closed form and the grid against scipy's dblquad."""
    experts, pi = random_gaussian(3, 2, seed=5, spread=0.6), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)

    def logs(x: float, y: float) -> list[float]:
        rows = zip(experts.mean.tolist(), experts.logvar.tolist(), strict=True)
        return [log_normal(x, m[0], v[0]) + log_normal(y, m[1], v[1]) for m, v in rows]

    def integrand(y: float, x: float, kind: str) -> float:
        values = logs(x, y)
        reference = math.log(mass[kind]) - log_mean(kind, values, pi.tolist())
        return sum(w * math.exp(v) * (v + reference) for w, v in zip(pi.tolist(), values, strict=True))

    def plane(f, *args) -> float:
        return dblquad(f, -9, 9, -9, 9, args=args, epsabs=1e-10, epsrel=1e-10)[0]

    mass = {"arithmetic": 1, "geometric": plane(lambda y, x: math.exp(log_mean("geometric", logs(x, y), pi.tolist())))}
    geometric = divergences.jensen_shannon_geometric(experts, pi).item()
    assert geometric == pytest.approx(plane(integrand, "geometric"), abs=1e-8)
    assert divergences.jensen_shannon_geometric(experts, pi, dual=True).item() == pytest.approx(
        -math.log(mass["geometric"]), abs=1e-8
    )
    arithmetic = plane(integrand, "arithmetic")
    assert quadrature.jensen_shannon_arithmetic(experts, pi, points=301).item() == pytest.approx(arithmetic, abs=1e-8)
    found = divergences.jensen_shannon_arithmetic(experts, pi, samples=20_000, generator=seeded())
    assert abs(found.value.item() - arithmetic) < 4 * found.standard_error.item()
    low, high = divergences.jensen_shannon_bounds(experts, pi)
    assert low.item() <= arithmetic <= high.item()


# ------------------------------------------------------------------------------------------------------------ bounds


def bounds_by_hand(rows, weights) -> tuple[float, float]:
    """Hershey and Olsen 2007, pair by pair from torch.distributions."""
    normals = [td.Normal(torch.tensor(m, dtype=torch.float64), math.exp(v / 2)) for m, v in rows]
    lower = upper = 0.0
    for w, p in zip(weights, normals, strict=True):
        overlaps = sum(
            u * td.Normal(q.mean, math.sqrt(p.variance + q.variance)).log_prob(p.mean).exp().item()
            for u, q in zip(weights, normals, strict=True)
        )
        lower -= w * (math.log(overlaps) + p.entropy().item())
        near = [math.exp(-td.kl_divergence(p, q).item()) for q in normals]
        upper -= w * math.log(sum(u * x for u, x in zip(weights, near, strict=True)))
    return max(0.0, lower), upper


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_bounds_are_the_published_ones_and_enclose_the_divergence(rows, weights):
    experts, pi = stack(rows, weights)
    low, high = (bound.item() for bound in divergences.jensen_shannon_bounds(experts, pi))
    assert (low, high) == pytest.approx(bounds_by_hand(rows, weights))
    assert low <= exact("arithmetic", rows, weights) <= high <= sum(-w * math.log(w) for w in weights) + 1e-12


@pytest.mark.parametrize(("rows", "weights"), CASES)
def test_entropy_of_a_mixture_and_its_kl_lie_within_their_bounds(rows, weights):
    experts, pi = stack(rows, weights)
    mixture, other = Mixture.of(experts, pi), Gaussian(torch.tensor([0.4]).double(), torch.tensor([0.3]).double())

    def log_density(z: float) -> float:
        return log_mean("arithmetic", [log_normal(z, *row) for row in rows], weights)

    entropy = integral(lambda z: -math.exp(log_density(z)) * log_density(z))
    low, high = (bound.item() for bound in mixture.entropy_bounds())
    assert low <= entropy <= high
    kl = integral(lambda z: math.exp(log_density(z)) * (log_density(z) - log_normal(z, 0.4, 0.3)))
    assert quadrature.mixture_kl(experts, pi, other).item() == pytest.approx(kl, abs=1e-7)
    low, high = (bound.item() for bound in divergences.mixture_kl_bounds(experts, pi, other))
    assert 0 <= low <= kl <= high <= divergences.weighted_kl(experts, pi, other).item() + 1e-12
    found = divergences.mixture_kl(experts, pi, other, samples=40_000, generator=seeded())
    assert abs(found.value.item() - kl) < 4 * found.standard_error.item()


@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.1, 4))
def test_order_of_the_divergences(seed, count, spread):
    """0 <= lower <= arithmetic <= upper <= ln K, and arithmetic <= geometric, for any Gaussians and weights."""
    experts = random_gaussian(count, 6, 1, seed=seed, spread=spread)
    pi = torch.softmax(random_gaussian(count, 6, seed=seed + 1).mean, 0)
    low, high = divergences.jensen_shannon_bounds(experts, pi)
    found = divergences.jensen_shannon_arithmetic(experts, pi, samples=500, generator=seeded(seed))
    slack = 6 * found.standard_error + 1e-9
    assert (low >= 0).all() and (low <= found.value + slack).all() and (found.value <= high + slack).all()
    assert (high <= -(pi * pi.log()).sum(0) + 1e-9).all()
    assert (found.value <= divergences.jensen_shannon_geometric(experts, pi) + slack).all()


# ------------------------------------------------------------------------------------------- extremes and derivatives

extreme = st.floats(-20, 20, width=32)


@given(st.lists(st.tuples(st.floats(-5, 5, width=32), extreme), min_size=2, max_size=4), st.booleans())
def test_float32_is_safe_from_logvar_minus_20_to_20(rows, dual):
    mean, logvar = (torch.tensor(column)[:, None].requires_grad_() for column in zip(*rows, strict=True))
    experts, pi = Gaussian(mean, logvar), torch.full((len(rows),), 1 / len(rows))
    low, high = divergences.jensen_shannon_bounds(experts, pi)
    values = [divergences.jensen_shannon_geometric(experts, pi, dual=dual), low, high]
    for kind in ("arithmetic", "harmonic"):
        found = FUNCTIONS[kind](experts, pi, dual=dual, samples=16, generator=seeded())
        values += [found.value, found.standard_error]
    assert all(torch.isfinite(value) for value in values)
    assert low >= 0 and high <= math.log(len(rows)) + 1e-4 and low <= high + 1e-3 * max(1, high.item())
    slopes = torch.autograd.grad(sum(values[:3]) + values[3] + values[5], (mean, logvar))
    assert all(torch.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize(
    ("kind", "dual"), [("bounds", False), *((kind, dual) for kind in divergences.MEANS for dual in (False, True))]
)
def test_gradients(kind, dual):
    experts, weights = random_gaussian(3, 2, 2, spread=0.5), torch.softmax(random_gaussian(3, 2, seed=1).mean, 0)
    inputs = [x.requires_grad_() for x in (experts.mean, experts.logvar)]
    options = {} if kind in ("geometric", "bounds") else {"samples": 5}

    def value(mean, logvar):
        if "samples" in options:
            return FUNCTIONS[kind](Gaussian(mean, logvar), weights, dual=dual, generator=seeded(3), **options).value
        if kind == "bounds":
            return divergences.jensen_shannon_bounds(Gaussian(mean, logvar), weights)
        return divergences.jensen_shannon_geometric(Gaussian(mean, logvar), weights, dual=dual)

    assert torch.autograd.gradcheck(value, inputs)


# ------------------------------------------------------------------------------------------------ masks, shapes, errors


def draw(kind: str, *args, **options):
    """The value of a divergence with the noise of one seed."""
    if kind in ("arithmetic", "harmonic"):
        return FUNCTIONS[kind](*args, samples=20_000, generator=seeded(), **options).value
    return FUNCTIONS[kind](*args, **options)


@pytest.mark.parametrize("kind", list(FUNCTIONS))
def test_a_mask_is_a_physically_smaller_stack(kind):
    experts = random_gaussian(4, 5, 2, spread=0.7)
    weights = torch.softmax(random_gaussian(4, 5, seed=1).mean, 0)
    present = torch.tensor([[1, 1, 1, 0, 1], [0, 1, 0, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 1, 1]]).bool()
    holes = ~present.unsqueeze(-1)
    broken = Gaussian(experts.mean.masked_fill(holes, math.nan), experts.logvar.masked_fill(holes, math.inf))
    ours = draw(kind, broken, weights, present=present)
    for b in range(5):
        there = present[:, b]
        few, pi = experts[there, b], weights[there, b] / weights[there, b].sum()
        alone = draw(kind, few, pi)
        pairs = zip(ours, alone, strict=True) if kind == "bounds" else [(ours, alone)]
        for whole, part in pairs:
            tolerance = 0.05 if kind in ("arithmetic", "harmonic") else 1e-10
            assert whole[b].item() == pytest.approx(part.item(), abs=tolerance)


@pytest.mark.parametrize("kind", list(FUNCTIONS))
def test_nothing_absent_reaches_a_gradient(kind):
    experts, present = random_gaussian(3, 2, 2), torch.tensor([[True, True], [False, True], [True, False]])
    holes = ~present.unsqueeze(-1)
    mean = experts.mean.masked_fill(holes, math.nan).requires_grad_()
    logvar = experts.logvar.masked_fill(holes, math.nan).requires_grad_()
    value = draw(kind, Gaussian(mean, logvar), torch.full((3,), 1 / 3).double(), present=present)
    total = sum(v.sum() for v in value) if kind == "bounds" else value.sum()
    for slope in torch.autograd.grad(total, (mean, logvar)):
        assert torch.isfinite(slope).all() and (slope[~present] == 0).all() and (slope[present] != 0).any()


@pytest.mark.parametrize("kind", list(FUNCTIONS))
def test_leading_dimensions(kind):
    """Experts [3, 2, 5, latent]: item by item the same as without leading dimensions, up to the noise."""
    experts = random_gaussian(3, 2, 5, 2, spread=0.6)
    weights = torch.softmax(random_gaussian(3, 2, 5, seed=1).mean, 0)
    ours = draw(kind, experts, weights)
    ours = ours if kind == "bounds" else (ours,)
    for i, j in ((0, 0), (1, 4)):
        alone = draw(kind, experts[:, i, j], weights[:, i, j])
        for whole, part in zip(ours, alone if kind == "bounds" else (alone,), strict=True):
            assert whole.shape == (2, 5)
            noise = 0.05 if kind in ("arithmetic", "harmonic") else 1e-10
            assert whole[i, j].item() == pytest.approx(part.item(), abs=noise)


BAD = {
    "sum": (torch.tensor([0.5, 0.6, 0.1]), None, r"weights must sum to one: they sum to 1\.2 for item \[0\]"),
    "negative": (torch.tensor([0.5, 0.7, -0.2]), None, r"weights must not be negative: the smallest is -0\.2"),
    "nan": (torch.tensor([0.5, math.nan, 0.5]), None, "weights must sum to one"),
    "weights": (torch.full((2,), 0.5), None, r"weights of shape \[2\] do not fit experts \[3, 4\]"),
    "items": (torch.full((3, 5), 1 / 3), None, r"weights of shape \[3, 5\] do not fit experts \[3, 4\]"),
    "mask": (torch.full((3,), 1 / 3), torch.ones(3, 6).bool(), r"present of shape \[3, 6\] do not fit"),
    "absent": (
        torch.full((3,), 1 / 3),
        torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]]).bool(),
        r"nothing is present with a positive weight for item \[2\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(FUNCTIONS))
@pytest.mark.parametrize(("weights", "present", "message"), BAD.values(), ids=list(BAD))
def test_bad_input_is_one_sentence(kind, weights, present, message):
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[kind](random_gaussian(3, 4, 2, dtype=torch.float32), weights, present=present)


def test_a_mean_and_a_variance_of_different_shapes():
    """As users meet it: without the shape checks of the tests, which would see it first."""
    code = "import torch; from workbench.distributions import Gaussian; Gaussian(torch.zeros(2, 3), torch.zeros(2, 4))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ValueError: mean [2, 3] and logvar [2, 4] differ in shape" in done.stderr


def test_weights_are_checked_only_when_asked():
    experts, weights = random_gaussian(2, 4, 1), torch.full((2,), 0.7, dtype=torch.float64)
    assert checked(experts, weights, validate=False)[1].sum(0).tolist() == pytest.approx([1.4] * 4)
    with pytest.raises(ValueError, match=r"sum to 1\.4"):
        checked(experts, weights)


def test_quadrature_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="for 1 or 2 latent dimensions, not 3"):
        quadrature.jensen_shannon_arithmetic(random_gaussian(2, 3), torch.full((2,), 0.5).double())


def test_strata_come_from_their_own_component():
    components = random_gaussian(3, 4, 2)
    z = Mixture.of(components).strata(20_000, seeded())
    assert z.shape == (20_000, 3, 4, 2)
    spread = torch.exp(components.logvar / 2)
    assert ((z.mean(0) - components.mean).abs() < 5 * spread / math.sqrt(20_000)).all()
    torch.testing.assert_close(z.std(0), spread, rtol=0.03, atol=0)


def test_a_mixture_with_leading_dimensions_draws_whole_components():
    components = random_gaussian(3, 2, 6, 2)
    mixture = Mixture.of(components)
    chosen = mixture.select()
    assert chosen.mean.shape == (2, 6, 2)
    match = (chosen.mean == components.mean).all(-1)
    assert (match.sum(0) == 1).all() and match.flatten(1).sum(1).tolist() == [4, 4, 4]
    assert torch.equal(mixture.rsample(seeded(2)), chosen.rsample(seeded(2)))
