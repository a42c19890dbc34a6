"""Diagonal Gaussians and mixtures against torch.distributions, numerical quadrature and brute force."""

import math
from collections import Counter

import pytest
import torch
import torch.distributions as td
from helpers import random_gaussian, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from workbench.distributions import Gaussian, Mixture, kl, stratified_choice, weighted_product

quick = settings(deadline=None, max_examples=60, derandomize=True)


def oracle(gaussian: Gaussian) -> td.Distribution:
    return td.Independent(td.Normal(gaussian.mean, torch.exp(gaussian.logvar / 2)), 1)


def one(mean: float, logvar: float) -> Gaussian:
    return Gaussian(torch.tensor([mean], dtype=torch.float64), torch.tensor([logvar], dtype=torch.float64))


def density(gaussian: Gaussian, z: float) -> float:
    """Written out, for one dimension: independent of the package."""
    variance = math.exp(gaussian.logvar.item())
    return math.exp(-((z - gaussian.mean.item()) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def integral(f, *gaussians: Gaussian) -> float:
    """Integral of f over all that matters to the Gaussians, to about 1e-12."""
    means = [g.mean.item() for g in gaussians]
    reach = 12 * max(math.exp(g.logvar.item() / 2) for g in gaussians)
    return quad(f, min(means) - reach, max(means) + reach, points=means, limit=400, epsabs=1e-12, epsrel=1e-12)[0]


# ----------------------------------------------------------------------------------------------------- one Gaussian


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (4, 0)])
def test_log_prob_and_entropy_are_those_of_torch(shape):
    p, z = random_gaussian(*shape), random_gaussian(*shape, seed=1).mean
    torch.testing.assert_close(p.log_prob(z), oracle(p).log_prob(z))
    torch.testing.assert_close(p.entropy(), oracle(p).entropy())


def test_log_prob_broadcasts_over_samples():
    p, z = random_gaussian(5, 3), random_gaussian(7, 5, 3, seed=1).mean
    assert p.log_prob(z).shape == (7, 5)
    torch.testing.assert_close(p.log_prob(z), oracle(p).log_prob(z))


@pytest.mark.parametrize(("left", "right"), [((5, 3), (5, 3)), ((2, 5, 3), (5, 3)), ((2, 1, 3), (1, 5, 3))])
def test_kl_is_that_of_torch(left, right):
    p, q = random_gaussian(*left), random_gaussian(*right, seed=1)
    torch.testing.assert_close(kl(p, q), td.kl_divergence(oracle(p), oracle(q)))


@pytest.mark.parametrize(("p", "q"), [((0.0, 0.0), (1.0, 0.5)), ((-2.0, -3.0), (0.5, 1.0)), ((1.0, 2.0), (-1.0, -1.5))])
def test_density_entropy_and_kl_by_quadrature(p, q):
    p, q = one(*p), one(*q)

    def log(g: Gaussian, z: float) -> float:
        return g.log_prob(torch.tensor([z], dtype=torch.float64)).item()

    assert integral(lambda z: math.exp(log(p, z)), p) == pytest.approx(1, abs=1e-8)
    assert integral(lambda z: -density(p, z) * log(p, z), p) == pytest.approx(p.entropy().item(), abs=1e-8)
    expected = integral(lambda z: density(p, z) * (log(p, z) - log(q, z)), p)
    assert kl(p, q).item() == pytest.approx(expected, abs=1e-8)


def test_samples_have_the_moments():
    p = Gaussian(torch.tensor([0.5, -2.0, 3.0]), torch.tensor([-1.0, 0.0, 2.0]))
    wide = Gaussian(p.mean.expand(100_000, 3), p.logvar.expand(100_000, 3))
    samples = wide.rsample(seeded())
    standard = torch.exp(p.logvar / 2)
    assert ((samples.mean(0) - p.mean).abs() / standard < 0.02).all()
    assert ((samples.std(0) / standard - 1).abs() < 0.02).all()
    assert torch.corrcoef(samples.T).fill_diagonal_(0).abs().max() < 0.02


def test_samples_are_reparametrised():
    p = Gaussian(*(x.requires_grad_() for x in (random_gaussian(5, 3).mean, random_gaussian(5, 3).logvar)))

    def sample(mean, logvar):
        return Gaussian(mean, logvar).rsample(seeded(3))

    assert torch.autograd.gradcheck(sample, (p.mean, p.logvar))
    z = p.rsample(seeded(3))
    mean_slope, logvar_slope = torch.autograd.grad(z.sum(), (p.mean, p.logvar))
    torch.testing.assert_close(mean_slope, torch.ones(5, 3, dtype=torch.float64))
    torch.testing.assert_close(logvar_slope, ((z - p.mean) / 2).detach())


def test_samples_follow_the_generator_alone():
    p = random_gaussian(5, 3)
    torch.manual_seed(0)
    first = p.rsample(seeded(1))
    torch.manual_seed(99)
    assert torch.equal(first, p.rsample(seeded(1)))
    assert not torch.equal(first, p.rsample(seeded(2)))


def test_stack_index_and_standard():
    gaussians = [random_gaussian(4, 2, seed=s) for s in range(3)]
    stack = Gaussian.stack(gaussians)
    assert stack.mean.shape == (3, 4, 2)
    for k, g in enumerate(gaussians):
        assert torch.equal(stack[k].mean, g.mean) and torch.equal(stack[k].logvar, g.logvar)
    standard = Gaussian.standard_like(stack[0])
    torch.testing.assert_close(kl(gaussians[0], standard), td.kl_divergence(oracle(gaussians[0]), oracle(standard)))
    assert standard.mean.dtype == torch.float64 and (standard.mean == 0).all() and (standard.logvar == 0).all()


extreme = st.floats(-20, 20, width=32)
small = st.floats(-5, 5, width=32)


@quick
@given(st.lists(st.tuples(small, extreme, small, extreme), min_size=1, max_size=4))
def test_kl_is_not_negative_and_finite_at_the_extremes(rows):
    columns = torch.tensor(rows, dtype=torch.float32).T
    p, q = Gaussian(columns[0], columns[1]), Gaussian(columns[2], columns[3])
    assert torch.isfinite(kl(p, q)) and kl(p, q) >= 0
    assert kl(p, p) == 0
    assert torch.isfinite(p.log_prob(q.mean)) and torch.isfinite(p.entropy()) and torch.isfinite(p.rsample()).all()
    exact = td.kl_divergence(*(oracle(Gaussian(g.mean.double(), g.logvar.double())) for g in (p, q)))
    assert kl(p, q).item() == pytest.approx(exact.item(), rel=1e-4, abs=1e-5)


def test_kl_of_nearly_equal_distributions_keeps_its_digits():
    p, q = Gaussian(torch.zeros(1), torch.tensor([1e-3])), Gaussian(torch.zeros(1), torch.zeros(1))
    exact = kl(*(Gaussian(g.mean.double(), g.logvar.double()) for g in (p, q))).item()
    assert kl(p, q).item() == pytest.approx(exact, rel=1e-2)


def test_gradients_of_the_densities():
    p, q = random_gaussian(4, 2), random_gaussian(4, 2, seed=1)
    inputs = [x.requires_grad_() for x in (p.mean, p.logvar, q.mean, q.logvar)]
    assert torch.autograd.gradcheck(lambda a, b, c, d: kl(Gaussian(a, b), Gaussian(c, d)), inputs)
    assert torch.autograd.gradcheck(lambda a, b, c: Gaussian(a, b).log_prob(c), inputs[:3])
    assert torch.autograd.gradcheck(lambda a: Gaussian(torch.zeros_like(a), a).entropy(), inputs[1:2])


# ------------------------------------------------------------------------------------------------- weighted products


@pytest.mark.parametrize(
    "weights", [(1.0, 1.0, 1.0), (0.2, 0.5, 0.3), (0.0, 0.4, 0.6), (0.0, 0.0, 1.0), (2.0, 0.5, 1.0)]
)
def test_weighted_product_is_the_normalised_product_of_densities(weights):
    experts = [one(0.3, -0.5), one(-1.0, 0.7), one(2.0, 0.1)]
    product = weighted_product(
        Gaussian.stack([Gaussian(g.mean[None], g.logvar[None]) for g in experts]),
        torch.tensor(weights, dtype=torch.float64)[:, None],
    )[0]

    def unnormalised(z: float) -> float:
        return math.prod(density(g, z) ** w for g, w in zip(experts, weights, strict=True))

    mass = integral(unnormalised, *experts)
    for z in (-2.0, 0.0, 0.7, 1.9):
        ours = math.exp(product.log_prob(torch.tensor([z], dtype=torch.float64)).item())
        assert ours == pytest.approx(unnormalised(z) / mass, abs=1e-8)
    assert product.mean.item() == pytest.approx(integral(lambda z: z * unnormalised(z), *experts) / mass, abs=1e-8)


def test_weighted_product_of_many_dimensions_by_loop():
    experts, weights = random_gaussian(3, 6, 4), torch.rand(3, 6, generator=seeded(), dtype=torch.float64)
    product = weighted_product(experts, weights)
    for b in range(6):
        for d in range(4):
            precisions = [weights[m, b] / math.exp(experts.logvar[m, b, d]) for m in range(3)]
            mean = sum(p * experts.mean[m, b, d] for m, p in enumerate(precisions)) / sum(precisions)
            assert product.mean[b, d].item() == pytest.approx(mean.item(), rel=1e-12)
            assert product.logvar[b, d].item() == pytest.approx(-math.log(sum(precisions)), rel=1e-10, abs=1e-12)


def test_weighted_product_gradients_where_an_expert_is_left_out():
    experts = random_gaussian(3, 2, 2)
    weights = torch.tensor([[0.0, 0.5], [1.0, 0.0], [0.0, 0.5]], dtype=torch.float64)

    def fused(mean, logvar):
        product = weighted_product(Gaussian(mean, logvar), weights)
        return product.mean, product.logvar

    mean, logvar = experts.mean.requires_grad_(), experts.logvar.requires_grad_()
    assert torch.autograd.gradcheck(fused, (mean, logvar))
    slopes = torch.autograd.grad(fused(mean, logvar)[0].sum(), mean)[0]
    assert (slopes[weights == 0] == 0).all() and (slopes[weights > 0] != 0).all()


@quick
@given(st.lists(extreme, min_size=2, max_size=4), st.floats(-20, 20, width=32))
def test_weighted_product_is_safe_at_the_extremes(logvars, mean):
    m = len(logvars)
    experts = Gaussian(torch.linspace(mean, -mean, m).view(m, 1, 1), torch.tensor(logvars).view(m, 1, 1))
    product = weighted_product(experts, torch.full((m, 1), 1 / m))
    low, high = experts.mean.min(), experts.mean.max()
    assert torch.isfinite(product.logvar).all()
    assert low - 1e-4 <= product.mean.item() <= high + 1e-4
    assert min(logvars) - 1e-3 <= product.logvar.item() <= max(logvars) + 1e-3


# ---------------------------------------------------------------------------------------------------------- mixtures


def mixture_of_torch(components: Gaussian, weights: torch.Tensor) -> td.Distribution:
    inner = td.Independent(
        td.Normal(components.mean.movedim(0, -2), torch.exp(components.logvar / 2).movedim(0, -2)), 1
    )
    return td.MixtureSameFamily(td.Categorical(weights.movedim(0, -1)), inner)


@pytest.mark.parametrize("samples", [(), (7,), (2, 7)])
def test_mixture_density_is_that_of_torch(samples):
    components = random_gaussian(3, 5, 2)
    weights = torch.softmax(random_gaussian(3, 5, seed=1).mean, dim=0)
    z = random_gaussian(*samples, 5, 2, seed=2).mean
    ours, theirs = Mixture(components, weights), mixture_of_torch(components, weights)
    assert ours.log_prob(z).shape == (*samples, 5)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.mean(), theirs.mean)


def test_mixture_without_a_batch():
    components, weights = random_gaussian(3, 2), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    z = random_gaussian(9, 2, seed=2).mean
    torch.testing.assert_close(
        Mixture(components, weights).log_prob(z), mixture_of_torch(components, weights).log_prob(z)
    )


def test_mixture_leaves_out_components_of_weight_zero():
    components = random_gaussian(3, 4, 2)
    weights = torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64)[:, None].expand(3, 4)
    z = random_gaussian(4, 2, seed=2).mean
    fewer = Mixture(Gaussian(components.mean[::2], components.logvar[::2]), weights[::2])
    torch.testing.assert_close(Mixture(components, weights).log_prob(z), fewer.log_prob(z))


def test_select_takes_one_whole_component_per_item():
    components = random_gaussian(3, 9, 2)
    weights = torch.full((3, 9), 1 / 3)
    chosen = Mixture(components, weights).select()
    counts = Counter()
    for b in range(9):
        equal = [torch.equal(chosen.mean[b], components.mean[m, b]) for m in range(3)]
        m = equal.index(True)
        assert torch.equal(chosen.logvar[b], components.logvar[m, b])
        counts[m] += 1
    assert counts == {0: 3, 1: 3, 2: 3}
    expected = chosen.rsample(seeded(4))
    assert torch.equal(Mixture(components, weights).rsample(seeded(4)), expected)


# ------------------------------------------------------------------------------------------------ stratified choices


def by_hand(weights: list[list[float]]) -> list[int]:
    """The rule of `Mixture.select`, item by item."""
    columns = [tuple(column) for column in zip(*weights, strict=True)]
    choices = []
    for b, column in enumerate(columns):
        place = (columns[:b].count(column) + 0.5) / columns.count(column)
        cumulated, choice = 0.0, None
        for m, weight in enumerate(column):
            cumulated += weight
            if choice is None and place < cumulated:
                choice = m
        choices.append(choice)
    return choices


@quick
@given(st.integers(1, 5), st.integers(1, 40))
def test_an_equal_split_is_even_and_repeatable(modalities, batch):
    weights = torch.full((modalities, batch), 1 / modalities)
    choice = stratified_choice(weights)
    counts = torch.bincount(choice, minlength=modalities)
    assert counts.sum() == batch and counts.max() - counts.min() <= 1
    assert torch.equal(choice, stratified_choice(weights))
    assert (choice.diff() >= 0).all()


@quick
@given(st.lists(st.integers(1, 7), min_size=1, max_size=40))
def test_absent_is_never_chosen_and_each_pattern_is_split_evenly(patterns):
    present = torch.tensor([[bool(p >> m & 1) for p in patterns] for m in range(3)])
    choice = stratified_choice(present.float() / present.sum(0)).tolist()
    for pattern in set(patterns):
        there = [m for m in range(3) if pattern >> m & 1]
        counts = Counter(choice[b] for b, p in enumerate(patterns) if p == pattern)
        assert set(counts) <= set(there)
        assert max(counts[m] for m in there) - min(counts[m] for m in there) <= 1


def test_unequal_weights_by_hand():
    columns = [(0.5, 0.25, 0.25)] * 8 + [(0.0, 1.0, 0.0)] * 3 + [(0.1, 0.2, 0.7)] * 10
    order = torch.randperm(len(columns), generator=seeded()).tolist()
    weights = [list(row) for row in zip(*(columns[i] for i in order), strict=True)]
    choice = stratified_choice(torch.tensor(weights, dtype=torch.float64)).tolist()
    assert choice == by_hand(weights)
    assert Counter(choice[b] for b, i in enumerate(order) if i < 8) == {0: 4, 1: 2, 2: 2}
    assert Counter(choice[b] for b, i in enumerate(order) if i >= 11) == {0: 1, 1: 2, 2: 7}
