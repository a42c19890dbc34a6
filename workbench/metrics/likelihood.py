"""Log-likelihoods by importance sampling: ln p(X) = ln E_q[p(X, z) / q(z)] (Tables 4 and 16).

The logarithm of the average underestimates on average (Jensen's inequality; Burda et al. 2016), less so the more
samples there are and the nearer q is to the posterior. Samples are grouped per item; where the proposal is a mixture
they are stratified over its components, and its density is the mixture's, not that of the component drawn from.

The paper's ln p(X | x_K) is an estimate of ln p(X), too, with q(z | x_K) as proposal: how well the posterior of a
subset accounts for everything. Beside it stand the model's own conditional ln p(x_j | x_K), the difference of
ln p(x_j, x_K) and ln p(x_K), and the predictive ln E_{q(z | x_K)}[p(x_j | z)], from which conditional generation draws.
Styles of given modalities are proposed by their posteriors, those of the others by the prior. All in nats, without
likelihood weights.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.device import double, room
from workbench.distributions import Diagonal, Mixture
from workbench.divergences import Estimate
from workbench.fusion import mixture_of_experts
from workbench.inference import Component, component_posterior, components, evaluated_places
from workbench.losses import blank, masked, reconstruction
from workbench.model import MultimodalVAE, Posteriors

Subset = tuple[int, ...]  # places of its modalities
CHUNK = 512  # codes decoded at a time: what a decoder writes for them stays in a processor's cache


@dataclass(frozen=True)
class LogEstimate(Estimate):
    """The logarithm of a mean, its standard error (to first order), and how many equal weights would be as good."""

    effective_samples: Float[Tensor, "*batch"]


def importance_sampled(
    log_joint: Callable[[Float[Tensor, "batch latent"]], Float[Tensor, "batch"]],
    proposal: Diagonal | Mixture,
    samples: int,
    generator: torch.Generator | None = None,
) -> LogEstimate:
    """ln of the integral of exp(log_joint(z)), from `samples` draws of every component of the proposal.

    `log_joint` gets one draw for each item at a time.
    """
    if isinstance(proposal, Diagonal):
        proposal = Mixture(proposal.unsqueeze(0), torch.ones_like(proposal.mean[None, ..., 0]))
    z = proposal.strata(samples, generator)
    log_weights = torch.stack([torch.stack([log_joint(c) for c in draw]) for draw in z]) - proposal.log_prob(z)
    return log_mean_exp(log_weights, proposal.weights)


def log_mean_exp(log_values: Float[Tensor, "samples M batch"], weights: Float[Tensor, "M batch"]) -> LogEstimate:
    """ln sum_m w_m mean_s exp(log_values), with the standard error of a stratified mean."""
    total, share = _shares(log_values, weights)
    effective = share.sum((0, 1)) ** 2 / (share**2).sum((0, 1))
    return LogEstimate(total, _stratified_error(share), effective)


def log_ratio(
    log_values: Float[Tensor, "samples M batch"],
    log_others: Float[Tensor, "samples M batch"],
    weights: Float[Tensor, "M batch"],
) -> LogEstimate:
    """ln of one stratified mean over another of the same draws: a self-normalised estimate."""
    (total, share), (other_total, other_share) = _shares(log_values, weights), _shares(log_others, weights)
    effective = other_share.sum((0, 1)) ** 2 / (other_share**2).sum((0, 1))
    return LogEstimate(total - other_total, _stratified_error(share - other_share), effective)


def _shares(log_values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """ln of the stratified mean, and what every draw contributes to it; contributions sum to the draws of a stratum."""
    weighted = torch.log(weights) + log_values
    total = torch.logsumexp(weighted, dim=(0, 1)) - math.log(log_values.shape[0])
    return total, torch.exp(weighted - total)


def _stratified_error(share: Float[Tensor, "samples M batch"]) -> Float[Tensor, "batch"]:
    samples = share.shape[0]
    if samples < 2:
        return torch.full_like(share[0, 0], math.nan)
    return (share.var(0) / samples).sum(0).sqrt()


@torch.no_grad()
def log_evidence(
    model: MultimodalVAE, batch: Batch, samples: int, generator: torch.Generator | None = None
) -> LogEstimate:
    """ln p(X) of the modalities that each item has, in nats and without likelihood weights.

    The content is proposed by the mixture of the items' posteriors, `samples` draws from each modality's; the styles by
    their own posteriors.
    """
    q = model.encode(batch)

    def log_joint(content: Tensor) -> Tensor:
        style = q.style.rsample(generator)
        ratio = masked(model.prior(style).log_prob(style) - q.style.log_prob(style), q.present).sum(0)
        return model.prior(content).log_prob(content) + ratio - reconstruction(model, batch, content, style).sum(0)

    return importance_sampled(log_joint, mixture_of_experts(q.content, q.present), samples, generator)


@dataclass(frozen=True)
class Likelihoods:
    """Estimates for every item, by given subset, and by target modality and given subset; names as in "M,S"."""

    joint: dict[str, LogEstimate]  # ln p(X | x_K); of the whole set, ln p(X)
    conditional: dict[str, dict[str, LogEstimate]]  # ln p(x_j | x_K), j not in K
    predictive: dict[str, dict[str, LogEstimate]]  # ln E_{q(z | x_K)}[p(x_j | z)], any j

    @classmethod
    def joined(cls, parts: "Sequence[Likelihoods]") -> "Likelihoods":
        """The estimates of several batches, one after the other."""
        return cls(*(joined([getattr(part, kind.name) for part in parts]) for kind in fields(cls)))


def joined(parts: Sequence[Any]) -> Any:
    """Estimates of one kind one after the other, each, or each in its place of a table."""
    if isinstance(first := parts[0], dict):
        return {key: joined([part[key] for part in parts]) for key in first}
    return type(first)(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(first)))


@torch.no_grad()
def log_likelihoods(
    model: MultimodalVAE,
    batch: Batch,
    fusions: Sequence[str],
    samples: int = 12,
    generator: torch.Generator | None = None,
    prior_weight: float | None = None,
    q: Posteriors | None = None,
) -> dict[str, Likelihoods]:
    """All estimates of a batch given every evaluated subset, for each of some fusions (of `fusion.FUSIONS`).

    Every estimate rests on `samples` draws, or the next multiple of the components that its proposal has. A draw from
    a component serves all posteriors that have that component. `q` are the batch's posteriors, where it was encoded
    before. Raises ValueError on items that lack something.
    """
    if not batch.present.all():
        raise ValueError("log-likelihoods given subsets need items that have all modalities: leave the others out")
    pool = Pool(model, batch, fusions, samples, generator, prior_weight, q)
    return {fusion: _estimates(pool, fusion) for fusion in fusions}


def _estimates(pool: "Pool", fusion: str) -> Likelihoods:
    letters = pool.model.letters
    found = Likelihoods({}, {j: {} for j in letters}, {j: {} for j in letters})
    for subset in evaluated_places(pool.model):
        name, rest = pool.model.called.title(subset), [j for j in range(len(letters)) if j not in subset]
        weights, log_p, log_given = pool.read(fusion, subset)
        found.joint[name] = log_mean_exp(log_given + sum(log_p[j] for j in rest), weights)
        for j, letter in enumerate(letters):
            found.predictive[letter][name] = log_mean_exp(log_p[j], weights)
        for j in rest:
            found.conditional[letters[j]][name] = log_ratio(log_given + log_p[j], log_given, weights)
    return found


class Pool:
    """Draws from every component that some posterior has, and the likelihoods that the decoders give them."""

    def __init__(
        self,
        model: MultimodalVAE,
        batch: Batch,
        fusions: Sequence[str],
        samples: int,
        generator: torch.Generator | None = None,
        prior_weight: float | None = None,
        q: Posteriors | None = None,
    ) -> None:
        self.model, self.batch, self.q = model, batch, q or model.encode(batch)
        self.generator, self.samples = generator, samples
        self.values = [readable(x, there) for x, there in zip(batch.values, batch.present, strict=True)]
        given = evaluated_places(model)
        self.plan = {(fusion, subset): components(fusion, subset) for fusion in fusions for subset in given}
        self.posterior: dict[Component, Diagonal] = {}
        self.draws: dict[Component, Tensor] = {}
        self.decoded: dict[tuple[Component, int, bool], tuple[Tensor, Tensor]] = {}
        for part in dict.fromkeys(part for parts in self.plan.values() for part in parts):
            users = [key for key, parts in self.plan.items() if part in parts]
            self.posterior[part] = component_posterior(model, self.q, part, prior_weight)
            self.draws[part] = self.posterior[part].draws(max(self.draws_for(key) for key in users), generator)
            for j in range(len(model.modalities)):
                for given in sorted({self._given(j, subset) for _, subset in users}):
                    self.decoded[part, j, given] = self._decode(self.draws[part], j, given)

    def draws_for(self, key: tuple[str, Subset]) -> int:
        """Draws from each component of a subset's posterior."""
        return -(-self.samples // len(self.plan[key]))

    def read(self, fusion: str, subset: Subset) -> tuple[Tensor, list[Tensor], Tensor]:
        """Weights of the components, ln p(x_j | z, s_j) of all j, and ln of p(x_K, z, s_K) / q(z, s_K | x_K).

        The weights are `[C, batch]`, the others `[draws, C, batch]`.
        """
        parts, n = self.plan[fusion, subset], self.draws_for((fusion, subset))
        posteriors = type(self.q.content).stack([self.posterior[part] for part in parts])
        weights = posteriors.mean.new_full(posteriors.mean.shape[:2], 1 / len(parts))
        z = torch.stack([self.draws[part][:n] for part in parts], dim=1)
        log_given = self.model.prior(z).log_prob(z) - Mixture(posteriors, weights).log_prob(z)
        log_p = []
        for j in range(len(self.model.modalities)):
            decoded = [self.decoded[part, j, self._given(j, subset)] for part in parts]
            log_p.append(torch.stack([p[:n] for p, _ in decoded], dim=1))
            if j in subset:
                log_given = log_given + log_p[j] + torch.stack([ratio[:n] for _, ratio in decoded], dim=1)
        return weights, log_p, log_given

    def _given(self, j: int, subset: Subset) -> bool:
        """Whether style j is proposed by its posterior; without styles there is nothing to tell apart."""
        return j in subset or not self.model.style_dim

    def _decode(self, z: Float[Tensor, "draws batch content"], j: int, given: bool) -> tuple[Tensor, Tensor]:
        """ln p(x_j | z, s_j) and ln p(s_j) - ln q(s_j) of every draw."""
        own = self.q.style[j] if given else self.model.prior(self.q.style.mean[j])
        style = own.draws(len(z), self.generator)
        ratio = self.model.prior(style).log_prob(style) - own.log_prob(style)
        return log_given(self.model, j, self.values[j], z, style), ratio


def readable(x: Tensor, there: Tensor) -> Tensor:
    """A modality's values, images in the layout of what decoders write: beside another one they take twice as long."""
    x = x if there.all() else blank(x, there)
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def log_given(
    model: MultimodalVAE,
    m: int,
    x: Tensor,
    content: Float[Tensor, "draws batch content"],
    style: Float[Tensor, "draws batch style"],
) -> Float[Tensor, "draws batch"]:
    """ln p(x_m | z, s_m) of every draw, about CHUNK of them at a time; `x` are all items' values of one modality."""
    at_a_time = max(1, CHUNK * room(content.device) // len(x))
    log_p = []
    for codes, styles in zip(content.split(at_a_time), style.split(at_a_time), strict=True):
        output = model.decode_one(m, codes.flatten(0, 1), styles.flatten(0, 1))
        # a view of a single draw, which `repeat` would copy into another layout; whole items need no mask
        repeated = x.expand(len(codes), *x.shape).flatten(0, 1)
        log_p.append(model.modalities[m].likelihood.log_prob(output, repeated).view(len(codes), -1))
    return torch.cat(log_p)


def summary(estimate: LogEstimate) -> dict[str, float]:
    """Mean over the items in nats, its standard error from the draws alone, and the mean effective number of draws."""
    error = estimate.standard_error.square().sum().sqrt() / len(estimate.value)
    return {
        "nats": double(estimate.value).mean().item(),
        "standard_error": error.item(),
        "effective_samples": estimate.effective_samples.mean().item(),
    }
