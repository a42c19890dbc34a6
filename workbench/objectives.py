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
from workbench.divergences import jensen_shannon_arithmetic, jensen_shannon_geometric, weighted_kl
from workbench.fusion import (
    dynamic_prior_weights,
    mixture_of_experts,
    mixture_weights,
    product_of_experts,
    with_prior,
)
from workbench.model import MultimodalVAE, Posteriors

ARITHMETIC_SAMPLES = 4  # draws of every posterior for the arithmetic divergence; each costs no pass of a network


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
    "mmjsd": Method(mmjsd, "mmJSD", "mixture", "JS(q_1 .. q_M, p)", "one draw into all", ("dynamic_prior", "mixture")),
}


def method(name: str) -> Method:
    """The method of that name; raises ValueError with the choices on an unknown one."""
    if name not in METHODS:
        raise ValueError(f"unknown objective {name!r}: choose one of {', '.join(METHODS)}")
    return METHODS[name]
