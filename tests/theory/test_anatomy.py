"""Passes against the definitions of the methods, gradients against autograd and finite differences done by hand."""

import math
import time

import pytest
import torch
from helpers import seeded, tiny_batch, tiny_model, without_noise

from workbench.config import Config
from workbench.distributions import Gaussian, kl
from workbench.divergences import jensen_shannon_geometric
from workbench.fusion import dynamic_prior_weights, product_of_experts, with_prior
from workbench.losses import reconstruction
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS, mmjsd, mmvae, mvae
from workbench.theory import anatomy

CONFIG = Config(beta=2.5, beta_style=1.7)


def hooks_of(model: MultimodalVAE) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


# ------------------------------------------------------------------------------------------------------------- passes


DECODINGS = ((mmjsd, 1), (mmvae, 1), (mvae, 2), (anatomy.joint_elbo, 1))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(("objective", "decodings"), DECODINGS, ids=lambda x: getattr(x, "__name__", None))
def test_passes_are_those_of_the_definitions(objective, decodings, count):
    found = anatomy.passes(tiny_model(count), objective, tiny_batch(count), CONFIG)
    assert found == ((1.0,) * count, (float(decodings),) * count)


def test_a_tall_tensor_of_draws_is_charged_draw_by_draw():
    def five_draws(model, batch, config, generator):
        content = model.encode(batch).content.mean[0].repeat(5, 1)
        model.decode_one(1, content, content[:, :0])

    found = anatomy.passes(tiny_model(3), five_draws, tiny_batch(3), CONFIG)
    assert found == ((1.0, 1.0, 1.0), (0.0, 5.0, 0.0))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_counting_leaves_no_hook_and_no_gradient(name):
    model = tiny_model(3, objective=name)
    anatomy.passes(model, METHODS[name].objective, tiny_batch(3), CONFIG)
    anatomy.mean_gradients(model, METHODS[name].objective, tiny_batch(3), CONFIG, seeded())
    assert hooks_of(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("measure", [anatomy.passes, anatomy.mean_gradients, anatomy.teaching])
def test_hooks_go_when_the_objective_fails(measure):
    def fails(model, batch, config, generator=None):
        model.encode(batch)
        assert hooks_of(model) > 0  # or there is nothing to remove
        raise KeyError("lost")

    model = tiny_model(3)
    with pytest.raises(KeyError, match="lost"):
        measure(model, fails, tiny_batch(3), CONFIG)
    assert hooks_of(model) == 0


# ---------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    "name", [name for name in sorted(METHODS) if "dreg" not in name]
)  # whose gradient is not that of its value
def test_mean_gradients_by_finite_differences(name):
    # moving the bias of a head moves the means of all items: the sum over the items of their gradients
    model, batch, step = tiny_model(3, style_dim=1, objective=name), tiny_batch(3), 1e-6
    objective = METHODS[name].objective
    found = anatomy.mean_gradients(model, objective, batch, CONFIG, seeded())
    assert found.shape == (3, batch.size, model.content_dim)
    for m in range(3):
        for d in range(model.content_dim):
            totals = []
            for sign in (1, -1):
                with torch.no_grad():
                    model.heads[m].layers[0].bias[d] += sign * step
                    totals.append(objective(model, batch, CONFIG, seeded()).total)
                    model.heads[m].layers[0].bias[d] -= sign * step
            slope = (totals[0] - totals[1]) / (2 * step)
            torch.testing.assert_close(found[m, :, d].sum(), slope, rtol=1e-4, atol=1e-5)


def test_product_hands_every_expert_its_share_of_the_precision():
    model, batch = tiny_model(3), tiny_batch(3)
    found = anatomy.mean_gradients(model, anatomy.joint_elbo, batch, CONFIG, seeded())
    precision = torch.exp(-model.encode(batch).content.logvar)
    share = precision / (1 + precision.sum(0))
    # undone by its share, every expert's gradient is one and the same: that of the joint mean
    torch.testing.assert_close(found[0] / share[0], found[1] / share[1])
    torch.testing.assert_close(found[0] / share[0], found[2] / share[2])


# ---------------------------------------------------------------------------------------------------------- teaching


@pytest.mark.parametrize("objective", [mmjsd, mvae])
def test_teaching_is_the_gradient_of_one_reconstruction(objective):
    model, batch = without_noise(tiny_model(3)), tiny_batch(3)
    weights = [modality.weight for modality in model.modalities]
    found = anatomy.teaching(model, objective, batch, CONFIG)
    assert [modality.weight for modality in model.modalities] == weights, "they are as they were"
    for n in range(3):
        q = model.encode(batch)
        if objective is mvae:
            alone = product_of_experts(q.content[n : n + 1], q.present[n : n + 1])
            codes = [product_of_experts(q.content, q.present).mean, alone.mean]
        else:
            choice = (2 * torch.arange(batch.size) + 1) * 3 // (2 * batch.size)
            codes = [q.content.mean[choice, torch.arange(batch.size)]]
        nll = sum(reconstruction(model, batch, code, q.style.mean)[n].mean() for code in codes)
        expected = torch.autograd.grad(model.modalities[n].weight * nll, q.content.mean)[0]
        torch.testing.assert_close(found[n], expected.flatten(1).norm(dim=1))


# --------------------------------------------------------------------------------------------------- parts and models


def test_mvae_is_the_joint_elbo_and_the_unimodal_ones():
    model, batch = without_noise(tiny_model(3)), tiny_batch(3)  # no noise: whatever the order of the draws
    total = anatomy.joint_elbo(model, batch, CONFIG, seeded()).total
    for m in range(3):
        only = (torch.arange(3) == m)[:, None].expand(3, batch.size)
        total = total + anatomy.joint_elbo(model, batch._replace(present=only), CONFIG, seeded()).total
    torch.testing.assert_close(total, mvae(model, batch, CONFIG, seeded()).total)


def test_sharpened_expert_is_a_copy_with_a_higher_precision():
    model, batch = tiny_model(3), tiny_batch(3)
    before, after = model.encode(batch).content, anatomy.sharpened(model, 1, math.log(7)).encode(batch).content
    ratio = torch.exp(before.logvar - after.logvar)
    torch.testing.assert_close(ratio, torch.tensor([1.0, 7.0, 1.0]).double()[:, None, None].expand_as(ratio))
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(model.encode(batch).content.logvar, before.logvar)


def test_replicated_modalities_have_networks_of_their_own():
    batch = tiny_batch(2)
    copies = anatomy.replicated(tiny_model(2).modalities[0], 4)
    assert [m.name for m in copies] == ["a 1", "a 2", "a 3", "a 4"] and len({m.letter for m in copies}) == 4
    model = MultimodalVAE(copies, 2).double()
    repeated = anatomy.replicated_batch(batch, 0, 4)
    assert repeated.present.shape == (4, batch.size) and all(x is batch.values[0] for x in repeated.values)
    means = model.encode(repeated).content.mean
    assert all(not torch.allclose(means[i], means[j]) for i in range(4) for j in range(i))
    weights = [parameter.data_ptr() for parameter in model.parameters()]
    assert len(set(weights)) == len(weights)
    batch = tiny_batch(3, missing=True)
    assert torch.equal(anatomy.replicated_batch(batch, 1, 2).present, batch.present[[1, 1]]), "what is absent stays so"


def test_step_time_is_the_best_round_after_the_first():
    waits, model, batch = iter([0.0, 0.2, 0.03, 0.2]), tiny_model(2), tiny_batch(2)

    def slow(*arguments):
        time.sleep(next(waits))
        return mmjsd(*arguments)

    before = [parameter.clone() for parameter in model.parameters()]
    assert 0.03 <= anatomy.step_time(model, slow, batch, CONFIG, rounds=3) < 0.2
    assert next(waits, None) is None
    assert all(torch.equal(p, old) and p.grad is None for p, old in zip(model.parameters(), before, strict=True))


def test_js_pulls_the_others_harder_as_one_expert_grows_sure():
    # what the notebook shows of mmJSD and MMVAE, without a network
    pulls = []
    for nats in (0.0, 3.0):
        mean = torch.tensor([[[0.5]], [[-1.0]]], requires_grad=True)
        experts, both = Gaussian(mean, torch.tensor([[[0.0]], [[-nats]]])), torch.ones(2, 1, dtype=torch.bool)
        to_mean = jensen_shannon_geometric(with_prior(experts), dynamic_prior_weights(both))
        to_prior = kl(experts, Gaussian.standard_like(experts)).mean()
        pulls.append([torch.autograd.grad(term.sum(), mean)[0][0].abs().item() for term in (to_mean, to_prior)])
    assert pulls[1][0] > 3 * pulls[0][0]
    assert pulls[1][1] == pytest.approx(pulls[0][1])
