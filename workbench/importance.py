"""Importance-weighted objectives of the mixture of experts: IWAE and DReG (Shi et al. 2019, the paper's "I = 30").

K draws from each of the M posteriors are decoded into all M modalities, M^2 K decodings an item. With the mixture q of
the posteriors as density of every draw, the bound is that of Shi et al.'s equation 3,

    (1 / M) sum_m E_{z_1 .. z_K ~ q_m} [ ln (1 / K) sum_k w_k ],   w = p(z) prod_n p(x_n | z) / q(z | X).

Each expert's draws are averaged by themselves: the bound tends to (1 / M) sum_m ln of the integral of q_m p(X, z) / q,
which with experts that differ lies below ln p(X), however large K is.

As in the other objectives likelihoods carry their weights and beta scales ln p(z) - ln q(z); styles, where there are
any, are drawn from their own posteriors and enter with beta_style. With all weights one it bounds ln p(X).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.fusion import mixture_of_experts
from workbench.losses import Loss, masked, reconstruction
from workbench.model import MultimodalVAE, Posteriors

CHUNK = 4096  # codes decoded at a time: what bounds the memory, and small enough for a processor's cache
CHUNK_ON_CUDA = 32768  # there it is some gigabytes of memory that bound it


def mmvae_iwae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """The importance-weighted bound, with the gradient that reparametrisation gives it (Burda et al. 2016)."""
    q = model.encode(batch)
    content, style = draw_codes(q, config.importance_samples, generator)
    log_weights, terms = weigh(model, batch, config, q, content, style)
    return _loss(log_weights, q, terms)


def mmvae_dreg(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """The same bound with the doubly reparametrised gradient (DReG, Tucker et al. 2019): less noise for the encoders.

    Encoders learn through the draws alone, whose gradient carries the squared normalised weights; the densities
    q(z | X) are held fixed. Decoders have the gradient of the bound. So it was published; but the identity behind it
    needs draws of the density itself, and with several modalities, whose draws are one expert's and whose density is
    the mixture's, the encoders' gradient is not that of the bound.
    """
    q = model.encode(batch)
    content, style = draw_codes(q, config.importance_samples, generator)
    fixed = Posteriors(q.content.detach(), q.style.detach(), q.present)
    log_weights, terms = weigh(model, batch, config, fixed, content, style)
    share = torch.softmax(log_weights.detach(), dim=0)
    for z in (content, style):
        if z.requires_grad:
            # [K, M, batch] beside [K, M, batch, latent] and [K, M, N, batch, latent]
            z.register_hook(
                lambda gradient: gradient * share.view(*share.shape[:2], *[1] * (gradient.dim() - 4), -1, 1)
            )
    return _loss(log_weights, q, terms)


def draw_codes(
    q: Posteriors, samples: int, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "K M batch content"], Float[Tensor, "K M N batch style"]]:
    """K draws from every content posterior, and for each of them a style of every modality."""
    content = q.content.draws(samples, generator)
    modalities = len(q.present)
    styles = type(q.style)(*(x.expand(modalities, *x.shape) for x in (q.style.mean, q.style.logvar)))
    return content, styles.draws(samples, generator)


def weigh(
    model: MultimodalVAE,
    batch: Batch,
    config: Config,
    q: Posteriors,
    content: Float[Tensor, "K M batch content"],
    style: Float[Tensor, "K M N batch style"],
) -> tuple[Float[Tensor, "K M batch"], dict[str, Float[Tensor, "K M batch"]]]:
    """ln w of every draw and, by name, the terms of it that a history shows: unweighted, in nats."""
    nll = decode_all(model, batch, content, style)
    # an item with nothing counts nothing in the end; until then let its density be that of a mixture of all
    mixture = mixture_of_experts(q.content, q.present | ~q.present.any(0))
    divergence = mixture.log_prob(content) - model.prior(content).log_prob(content)
    there = q.present.view(1, 1, *q.present.shape)
    style_divergence = q.style.log_prob(style) - model.prior(style).log_prob(style)
    style_divergence = torch.where(there, style_divergence, torch.zeros_like(style_divergence))
    log_weights, terms = -config.beta * divergence, {}
    for n, modality in enumerate(model.modalities):
        log_weights = log_weights - modality.weight * nll[n]
        log_weights = log_weights - config.beta * config.beta_style * modality.style_weight * style_divergence[:, :, n]
        terms[f"nll_{modality.name}"] = nll[n]
    terms["divergence"] = divergence
    if model.style_dim:
        terms |= {f"kl_style_{m.name}": style_divergence[:, :, n] for n, m in enumerate(model.modalities)}
    return log_weights, terms


def decode_all(
    model: MultimodalVAE,
    batch: Batch,
    content: Float[Tensor, "K M batch content"],
    style: Float[Tensor, "K M N batch style"],
) -> Float[Tensor, "N K M batch"]:
    """-ln p(x_n | s_n, c) of every draw, unweighted, zero where absent; about CHUNK draws at a time.

    Where that makes several chunks, what the decoders computed on the way is thrown away and computed again for the
    gradient, so that memory does not grow with K. Items do not meet: a batch of few (`items_at_a_time`) spares that.
    """

    def nll_of(content: Tensor, style: Tensor) -> Tensor:
        times = content.shape[0] * content.shape[1]
        nll = reconstruction(model, repeated(batch, times), content.flatten(0, 2), style.movedim(2, 0).flatten(1, 3))
        return nll.view(len(nll), *content.shape[:3])

    at_a_time = max(1, chunk_on(content.device) // (content.shape[1] * batch.size))
    if at_a_time >= len(content):
        return nll_of(content, style)
    chunks = zip(content.split(at_a_time), style.split(at_a_time), strict=True)
    return torch.cat([checkpoint(nll_of, *c, use_reentrant=False, preserve_rng_state=False) for c in chunks], dim=1)


def items_at_a_time(batch_size: int, draws: int, device: torch.device) -> int:
    """The most items, a divisor of the batch size, whose draws (so many of each) make one chunk; at least one."""
    most = max(1, chunk_on(device) // draws)
    return max(size for size in range(1, batch_size + 1) if batch_size % size == 0 and size <= most)


def chunk_on(device: torch.device) -> int:
    """Codes that are decoded at a time on a device."""
    return CHUNK_ON_CUDA if device.type == "cuda" else CHUNK


def repeated(batch: Batch, times: int) -> Batch:
    """The batch, `times` times one after the other."""
    values = tuple(x.expand(times, *x.shape).flatten(0, 1) for x in batch.values)
    return Batch(values, batch.present.repeat(1, times), batch.labels.repeat(times, *[1] * (batch.labels.dim() - 1)))


def _loss(log_weights: Float[Tensor, "K M batch"], q: Posteriors, terms: dict[str, Float[Tensor, "K M batch"]]) -> Loss:
    """Minus the bound ln mean_k w_k, averaged over the present modalities that draws come from, as the terms are."""
    count = q.present.sum(0).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (masked(values, q.present).sum(0) / count).mean()

    total = -mean(torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights)))
    named = {name: mean(values.detach().mean(0)) for name, values in terms.items()}
    return Loss(total, {"total": total.detach()} | named)
