"""The training objectives: one short function each, and one table that says what makes a method.

An objective maps (model, batch, config, generator) to a `Loss` to be minimised: the negative of the method's ELBO with
weighted terms,

    sum_m w_m E[-ln p(x_m | s_m, c)] + beta (divergence of the content + beta_style sum_m beta_m KL(s_m || p)),

summed over dimensions, averaged over the items of the batch, in nats. Modalities that an item lacks add nothing to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, kl
from workbench.divergences import jensen_shannon_geometric, weighted_kl
from workbench.fusion import (
    dynamic_prior_weights,
    mixture_of_experts,
    mixture_weights,
    product_of_experts,
    with_prior,
)
from workbench.model import MultimodalVAE, Posteriors


@dataclass(frozen=True)
class Loss:
    """What to minimise and what it is made of; all scalars, terms detached, unweighted and in nats per item."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


class Objective(Protocol):
    """A training objective."""

    def __call__(
        self, model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None
    ) -> Loss:
        """The loss of a batch; the generator draws the noise."""


def mmjsd(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Multimodal Jensen-Shannon divergence with the geometric dynamic prior (equations 5 and 10, Definition 3).

    The content of each item is drawn from one of its modalities' posteriors (a stratified draw from their mixture)
    and decoded into all of them.
    """
    q = model.encode(batch)
    content = mixture_of_experts(q.content, q.present).rsample(generator)
    weights = dynamic_prior_weights(q.present, config.prior_weight, content.dtype)
    divergence = jensen_shannon_geometric(with_prior(q.content), weights)
    nll = reconstruction(model, batch, content, q.style.rsample(generator))
    return make_loss(model, config, q, nll, divergence)


def mmvae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """Mixture of experts without importance samples (Shi et al. 2019; equation 6): (1 / M) sum_m KL(q_m || p)."""
    q = model.encode(batch)
    content = mixture_of_experts(q.content, q.present).rsample(generator)
    prior = Gaussian.standard_like(q.content[0])
    divergence = weighted_kl(q.content, mixture_weights(q.present, content.dtype), prior)
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
        unimodal_nll.append(_negative_log_likelihood(model, batch, m, output))
        unimodal_kl.append(kl(alone, prior))
    divergence = divergence + masked(torch.stack(unimodal_kl), q.present).sum(0)
    return make_loss(model, config, q, nll + torch.stack(unimodal_nll), divergence, elbos=2)


def reconstruction(
    model: MultimodalVAE,
    batch: Batch,
    content: Float[Tensor, "batch content"],
    style: Float[Tensor, "M batch style"],
) -> Float[Tensor, "M batch"]:
    """-ln p(x_m | s_m, c) of every present modality, unweighted; zero where absent."""
    outputs = model.decode(content, style)
    return torch.stack([_negative_log_likelihood(model, batch, m, output) for m, output in enumerate(outputs)])


def masked(values: Float[Tensor, "M batch"], present: Bool[Tensor, "M batch"]) -> Float[Tensor, "M batch"]:
    """The values where there is a modality, zero elsewhere."""
    return torch.where(present, values, torch.zeros_like(values))


def _negative_log_likelihood(model: MultimodalVAE, batch: Batch, m: int, output: Tensor) -> Float[Tensor, "batch"]:
    x, there = batch.values[m], batch.present[m]
    # what is absent may hold anything, even NaN or no character: it must reach neither the value nor the gradient
    x = torch.where(there.view(-1, *[1] * (x.dim() - 1)), x, torch.zeros_like(x))
    nll = -model.modalities[m].likelihood.log_prob(output, x)
    return torch.where(there, nll, torch.zeros_like(nll))


def make_loss(
    model: MultimodalVAE,
    config: Config,
    q: Posteriors,
    nll: Float[Tensor, "M batch"],
    divergence: Float[Tensor, "batch"],
    elbos: int = 1,
) -> Loss:
    """Weighted sum of the terms; `elbos` is how many of the method's ELBOs each style takes part in."""
    style = elbos * masked(kl(q.style, Gaussian.standard_like(q.style)), q.present).mean(1)
    nll = nll.mean(1)
    content = divergence.mean()
    total = config.beta * content
    terms = {}
    for m, modality in enumerate(model.modalities):
        total = total + modality.weight * nll[m] + config.beta * config.beta_style * modality.style_weight * style[m]
        terms[f"nll_{modality.name}"] = nll[m].detach()
    terms["divergence"] = content.detach()
    if model.style_dim:
        terms |= {f"kl_style_{modality.name}": style[m].detach() for m, modality in enumerate(model.modalities)}
    return Loss(total, {"total": total.detach()} | terms)


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
    "mmjsd": Method(
        mmjsd, "mmJSD", "mixture", "JS(q_1 .. q_M, p), geometric", "one draw into all", ("dynamic_prior", "mixture")
    ),
}


def method(name: str) -> Method:
    """The method of that name; raises ValueError with the choices on an unknown one."""
    if name not in METHODS:
        raise ValueError(f"unknown objective {name!r}: choose one of {', '.join(METHODS)}")
    return METHODS[name]
