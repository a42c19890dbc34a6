"""Diagonal Gaussians, Laplaces and their mixtures: densities, samples, divergences, products, bounds on entropies.

A distribution carries any leading dimensions; sums run over the last one, the latent dimensions. Experts of several
modalities are one stack with the experts first, `[M, *batch, latent]`. Everything is in nats, differentiable, and
worked out in log space, so that log-variances of -20 to 20 are safe in float32.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)
GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, modulo one, fill the interval evenly


@dataclass(frozen=True)
class Diagonal:
    """A distribution with independent dimensions of given means and variances exp(logvar): a Gaussian or a Laplace.

    Families differ in their density, and in `_noise`: draws of mean zero and variance one.
    """

    mean: Float[Tensor, "*batch latent"]
    logvar: Float[Tensor, "*batch latent"]

    def __post_init__(self) -> None:
        if self.mean.shape != self.logvar.shape:
            raise ValueError(f"mean {list(self.mean.shape)} and logvar {list(self.logvar.shape)} differ in shape")

    @classmethod
    def standard_like(cls, other: "Diagonal") -> "Diagonal":
        """Mean zero and variance one in the shape, type and place of `other`."""
        return cls(torch.zeros_like(other.mean), torch.zeros_like(other.logvar))

    @classmethod
    def stack(cls, distributions: "list[Diagonal]") -> "Diagonal":
        """One stack of experts `[M, *batch, latent]` from M distributions of the same shape."""
        return cls(torch.stack([d.mean for d in distributions]), torch.stack([d.logvar for d in distributions]))

    def __getitem__(self, index) -> "Diagonal":
        """Index the leading dimensions."""
        return type(self)(self.mean[index], self.logvar[index])

    def unsqueeze(self, dim: int) -> "Diagonal":
        """One more leading dimension; `dim` counts from the first and must not be negative."""
        return type(self)(self.mean.unsqueeze(dim), self.logvar.unsqueeze(dim))

    def detach(self) -> "Diagonal":
        """The same distribution, through which no gradient passes."""
        return type(self)(self.mean.detach(), self.logvar.detach())

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "..."]:
        """Log-density, summed over the latent dimensions; leading dimensions broadcast."""
        raise NotImplementedError

    def rsample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch latent"]:
        """One reparametrised sample (Kingma and Welling 2014); gradients reach mean and logvar."""
        return self.mean + torch.exp(0.5 * self.logvar) * self._noise(generator)

    def draws(self, samples: int, generator: torch.Generator | None = None) -> Float[Tensor, "samples *batch latent"]:
        """Several independent reparametrised samples, in front of the other dimensions."""
        shape = (samples, *self.mean.shape)
        return type(self)(self.mean.expand(shape), self.logvar.expand(shape)).rsample(generator)

    def _noise(self, generator: torch.Generator | None) -> Float[Tensor, "*batch latent"]:
        raise NotImplementedError


@dataclass(frozen=True)
class Gaussian(Diagonal):
    """N(mean, diag(exp(logvar))). Density: exp(-1/2 sum_d [ln 2 pi + logvar_d + (z_d - mean_d)^2 / var_d])."""

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "..."]:
        """Log-density, summed over the latent dimensions; leading dimensions broadcast."""
        squared = (z - self.mean) ** 2 * torch.exp(-self.logvar)
        return -0.5 * (LOG_2PI + self.logvar + squared).sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Differential entropy."""
        return 0.5 * (1 + LOG_2PI + self.logvar).sum(-1)

    def _noise(self, generator: torch.Generator | None) -> Float[Tensor, "*batch latent"]:
        return torch.empty_like(self.mean).normal_(generator=generator)


@dataclass(frozen=True)
class Laplace(Diagonal):
    """Independent Laplace densities exp(-|z - mean| / b) / 2 b of scale b = sqrt(exp(logvar) / 2).

    Posterior and prior of Shi et al. (2019). A product of several is no Laplace again: mixtures alone fuse them.
    """

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "..."]:
        """Log-density, summed over the latent dimensions; leading dimensions broadcast."""
        distance = (z - self.mean).abs() * torch.exp(-0.5 * self.logvar)
        return -(0.5 * (math.log(2) + self.logvar) + math.sqrt(2) * distance).sum(-1)

    def _noise(self, generator: torch.Generator | None) -> Float[Tensor, "*batch latent"]:
        # a random sign times an exponential draw of mean b = 1 / sqrt(2)
        uniform = torch.empty_like(self.mean).uniform_(-1, 1, generator=generator)
        return -uniform.sign() * torch.log1p(-uniform.abs()) / math.sqrt(2)


FAMILIES: dict[str, type[Diagonal]] = {"gaussian": Gaussian, "laplace": Laplace}


def kl(p: Gaussian, q: Gaussian) -> Float[Tensor, "..."]:
    """KL(p || q) in closed form, summed over the latent dimensions; leading dimensions broadcast."""
    ratio = p.logvar - q.logvar
    # expm1(r) - r is exp(r) - 1 - r without the cancellation at r = 0
    return 0.5 * (torch.expm1(ratio) - ratio + (p.mean - q.mean) ** 2 * torch.exp(-q.logvar)).sum(-1)


def log_overlap(p: Gaussian, q: Gaussian) -> Float[Tensor, "..."]:
    """ln of the integral of p(z) q(z), in closed form: the log-density of p's mean under N(q.mean, var_p + var_q)."""
    mean, logvar = torch.broadcast_tensors(q.mean, torch.logaddexp(p.logvar, q.logvar))
    return Gaussian(mean, logvar).log_prob(p.mean)


def weighted_product(experts: Gaussian, weights: Float[Tensor, "M *batch"]) -> Gaussian:
    """The Gaussian proportional to prod_m q_m^(w_m): precisions add up, weighted.

    precision = sum_m w_m / var_m, mean = sum_m w_m mean_m / var_m / precision. With weights of one it is the product
    of experts (Hinton 2002); with weights that sum to one, the geometric mean (Definition 3; equation 21, where the
    paper prints the variances un-inverted). A weight of zero leaves an expert out; at least one must be positive.
    """
    log_precisions = torch.log(weights).unsqueeze(-1) - experts.logvar
    mean = (torch.softmax(log_precisions, dim=0) * experts.mean).sum(0)
    return Gaussian(mean, -torch.logsumexp(log_precisions, dim=0))


@dataclass(frozen=True)
class Mixture:
    """sum_m w_m q_m(z): a stack of Gaussians and weights that sum to one over the first dimension.

    Items are split among the components by weight. `alike` is False where each item has weights of its own: then every
    item's place in the split is drawn by itself.
    """

    components: Diagonal  # [M, *batch, latent]
    weights: Float[Tensor, "M *batch"]
    alike: bool = True

    @classmethod
    def of(cls, components: Gaussian, weights: Tensor | None = None, present: Tensor | None = None) -> "Mixture":
        """A mixture of those components that are present, checked; `weights` None: equal ones. See `checked`."""
        if weights is None:
            shape = components.mean.shape[:-1]
            weights = components.mean.new_full(shape, 1 / shape[0])
        return cls(*checked(components, weights, present))

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "..."]:
        """Log-density, by log-sum-exp over the components; leading dimensions of z broadcast with the batch."""
        experts = -self.weights.dim()  # where the components' dimension stands in a log-density
        log_joint = torch.log(self.weights) + self.components.log_prob(z.unsqueeze(experts - 1))
        return torch.logsumexp(log_joint, dim=experts)

    def mean(self) -> Float[Tensor, "*batch latent"]:
        """Mean of the mixture: the weighted mean of the components' means."""
        return (self.weights.unsqueeze(-1) * self.components.mean).sum(0)

    def moments(self) -> Gaussian:
        """The Gaussian of the mixture's mean and variances, sum_k w_k (var_k + (mean_k - mean)^2) in each dimension.

        Of all diagonal Gaussians it is the nearest in KL(mixture || Gaussian).
        """
        mean, weights = self.mean(), self.weights.unsqueeze(-1)
        variance = (weights * (self.components.logvar.exp() + (self.components.mean - mean) ** 2)).sum(0)
        return Gaussian(mean, torch.log(variance))

    def select(self) -> Diagonal:
        """One component per item, the items split among their components by weight: a stratified draw.

        Deterministic: item number r of those with the same weights takes the component in which (r + 1/2) / n of the
        cumulated weight falls, n items in all. Items with weights of their own take places that fill (0, 1) evenly.
        """
        places = 0.5 if self.alike else (0.5 + GOLDEN * torch.arange(self.weights[0].numel())) % 1
        return _gather(self.components, stratified_choice(self.weights, places))

    def rsample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch latent"]:
        """One reparametrised sample per item from its selected component; see `select` and `rsample_from`."""
        return self.rsample_from(generator)[0]

    def rsample_from(
        self, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch latent"], Int[Tensor, "*batch"]]:
        """One reparametrised sample per item, and the component that it comes from: no gradient reaches the weights.

        Where components outnumber items, the split begins at a random place, so that over many batches each component
        has its share: from a fixed place, batches of 64 would meet the same 64 of 255 components every time.
        """
        choice = stratified_choice(self.weights, self._start(generator))
        return _gather(self.components, choice).rsample(generator), choice

    def _start(self, generator: torch.Generator | None) -> float | Float[Tensor, "*items"]:
        """Where between 0 and 1 a sample's split begins, for all items or each."""
        places = self.weights[0].numel()
        if self.alike and places >= len(self.weights):
            return 0.5
        return torch.rand([] if self.alike else [places], generator=generator, device=self.weights.device)

    def strata(
        self, samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "samples M *batch latent"]:
        """`samples` reparametrised draws from every component, for expectations stratified over the components."""
        return self.components.draws(samples, generator)

    def entropy_bounds(self) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Closed-form lower and upper bound on the entropy (Hershey and Olsen 2007, see `spread_bounds`)."""
        inside = (self.weights * self.components.entropy()).sum(0)
        lower, upper = self.spread_bounds()
        return inside + lower, inside + upper

    def spread_bounds(self) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Bounds on H(mixture) - sum_k w_k H(q_k), the information of a sample about its component.

        Hershey and Olsen bound E_{q_k}[ln sum_j w_j q_j] from above by Jensen's inequality, with the integrals of
        q_k q_j (their product of Gaussians), and from below by their variational bound, with KL(q_k || q_j). The
        difference is worked out pair by pair, so that large entropies do not cancel. The lower bound may be negative.
        """
        rows = self.components.unsqueeze(1)  # q_k against all q_j: [K, K, *batch]
        lower = self._spread(log_overlap(rows, self.components) + rows.entropy())
        upper = self._spread(-kl(rows, self.components))
        return lower, upper

    def _spread(self, log_ratio: Float[Tensor, "M M *batch"]) -> Float[Tensor, "*batch"]:
        """-sum_k w_k ln sum_j w_j exp(log_ratio_kj)."""
        return -(self.weights * torch.logsumexp(torch.log(self.weights) + log_ratio, dim=1)).sum(0)


def checked(
    experts: Gaussian, weights: Float[Tensor, "..."], present: Bool[Tensor, "..."] | None = None, validate: bool = True
) -> tuple[Gaussian, Float[Tensor, "..."]]:
    """Experts and weights with the absent ones taken out: their weight is zero, the others' sum to one again.

    `experts` is a stack `[K, *batch, latent]`; `weights` and `present` are `[K, *batch]` or `[K]`, the same for all
    items. What an absent expert holds, even NaN, reaches neither value nor gradient. Raises ValueError on shapes that
    do not fit, on weights that are negative or do not sum to one, and on items with nothing present; `validate` False
    skips the checks of values, for which the host would wait for the device.
    """
    weights = _per_item(weights, experts, "weights").to(experts.mean.dtype)
    if validate:
        _check_weights(weights)
    if present is None:
        return experts, weights
    present = _per_item(present, experts, "present")
    weights = torch.where(present, weights, torch.zeros_like(weights))
    total = weights.sum(0)
    if validate and not (total > 0).all():
        raise ValueError(f"nothing is present with a positive weight for {_which(~(total > 0))}: leave it out")
    there, zero = present.unsqueeze(-1), torch.zeros_like(experts.mean)
    experts = Gaussian(torch.where(there, experts.mean, zero), torch.where(there, experts.logvar, zero))
    return experts, weights / total


def _per_item(values: Tensor, experts: Gaussian, name: str) -> Tensor:
    shape = experts.mean.shape[:-1]
    if values.shape not in (shape, shape[:1]):
        raise ValueError(f"{name} of shape {list(values.shape)} do not fit experts {list(shape)}")
    return values.view(-1, *[1] * (len(shape) - values.dim())).expand(shape) if values.shape != shape else values


def _check_weights(weights: Float[Tensor, "K *batch"]) -> None:
    if (weights < 0).any():
        raise ValueError(f"weights must not be negative: the smallest is {weights.min().item():.4g}")
    total = weights.sum(0)
    wrong = ~((total - 1).abs() <= 1e-4)  # NaN is wrong, too
    if wrong.any():
        raise ValueError(f"weights must sum to one: they sum to {total[wrong][0].item():.6g} for {_which(wrong)}")


def _which(wrong: Bool[Tensor, "*batch"]) -> str:
    """The first of the items that are marked, in words."""
    return f"item {wrong.nonzero()[0].tolist()}" if wrong.dim() else "the only item"


def stratified_choice(
    weights: Float[Tensor, "M *batch"], start: float | Float[Tensor, "*items"] = 0.5
) -> Int[Tensor, "*batch"]:
    """A component for each item such that items with equal weights are split among them evenly, in batch order.

    Of n such items, number r takes the component in which (r + start) / n of the cumulated weight falls; `start` is one
    number for all items, or one for each.
    """
    flat = weights.flatten(1) if weights.dim() > 1 else weights.unsqueeze(1)
    same: Bool[Tensor, "items items"] = (flat.unsqueeze(2) == flat.unsqueeze(1)).all(0)
    rank = same.tril().sum(1) - 1
    position = (rank + start) / same.sum(1)
    places = torch.arange(len(flat), device=flat.device).unsqueeze(1)
    last = torch.where(flat > 0, places, torch.zeros_like(places)).amax(0)  # rounding must not lead beyond it
    return torch.minimum((flat.cumsum(0) <= position).sum(0), last).view(weights.shape[1:])


def _gather(experts: Diagonal, choice: Int[Tensor, "*batch"]) -> Diagonal:
    index = choice.view(1, *choice.shape, 1).expand(1, *choice.shape, experts.mean.shape[-1])
    return type(experts)(experts.mean.gather(0, index)[0], experts.logvar.gather(0, index)[0])


def full_precision(x: Tensor) -> Tensor:
    """float32 where autocast made a half precision, the same tensor elsewhere: divergences need the digits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
