"""The choice of mmJSD's dynamic prior: arithmetic against torch.distributions, none against MMVAE, masks, errors."""

import pytest
import torch
import torch.distributions as td
from helpers import rows_of, seeded, tiny_batch, tiny_model

from workbench import objectives
from workbench.config import DYNAMIC_PRIORS, Config
from workbench.distributions import Gaussian

CONFIG = Config(beta=2.5, beta_style=1.7)


def divergence(model, batch, config=CONFIG, seed=5) -> torch.Tensor:
    return objectives.mmjsd(model, batch, config, seeded(seed)).terms["divergence"]


def normal(q: Gaussian) -> td.Distribution:
    return td.Independent(td.Normal(q.mean, torch.exp(q.logvar / 2)), 1)


def arithmetic_by_hand(model, batch, prior_weight, draws, seed) -> float:
    """sum_k pi_k E_{q_k}[ln q_k - ln sum_j pi_j q_j], item by item, with the noise that the objective draws."""
    q, generator = model.encode(batch), seeded(seed)
    count, items = batch.present.shape
    torch.empty(items, model.content_dim, dtype=torch.float64).normal_(generator=generator)  # of the content
    noise = torch.empty(draws, count + 1, items, model.content_dim, dtype=torch.float64).normal_(generator=generator)
    prior, total = Gaussian(*torch.zeros(2, model.content_dim, dtype=torch.float64)), 0.0
    share = 1 / (count + 1) if prior_weight is None else prior_weight
    for b in range(items):
        there = [m for m in range(count) if batch.present[m, b]]
        raw = torch.tensor([(1 - share) / count for _ in there] + [share], dtype=torch.float64)
        pi, experts = raw / raw.sum(), [q.content[m, b] for m in there] + [prior]
        mixture = td.MixtureSameFamily(td.Categorical(pi), normal(Gaussian.stack(experts)))
        for weight, expert, u in zip(pi, experts, noise[:, [*there, count], b].unbind(1), strict=True):
            z = expert.mean + torch.exp(expert.logvar / 2) * u
            total += (weight * (normal(expert).log_prob(z) - mixture.log_prob(z)).mean()).item()
    return total / items


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("prior_weight", [None, 0.4])
def test_the_arithmetic_dynamic_prior_by_hand(missing, prior_weight):
    model, batch = tiny_model(3, 2, 1), tiny_batch(3, items=11, missing=missing)
    batch = rows_of(batch, batch.present.any(0))
    config = CONFIG.replace(dynamic_prior="arithmetic", prior_weight=prior_weight)
    expected = arithmetic_by_hand(model, batch, prior_weight, objectives.ARITHMETIC_SAMPLES, seed=5)
    assert divergence(model, batch, config).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("style", [0, 2])
def test_without_a_dynamic_prior_it_is_mmvae(style):
    model, batch = tiny_model(3, 2, style), tiny_batch(3, items=9, missing=True)
    ours = objectives.mmjsd(model, batch, CONFIG.replace(dynamic_prior="none"), seeded(5))
    theirs = objectives.mmvae(model, batch, CONFIG, seeded(5))
    assert ours.terms.keys() == theirs.terms.keys()
    assert all(torch.equal(ours.terms[name], theirs.terms[name]) for name in ours.terms)


def test_the_three_differ_and_only_in_the_divergence():
    model, batch = tiny_model(3, 2), tiny_batch(3)
    losses = {p: objectives.mmjsd(model, batch, CONFIG.replace(dynamic_prior=p), seeded(5)) for p in DYNAMIC_PRIORS}
    values = [loss.terms["divergence"].item() for loss in losses.values()]
    assert len({round(value, 6) for value in values}) == 3
    assert torch.equal(losses["geometric"].terms["nll_a"], losses["none"].terms["nll_a"])


def test_refused_choices():
    with pytest.raises(ValueError, match="unknown dynamic_prior 'harmonic': choose one of"):
        Config(dynamic_prior="harmonic")
    with pytest.raises(ValueError, match="dynamic_prior 'arithmetic' is a choice of mmjsd: mvae has no dynamic prior"):
        Config(objective="mvae", dynamic_prior="arithmetic")
