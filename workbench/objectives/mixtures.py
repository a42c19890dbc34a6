"""Objectives that draw an item's content from a mixture, or from each modality's posterior by itself."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench import fusion
from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Mixture, kl
from workbench.divergences import (
    jensen_shannon_arithmetic,
    jensen_shannon_geometric,
    jensen_shannon_power,
    jensen_shannon_wasserstein,
    pairs_of,
    weighted_kl,
)
from workbench.fusion import (
    all_subsets,
    dynamic_prior_weights,
    mixture_of_experts,
    mixture_of_products,
    mixture_weights,
    with_prior,
)
from workbench.losses import Loss, make_loss, masked, reconstruction
from workbench.model import MultimodalVAE, Posteriors

SAMPLES = 4  # draws of every posterior for a divergence without a closed form; each costs no pass of a network


def mmjsd(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Multimodal Jensen-Shannon divergence (equations 5 and 10), by default with the geometric mean (Definition 3).

    The content of each item is drawn from one of its modalities' posteriors (a stratified draw from their mixture)
    and decoded into all of them.
    """
    q = model.encode(batch)
    content, own = draw(mixture_of_experts(q.content, q.present), config, generator)
    divergence = DIVERGENCES[config.dynamic_prior](q, config, generator)
    nll = reconstruction(model, batch, content, q.style.rsample(generator), own)
    return make_loss(model, config, q, nll, divergence)


def to_geometric_mean(q: Posteriors, config: Config, generator: torch.Generator | None = None) -> Tensor:
    """JS of the content posteriors and p(c) with their geometric mean, in closed form, per item."""
    weights = dynamic_prior_weights(q.present, config.prior_weight, q.content.mean.dtype)
    return jensen_shannon_geometric(with_prior(q.content), weights, validate=False)


def to_arithmetic_mean(q: Posteriors, config: Config, generator: torch.Generator | None = None) -> Tensor:
    """JS of the content posteriors and p(c) with their mixture, by SAMPLES draws of each, per item."""
    weights = dynamic_prior_weights(q.present, config.prior_weight, q.content.mean.dtype)
    experts = with_prior(q.content)
    return jensen_shannon_arithmetic(experts, weights, samples=SAMPLES, generator=generator, validate=False).value


def to_power_mean(q: Posteriors, config: Config, generator: torch.Generator | None = None) -> Tensor:
    """JS of the content posteriors and p(c) with their mean of order `power`, by SAMPLES draws of each, per item.

    Where its integral is estimated (`power` neither 1/2 nor 1), ln of it has a bias that vanishes with 1 / SAMPLES.
    """
    weights = dynamic_prior_weights(q.present, config.prior_weight, q.content.mean.dtype)
    options = {"samples": SAMPLES, "generator": generator, "validate": False}
    return jensen_shannon_power(with_prior(q.content), weights, config.power, **options).value


def to_wasserstein_mean(q: Posteriors, config: Config, generator: torch.Generator | None = None) -> Tensor:
    """sum_k pi_k KL(q_k || barycenter) of the content posteriors and p(c), in closed form, per item."""
    weights = dynamic_prior_weights(q.present, config.prior_weight, q.content.mean.dtype)
    return jensen_shannon_wasserstein(with_prior(q.content), weights, validate=False)


def to_the_prior(q: Posteriors, *_: object) -> Tensor:
    """(1 / M) sum_m KL(q_m || p(c)), equation 6: without a dynamic prior mmJSD is MMVAE."""
    weights = mixture_weights(q.present, q.content.mean.dtype)
    return weighted_kl(q.content, weights, Gaussian.standard_like(q.content[0]))


DIVERGENCES = {
    "geometric": to_geometric_mean,
    "power": to_power_mean,
    "arithmetic": to_arithmetic_mean,
    "wasserstein": to_wasserstein_mean,
    "none": to_the_prior,
}


def mmvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Mixture of experts without importance samples (Shi et al. 2019; equation 6): (1 / M) sum_m KL(q_m || p)."""
    q = model.encode(batch)
    return _of_a_mixture(model, batch, config, q, mixture_of_experts(q.content, q.present), None, generator)


def mopoe(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Mixture of the products of all subsets (MoPoE, Sutter et al. 2021): mean over them of KL(product || p)."""
    q = model.encode(batch)
    members = all_subsets(len(q.present), q.present.device)
    return _of_a_mixture(model, batch, config, q, mixture_of_products(q.content, q.present), members, generator)


def mixture_of_wasserstein(
    model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None
) -> Loss:
    """Mixture of the barycenters of all subsets (MWB, after Qiu et al. 2025): mean over them of KL(barycenter || p).

    The paper's abstract was read, not its text: the regulariser is MoPoE's with the other inner fusion.
    """
    q = model.encode(batch)
    members = all_subsets(len(q.present), q.present.device)
    return _of_a_mixture(
        model, batch, config, q, fusion.mixture_of_wasserstein(q.content, q.present), members, generator
    )


def holder(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Hölder pooling of order 1/2 (after Vo and Valera 2026): sum_k p_k KL(component_k || p), one draw into all.

    Components are the experts and the geometric means of all pairs (`fusion.holder`). Their weights p_k learn from the
    divergence alone: none of their gradient passes through the draw. The paper could not be read, the formula is ours;
    a note on it tells of all components decoded and weighted by p_k, which has the same mean and this gradient, too.
    """
    q = model.encode(batch)
    i, j = pairs_of(len(q.present), q.present.device)
    each = torch.arange(len(q.present), device=i.device)
    members = (each == i.unsqueeze(1)) | (each == j.unsqueeze(1))
    return _of_a_mixture(model, batch, config, q, fusion.holder(q.content, q.present), members, generator)


def mmvm(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Mixture of posteriors as a prior (MMVM, Sutter et al. 2024): each modality from its own code, softly shared.

    No posterior is joint. With a = `prior_share` each q_m is pulled to a p + (1 - a) (1 / M) sum_n q_n (`mixed_prior`
    mixture: the paper's divergence, by SAMPLES draws of each), or, an upper bound on it by the convexity of KL, by
    a KL(q_m || p) + (1 - a) (1 / M) sum_n KL(q_m || q_n) (pairs: that of the authors' code, which made the paper's
    numbers). An item that has one modality has no regulariser where a = 0, and then p(c) is nothing to generate from.
    """
    q = model.encode(batch)
    nll = reconstruction(model, batch, q.content.rsample(generator), q.style.rsample(generator))
    return make_loss(model, config, q, nll, masked(MIXED[config.mixed_prior](q, config, generator), q.present).sum(0))


def pull_of_pairs(q: Posteriors, config: Config, generator: torch.Generator | None) -> Float[Tensor, "M batch"]:
    """a KL(q_m || p) + (1 - a) (1 / M) sum_n KL(q_m || q_n) of every modality, in closed form."""
    weights, share = mixture_weights(q.present, q.content.mean.dtype), config.prior_share
    pairs = (weights * kl(q.content.unsqueeze(1), q.content)).sum(1)
    return share * kl(q.content, Gaussian.standard_like(q.content)) + (1 - share) * pairs


def pull_of_mixture(q: Posteriors, config: Config, generator: torch.Generator | None) -> Float[Tensor, "M batch"]:
    """KL(q_m || a p + (1 - a) (1 / M) sum_n q_n) of every modality, by SAMPLES draws."""
    # an item with nothing counts nothing in the end; until then let its density be that of a mixture of all
    weights = mixture_weights(q.present | ~q.present.any(0), q.content.mean.dtype)
    prior = torch.full_like(weights[:1], config.prior_share)
    mixture = Mixture(with_prior(q.content), torch.cat([(1 - config.prior_share) * weights, prior]))
    z = q.content.draws(SAMPLES, generator)
    return (q.content.log_prob(z) - mixture.log_prob(z)).mean(0)


MIXED = {"pairs": pull_of_pairs, "mixture": pull_of_mixture}


def draw(
    mixture: Mixture,
    config: Config,
    generator: torch.Generator | None,
    members: Bool[Tensor, "K M"] | None = None,
) -> tuple[Float[Tensor, "batch content"], Bool[Tensor, "M batch"] | None]:
    """A draw for each item, and where its gradient is to be stopped: in modalities that the draw's component knows.

    With `self_content` stopped, content learns from predicting the other modalities alone (Märtens and Yau 2024).
    `members` of the components are None where each is one expert.
    """
    content, chosen = mixture.rsample_from(generator)
    if config.self_content != "stopped":
        return content, None
    experts = torch.eye(len(mixture.weights), dtype=torch.bool, device=chosen.device)
    return content, (experts if members is None else members)[chosen].T


def _of_a_mixture(
    model: MultimodalVAE,
    batch: Batch,
    config: Config,
    q: Posteriors,
    mixture: Mixture,
    members: Bool[Tensor, "K M"] | None,
    generator: torch.Generator | None,
) -> Loss:
    """One draw of a mixture into all; the divergence is the components' mean KL(component || p)."""
    divergence = weighted_kl(mixture.components, mixture.weights, Gaussian.standard_like(q.content[0]))
    content, own = draw(mixture, config, generator, members)
    nll = reconstruction(model, batch, content, q.style.rsample(generator), own)
    return make_loss(model, config, q, nll, divergence)
