"""The training objectives: one short function each, and one table that says what makes a method.

An objective maps (model, batch, config, generator) to a `Loss` to be minimised: the negative of the method's ELBO with
the weighted terms of `workbench.losses`, or its importance-weighted kin in `workbench.importance`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, kl
from workbench.divergences import jensen_shannon_arithmetic, jensen_shannon_geometric, weighted_kl
from workbench.fusion import (
    check_count,
    dynamic_prior_weights,
    mixture_of_experts,
    mixture_of_products,
    mixture_weights,
    product_alone,
    product_of_experts,
    with_prior,
)
from workbench.importance import mmvae_dreg, mmvae_iwae
from workbench.losses import Loss, make_loss, masked, negative_log_likelihood, reconstruction
from workbench.model import MultimodalVAE, Posteriors

ARITHMETIC_SAMPLES = 4  # draws of every posterior for the arithmetic divergence; each costs no pass of a network


class Objective(Protocol):
    """A training objective."""

    def __call__(
        self, model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None
    ) -> Loss:
        """The loss of a batch; the generator draws the noise."""


def mmjsd(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Multimodal Jensen-Shannon divergence (equations 5 and 10), by default with the geometric mean (Definition 3).

    The content of each item is drawn from one of its modalities' posteriors (a stratified draw from their mixture)
    and decoded into all of them.
    """
    q = model.encode(batch)
    content = mixture_of_experts(q.content, q.present).rsample(generator)
    divergence = DIVERGENCES[config.dynamic_prior](q, config, generator)
    nll = reconstruction(model, batch, content, q.style.rsample(generator))
    return make_loss(model, config, q, nll, divergence)


def to_geometric_mean(q: Posteriors, config: Config, generator: torch.Generator | None = None) -> Tensor:
    """JS of the content posteriors and p(c) with their geometric mean, in closed form, per item."""
    weights = dynamic_prior_weights(q.present, config.prior_weight, q.content.mean.dtype)
    return jensen_shannon_geometric(with_prior(q.content), weights, validate=False)


def to_arithmetic_mean(q: Posteriors, config: Config, generator: torch.Generator | None = None) -> Tensor:
    """JS of the content posteriors and p(c) with their mixture, by ARITHMETIC_SAMPLES draws of each, per item."""
    weights = dynamic_prior_weights(q.present, config.prior_weight, q.content.mean.dtype)
    experts, draws = with_prior(q.content), ARITHMETIC_SAMPLES
    return jensen_shannon_arithmetic(experts, weights, samples=draws, generator=generator, validate=False).value


def to_the_prior(q: Posteriors, *_: object) -> Tensor:
    """(1 / M) sum_m KL(q_m || p(c)), equation 6: without a dynamic prior mmJSD is MMVAE."""
    weights = mixture_weights(q.present, q.content.mean.dtype)
    return weighted_kl(q.content, weights, Gaussian.standard_like(q.content[0]))


DIVERGENCES = {"geometric": to_geometric_mean, "arithmetic": to_arithmetic_mean, "none": to_the_prior}


def mmvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Mixture of experts without importance samples (Shi et al. 2019; equation 6): (1 / M) sum_m KL(q_m || p)."""
    q = model.encode(batch)
    content = mixture_of_experts(q.content, q.present).rsample(generator)
    divergence = to_the_prior(q)
    nll = reconstruction(model, batch, content, q.style.rsample(generator))
    return make_loss(model, config, q, nll, divergence)


def mvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Product of experts with the prior expert (Wu and Goodman 2018): the joint ELBO plus the M unimodal ELBOs.

    A unimodal ELBO infers the content from one modality (times the prior expert) and reconstructs that one alone.
    """
    q = model.encode(batch)
    prior = Gaussian.standard_like(q.content[0])
    joint = product_of_experts(q.content, q.present)
    nll = reconstruction(model, batch, joint.rsample(generator), q.style.rsample(generator))
    divergence = kl(joint, prior)
    unimodal_nll, unimodal_kl = [], []
    for m in range(len(model.modalities)):
        alone = product_of_experts(q.content[m : m + 1], q.present[m : m + 1])
        output = model.decode_one(m, alone.rsample(generator), q.style[m].rsample(generator))
        unimodal_nll.append(negative_log_likelihood(model, batch, m, output))
        unimodal_kl.append(kl(alone, prior))
    divergence = divergence + masked(torch.stack(unimodal_kl), q.present).sum(0)
    return make_loss(model, config, q, nll + torch.stack(unimodal_nll), divergence, elbos=2)


def mopoe(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Mixture of the products of all subsets (MoPoE, Sutter et al. 2021): mean over them of KL(product || p)."""
    q = model.encode(batch)
    mixture = mixture_of_products(q.content, q.present)
    divergence = weighted_kl(mixture.components, mixture.weights, Gaussian.standard_like(q.content[0]))
    nll = reconstruction(model, batch, mixture.rsample(generator), q.style.rsample(generator))
    return make_loss(model, config, q, nll, divergence)


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


@dataclass(frozen=True)
class Method:
    """One row of the table of methods: what is fused how, what regularises the content, what is reconstructed."""

    objective: Callable[..., Loss]
    label: str  # as in the paper's tables
    posterior: str  # joint posterior in training, one of FUSIONS
    regulariser: str
    paths: str  # reconstruction paths through the decoders
    inference: tuple[str, ...]  # posteriors of subsets in evaluation, the paper's first


METHODS: dict[str, Method] = {
    "mvae": Method(
        mvae, "MVAE", "product", "KL(product || p) + sum_m KL(q_m || p)", "joint, and each from itself", ("product",)
    ),
    "mmvae": Method(mmvae, "MMVAE", "mixture", "(1/M) sum_m KL(q_m || p)", "one draw into all", ("mixture",)),
    "mmjsd": Method(mmjsd, "mmJSD", "mixture", "JS(q_1 .. q_M, p)", "one draw into all", ("dynamic_prior", "mixture")),
    "mmvae_iwae": Method(
        mmvae_iwae,
        "MMVAE (IWAE)",
        "mixture",
        "inside ln mean_k p(X, z_k) / q(z_k)",
        "K draws of each into all",
        ("mixture",),
    ),
    "mmvae_dreg": Method(
        mmvae_dreg,
        "MMVAE (DReG)",
        "mixture",
        "inside ln mean_k p(X, z_k) / q(z_k)",
        "K draws of each into all",
        ("mixture",),
    ),
    "mopoe": Method(
        mopoe,
        "MoPoE",
        "mixture_of_products",
        "mean of KL(q_subset || p)",
        "one draw into all",
        ("product_alone", "mixture_of_products"),
    ),
    "mvtcae": Method(
        mvtcae,
        "MVTCAE",
        "product_alone",
        "(a/M) sum_m KL(product || q_m) + (1 - a) KL(product || p)",
        "one draw into all",
        ("product_alone",),
    ),
}


def method(name: str, modalities: int = 1) -> Method:
    """The method of that name; ValueError on an unknown one, or on more modalities than it can take."""
    if name not in METHODS:
        raise ValueError(f"unknown objective {name!r}: choose one of {', '.join(METHODS)}")
    check_count(METHODS[name].posterior, modalities)
    return METHODS[name]
