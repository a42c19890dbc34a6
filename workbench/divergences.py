"""Divergences between several distributions: Jensen-Shannon with an abstract mean, its dual, and KL of a mixture.

Experts are a stack of K Gaussians `[K, *batch, latent]` with weights `[K, *batch]`, or `[K]` for all items alike, that
sum to one over the experts; for the multimodal objective K = M + 1 and one of them is the pre-defined prior p(z).
All results are in nats. With h the normalised mean of the experts,

    JS = sum_k w_k KL(q_k || h)   (Definition 1)        dual JS = sum_k w_k KL(h || q_k)   (Nielsen 2019)

The geometric mean of Gaussians is a Gaussian, and both are closed forms. The arithmetic mean is a mixture: Monte Carlo,
stratified over the components, and closed-form bounds. The harmonic mean 1 / sum_k (w_k / q_k) of Gaussians lies below
their geometric mean, so it can always be normalised, but it has no closed form either. The mean of order a between 0
and 1, (sum_k w_k q_k^a)^(1/a), leads from the geometric to the arithmetic one; halfway it is a mixture, too
(`hellinger_mean`). The Wasserstein barycenter averages means and standard deviations: no density is averaged there.

Every function of experts and weights also takes the keywords of `over_experts`, and raises its errors.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.distributions import Gaussian, Mixture, checked, kl, weighted_product

MEANS = ("geometric", "arithmetic", "harmonic")
SAMPLES = 1000  # draws from every expert, where nothing else is said


@dataclass(frozen=True)
class Estimate:
    """A Monte-Carlo estimate and its standard error, in nats; the error is NaN for a single sample."""

    value: Float[Tensor, "*batch"]
    standard_error: Float[Tensor, "*batch"]


def weighted_kl(experts: Gaussian, weights: Float[Tensor, "K *batch"], other: Gaussian) -> Float[Tensor, "*batch"]:
    """sum_k w_k KL(q_k || other), in nats: by Lemma 3 (equation 16) an upper bound on KL(sum_k w_k q_k || other)."""
    return (weights * kl(experts, other)).sum(0)


def geometric_mean(experts: Gaussian, weights: Float[Tensor, "K *batch"]) -> Gaussian:
    """The normalised geometric mean prod_k q_k^(w_k) of Gaussians: Definition 3, Lemma 4, equation 21 corrected."""
    return weighted_product(experts, weights)


def wasserstein_mean(experts: Gaussian, weights: Float[Tensor, "K *batch"]) -> Gaussian:
    """The barycenter of Gaussians in the distance W_2: N(sum_k w_k mean_k, (sum_k w_k std_k)^2), in each dimension.

    It minimises sum_k w_k W_2(q, q_k)^2 over all q (Agueh and Carlier 2011), as products and mixtures minimise KLs.
    """
    mean = (weights.unsqueeze(-1) * experts.mean).sum(0)
    return Gaussian(mean, 2 * torch.logsumexp(torch.log(weights).unsqueeze(-1) + experts.logvar / 2, dim=0))


def hellinger_mean(experts: Gaussian, weights: Float[Tensor, "K *batch"]) -> tuple[Mixture, Float[Tensor, "*batch"]]:
    """The mean of order 1/2, (sum_k w_k q_k^(1/2))^2 normalised, and ln of what it integrates to before.

    Squared out it is a mixture of K (K + 1) / 2 Gaussians: every q_k, and of every pair the normalised geometric mean,
    weighted by w_i w_j times the pair's Bhattacharyya coefficient. The components stand in the order of `pairs_of`.
    The formula is ours; the tests compare it with a grid.
    """
    i, j = pairs_of(len(weights), weights.device)
    one, other = experts[i], experts[j]
    together = torch.logaddexp(one.logvar, other.logvar)
    mean = torch.sigmoid(other.logvar - one.logvar) * one.mean + torch.sigmoid(one.logvar - other.logvar) * other.mean
    pairs = Gaussian(mean, math.log(2) + one.logvar + other.logvar - together)
    spread = (one.logvar + other.logvar) / 2 + math.log(2) - together
    log_overlap = 0.5 * (spread - 0.5 * (one.mean - other.mean) ** 2 * torch.exp(-together)).sum(-1)
    twice = math.log(2) * (i != j).to(weights.dtype).view(-1, *[1] * (weights.dim() - 1))
    log_weights = torch.log(weights[i]) + torch.log(weights[j]) + twice + log_overlap
    return Mixture(pairs, torch.softmax(log_weights, dim=0), alike=False), torch.logsumexp(log_weights, dim=0)


def pairs_of(count: int, device: torch.device | None = None) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """All pairs i <= j of so many experts, each with itself, too: (0, 0), (0, 1), .., (1, 1), .."""
    i, j = torch.triu_indices(count, count, device=device)
    return i, j


def over_experts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of checked experts and weights take any, with two more keywords: see `distributions.checked`.

    `present=` (Boolean, in the shape of the weights) takes experts out, item by item, and renormalises the weights.
    Raises ValueError on shapes that do not fit, on weights that are negative or do not sum to one, and on items with
    nothing present; `validate=False` leaves out the checks of values, for which the host would wait for the device.
    """

    @functools.wraps(function)
    def checking(
        experts: Gaussian,
        weights: Float[Tensor, "..."],
        *others: Gaussian | float,
        present: Bool[Tensor, "..."] | None = None,
        validate: bool = True,
        **options: Any,
    ) -> Any:
        return function(*checked(experts, weights, present, validate), *others, **options)

    return checking


@over_experts
def jensen_shannon_geometric(
    experts: Gaussian, weights: Float[Tensor, "K *batch"], dual: bool = False
) -> Float[Tensor, "*batch"]:
    """sum_k w_k KL(q_k || G) with G the geometric mean, in closed form: Definition 1 with the mean of Definition 3.

    Per dimension: 1/2 [ln var_G - sum_k w_k ln var_k + sum_k w_k (var_k + (mu_k - mu_G)^2) / var_G - 1]. The dual is
    sum_k w_k KL(G || q_k) = -ln Z, with Z <= 1 the integral of the geometric mean before it is normalised.
    """
    mean = geometric_mean(experts, weights)
    return (weights * kl(mean, experts)).sum(0) if dual else weighted_kl(experts, weights, mean)


@over_experts
def jensen_shannon_arithmetic(
    experts: Gaussian,
    weights: Float[Tensor, "K *batch"],
    dual: bool = False,
    samples: int = SAMPLES,
    generator: torch.Generator | None = None,
) -> Estimate:
    """sum_k w_k KL(q_k || sum_j w_j q_j), the classical divergence (Lin 1991): at most the entropy of the weights.

    Monte Carlo with `samples` reparametrised draws from every component, so it is differentiable. The dual is
    sum_k w_k KL(sum_j w_j q_j || q_k) = sum_jk w_j w_k KL(q_j || q_k) - JS: only the bounded part is sampled.
    """
    log_q = _log_densities(experts, Mixture(experts, weights).strata(samples, generator))
    log_mixture = torch.logsumexp(torch.log(weights) + log_q, dim=2)
    found = stratified_mean(_own(log_q) - log_mixture, weights)
    if dual:
        pairs = weights.unsqueeze(1) * weights * kl(experts.unsqueeze(1), experts)
        return Estimate(pairs.sum((0, 1)) - found.value, found.standard_error)
    return found


@over_experts
def jensen_shannon_power(
    experts: Gaussian,
    weights: Float[Tensor, "K *batch"],
    power: float,
    samples: int = SAMPLES,
    generator: torch.Generator | None = None,
) -> Estimate:
    """sum_k w_k KL(q_k || h), h the mean of order `power` = a in [0, 1]: the dial from geometric to arithmetic.

    For a = 0 it is exact; else by `samples` draws of every component, with h's integral exact for a of 1/2 and 1. For
    other a it comes from the same draws: h nowhere exceeds the arithmetic mean, which they are drawn from.
    """
    if power == 0:
        exact = jensen_shannon_geometric(experts, weights, validate=False)
        return Estimate(exact, torch.zeros_like(exact))
    if power == 1:
        return jensen_shannon_arithmetic(experts, weights, samples=samples, generator=generator, validate=False)
    log_q = _log_densities(experts, Mixture(experts, weights).strata(samples, generator))
    log_mean = torch.logsumexp(torch.log(weights) + power * log_q, dim=2) / power
    values = _own(log_q) - log_mean
    found = stratified_mean(values, weights)
    if power == 0.5:
        return Estimate(found.value + hellinger_mean(experts, weights)[1], found.standard_error)
    log_share = log_mean - torch.logsumexp(torch.log(weights) + log_q, dim=2)
    log_mass = torch.logsumexp(torch.log(weights) + log_share, dim=(0, 1)) - math.log(samples)
    # to first order ln of the mean share moves with the shares over their mean
    error = stratified_mean(values + torch.exp(log_share - log_mass), weights).standard_error
    return Estimate(found.value + log_mass, error)


@over_experts
def jensen_shannon_wasserstein(experts: Gaussian, weights: Float[Tensor, "K *batch"]) -> Float[Tensor, "*batch"]:
    """sum_k w_k KL(q_k || h) with h the Wasserstein barycenter, in closed form."""
    return weighted_kl(experts, weights, wasserstein_mean(experts, weights))


@over_experts
def jensen_shannon_bounds(
    experts: Gaussian, weights: Float[Tensor, "K *batch"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Lower and upper bound on the arithmetic divergence in closed form (Hershey and Olsen 2007), the lower at least 0.

    The divergence is the entropy of the mixture less the mean entropy of its components; see `Mixture.spread_bounds`.
    The upper bound never exceeds the entropy of the weights.
    """
    lower, upper = Mixture(experts, weights).spread_bounds()
    return lower.clamp(min=0), upper


@over_experts
def jensen_shannon_harmonic(
    experts: Gaussian,
    weights: Float[Tensor, "K *batch"],
    dual: bool = False,
    samples: int = SAMPLES,
    generator: torch.Generator | None = None,
) -> Estimate:
    """sum_k w_k KL(q_k || H), H the normalised harmonic mean 1 / sum_k (w_k / q_k), by Monte Carlo; dual: KL(H || q_k).

    The integral of the mean comes from draws of the geometric mean, which it nowhere exceeds, so that the importance
    weights are at most one. The dual is self-normalised: its bias vanishes with 1 / samples.
    """
    proposal = geometric_mean(experts, weights)
    z = proposal.draws(samples, generator)
    log_q = experts.log_prob(z.unsqueeze(1))
    log_mean = _log_harmonic(log_q, weights, dim=1)
    log_share = log_mean - proposal.log_prob(z)
    log_mass = torch.logsumexp(log_share, dim=0) - math.log(samples)
    share = torch.exp(log_share - log_mass)  # of mean one
    if dual:
        log_ratio = log_mean - (weights * log_q).sum(1)
        ratio = (share * log_ratio).mean(0)
        return Estimate(ratio - log_mass, _standard_error(share * (log_ratio - ratio) - share))
    log_q = _log_densities(experts, Mixture(experts, weights).strata(samples, generator))
    found = stratified_mean(_own(log_q) - _log_harmonic(log_q, weights, dim=2), weights)
    return Estimate(found.value + log_mass, torch.hypot(found.standard_error, _standard_error(share)))


@over_experts
def mixture_kl(
    experts: Gaussian,
    weights: Float[Tensor, "K *batch"],
    other: Gaussian,
    samples: int = SAMPLES,
    generator: torch.Generator | None = None,
) -> Estimate:
    """KL(sum_k w_k q_k || other) = sum_k w_k KL(q_k || other) - JS_arithmetic: only the bounded part is sampled."""
    found = jensen_shannon_arithmetic(experts, weights, samples=samples, generator=generator, validate=False)
    return Estimate(weighted_kl(experts, weights, other) - found.value, found.standard_error)


@over_experts
def mixture_kl_bounds(
    experts: Gaussian, weights: Float[Tensor, "K *batch"], other: Gaussian
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Lower and upper bound on KL(sum_k w_k q_k || other) in closed form, the upper at most that of Lemma 3."""
    lower, upper = jensen_shannon_bounds(experts, weights, validate=False)
    single = weighted_kl(experts, weights, other)
    return (single - upper).clamp(min=0), single - lower


def stratified_mean(values: Float[Tensor, "samples K *batch"], weights: Float[Tensor, "K *batch"]) -> Estimate:
    """sum_k w_k E_{q_k}[value] from draws of every component, with the standard error of the stratified estimate."""
    within = weights**2 * _standard_error(values) ** 2
    return Estimate((weights * values.mean(0)).sum(0), within.sum(0).sqrt())


def _standard_error(values: Float[Tensor, "samples *rest"]) -> Float[Tensor, "*rest"]:
    if values.shape[0] < 2:
        return torch.full_like(values[0], math.nan)
    return values.detach().std(0) / math.sqrt(values.shape[0])


def _log_densities(
    experts: Gaussian, z: Float[Tensor, "samples strata *batch latent"]
) -> Float[Tensor, "samples strata K *batch"]:
    """ln q_j of every draw, for all experts j."""
    return experts.log_prob(z.unsqueeze(2))


def _own(log_q: Float[Tensor, "samples K K *batch"]) -> Float[Tensor, "samples K *batch"]:
    """ln q_k of the draws from q_k."""
    return log_q.diagonal(dim1=1, dim2=2).movedim(-1, 1)


def _log_harmonic(log_q: Float[Tensor, "..."], weights: Float[Tensor, "K *batch"], dim: int) -> Float[Tensor, "..."]:
    """ln of 1 / sum_k (w_k / q_k), not normalised."""
    return -torch.logsumexp(torch.log(weights) - log_q, dim=dim)
