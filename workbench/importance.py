"""Importance-weighted objectives of the mixture of experts: IWAE and DReG (Shi et al. 2019), and MMVAE+ with either.

K draws from each of the M posteriors are decoded into all M modalities, M^2 K decodings an item. With the mixture q of
the posteriors as density of every draw, the bound is that of Shi et al.'s equation 3,

    (1 / M) sum_m E_{z_1 .. z_K ~ q_m} [ ln (1 / K) sum_k w_k ],   w = p(z) prod_n p(x_n | z) / q(z | X).

Each expert's draws are averaged by themselves: the bound tends to (1 / M) sum_m ln of the integral of q_m p(X, z) / q,
which with experts that differ lies below ln p(X), however large K is.

As in the other objectives likelihoods carry their weights and beta scales ln p(z) - ln q(z); styles, where there are
any, are drawn from their own posteriors and enter with beta_style. With all weights one it bounds ln p(X).

MMVAE+ (Palumbo et al. 2023) draws the style of a modality n from its posterior on n's own path alone. On the path of
another, m, it comes from a distribution r_n of mean zero and learnt scale, so that nothing of x_n but what is shared
can help to reconstruct x_n; the weights hold the style of path m alone.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.fusion import mixture_of_experts
from workbench.losses import Loss, masked, reconstruction
from workbench.model import MultimodalVAE, Posteriors

CHUNK = 4096  # codes decoded at a time: what bounds the memory, and small enough for a processor's cache
CHUNK_ON_CUDA = 32768  # there it is some gigabytes of memory that bound it
MEETING = (_BatchNorm, _DropoutNd)  # layers in whose training a draw's output depends on the others, or on chance


def mmvae_iwae(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """The importance-weighted bound, with the gradient that reparametrisation gives it (Burda et al. 2016)."""
    q = model.encode(batch)
    content, style = draw_codes(model, q, config.importance_samples, generator)
    log_weights, terms = weigh(model, batch, config, q, content, style)
    return _loss(log_weights, q, terms)


def mmvae_plus(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """MMVAE+ (Palumbo et al. 2023): styles of other modalities from learnt auxiliary distributions; as `mmvae_iwae`."""
    check_auxiliary(model)
    return mmvae_iwae(model, batch, config, generator)


def mmvae_plus_dreg(
    model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None
) -> Loss:
    """MMVAE+ with the gradient of `mmvae_dreg`; auxiliary distributions have that of the bound, as decoders have."""
    check_auxiliary(model)
    return mmvae_dreg(model, batch, config, generator)


def check_auxiliary(model: MultimodalVAE) -> None:
    """Raise ValueError where a model has no auxiliary distributions of its styles."""
    if not model.auxiliary:
        raise ValueError("MMVAE+ draws styles from auxiliary distributions: make MultimodalVAE(..., auxiliary=True)")


def mmvae_dreg(model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None) -> Loss:
    """The same bound with the doubly reparametrised gradient (DReG, Tucker et al. 2019): less noise for the encoders.

    Encoders learn through the draws alone, whose gradient carries the squared normalised weights; the densities
    q(z | X) are held fixed. Decoders have the gradient of the bound. So it was published; but the identity behind it
    needs draws of the density itself, and with several modalities, whose draws are one expert's and whose density is
    the mixture's, the encoders' gradient is not that of the bound. In the code of its authors (iffsid/mmvae) the hook
    sits on a copy of the draws that the loss does not read: their encoders got the weights once, not squared, as may
    have those of the paper's MMVAE (I=30).
    """
    q = model.encode(batch)
    content, style = draw_codes(model, q, config.importance_samples, generator)
    fixed = Posteriors(q.content.detach(), q.style.detach(), q.present)
    log_weights, terms = weigh(model, batch, config, fixed, content, style)
    share = torch.softmax(log_weights.detach(), dim=0).unsqueeze(-1)  # [K, M, batch, 1]
    if content.requires_grad:
        content.register_hook(lambda gradient: gradient * share)
    if style.requires_grad:  # [K, M, N, batch, style], of which not all may come from a posterior
        inferred = inferred_styles(model, q.present)
        style.register_hook(lambda gradient: gradient * torch.where(inferred, share.unsqueeze(2), 1.0))
    return _loss(log_weights, q, terms)


def draw_codes(
    model: MultimodalVAE, q: Posteriors, samples: int, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "K M batch content"], Float[Tensor, "K M N batch style"]]:
    """K draws from every content posterior, and for each of them a style of every modality."""
    content = q.content.draws(samples, generator)
    mean, logvar = (x.expand(len(q.present), *x.shape) for x in (q.style.mean, q.style.logvar))
    if model.auxiliary:
        inferred, other = inferred_styles(model, q.present), model.auxiliary_logvar.unsqueeze(1).to(logvar.dtype)
        mean, logvar = torch.where(inferred, mean, 0.0), torch.where(inferred, logvar, other)
    return content, type(q.style)(mean, logvar).draws(samples, generator)


def inferred_styles(model: MultimodalVAE, present: Bool[Tensor, "N batch"]) -> Bool[Tensor, "M N 1 1"]:
    """Whether the style of modality n on the path of m comes from n's posterior: in MMVAE+ on its own path alone."""
    own = torch.eye(len(present), dtype=torch.bool, device=present.device).view(*[len(present)] * 2, 1, 1)
    return own if model.auxiliary else torch.ones_like(own)


def weigh(
    model: MultimodalVAE,
    batch: Batch,
    config: Config,
    q: Posteriors,
    content: Float[Tensor, "K M batch content"],
    style: Float[Tensor, "K M N batch style"],
) -> tuple[Float[Tensor, "K M batch"], dict[str, Float[Tensor, "K M batch"]]]:
    """ln w of every draw and, by name, the terms of it that a history shows: unweighted, in nats."""
    # an item with nothing counts nothing in the end; until then let its density be that of a mixture of all
    mixture = mixture_of_experts(q.content, q.present | ~q.present.any(0))
    divergence = mixture.log_prob(content) - model.prior(content).log_prob(content)
    there = q.present & inferred_styles(model, q.present).squeeze(-1)
    style_divergence = q.style.log_prob(style) - model.prior(style).log_prob(style)
    style_divergence = torch.where(there, style_divergence, torch.zeros_like(style_divergence))

    def log_weights(nll: Float[Tensor, "N K M batch"]) -> Float[Tensor, "K M batch"]:
        found = -config.beta * divergence
        for n, modality in enumerate(model.modalities):
            found = found - modality.weight * nll[n]
            found = found - config.beta * config.beta_style * modality.style_weight * style_divergence[:, :, n]
        return found

    nll = decode_all(model, batch, content, style, log_weights, config.self_content == "stopped")
    terms = {f"nll_{modality.name}": nll[n] for n, modality in enumerate(model.modalities)}
    terms["divergence"] = divergence
    if model.style_dim:
        terms |= {f"kl_style_{m.name}": style_divergence[:, :, n] for n, m in enumerate(model.modalities)}
    return log_weights(nll), terms


def decode_all(
    model: MultimodalVAE,
    batch: Batch,
    content: Float[Tensor, "K M batch content"],
    style: Float[Tensor, "K M N batch style"],
    log_weights: Callable[[Float[Tensor, "N K M batch"]], Float[Tensor, "K M batch"]],
    stopped: bool = False,
) -> Float[Tensor, "N K M batch"]:
    """-ln p(x_n | s_n, c) of every draw, unweighted, zero where absent; its gradient is that of the draws that count.

    Likelihoods of images differ by tens of nats between draws, so that nearly always one draw in K has all the weight
    and the others no gradient. All are decoded, without keeping what a gradient would need; those whose share of the
    weights is above rounding are decoded again, with it. `stopped`: no gradient reaches content from the modality whose
    posterior it was drawn from.
    """
    places = torch.arange(batch.size * len(batch.values), device=content.device).view(len(batch.values), -1)
    draws = content.flatten(0, 2), style.movedim(2, 0).flatten(1, 3), places.expand(content.shape[:3]).flatten()

    def decode(content: Tensor, style: Tensor, places: Tensor) -> Tensor:
        rows, path = places % batch.size, places // batch.size
        values = tuple(x[rows] for x in batch.values)
        own = torch.arange(len(values), device=path.device).unsqueeze(1) == path if stopped else None
        return reconstruction(model, Batch(values, batch.present[:, rows], batch.labels[rows]), content, style, own)

    if len(content) == 1 or not _may_choose(model):
        return _in_chunks(decode, *draws).view(-1, *content.shape[:3])
    with torch.no_grad():
        nll = _in_chunks(decode, *draws)
        share = torch.softmax(log_weights(nll.view(-1, *content.shape[:3])), dim=0)
    counting = (share > torch.finfo(share.dtype).eps) & batch.present
    kept = counting.flatten().nonzero().squeeze(1)
    again = _in_chunks(decode, *(x.index_select(-2 if x.dim() > 1 else 0, kept) for x in draws))
    return nll.index_copy(1, kept, again).view(-1, *content.shape[:3])


def _may_choose(model: MultimodalVAE) -> bool:
    """Whether draws may be decoded one without the other, and twice alike: no batch statistics, no dropout.

    A compiled objective has static shapes and decodes them all once; so does one of which no gradient is asked.
    """
    return (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not any(isinstance(layer, MEETING) and layer.training for layer in model.decoders.modules())
    )


def _in_chunks(
    decode: Callable[..., Tensor], content: Tensor, style: Tensor, places: Tensor
) -> Float[Tensor, "N draws"]:
    """`decode` of some draws, as many at a time as `chunk_on` allows.

    Where that makes several chunks, what the decoders computed on the way is thrown away and computed again for the
    gradient, so that memory does not grow with K. Items do not meet: a batch of few (`items_at_a_time`) spares that.
    """
    size = chunk_on(content.device)
    if len(content) <= size:
        return decode(content, style, places)
    if torch.is_grad_enabled():
        decode = partial(checkpoint, decode, use_reentrant=False, preserve_rng_state=False)
    chunks = zip(content.split(size), style.split(size, dim=1), places.split(size), strict=True)
    return torch.cat([decode(*chunk) for chunk in chunks], dim=1)


def items_at_a_time(batch_size: int, draws: int, device: torch.device) -> int:
    """The most items, a divisor of the batch size, whose draws (so many of each) make one chunk; at least one."""
    most = max(1, chunk_on(device) // draws)
    return max(size for size in range(1, batch_size + 1) if batch_size % size == 0 and size <= most)


def chunk_on(device: torch.device) -> int:
    """Codes that are decoded at a time on a device."""
    return CHUNK_ON_CUDA if device.type == "cuda" else CHUNK


def _loss(log_weights: Float[Tensor, "K M batch"], q: Posteriors, terms: dict[str, Float[Tensor, "K M batch"]]) -> Loss:
    """Minus the bound ln mean_k w_k, averaged over the present modalities that draws come from, as the terms are."""
    count = q.present.sum(0).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (masked(values, q.present).sum(0) / count).mean()

    total = -mean(torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights)))
    named = {name: mean(values.detach().mean(0)) for name, values in terms.items()}
    return Loss(total, {"total": total.detach()} | named)
