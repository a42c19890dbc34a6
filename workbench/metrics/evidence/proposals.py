"""What codes are proposed from for ln p(X), content and styles side by side: Gaussians and mixtures that cover.

p(X) does not depend on the subset that was given, only the proposal does, so that all posteriors may share in one
estimate. Of N draws each component gives a fixed number n_k, and every draw is weighed by the density of the whole,
sum_k n_k / N q_k: the balance heuristic (Veach and Guibas 1995), whose estimate of p(X) is unbiased whatever the n_k.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.distributions import LOG_2PI, Diagonal, Gaussian
from workbench.fusion import product_alone
from workbench.inference import ALONE, component_posterior, components, evaluated_places
from workbench.metrics.likelihood import log_given, readable
from workbench.model import MultimodalVAE, Posteriors

LogJoint = Callable[[Float[Tensor, "draws batch latent"]], Float[Tensor, "draws batch"]]
LOCAL, PRIOR = 0.8, 0.05  # shares of the draws: of what was fitted to an item, of p(z); the encoders' have the rest
WIDENED = 2.0  # variances of the copies of the encoders' posteriors, in theirs


@dataclass(frozen=True)
class FullGaussian:
    """N(mean, L L') of every item."""

    mean: Float[Tensor, "batch latent"]
    factor: Float[Tensor, "batch latent latent"]  # L, lower triangular

    def draws(self, samples: int, generator: torch.Generator | None = None) -> Float[Tensor, "samples batch latent"]:
        """Independent samples of each item."""
        noise = torch.empty_like(self.mean.expand(samples, *self.mean.shape)).normal_(generator=generator)
        return self.mean + torch.einsum("bij,sbj->sbi", self.factor, noise)

    def log_prob(self, z: Float[Tensor, "samples batch latent"]) -> Float[Tensor, "samples batch"]:
        """Log-density."""
        white = torch.linalg.solve_triangular(self.factor, (z - self.mean).movedim(0, -1), upper=False)
        log_root = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (-0.5 * (white**2).sum(1) - (log_root + 0.5 * z.shape[-1] * LOG_2PI).unsqueeze(-1)).T


@dataclass(frozen=True)
class Stratified:
    """A proposal for every item: components, and how many draws each of them gives."""

    components: Sequence[Diagonal | FullGaussian]
    counts: Sequence[int]

    @classmethod
    def of(cls, shares: Sequence[tuple[Diagonal | FullGaussian, float]], draws: int) -> "Stratified":
        """Split so many draws by shares, the largest remainders rounded up; who gets none is no component."""
        total = sum(share for _, share in shares)
        exact = [draws * share / total for _, share in shares]
        counts = [math.floor(x) for x in exact]
        for place in sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])[: draws - sum(counts)]:
            counts[place] += 1
        kept = [(component, n) for (component, _), n in zip(shares, counts, strict=True) if n]
        return cls(*zip(*kept, strict=True))

    def draws(self, generator: torch.Generator | None = None) -> Float[Tensor, "draws batch latent"]:
        """All draws, component by component."""
        return torch.cat([q.draws(n, generator) for q, n in zip(self.components, self.counts, strict=True)])

    def strata(self) -> Int[Tensor, "draws"]:
        """Which component each draw comes from."""
        return torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))

    def log_prob(self, z: Float[Tensor, "draws batch latent"]) -> Float[Tensor, "draws batch"]:
        """Log-density of the whole mixture, never that of the component drawn from."""
        total = sum(self.counts)
        parts = [math.log(n / total) + q.log_prob(z) for q, n in zip(self.components, self.counts, strict=True)]
        return torch.logsumexp(torch.stack(parts), 0)


def log_joint_of(model: MultimodalVAE, batch: Batch) -> LogJoint:
    """ln p(X, c, s_1 .. s_M) of codes side by side, of the modalities that an item has, without loss weights."""
    values = [readable(x, there) for x, there in zip(batch.values, batch.present, strict=True)]

    def log_joint(z: Tensor) -> Tensor:
        content, *styles = z.split([model.content_dim] + [model.style_dim] * len(values), -1)
        total = model.prior(z).log_prob(z)
        for m, style in enumerate(styles):
            total = total + log_given(model, m, values[m], content, style).where(batch.present[m], 0.0)
        return total

    return log_joint


def encoded(
    model: MultimodalVAE, q: Posteriors, fusions: Sequence[str], prior_weight: float | None = None
) -> list[Diagonal]:
    """What the encoders propose: components of all evaluated subsets' posteriors, the products of Gaussians besides."""
    given = evaluated_places(model)
    parts = dict.fromkeys(part for fusion in fusions for subset in given for part in components(fusion, subset))
    if model.family is Gaussian:
        parts |= dict.fromkeys((ALONE, subset) for subset in given)
    return [beside_styles(q, component_posterior(model, q, part, prior_weight)) for part in parts]


def beside_styles(q: Posteriors, content: Diagonal) -> Diagonal:
    """A content's distribution with the styles' own posteriors beside it; those of absent modalities are p(s)."""
    there = q.present.unsqueeze(-1)
    parts = [
        torch.cat([x, *own.where(there, 0.0)], -1)
        for x, own in ((content.mean, q.style.mean), (content.logvar, q.style.logvar))
    ]
    return type(content)(*parts)


def fused(q: Posteriors) -> Gaussian:
    """The product of an item's own posteriors, as if all were Gaussian: where to look for p(z | X) first."""
    return beside_styles(q, product_alone(Gaussian(q.content.mean, q.content.logvar), q.present))


def covering(
    model: MultimodalVAE, encoders: Sequence[Diagonal], draws: int, local: FullGaussian | None = None
) -> Stratified:
    """A defensive mixture: what was fitted to an item, the encoders' posteriors, their widened copies, and p(z)."""
    wide = [type(q)(q.mean, q.logvar + math.log(WIDENED)) for q in encoders]
    rest = (1 - PRIOR - (LOCAL if local else 0)) / (2 * len(encoders))
    shares: list[tuple] = [(local, LOCAL)] if local else []
    return Stratified.of(
        [*shares, (model.prior(encoders[0].mean), PRIOR), *((q, rest) for q in (*encoders, *wide))], draws
    )
