"""IWAE and DReG: the bound in an exact model, the gradients by hand, memory by chunks, Laplace posteriors."""

import math

import pytest
import torch
import torch.distributions as td
from helpers import seeded, tiny_batch, tiny_model
from hypothesis import given
from hypothesis import strategies as st

from workbench import importance
from workbench.config import Config
from workbench.distributions import Gaussian, Laplace
from workbench.importance import decode_all, draw_codes, mmvae_dreg, mmvae_iwae, weigh
from workbench.losses import reconstruction
from workbench.model import MultimodalVAE

CONFIG = Config(beta=2.5, beta_style=1.7, importance_samples=5)
PLAIN = Config(objective="mmvae_iwae", beta=1.0, beta_style=1.0)


def unweighted(model: MultimodalVAE) -> MultimodalVAE:
    """The model with all weights one, whose bound is one on ln p(X)."""
    for modality in model.modalities:
        object.__setattr__(modality, "weight", 1.0)
        object.__setattr__(modality, "style_weight", 1.0)
    return model


def limits(model: MultimodalVAE, batch, reach: float = 9.0, points: int = 400) -> tuple[float, float]:
    """Means over the items, by the trapezoid rule over a content of one dimension, of two quantities.

    ln p(X), and (1 / M) sum_m ln of the integral of q_m p / q, what the bound tends to with many draws.
    """
    grid = torch.linspace(-reach, reach, points, dtype=torch.float64)
    q, log_joint, log_shares = model.encode(batch), [], []
    for z in grid:
        content = z.expand(batch.size, 1)
        nll = reconstruction(model, batch, content, content.new_empty(len(model.modalities), batch.size, 0)).sum(0)
        log_joint.append(td.Normal(0.0, 1.0).log_prob(z) - nll)
        log_q = q.content.log_prob(content)
        log_shares.append(log_q - torch.logsumexp(log_q, 0) + math.log(len(log_q)))
    log_joint = torch.stack(log_joint) + math.log(2 * reach / (points - 1))
    apart = torch.logsumexp(log_joint.unsqueeze(1) + torch.stack(log_shares), 0)
    return torch.logsumexp(log_joint, 0).mean().item(), apart.mean().item()


@pytest.mark.parametrize("modalities", [1, 3])
def test_the_bound_rises_with_k_towards_its_limit(modalities):
    """Burda et al.: E[L_1] <= E[L_K] <= ln p(X). With one modality the limit is ln p(X); with several it is below."""
    model, batch = unweighted(tiny_model(modalities, 1)), tiny_batch(modalities, items=5)
    bounds = []
    with torch.no_grad():
        evidence, limit = limits(model, batch)
        for k, rounds in ((1, 200), (8, 40), (3000, 2)):
            config = PLAIN.replace(importance_samples=k)
            found = [-mmvae_iwae(model, batch, config, seeded(seed)).total.item() for seed in range(rounds)]
            bounds.append(sum(found) / rounds)
    assert bounds[0] < bounds[1] < bounds[2] == pytest.approx(limit, abs=0.05)
    assert limit == pytest.approx(evidence, abs=1e-6) if modalities == 1 else limit < evidence - 1


def test_both_have_the_same_value_and_the_same_gradient_for_decoders():
    model, batch = tiny_model(3, 2, 1), tiny_batch(3, items=6, missing=True)
    losses = [objective(model, batch, CONFIG, seeded()) for objective in (mmvae_iwae, mmvae_dreg)]
    assert losses[0].terms.keys() == losses[1].terms.keys()
    for name, value in losses[0].terms.items():
        torch.testing.assert_close(losses[1].terms[name], value)
    decoders = list(model.decoders.parameters())
    one, other = (torch.autograd.grad(loss.total, decoders) for loss in losses)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("style", [0, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_dreg_is_the_squared_weights_by_hand(style, missing):
    """Tucker et al., equation 8: sum_k share_k^2 (d ln w_k / d z_k) (d z_k / d phi), densities held fixed."""
    model, batch = tiny_model(3, 2, style), tiny_batch(3, items=6, missing=missing)
    encoders = [*model.encoders.parameters(), *model.heads.parameters()]
    found = torch.autograd.grad(mmvae_dreg(model, batch, CONFIG, seeded()).total, encoders)

    q = model.encode(batch)
    codes = draw_codes(model, q, CONFIG.importance_samples, seeded())
    free = [z.detach().requires_grad_() for z in codes]
    fixed = type(q)(q.content.detach(), q.style.detach(), q.present)
    log_weights, _ = weigh(model, batch, CONFIG, fixed, *free)
    in_z = torch.autograd.grad(log_weights.sum(), free, allow_unused=True)
    share = torch.softmax(log_weights.detach(), 0) ** 2 * q.present / q.present.sum(0).clamp(min=1) / batch.size
    surrogate = (share.unsqueeze(-1) * in_z[0] * codes[0]).sum()
    if style:
        surrogate = surrogate + (share[:, :, None, :, None] * in_z[1] * codes[1]).sum()
    for mine, expected in zip(found, torch.autograd.grad(-surrogate, encoders), strict=True):
        torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize(("modalities", "unbiased", "count"), [(1, True, 60), (2, False, 200)])
def test_dreg_is_less_noisy_and_for_one_modality_unbiased(modalities, unbiased, count):
    """Mean gradients over many draws: Tucker et al.'s identity needs the density that the draws come from.

    With several experts the density is their mixture, the draws are one expert's: the published estimator is biased.
    """
    model, batch = unweighted(tiny_model(modalities, 1)), tiny_batch(modalities, items=3)
    config, encoders = PLAIN.replace(importance_samples=20), list(model.heads.parameters())
    means, variances = [], []
    for objective in (mmvae_iwae, mmvae_dreg):
        draws = []
        for seed in range(count):
            gradients = torch.autograd.grad(objective(model, batch, config, seeded(seed)).total, encoders)
            draws.append(torch.cat([g.flatten() for g in gradients]))
        draws = torch.stack(draws)
        means.append(draws.mean(0))
        variances.append(draws.var(0))
    error = ((variances[0] + variances[1]) / count).sqrt()
    assert ((means[0] - means[1]).abs() < 5 * error + 1e-9).all() == unbiased
    assert variances[1].sum() < variances[0].sum()


@pytest.mark.parametrize("objective", [mmvae_iwae, mmvae_dreg])
def test_chunks_change_neither_value_nor_gradient(objective, monkeypatch):
    model, batch = tiny_model(3, 2, 1), tiny_batch(3, items=5, missing=True)
    whole = objective(model, batch, CONFIG, seeded())
    expected = torch.autograd.grad(whole.total, list(model.parameters()))
    monkeypatch.setattr(importance, "CHUNK", 1)
    parts = objective(model, batch, CONFIG, seeded())
    torch.testing.assert_close(parts.total, whole.total)
    torch.testing.assert_close(torch.autograd.grad(parts.total, list(model.parameters())), expected)


def decoded(monkeypatch) -> list[tuple[bool, int]]:
    """Fills up with the passes of the decoders: whether a gradient was asked for, and of how many draws."""
    passes = []

    def counting(model, batch, *codes):
        passes.append((torch.is_grad_enabled(), batch.size))
        return reconstruction(model, batch, *codes)

    monkeypatch.setattr(importance, "reconstruction", counting)
    return passes


@pytest.mark.parametrize("objective", [mmvae_iwae, mmvae_dreg])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("sharpness", [1e-3, 1.0, 100.0])
def test_draws_without_weight_are_left_out_of_the_gradient_alone(objective, half, sharpness, monkeypatch):
    """Value and gradient are those of all draws to rounding, in half precision as well; the sharper, the fewer."""
    model, batch = tiny_model(3, 2, 1).float(), tiny_batch(3, items=6, missing=True)
    batch = batch._replace(values=tuple(x.float() if x.is_floating_point() else x for x in batch.values))
    for modality in model.modalities:
        object.__setattr__(modality, "weight", sharpness)
    config = CONFIG.replace(importance_samples=40, beta=0.01)
    passes, weights = decoded(monkeypatch), list(model.parameters())
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        chosen = objective(model, batch, config, seeded())
        monkeypatch.setattr(importance, "_may_choose", lambda model: False)
        everything = objective(model, batch, config, seeded())
    torch.testing.assert_close(chosen.total, everything.total)
    found, expected = (torch.autograd.grad(loss.total, weights) for loss in (chosen, everything))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= (1e-2 if half else 1e-5) * other.norm()
    (_, draws), (graded, kept), (_, all_of_them) = passes
    assert graded and draws == all_of_them == 40 * 3 * 6
    assert (kept > 0.4 * draws) if sharpness < 1 else (kept < 0.15 * draws if sharpness > 1 else True)


@pytest.mark.parametrize("layer", [torch.nn.BatchNorm1d(1), torch.nn.Dropout1d(), None])
def test_draws_are_not_chosen_where_decoders_mix_them_or_draw(layer, monkeypatch):
    model, batch = tiny_model(2), tiny_batch(2, items=4)
    if layer:
        last = (torch.nn.Unflatten(-1, (1, -1)), layer, torch.nn.Flatten())
        model.decoders[1].layer = torch.nn.Sequential(model.decoders[1].layer, *last)
    passes = decoded(monkeypatch)
    mmvae_dreg(model.double(), batch, CONFIG, seeded())
    assert [graded for graded, _ in passes] == ([True] if layer else [False, True])
    passes.clear()
    with torch.no_grad():
        mmvae_dreg(model, batch, CONFIG, seeded())
    mmvae_dreg(model, batch, CONFIG.replace(importance_samples=1), seeded())
    assert [graded for graded, _ in passes] == [False, True], "nothing to choose: no gradient asked for; a single draw"


def test_a_batch_in_which_nothing_is_there_has_no_gradient():
    model, batch = tiny_model(2), tiny_batch(2, items=4)
    batch = batch._replace(present=torch.zeros_like(batch.present))
    mmvae_dreg(model, batch, CONFIG, seeded()).total.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_what_decoders_compute_is_not_kept():
    """Between forward and backward pass no activation of a decoder is alive: memory does not grow with K."""
    model, batch = tiny_model(2), tiny_batch(2, items=4)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
        q = model.encode(batch)
        sizes.clear()
        decode_all(model, batch, *draw_codes(model, q, 1000), lambda nll: -nll.sum(0))
    codes = 1000 * 2 * 4 * (model.content_dim + 2 * model.style_dim)
    assert max(sizes) <= codes, "an image's worth of numbers for every draw would be twice that"


@given(st.integers(0, 2**31), st.floats(-4, 3))
def test_laplace_is_that_of_torch(seed, logvar):
    mean, z = torch.randn(2, 4, 3, generator=seeded(seed), dtype=torch.float64)
    mine = Laplace(mean, torch.full_like(mean, logvar))
    theirs = td.Independent(td.Laplace(mean, math.sqrt(math.exp(logvar) / 2)), 1)
    torch.testing.assert_close(mine.log_prob(z), theirs.log_prob(z))


def test_draws_of_laplace_have_its_moments():
    q = Laplace(torch.tensor([1.0, -2.0]).double(), torch.tensor([0.0, 1.5]).double())
    z = q.draws(200_000, seeded()) - q.mean
    torch.testing.assert_close(z.mean(0), torch.zeros(2).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), q.logvar.exp(), rtol=0.02, atol=0)
    kurtosis = (z**4).mean(0) / z.var(0) ** 2
    torch.testing.assert_close(kurtosis, torch.full((2,), 6.0).double(), rtol=0.1, atol=0)


@pytest.mark.parametrize("objective", [mmvae_iwae, mmvae_dreg])
def test_laplace_posteriors_train_and_generate(objective):
    """The family of the posteriors is that of the prior, of the draws and of the densities."""
    gaussian = tiny_model(3, 2, 1)
    model = MultimodalVAE(gaussian.modalities, 2, 1, Laplace).double()
    model.load_state_dict(gaussian.state_dict())
    batch = tiny_batch(3, items=6, missing=True)
    loss = objective(model, batch, CONFIG, seeded())
    loss.total.backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in model.parameters())
    assert not torch.isclose(loss.total, objective(gaussian, batch, CONFIG, seeded()).total)
    assert isinstance(model.infer(batch, ["A"]).select(), Laplace) and isinstance(model.prior(torch.ones(2)), Laplace)
    with pytest.raises(ValueError, match="the fusion 'product' needs Gaussian posteriors: choose 'mixture'"):
        model.infer(batch, fusion="product")
    model.generate(4, generator=seeded())
    assert isinstance(gaussian.prior(torch.ones(2)), Gaussian)
