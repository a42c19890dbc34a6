"""What objectives are made of: reconstruction terms, their weights, and the loss they add up to.

    sum_m w_m E[-ln p(x_m | s_m, c)] + beta (divergence of the content + beta_style sum_m beta_m KL(s_m || p)),

summed over dimensions, averaged over the items of the batch, in nats. Modalities that an item lacks add nothing to it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, kl
from workbench.model import MultimodalVAE, Posteriors


@dataclass(frozen=True)
class Loss:
    """What to minimise and what it is made of; all scalars, terms detached, unweighted and in nats per item."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


def reconstruction(
    model: MultimodalVAE,
    batch: Batch,
    content: Float[Tensor, "*M batch content"],
    style: Float[Tensor, "M batch style"],
    stopped: Bool[Tensor, "M batch"] | None = None,
) -> Float[Tensor, "M batch"]:
    """-ln p(x_m | s_m, c) of every present modality, unweighted; zero where absent.

    `content` is one code for all modalities, or a stack with one for each. Where `stopped`, no gradient reaches it.
    """
    found = []
    for m, own in enumerate(style):
        code = content[m] if content.dim() == style.dim() else content
        code = code if stopped is None else torch.where(stopped[m].unsqueeze(-1), code.detach(), code)
        found.append(negative_log_likelihood(model, batch, m, model.decode_one(m, code, own)))
    return torch.stack(found)


def masked(values: Float[Tensor, "M batch"], present: Bool[Tensor, "M batch"]) -> Float[Tensor, "M batch"]:
    """The values where there is a modality, zero elsewhere."""
    return torch.where(present, values, torch.zeros_like(values))


def negative_log_likelihood(model: MultimodalVAE, batch: Batch, m: int, output: Tensor) -> Float[Tensor, "batch"]:
    """-ln p(x_m | s_m, c) of one modality from its decoder's output, unweighted; zero where absent."""
    x, there = batch.values[m], batch.present[m]
    nll = -model.modalities[m].likelihood.log_prob(output, blank(x, there))
    return torch.where(there, nll, torch.zeros_like(nll))


def blank(x: Tensor, there: Bool[Tensor, "batch"]) -> Tensor:
    """A modality's values, those of items that lack it as zeros.

    What is absent may hold anything, even NaN or no character: it must reach neither the value nor the gradient.
    """
    return torch.where(there.view(-1, *[1] * (x.dim() - 1)), x, torch.zeros_like(x))


def make_loss(
    model: MultimodalVAE,
    config: Config,
    q: Posteriors,
    nll: Float[Tensor, "M batch"],
    divergence: Float[Tensor, "batch"],
    elbos: float | Float[Tensor, "batch"] = 1.0,
    nll_weight: float | Float[Tensor, "batch"] = 1.0,
    plain: Float[Tensor, "M batch"] | None = None,
) -> Loss:
    """Weighted sum of the terms; `elbos` is how many of the method's ELBOs each style takes part in, or their weight.

    `nll_weight` is a further weight of all reconstructions; the terms hold them without it. `plain` are reconstructions
    of weight one, whatever their modality's.
    """
    style = (elbos * masked(kl(q.style, Gaussian.standard_like(q.style)), q.present)).mean(1)
    weighted, nll = (nll * nll_weight).mean(1), nll.mean(1)
    content = divergence.mean()
    total = config.beta * content
    if plain is not None:
        total, nll = total + plain.mean(1).sum(), nll + plain.mean(1)
    terms = {}
    for m, modality in enumerate(model.modalities):
        total = (
            total + modality.weight * weighted[m] + config.beta * config.beta_style * modality.style_weight * style[m]
        )
        terms[f"nll_{modality.name}"] = nll[m].detach()
    terms["divergence"] = content.detach()
    if model.style_dim:
        terms |= {f"kl_style_{modality.name}": style[m].detach() for m, modality in enumerate(model.modalities)}
    return Loss(total, {"total": total.detach()} | terms)
