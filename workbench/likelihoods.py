"""Likelihoods p(x | z): what a decoder's output means, its log-probability and its mean."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Likelihood(Protocol):
    """A decoder's output as a distribution over one modality."""

    def log_prob(self, output: Tensor, x: Tensor) -> Float[Tensor, "batch"]:
        """ln p(x | output), in nats, summed over all dimensions but the first."""

    def mean(self, output: Tensor) -> Tensor:
        """The distribution's mean, the form in which generations are shown and classified."""


@dataclass(frozen=True)
class Laplace:
    """Independent Laplace distributions of pixels around the output: density exp(-|x - output| / scale) / (2 scale)."""

    scale: float = 0.75

    def log_prob(
        self, output: Float[Tensor, "batch *pixels"], x: Float[Tensor, "batch *pixels"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the pixels."""
        # summed first: one number an item is scaled, not every pixel
        distance = (x - output).abs().sum(tuple(range(1, x.dim())))
        return -distance / self.scale - x.shape[1:].numel() * math.log(2 * self.scale)

    def mean(self, output: Float[Tensor, "batch *pixels"]) -> Float[Tensor, "batch *pixels"]:
        """The output itself: pixels, mostly but not strictly in [0, 1]."""
        return output


@dataclass(frozen=True)
class Categorical:
    """One categorical distribution per position; the output holds unnormalised log-probabilities."""

    def log_prob(
        self, output: Float[Tensor, "batch length alphabet"], x: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch"]:
        """ln p(x | output), summed over the positions."""
        log_p = torch.log_softmax(output, dim=-1)
        return log_p.gather(2, x.unsqueeze(2)).squeeze(2).sum(1)

    def mean(self, output: Float[Tensor, "batch length alphabet"]) -> Float[Tensor, "batch length alphabet"]:
        """Probabilities of the characters at each position."""
        return torch.softmax(output, dim=-1)
