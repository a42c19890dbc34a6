"""A Gaussian fitted to each item's own p(z | X): what encoders leave to be desired is made good (Cremer et al. 2018).

Encoders are shared by all items, trained with the weights of the losses, and their posteriors are diagonal: with those
alone hardly two of a hundred draws count. From the product of an item's posteriors on, means and variances climb the
item's own ELBO, by pairs of opposite draws. The gradients of a pair differ by what the curvature makes of the way
between them, so that the pairs of the second half also give the whole precision: least squares, drawn to the diagonal.
No estimate is made of these draws, so that what rests on the fitted Gaussian is as unbiased as with any proposal.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.device import double
from workbench.distributions import Gaussian
from workbench.metrics.evidence.proposals import FullGaussian, LogJoint

STEPS, RATE = 200, 0.1  # of Adam; its rate falls to a twentieth along a cosine
RIDGE = 5.0  # pairs that say that the precision is diagonal
LEAST = 0.5  # precision in any direction: p(z) alone has 1, and what is less comes from noise
WIDER = 1.3  # variances, in those that were fitted: weights are bounded by tails


@torch.enable_grad()
def fitted(
    log_joint: LogJoint, start: Gaussian, generator: torch.Generator | None = None, steps: int = STEPS
) -> FullGaussian:
    """The Gaussian that was fitted to each item, a little wider; `start` is taken to be no wider than p(z)."""
    mean, logvar = start.mean.detach().clone(), start.logvar.detach().clamp(-6.0, 0.0)
    optimiser = torch.optim.Adam(
        [{"params": [mean], "lr": RATE}, {"params": [logvar], "lr": 1.5 * RATE}], betas=(0.9, 0.95)
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, RATE / 20)
    ways, differences = [], []
    for step in range(steps):
        way = torch.exp(0.5 * logvar) * torch.empty_like(mean).normal_(generator=generator)
        one, other = gradient(log_joint, torch.stack([mean + way, mean - way]))[1]
        # of the ELBO by the reparametrised draws, the entropy's own in closed form; Adam descends
        mean.grad, logvar.grad = -(one + other) / 2, -((one - other) * way / 4 + 0.5)
        if step >= steps // 2:
            ways.append(way)
            differences.append((one - other) / 2)
        optimiser.step()
        schedule.step()
    factor = _factor(torch.stack(ways, 1), torch.stack(differences, 1), torch.exp(0.5 * logvar))
    return FullGaussian(mean, factor)


@torch.enable_grad()
def gradient(log_joint: LogJoint, z: Float[Tensor, "draws batch latent"]) -> tuple[Tensor, Tensor]:
    """The log-joint of every draw, and its gradient."""
    z = z.detach().requires_grad_()
    value = log_joint(z)
    return value.detach(), torch.autograd.grad(value.sum(), z)[0]


def _factor(
    ways: Float[Tensor, "batch pairs latent"],
    differences: Float[Tensor, "batch pairs latent"],
    deviation: Float[Tensor, "batch latent"],
) -> Float[Tensor, "batch latent latent"]:
    """L of the widened covariance, from gradients' differences = -precision times the ways, in units of `deviation`."""
    unit = double(deviation).unsqueeze(1)
    x, y = double(ways) / unit, -double(differences) * unit
    ridge = RIDGE * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    precision = torch.linalg.solve(x.mT @ x + ridge, x.mT @ y + ridge)
    precision = (precision + precision.mT) / (2 * unit * unit.mT)
    values, vectors = torch.linalg.eigh(precision)
    root = vectors * (WIDER / values.clamp(min=LEAST)).sqrt().unsqueeze(-2)
    return torch.linalg.cholesky(root @ root.mT).to(deviation)
