"""Densities of codes, fitted by maximum likelihood: a mixture of Gaussians, and a flow that bends one.

Both draw, and tell the log-density of a code in nats, so that held-out codes say which of them is nearer to the truth.
"""

import warnings

import numpy as np
import torch
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from workbench.distributions import Diagonal

COMPONENTS = 10  # of a mixture: as many as Ghosh et al. (2020) take
BY_BIC = (1, 2, 5, 10, 20, 40)  # numbers of components that the Bayesian information criterion chooses among
LAYERS, HIDDEN = 6, 64  # of a flow: couplings, and units in each of their two hidden layers
PASSES, BATCH, RATE = 16, 256, 4e-3  # over the items
FEWEST_STEPS = 100
MOST_LOG_SCALE = 2.0  # of one coupling


class Gmm(nn.Module):
    """sum_k w_k N(z; m_k, L_k L_k^T), with full covariances."""

    def __init__(self, weights: Float[Tensor, "K"], mean: Float[Tensor, "K d"], scale: Float[Tensor, "K d d"]) -> None:
        super().__init__()
        for name, tensor in {"weights": weights, "mean": mean, "scale": scale}.items():
            self.register_buffer(name, tensor)

    @classmethod
    def fit(cls, codes: Float[Tensor, "n d"], components: int | str = COMPONENTS, seed: int = 0) -> "Gmm":
        """Fit scikit-learn's GaussianMixture; "bic" chooses the number of components among BY_BIC.

        There are no more components than have d + 1 items each: a covariance of fewer has no inverse.
        """
        found, most = codes.double().numpy(), max(1, len(codes) // (codes.shape[1] + 1))
        counts = dict.fromkeys(min(count, most) for count in (BY_BIC if components == "bic" else [int(components)]))
        fitted = [_expectation_maximisation(found, count, seed) for count in counts]
        best = min(fitted, key=lambda mixture: mixture.bic(found)) if len(fitted) > 1 else fitted[0]
        parts = best.weights_, best.means_, np.linalg.cholesky(best.covariances_)
        return cls(*(torch.from_numpy(part).float() for part in parts))

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Log-density in nats."""
        parts = MultivariateNormal(self.mean, scale_tril=self.scale, validate_args=False)
        return MixtureSameFamily(Categorical(self.weights), parts, validate_args=False).log_prob(z)

    def draw(
        self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Float[Tensor, "count d"]:
        """Draw codes; the temperature scales their distances from the means of their components."""
        chosen = self.weights.multinomial(count, replacement=True, generator=generator)
        noise = torch.empty(count, self.mean.shape[1], 1).normal_(generator=generator)
        return self.mean[chosen] + temperature * (self.scale[chosen] @ noise).squeeze(-1)


def _expectation_maximisation(codes: np.ndarray, components: int, seed: int) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # held-out codes tell what the fit is worth
        return GaussianMixture(components, max_iter=200, random_state=seed).fit(codes)


class Flow(nn.Module):
    """An invertible map from codes to codes of a mixture: coupling layers, at first the identity (Dinh et al. 2017).

    A layer scales and shifts one half of the dimensions by what the other half says; layers take turns. All of it works
    in standard deviations of the mixture. ln p(z) = ln base(f(z)) + ln |det df/dz|.
    """

    def __init__(self, base: Gmm, seed: int = 0) -> None:
        super().__init__()
        self.base, dims = base, base.mean.shape[1]
        mean = base.weights @ base.mean
        variance = base.weights @ (base.scale.square().sum(-1) + (base.mean - mean).square())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            halves = torch.stack([torch.randperm(dims) < dims // 2 for _ in range(LAYERS // 2)])
            self.layers = nn.ModuleList(_network(dims) for _ in range(LAYERS))
        for name, tensor in {"mean": mean, "deviation": variance.sqrt()}.items():
            self.register_buffer(name, tensor)
        self.register_buffer("kept", torch.stack([halves, ~halves], 1).flatten(0, 1))

    @classmethod
    def fit(cls, base: Gmm, posterior: Diagonal, seed: int = 0) -> "Flow":
        """Fit to the aggregate of posteriors `[n, d]`: maximum likelihood of draws that are new at every step."""
        flow, generator = cls(base, seed), torch.Generator().manual_seed(seed)
        steps = max(FEWEST_STEPS, PASSES * len(posterior.mean) // BATCH)
        optimiser = torch.optim.Adam(flow.parameters(), lr=RATE, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            rows = torch.randint(len(posterior.mean), (BATCH,), generator=generator)
            loss = -flow.log_prob(posterior[rows].rsample(generator)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return flow.requires_grad_(False)

    def to_base(self, z: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n"]]:
        """Map codes to the mixture's, with the logarithm of the determinant."""
        u, log_det = (z - self.mean) / self.deviation, z.new_zeros(len(z))
        for kept, network in zip(self.kept, self.layers, strict=True):
            log_scale, shift = _bend(network, u, kept)
            u, log_det = u * log_scale.exp() + shift, log_det + log_scale.sum(-1)
        return u * self.deviation + self.mean, log_det

    def from_base(self, w: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map the mixture's codes back: the inverse of `to_base`."""
        u = (w - self.mean) / self.deviation
        for kept, network in reversed([*zip(self.kept, self.layers, strict=True)]):
            log_scale, shift = _bend(network, u, kept)
            u = (u - shift) * (-log_scale).exp()
        return u * self.deviation + self.mean

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Log-density in nats."""
        w, log_det = self.to_base(z)
        return self.base.log_prob(w) + log_det

    def draw(
        self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Float[Tensor, "count d"]:
        """Draw codes; the temperature is that of the mixture."""
        return self.from_base(self.base.draw(count, generator, temperature))


def _network(dims: int) -> nn.Sequential:
    last = nn.Linear(HIDDEN, 2 * dims)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(dims, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), last)


def _bend(network: nn.Module, u: Float[Tensor, "n d"], kept: Tensor) -> tuple[Float[Tensor, "n d"], Tensor]:
    """Log-scales and shifts of the dimensions that are not kept, zero of those that are."""
    log_scale, shift = (network(u * kept) * ~kept.repeat(2)).chunk(2, dim=-1)
    return MOST_LOG_SCALE * torch.tanh(log_scale / MOST_LOG_SCALE), shift
