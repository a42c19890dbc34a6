"""Annealed importance sampling (Neal 2001): the judge of estimates whose proposal may have missed something.

From draws of a Gaussian q a chain is led to p(z | X) along q^(1 - b) p(X, z)^b, b from 0 to 1: at every step the weight
takes the ratio of the next density to this one, and Hamiltonian Monte Carlo moves the code by what leaves the next
density as it is. The product of the ratios is an unbiased estimate of p(X), as one of importance sampling is, but its
variance is that of the small steps. The step sizes are learnt, for each item and temperature, by chains that are
thrown away; those that count run at fixed ones, so that nothing they have seen moves them.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.metrics.evidence.local import gradient
from workbench.metrics.evidence.proposals import FullGaussian, LogJoint
from workbench.metrics.likelihood import LogEstimate, log_mean_exp

CHAINS, TEMPERATURES, LEAPS = 4, 60, 4
PILOTS = 2  # chains that learn the step sizes
ACCEPTED, FASTER = 0.8, 1.1  # the share to be accepted, and by how much a step grows that is above it


def annealed(
    log_joint: LogJoint,
    start: FullGaussian,
    generator: torch.Generator | None = None,
    chains: int = CHAINS,
    temperatures: int = TEMPERATURES,
) -> LogEstimate:
    """ln of the integral of exp(log_joint(z)) by so many chains for each item, moved in the units of `start`.

    With one chain the standard error is NaN.
    """
    _, sizes = _path(log_joint, start, PILOTS, temperatures, generator)
    log_weights, _ = _path(log_joint, start, chains, temperatures, generator, sizes)
    return log_mean_exp(log_weights.unsqueeze(1), torch.ones_like(log_weights[:1]))


def _path(
    log_joint: LogJoint,
    start: FullGaussian,
    chains: int,
    temperatures: int,
    generator: torch.Generator | None,
    sizes: Float[Tensor, "temperatures batch"] | None = None,
) -> tuple[Float[Tensor, "chains batch"], Float[Tensor, "temperatures batch"]]:
    """Log-weights of chains, and the step sizes that they took: those given, or what acceptance made of them."""
    size, taken = torch.full_like(start.mean[:, 0], 0.5), []
    z = start.draws(chains, generator)
    state = _State.at(log_joint, start, z)
    log_weights = torch.zeros_like(z[..., 0])
    # smaller steps at both ends: where few draws of q count, and where p(z | X) is sharpest
    levels = torch.sin(torch.linspace(-math.pi / 2, math.pi / 2, temperatures + 1)).add(1).div(2).tolist()
    for place, (now, after) in enumerate(pairwise(levels)):
        log_weights = log_weights + (after - now) * (state.target - state.base)
        size = size if sizes is None else sizes[place]
        taken.append(size)
        state, accepted = _move(state, after, size, generator)
        if sizes is None:
            size = torch.where(accepted > ACCEPTED, size * FASTER, size / FASTER)
    return log_weights, torch.stack(taken)


@dataclass(frozen=True)
class _State:
    """Codes of all chains, what both ends of the path say of them, and the slopes in the units of the start."""

    log_joint: LogJoint
    start: FullGaussian
    z: Float[Tensor, "chains batch latent"]
    base: Float[Tensor, "chains batch"]
    target: Float[Tensor, "chains batch"]
    slopes: tuple[Tensor, ...]  # of base and target

    @classmethod
    def at(cls, log_joint: LogJoint, start: FullGaussian, z: Float[Tensor, "chains batch latent"]) -> "_State":
        """The state at some codes."""
        target, slope = gradient(log_joint, z)
        base, base_slope = gradient(start.log_prob, z)
        slopes = tuple(torch.einsum("bji,sbj->sbi", start.factor, x) for x in (base_slope, slope))
        return cls(log_joint, start, z, base, target, slopes)

    def log_density(self, level: float) -> Float[Tensor, "chains batch"]:
        """The log-density on the path, unnormalised."""
        return (1 - level) * self.base + level * self.target

    def slope(self, level: float) -> Float[Tensor, "chains batch latent"]:
        """Its gradient."""
        return (1 - level) * self.slopes[0] + level * self.slopes[1]

    def moved(self, way: Float[Tensor, "chains batch latent"]) -> "_State":
        """The state at codes that are so far away, in the units of the start."""
        return self.at(self.log_joint, self.start, self.z + torch.einsum("bij,sbj->sbi", self.start.factor, way))

    def kept(self, old: "_State", accepted: Tensor) -> "_State":
        """These chains where they are accepted, the old ones elsewhere."""
        wide = accepted.unsqueeze(-1)
        return replace(
            self,
            z=self.z.where(wide, old.z),
            base=self.base.where(accepted, old.base),
            target=self.target.where(accepted, old.target),
            slopes=tuple(x.where(wide, y) for x, y in zip(self.slopes, old.slopes, strict=True)),
        )


def _move(
    state: _State, level: float, size: Float[Tensor, "batch"], generator: torch.Generator | None
) -> tuple[_State, Float[Tensor, "batch"]]:
    """One Hamiltonian step of every chain (Neal 2011), and the mean probability with which an item's are accepted."""
    step = size.unsqueeze(-1)
    momentum = torch.empty_like(state.z).normal_(generator=generator)
    before = state.log_density(level) - 0.5 * (momentum**2).sum(-1)
    there, momentum = state, momentum + 0.5 * step * state.slope(level)
    for leap in range(LEAPS):
        there = there.moved(step * momentum)
        momentum = momentum + (1.0 if leap < LEAPS - 1 else 0.5) * step * there.slope(level)
    log_ratio = there.log_density(level) - 0.5 * (momentum**2).sum(-1) - before
    log_ratio = torch.nan_to_num(log_ratio, nan=-math.inf, posinf=-math.inf)  # a leap too far
    uniform = torch.empty_like(log_ratio).uniform_(generator=generator)
    return there.kept(state, uniform.log() < log_ratio), log_ratio.clamp(max=0.0).exp().mean(0)
