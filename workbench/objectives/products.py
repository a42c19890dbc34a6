"""Objectives with one Gaussian for all modalities of an item: products of experts, and means of other kinds."""

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench import fusion
from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, kl
from workbench.fusion import Fusion, product_alone, product_of_experts
from workbench.losses import Loss, make_loss, masked, negative_log_likelihood, reconstruction
from workbench.model import MultimodalVAE


def mvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Product of experts with the prior expert (Wu and Goodman 2018): the joint ELBO plus the M unimodal ELBOs.

    A unimodal ELBO infers the content from one modality (times the prior expert) and reconstructs that one alone. The
    code of mmJSD's authors, which made the paper's numbers, has another loss on digits (`mvae_unimodal` authors): the
    unimodal reconstructions have weight one whatever the modality's (3.918 and 384 in the joint ELBO), and the unimodal
    divergence is that of the raw expert, KL(q_m || p), while the code is drawn from its product with the prior expert.
    """
    q = model.encode(batch)
    prior, raw = Gaussian.standard_like(q.content[0]), config.mvae_unimodal == "authors"
    joint = product_of_experts(q.content, q.present)
    nll = reconstruction(model, batch, joint.rsample(generator), q.style.rsample(generator))
    divergence = kl(joint, prior)
    unimodal_nll, unimodal_kl = [], []
    for m in range(len(model.modalities)):
        alone = product_of_experts(q.content[m : m + 1], q.present[m : m + 1])
        output = model.decode_one(m, alone.rsample(generator), q.style[m].rsample(generator))
        unimodal_nll.append(negative_log_likelihood(model, batch, m, output))
        unimodal_kl.append(kl(q.content[m] if raw else alone, prior))
    divergence, unimodal = divergence + masked(torch.stack(unimodal_kl), q.present).sum(0), torch.stack(unimodal_nll)
    if raw:
        return make_loss(model, config, q, nll, divergence, elbos=2.0, plain=unimodal)
    return make_loss(model, config, q, nll + unimodal, divergence, elbos=2.0)


def mvtcae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Total correlation of M modalities (MVTCAE, Hwang et al. 2021, equation 13), alpha = `mvtcae_alpha`.

    With q the product of the experts: (M - alpha) / M of the reconstruction, and of the divergence
    (alpha / M) sum_m KL(q || q_m) + (1 - alpha) KL(q || p). M counts the modalities that an item has.
    """
    q, alpha = model.encode(batch), config.mvtcae_alpha
    joint = product_alone(q.content, q.present)
    count = q.present.sum(0).clamp(min=1)
    to_experts = masked(kl(joint, q.content), q.present).sum(0) / count
    divergence = alpha * to_experts + (1 - alpha) * kl(joint, Gaussian.standard_like(joint))
    nll = reconstruction(model, batch, joint.rsample(generator), q.style.rsample(generator))
    return make_loss(model, config, q, nll, divergence, nll_weight=1 - alpha / count)


def crmvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Coordination-based (CRMVAE, ICLR 2023 submission Rn8u4MYgeNJ): MVTCAE and each modality from itself.

    With q the product of the experts, M of them: [KL(q || p) + sum_m KL(q || q_m)] / (M + 1), and each modality is
    reconstructed from q and from its own q_m, with 1 / (2 (M + 1)) of either.
    """
    q = model.encode(batch)
    joint, weight = product_alone(q.content, q.present), 1 / (q.present.sum(0) + 1)
    divergence = kl(joint, Gaussian.standard_like(joint)) + masked(kl(joint, q.content), q.present).sum(0)
    content, own, style = joint.rsample(generator), q.content.rsample(generator), q.style.rsample(generator)
    nll = reconstruction(model, batch, content, style) + reconstruction(model, batch, own, style)
    return make_loss(model, config, q, nll, weight * divergence, elbos=weight, nll_weight=weight / 2)


def dmvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Disentangled (DMVAE, Lee and Pavlovic 2021): ELBO(product with p) + sum_m ELBO(q_m), each reconstructing all."""
    q = model.encode(batch)
    prior, joint = Gaussian.standard_like(q.content[0]), product_of_experts(q.content, q.present)
    nll = reconstruction(model, batch, joint.rsample(generator), q.style.rsample(generator))
    for m, there in enumerate(q.present):
        crossed = reconstruction(model, batch, q.content[m].rsample(generator), q.style.rsample(generator))
        nll = nll + masked(crossed, there.expand_as(crossed))
    divergence = kl(joint, prior) + masked(kl(q.content, prior), q.present).sum(0)
    return make_loss(model, config, q, nll, divergence, elbos=1.0 + q.present.sum(0))


def hellinger(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Moments of the mean of order 1/2 (HELVAE, after Vo and Valera 2026): KL(N(mean, variances) || p).

    The paper's text could not be read: the formula is ours, that of its authors' released code is the same (moments of
    the joint mixture, over all dimensions together, without p(c) among the experts).
    """
    return _of_one_gaussian(model, batch, config, fusion.hellinger, generator)


def wasserstein(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Wasserstein barycenter of the experts (WB-VAE, after Qiu et al. 2025): KL(barycenter || p).

    The paper's abstract was read, not its text; the barycenter is exact, its weights are equal here.
    """
    return _of_one_gaussian(model, batch, config, fusion.wasserstein, generator)


def _of_one_gaussian(
    model: MultimodalVAE, batch: Batch, config: Config, fuse: Fusion, generator: torch.Generator | None
) -> Loss:
    """The joint ELBO with a fusion that gives a Gaussian: one draw into all."""
    q = model.encode(batch)
    joint = fuse(q.content, q.present)
    nll = reconstruction(model, batch, joint.rsample(generator), q.style.rsample(generator))
    return make_loss(model, config, q, nll, kl(joint, Gaussian.standard_like(joint)))


def masked_bound(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """The masked bound (Hirt et al. 2024) with products of experts and p: some, then the rest given all.

    With S a random subset of what an item has (`random_subset`): S is reconstructed from q_S and the rest from q_all,
    and the divergence is KL(q_S || p) + KL(q_all || q_S). It bounds ln p(X) without the gap of sub-sampled mixtures.
    """
    q = model.encode(batch)
    some = random_subset(q.present, generator)
    part, whole = product_of_experts(q.content, some), product_of_experts(q.content, q.present)
    content = torch.where(some.unsqueeze(-1), part.rsample(generator), whole.rsample(generator))  # [M, batch, content]
    nll = reconstruction(model, batch, content, q.style.rsample(generator))
    divergence = kl(part, Gaussian.standard_like(part)) + kl(whole, part)
    return make_loss(model, config, q, nll, divergence)


def random_subset(
    present: Bool[Tensor, "M batch"], generator: torch.Generator | None = None
) -> Bool[Tensor, "M batch"]:
    """A random non-empty subset of what each item has: its size is uniform, and so it is among those of its size."""
    order = torch.rand(present.shape, generator=generator, device=present.device)
    order = torch.where(present, order, torch.full_like(order, 2.0))  # what is absent comes last
    place = (order.unsqueeze(0) < order.unsqueeze(1)).sum(1)
    last = torch.rand(present.shape[1], generator=generator, device=present.device) * present.sum(0)
    return present & (place <= last)
