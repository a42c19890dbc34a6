"""Likelihoods against torch.distributions and SciPy: densities, missing entries, means, draws, names."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from helpers import seeded
from torch import distributions as oracles

from workbench import likelihoods
from workbench.likelihoods import LIKELIHOODS, Bernoulli, Categorical, Laplace, NegativeBinomial, Normal, likelihood_of

NAN = math.nan
ITEMS, ENTRIES, LEVELS = 5, 6, 4


def output_of(name: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A decoder's output for vectors of six entries, or for six positions of four levels."""
    shape = {"normal": (2, ENTRIES), "negative-binomial": (2, ENTRIES), "categorical": (ENTRIES, LEVELS)}
    return torch.randn(ITEMS, *shape.get(name, (ENTRIES,)), generator=seeded(3), dtype=torch.float64).to(dtype)


def oracle(name: str, output: torch.Tensor) -> oracles.Distribution:
    """The distribution of every entry."""
    first, second = (output[:, 0], output[:, 1].exp()) if output.dim() == 3 else (output, None)
    return {
        "laplace": lambda: oracles.Laplace(output, 0.75),
        "normal": lambda: oracles.Normal(first, second),
        "bernoulli": lambda: oracles.Bernoulli(logits=output),
        "categorical": lambda: oracles.Categorical(logits=output),
        # a success has probability r / (r + mean); torch counts what it calls successes, we count the others
        "negative-binomial": lambda: oracles.NegativeBinomial(second, probs=first.exp() / (first.exp() + second)),
    }[name]()


def items_of(name: str, output: torch.Tensor) -> torch.Tensor:
    """A draw of x from the oracle."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return oracle(name, output).sample()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_densities_and_means_are_those_of_torch(name):
    output = output_of(name)
    x = items_of(name, output)
    found, theirs = likelihood_of(name).log_prob(output, x), oracle(name, output)
    torch.testing.assert_close(found, theirs.log_prob(x).sum(1))
    assert torch.autograd.gradcheck(lambda o: likelihood_of(name).log_prob(o, x), output.clone().requires_grad_())
    torch.testing.assert_close(likelihood_of(name).mean(output), theirs.probs if name == "categorical" else theirs.mean)
    single = likelihood_of(name).log_prob(output.float(), x if name == "categorical" else x.float())
    torch.testing.assert_close(single, found.float())


@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name != "categorical"])
def test_images_have_the_densities_of_vectors(name):
    """[batch, C, H, W], and [batch, 2, C, H, W] where there are two numbers."""
    output = output_of(name)
    x = items_of(name, output)
    folded = output.unflatten(-1, (1, 2, 3))
    likelihood = likelihood_of(name)
    torch.testing.assert_close(
        likelihood.log_prob(folded, x.view(ITEMS, 1, 2, 3)), likelihood.log_prob(output, x), rtol=1e-12, atol=0
    )
    assert likelihood.mean(folded).shape == likelihood.sample(folded, seeded()).shape == (ITEMS, 1, 2, 3)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_missing_entries_count_nothing(name):
    """As if the vectors had those entries alone that are there; the gradient is finite, and zero where one is not."""
    output = output_of(name).requires_grad_()
    x, missing = items_of(name, output), torch.rand(ITEMS, ENTRIES, generator=seeded(1)) < 0.4
    missing[0], missing[1] = True, False
    p = likelihood_of(name).log_prob(output, x.masked_fill(missing, -1 if name == "categorical" else NAN))
    expected = torch.where(missing, 0, oracle(name, output).log_prob(x)).sum(1)
    torch.testing.assert_close(p, expected)
    assert p[0] == 0
    gradient, wanted = (torch.autograd.grad(q.sum(), output, retain_graph=True)[0] for q in (p, expected))
    torch.testing.assert_close(gradient, wanted)
    by_entry = gradient.abs().sum(-1) if name == "categorical" else gradient.abs().view(ITEMS, -1, ENTRIES).sum(1)
    assert torch.equal(by_entry > 0, ~missing)


def test_what_is_not_a_number_in_an_output_is_not_hidden():
    """A training that diverged must show, also where entries are missing."""
    x = torch.tensor([[0.0, NAN]])
    assert Laplace().log_prob(torch.tensor([[NAN, 0.0]]), x).isnan()
    assert Bernoulli().log_prob(torch.tensor([[NAN, 0.0]]), x).isnan()
    for likelihood in (Normal(), NegativeBinomial()):
        assert likelihood.log_prob(torch.tensor([[[NAN, 0.0], [0.0, 0.0]]]), x).isnan()
        assert likelihood.log_prob(torch.tensor([[[0.0, 0.0], [NAN, 0.0]]]), x).isnan()


def test_scales_have_a_floor_that_parameters_come_back_from():
    x = torch.tensor([[0.3]])
    output = torch.tensor([[[0.0], [-9.0]]], requires_grad=True)
    p = Normal().log_prob(output, x)
    assert p.item() == pytest.approx(scipy.stats.norm.logpdf(0.3, scale=likelihoods.SMALLEST_SCALE), rel=1e-5)
    assert Normal().scale(output).item() == pytest.approx(likelihoods.SMALLEST_SCALE)
    p.backward()
    assert output.grad[0, 1, 0] == pytest.approx(
        0.3**2 / likelihoods.SMALLEST_SCALE**2 - 1, rel=1e-4
    )  # d/d ln scale: to larger ones


@pytest.mark.parametrize("mean", [1e-3, 1.0, 250.0, 3e4])
@pytest.mark.parametrize("r", [1e-3, 0.5, 40.0, 1e5])
def test_counts_of_any_size_in_single_precision(mean, r):
    counts = scipy.stats.nbinom(r, r / (r + mean))
    x = np.array([0, 1, 7, round(mean), round(2 * mean)])
    output = torch.tensor([math.log(mean), math.log(r)]).view(1, 2, 1).expand(len(x), 2, 1)
    found = NegativeBinomial().log_prob(output, torch.from_numpy(x).float()[:, None])
    # the logarithms are given in single precision, which counts times over
    slack = 2e-6 * (np.abs(x - mean) + mean + 1)
    np.testing.assert_array_less(np.abs(found.numpy() - counts.logpmf(x)), slack + 1e-5 * np.abs(counts.logpmf(x)))


def test_counts_become_poisson_where_nothing_disperses_them():
    output = torch.tensor([math.log(5.0), 400.0]).view(1, 2, 1).requires_grad_()
    found = NegativeBinomial().log_prob(output, torch.tensor([[3.0]]))
    assert found.item() == pytest.approx(scipy.stats.poisson(5.0).logpmf(3), abs=1e-4)
    found.backward()
    assert output.grad.isfinite().all()
    assert (
        NegativeBinomial().log_prob(output.detach() * torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[3.0]])).isfinite()
    )
    assert likelihoods.DISPERSIONS[1] >= 1e6


MOMENTS = {
    "laplace": ([[1.5], [-0.2]], [1.5, -0.2], [2 * 0.75**2] * 2),
    "normal": ([[[1.5], [0.5]], [[-3.0], [-20.0]]], [1.5, -3.0], [math.e, likelihoods.SMALLEST_SCALE**2]),
    "bernoulli": ([[0.0], [1.3]], [0.5, 0.785835], [0.25, 0.168298]),
    "negative-binomial": (
        [[[math.log(4.0)], [math.log(2.0)]], [[math.log(30.0)], [50.0]]],
        [4.0, 30.0],
        [4 + 4**2 / 2, 30.0],
    ),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_draws_have_the_mean_and_variance(name):
    parameters, means, variances = MOMENTS[name]
    output, likelihood, number = torch.tensor(parameters), likelihood_of(name), 40_000
    torch.testing.assert_close(likelihood.mean(output)[:, 0], torch.tensor(means))
    for item, mean, variance in zip(output, means, variances, strict=True):
        draws = likelihood.sample(item.expand(number, *item.shape), seeded(2)).double()
        assert draws.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(variance / number))
        assert draws.var().item() == pytest.approx(variance, rel=0.06)
        assert name not in ("bernoulli", "negative-binomial") or torch.equal(draws, draws.round().clamp(min=0))


def test_draws_of_characters_have_their_probabilities():
    output = torch.log(torch.tensor([[[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]]])).expand(20_000, 2, 3)
    draws = Categorical().sample(output, seeded(0))
    assert draws.dtype == torch.int64
    shares = torch.stack([(draws == level).double().mean(0) for level in range(3)], dim=1)
    torch.testing.assert_close(shares, Categorical().mean(output)[0].double(), atol=0.02, rtol=0)
    assert (shares[1, 0] == 0).all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_come_from_the_generator_alone(name):
    output, likelihood = output_of(name).float().requires_grad_(), likelihood_of(name)
    before = torch.get_rng_state()
    first, again, other = (likelihood.sample(output, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert not first.requires_grad
    assert first.dtype == (torch.int64 if name == "categorical" else torch.float32)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_half_precision_outputs_have_full_precision_densities(name):
    output = output_of(name, torch.bfloat16)
    x = items_of(name, output.float())
    likelihood = likelihood_of(name)
    with torch.autocast("cpu", torch.bfloat16):
        found, mean = likelihood.log_prob(output, x), likelihood.mean(output)
    assert found.dtype == mean.dtype == torch.float32
    assert torch.equal(found, likelihood.log_prob(output.float(), x))


def test_likelihoods_have_names():
    assert likelihood_of("laplace") == Laplace(0.75) == Laplace()
    output, x = output_of("laplace"), items_of("laplace", output_of("laplace"))
    torch.testing.assert_close(Laplace(0.1).log_prob(output, x), oracles.Laplace(output, 0.1).log_prob(x).sum(1))
    assert likelihood_of(Laplace(0.1)) == Laplace(0.1)
    with pytest.raises(ValueError, match=r"unknown likelihood 'gaussian': choose one of laplace, normal, bernoulli"):
        likelihood_of("gaussian")
    with pytest.raises(ValueError, match=r"scale of a Laplace likelihood must be positive, not 0\.0"):
        Laplace(0.0)


@pytest.mark.parametrize("likelihood", [Laplace(0.1), *(kind() for kind in LIKELIHOODS.values())])
def test_json_brings_a_likelihood_back(likelihood):
    assert likelihoods.from_json(likelihoods.to_json(likelihood)) == likelihood
    assert likelihoods.to_json(Laplace(0.1)) == {"name": "laplace", "scale": 0.1}


def test_json_of_an_unknown_likelihood_is_refused():
    class Poisson(Normal):
        pass

    with pytest.raises(ValueError, match="the likelihood Poisson has no name"):
        likelihoods.to_json(Poisson())
