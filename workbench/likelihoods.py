"""Likelihoods p(x | z): what a decoder's output means, its log-probability, its mean and draws from it.

A likelihood has one or two numbers an entry of x. The two stand side by side in the output, `[batch, 2, *entries]`.
Entries of x that are missing, NaN in numbers and negative in tokens, count nothing in the log-probability. All images
of a modality are whole, so that `Laplace`, the likelihood of images, looks for NaN in vectors alone.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench import distributions
from workbench.distributions import LOG_2PI, full_precision

SMALLEST_SCALE = 0.01  # of normal distributions of standardised data, so that an entry that never varies has a density
MOST = 40.0  # of the logarithm of expected counts, which are below 2^24: what is far from all data stays finite
DISPERSIONS = (1e-4, 1e6)  # of negative binomials: from almost all zeros to Poisson distributions


@runtime_checkable
class Likelihood(Protocol):
    """A decoder's output as a distribution over one modality."""

    def log_prob(self, output: Tensor, x: Tensor) -> Float[Tensor, "batch"]:
        """ln p(x | output), in nats, summed over all dimensions but the first."""

    def mean(self, output: Tensor) -> Tensor:
        """The distribution's mean, the form in which generations are shown and classified."""

    def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A draw of x for each item of the output, without gradient; the generator is one of the output's device."""


@dataclass(frozen=True)
class Laplace:
    """Independent Laplace distributions of pixels around the output: density exp(-|x - output| / scale) / (2 scale)."""

    scale: float = 0.75
    numbers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"the scale of a Laplace likelihood must be positive, not {self.scale}")

    def log_prob(
        self, output: Float[Tensor, "batch *pixels"], x: Float[Tensor, "batch *pixels"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the pixels."""
        output, entries = full_precision(output), x.shape[1:].numel()
        if x.dim() == 2:  # looking for NaN in images would take this function three times as long
            x, missing = _filled(x)
            output, entries = output.masked_fill(missing, 0), (~missing).sum(1, dtype=output.dtype)
        # summed first: one number an item is scaled, not every pixel
        distance = (x - output).abs().sum(tuple(range(1, x.dim())))
        return -distance / self.scale - entries * math.log(2 * self.scale)

    def mean(self, output: Float[Tensor, "batch *pixels"]) -> Float[Tensor, "batch *pixels"]:
        """The output itself: pixels, mostly but not strictly in [0, 1]."""
        return full_precision(output)

    @torch.no_grad()
    def sample(
        self, output: Float[Tensor, "batch *pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *pixels"]:
        """Pixels."""
        output = full_precision(output)
        logvar = torch.full_like(output, math.log(2 * self.scale**2))
        return distributions.Laplace(output, logvar).rsample(generator)


@dataclass(frozen=True)
class Normal:
    """Independent normal distributions of the output's means and log scales, which are learnt beside the networks.

    Scales are 0.01 at least. With one log scale for all items it is the sigma-VAE of Rybkin et al. (2021).
    """

    numbers: ClassVar[int] = 2

    def log_prob(
        self, output: Float[Tensor, "batch 2 *entries"], x: Float[Tensor, "batch *entries"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the entries that are there."""
        (mean, log_scale), (x, missing) = self._parameters(output), _filled(x)
        log_p = -0.5 * ((x - mean) * torch.exp(-log_scale)) ** 2 - log_scale - 0.5 * LOG_2PI
        return _sum(log_p, missing)

    def mean(self, output: Float[Tensor, "batch 2 *entries"]) -> Float[Tensor, "batch *entries"]:
        """The first of the two numbers."""
        return self._parameters(output)[0]

    def scale(self, output: Float[Tensor, "batch 2 *entries"]) -> Float[Tensor, "batch *entries"]:
        """Standard deviations."""
        return torch.exp(self._parameters(output)[1])

    @torch.no_grad()
    def sample(
        self, output: Float[Tensor, "batch 2 *entries"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *entries"]:
        """Real numbers."""
        mean, log_scale = self._parameters(output)
        return distributions.Gaussian(mean, 2 * log_scale).rsample(generator)

    def _parameters(self, output: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = full_precision(output).unbind(1)
        return mean, _between(log_scale, math.log(SMALLEST_SCALE), math.inf)


@dataclass(frozen=True)
class Bernoulli:
    """Independent Bernoulli distributions of entries 0 and 1; the output holds logits."""

    numbers: ClassVar[int] = 1

    def log_prob(
        self, output: Float[Tensor, "batch *entries"], x: Float[Tensor, "batch *entries"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the entries that are there."""
        x, missing = _filled(x)
        return _sum(-F.binary_cross_entropy_with_logits(full_precision(output), x, reduction="none"), missing)

    def mean(self, output: Float[Tensor, "batch *entries"]) -> Float[Tensor, "batch *entries"]:
        """Probabilities of 1."""
        return torch.sigmoid(full_precision(output))

    @torch.no_grad()
    def sample(
        self, output: Float[Tensor, "batch *entries"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *entries"]:
        """Zeros and ones."""
        return torch.bernoulli(self.mean(output), generator=generator)


@dataclass(frozen=True)
class Categorical:
    """One categorical distribution per position; the output holds unnormalised log-probabilities."""

    numbers: ClassVar[None] = None  # as many as there are levels, in the last dimension

    def log_prob(
        self, output: Float[Tensor, "batch length alphabet"], x: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the positions that are there."""
        log_p = torch.log_softmax(full_precision(output), dim=-1)
        return _sum(log_p.gather(2, x.clamp(min=0).unsqueeze(2)).squeeze(2), x < 0)

    def mean(self, output: Float[Tensor, "batch length alphabet"]) -> Float[Tensor, "batch length alphabet"]:
        """Probabilities of the characters at each position."""
        return torch.softmax(full_precision(output), dim=-1)

    @torch.no_grad()
    def sample(
        self, output: Float[Tensor, "batch length alphabet"], generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch length"]:
        """Tokens."""
        probabilities = self.mean(output).flatten(0, 1)
        return torch.multinomial(probabilities, 1, generator=generator).view(output.shape[:2])


@dataclass(frozen=True)
class NegativeBinomial:
    """Independent negative binomial distributions of counts: of the output's ln mean and ln dispersion r.

    The variance is mean + mean^2 / r, so that counts are Poisson distributed where r is large. r is within DISPERSIONS.
    """

    numbers: ClassVar[int] = 2

    def log_prob(
        self, output: Float[Tensor, "batch 2 *entries"], x: Float[Tensor, "batch *entries"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the entries that are there."""
        (log_mean, log_r), (x, missing) = self._parameters(output), _filled(x)
        # differences of log-gamma functions of large numbers need the digits, which Apple's GPUs have not
        wide = torch.float32 if output.device.type == "mps" else torch.float64
        log_mean, log_r, x = log_mean.to(wide), log_r.to(wide), x.to(wide)
        r = torch.exp(log_r)
        p = torch.distributions.NegativeBinomial(r, logits=log_mean - log_r, validate_args=False)
        return _sum(p.log_prob(x), missing).to(full_precision(output).dtype)

    def mean(self, output: Float[Tensor, "batch 2 *entries"]) -> Float[Tensor, "batch *entries"]:
        """Expected counts."""
        return torch.exp(self._parameters(output)[0])

    @torch.no_grad()
    def sample(
        self, output: Float[Tensor, "batch 2 *entries"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *entries"]:
        """Counts: Poisson draws whose rates are gamma distributed."""
        log_mean, log_r = self._parameters(output)
        # torch.distributions takes no generator; this is the function behind its gamma distribution
        rates = torch._standard_gamma(torch.exp(log_r), generator=generator) * torch.exp(log_mean - log_r)
        return torch.poisson(rates, generator=generator)

    def _parameters(self, output: Tensor) -> tuple[Tensor, Tensor]:
        log_mean, log_r = full_precision(output).unbind(1)
        return _between(log_mean, -math.inf, MOST), _between(log_r, *map(math.log, DISPERSIONS))


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "laplace": Laplace,
    "normal": Normal,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "negative-binomial": NegativeBinomial,
}


def likelihood_of(what: str | Likelihood) -> Likelihood:
    """A likelihood by its name, or as it is given; ValueError on a name that is unknown."""
    if not isinstance(what, str):
        return what
    if what not in LIKELIHOODS:
        raise ValueError(f"unknown likelihood {what!r}: choose one of {', '.join(LIKELIHOODS)}")
    return LIKELIHOODS[what]()


def name_of(likelihood: Likelihood) -> str:
    """The name of a likelihood, or of its class where it is none of LIKELIHOODS."""
    return next((name for name, kind in LIKELIHOODS.items() if type(likelihood) is kind), type(likelihood).__name__)


def to_json(likelihood: Likelihood) -> dict[str, Any]:
    """A likelihood as JSON can hold it: its name and its settings. ValueError when it is none of LIKELIHOODS."""
    name = name_of(likelihood)
    if name not in LIKELIHOODS:
        raise ValueError(f"the likelihood {name} has no name: add it to workbench.likelihoods.LIKELIHOODS")
    return {"name": name} | asdict(likelihood)


def from_json(kept: dict[str, Any]) -> Likelihood:
    """The likelihood that `to_json` kept."""
    settings = {name: value for name, value in kept.items() if name != "name"}
    return type(likelihood_of(kept["name"]))(**settings)


def _filled(
    x: Float[Tensor, "batch *entries"],
) -> tuple[Float[Tensor, "batch *entries"], Bool[Tensor, "batch *entries"]]:
    """x with zeros for what is missing, and what is: NaN must not reach the gradient, not even times zero."""
    missing = x.isnan()
    return x.masked_fill(missing, 0), missing


def _sum(log_p: Float[Tensor, "batch *entries"], missing: Bool[Tensor, "batch *entries"]) -> Float[Tensor, "batch"]:
    """The sum of each item's log-probabilities, without those of entries that are missing."""
    return log_p.masked_fill(missing, 0).flatten(1).sum(1)


def _between(x: Tensor, low: float, high: float) -> Tensor:
    """x clamped, with the gradient of x: a parameter that went beyond a bound must find its way back."""
    return x.detach().clamp(low, high) + (x - x.detach())
