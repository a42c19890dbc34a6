"""A multimodal model in which nothing has to be estimated: z ~ N(0, I), x_m = W_m z + b_m + Gaussian noise.

Evidence, posteriors and ELBOs of every subset of modalities are closed forms (Bishop 2006, Section 2.3.3), so it is the
laboratory for statements about bounds and the oracle of estimators. With S = sum_m W_m' N_m^-1 W_m over the present
modalities, P the precision of the prior and h the pull sum_m W_m' N_m^-1 (x_m - b_m - W_m mean of the prior),

    p(z | X) = N(prior mean + (P + S)^-1 h, (P + S)^-1),
    ln p(X) = ln p(X | prior mean) + 1/2 h' (P + S)^-1 h - 1/2 ln |P + S| + 1/2 ln |P|.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from workbench.distributions import Gaussian, Mixture, kl
from workbench.theory import quadrature

Observations = Sequence[Float[Tensor, "batch _"]]


@dataclass(frozen=True)
class LinearGaussian:
    """M modalities x_m = W_m z + b_m + noise, the noise independent with variances exp(logvar_m)."""

    loadings: tuple[Float[Tensor, "_ latent"], ...]
    biases: tuple[Float[Tensor, "_"], ...]
    logvars: tuple[Float[Tensor, "_"], ...]

    @classmethod
    def random(
        cls, latent_dim: int, sizes: Sequence[int], generator: torch.Generator | None = None, noise: float = 1.0
    ) -> "LinearGaussian":
        """Random loadings and biases for modalities of the given sizes, in float64; `noise` is a variance."""

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        loadings, biases = tuple(draw(n, latent_dim) for n in sizes), tuple(draw(n) for n in sizes)
        return cls(loadings, biases, tuple(torch.full_like(b, noise).log() for b in biases))

    @property
    def latent_dim(self) -> int:
        """Dimensions of z."""
        return self.loadings[0].shape[1]

    def prior(self, batch: int) -> Gaussian:
        """p(z) = N(0, I), once for every item."""
        zeros = self.loadings[0].new_zeros(batch, self.latent_dim)
        return Gaussian(zeros, zeros)

    def sample(
        self, items: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "items latent"], tuple[Float[Tensor, "items _"], ...]]:
        """Latents and what they generate."""
        z = self.prior(items).rsample(generator)
        return z, tuple(p.rsample(generator) for p in self.likelihoods(z))

    def likelihoods(self, z: Float[Tensor, "*samples latent"]) -> list[Gaussian]:
        """p(x_m | z) of every modality."""
        means = [z @ w.T + b for w, b in zip(self.loadings, self.biases, strict=True)]
        return [Gaussian(mean, logvar.expand_as(mean)) for mean, logvar in zip(means, self.logvars, strict=True)]

    def log_likelihood(
        self, x: Observations, z: Float[Tensor, "*samples batch latent"], present: Bool[Tensor, "M batch"] | None = None
    ) -> Float[Tensor, "*samples batch"]:
        """ln p(X | z), in nats, of the present modalities."""
        logs = torch.stack([p.log_prob(values) for p, values in zip(self.likelihoods(z), x, strict=True)])
        there = self._present(x, present).view(len(x), *[1] * (z.dim() - 2), -1)
        return (logs * there).sum(0)

    def log_evidence(
        self, x: Observations, present: Bool[Tensor, "M batch"] | None = None, prior: Gaussian | None = None
    ) -> Float[Tensor, "batch"]:
        """ln p(X), in nats, of the present modalities; under another prior than N(0, I) when one is given."""
        prior = prior or self.prior(len(x[0]))
        precision, pull = self._natural(x, present, prior)
        factor = torch.linalg.cholesky(precision)
        half = torch.linalg.solve_triangular(factor, pull.unsqueeze(-1), upper=False).squeeze(-1)
        log_root = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * prior.logvar.sum(-1)
        return self.log_likelihood(x, prior.mean, present) + 0.5 * (half**2).sum(-1) - log_root

    def posterior(self, x: Observations, present: Bool[Tensor, "M batch"] | None = None) -> MultivariateNormal:
        """p(z | X) given the present modalities, one for every item; the prior where nothing is present."""
        prior = self.prior(len(x[0]))
        precision, pull = self._natural(x, present, prior)
        mean = torch.linalg.solve(precision, pull.unsqueeze(-1)).squeeze(-1)
        return MultivariateNormal(mean, precision_matrix=precision)

    def precision(self, present: Bool[Tensor, "M batch"]) -> Float[Tensor, "batch l l"]:
        """P + S: the precision of p(z | X) given the present modalities, which no observation changes."""
        return self._information((), present) + torch.eye(self.latent_dim, dtype=self.loadings[0].dtype)

    def marginal(self, members: Sequence[int] | None = None) -> MultivariateNormal:
        """p(X) of some modalities, all if None, side by side: N(b, W W' + N)."""
        kept = range(len(self.loadings)) if members is None else members
        parts = (self.loadings, self.biases, self.logvars)
        loadings, biases, logvars = (torch.cat([part[m] for m in kept]) for part in parts)
        return MultivariateNormal(biases, loadings @ loadings.T + torch.diag(logvars.exp()))

    def conditional_entropy(self, given: Sequence[int]) -> float:
        """H(X_rest | X_given), in nats, of the modalities that are not given: a difference of log-determinants.

        A differential entropy: with each of n dimensions of X_rest in units c times smaller it is n ln c larger.
        """
        known = self.marginal(given).entropy().item() if given else 0.0
        return self.marginal().entropy().item() - known

    def experts(self, x: Observations) -> Gaussian:
        """The best diagonal q(z | x_m) of every modality, `[M, batch, latent]`: exact with one latent dimension.

        Of all diagonal Gaussians the one with the posterior's mean and the inverse diagonal of its precision has the
        least KL(q || p(z | x_m)).
        """
        alone = torch.eye(len(x), dtype=torch.bool).unsqueeze(-1).expand(-1, -1, len(x[0]))
        return Gaussian.stack([self.best_diagonal(x, present) for present in alone])

    def best_diagonal(self, x: Observations, present: Bool[Tensor, "M batch"] | None = None) -> Gaussian:
        """The diagonal Gaussian with the least KL(q || p(z | X))."""
        exact = self.posterior(x, present)
        return Gaussian(exact.mean, -exact.precision_matrix.diagonal(dim1=-2, dim2=-1).log())

    def expected_log_likelihood(
        self, x: Observations, q: Gaussian | Mixture, present: Bool[Tensor, "M batch"] | None = None
    ) -> Float[Tensor, "batch"]:
        """E_q[ln p(X | z)], in nats: ln p(X | mean) less half the variances times the information of the modalities."""
        if isinstance(q, Mixture):
            parts = [self.expected_log_likelihood(x, component, present) for component in _components(q)]
            return (q.weights * torch.stack(parts)).sum(0)
        information = self._information(x, present).diagonal(dim1=-2, dim2=-1)
        return self.log_likelihood(x, q.mean, present) - 0.5 * (information * q.logvar.exp()).sum(-1)

    def elbo(
        self, x: Observations, q: Gaussian | Mixture, present: Bool[Tensor, "M batch"] | None = None
    ) -> Float[Tensor, "batch"]:
        """E_q[ln p(X | z)] - KL(q || p(z)), in nats (equation 2): by quadrature where q is a mixture."""
        prior = self.prior(len(x[0]))
        mixed = isinstance(q, Mixture)
        divergence = quadrature.mixture_kl(q.components, q.weights, prior) if mixed else kl(q, prior)
        return self.expected_log_likelihood(x, q, present) - divergence

    def posterior_kl(
        self, x: Observations, q: Gaussian, present: Bool[Tensor, "M batch"] | None = None
    ) -> Float[Tensor, "batch"]:
        """KL(q || p(z | X)), in nats: what the ELBO falls short of the evidence (equation 1)."""
        return kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.logvar.exp())), self.posterior(x, present))

    def _present(self, x: Observations, present: Bool[Tensor, "M batch"] | None) -> Bool[Tensor, "M batch"]:
        return torch.ones(len(x), len(x[0]), dtype=torch.bool) if present is None else present

    def _information(self, x: Observations, present: Bool[Tensor, "M batch"] | None) -> Float[Tensor, "batch l l"]:
        """S: sum_m W_m' N_m^-1 W_m over the present modalities of every item."""
        each = [w.T @ (w * torch.exp(-v).unsqueeze(1)) for w, v in zip(self.loadings, self.logvars, strict=True)]
        there = self._present(x, present).to(each[0].dtype)
        return torch.einsum("mb,mij->bij", there, torch.stack(each))

    def _natural(
        self, x: Observations, present: Bool[Tensor, "M batch"] | None, prior: Gaussian
    ) -> tuple[Float[Tensor, "batch l l"], Float[Tensor, "batch l"]]:
        """P + S and h."""
        precision = self._information(x, present) + torch.diag_embed(torch.exp(-prior.logvar))
        residuals = [values - p.mean for values, p in zip(x, self.likelihoods(prior.mean), strict=True)]
        pulls = [(r * torch.exp(-v)) @ w for r, v, w in zip(residuals, self.logvars, self.loadings, strict=True)]
        there = self._present(x, present).to(pulls[0].dtype)
        return precision, torch.einsum("mb,mbi->bi", there, torch.stack(pulls))


def _components(mixture: Mixture) -> list[Gaussian]:
    return [mixture.components[k] for k in range(mixture.weights.shape[0])]
