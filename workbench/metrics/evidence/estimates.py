"""ln p(X) of items by proposals that cover, what the weights say of themselves, and a whole model in numbers."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.device import double
from workbench.metrics.evidence import local, pareto
from workbench.metrics.evidence.annealed import annealed
from workbench.metrics.evidence.proposals import LogJoint, Stratified, covering, encoded, fused, log_joint_of
from workbench.metrics.likelihood import LogEstimate, joined, summary
from workbench.model import MultimodalVAE

DRAWS = 100
MORE = 10  # times as many, which say how far a bound may still be from ln p(X)
ITEMS, MORE_ITEMS, ANNEALED_ITEMS = 500, 300, 100  # the first of all: estimated, with more draws, annealed
AT_A_TIME = 100  # items


@dataclass(frozen=True)
class Weighed(LogEstimate):
    """An estimate of ln p(X), in expectation a lower bound, and what the tail of its weights says."""

    smoothed: Float[Tensor, "batch"]  # ln p(X) by weights with a Pareto tail
    k_hat: Float[Tensor, "batch"]


@torch.no_grad()
def weighed(log_joint: LogJoint, proposal: Stratified, generator: torch.Generator | None = None) -> Weighed:
    """ln of the integral of exp(log_joint(z)) by the draws of a proposal, of every item."""
    z = proposal.draws(generator)
    log_weights = double(log_joint(z) - proposal.log_prob(z))
    draws = len(log_weights)
    total = torch.logsumexp(log_weights, 0) - math.log(draws)
    share = torch.exp(log_weights - total)
    tail, k_hat = pareto.smoothed(log_weights)
    return Weighed(
        total,
        stratified_error(share, proposal.strata().to(share.device)),
        share.sum(0) ** 2 / (share**2).sum(0),
        torch.logsumexp(tail, 0) - math.log(draws),
        k_hat,
    )


def stratified_error(share: Float[Tensor, "draws batch"], strata: Int[Tensor, "draws"]) -> Float[Tensor, "batch"]:
    """The standard error of the mean of draws from strata, from their spread within each.

    Strata of a single draw are counted as one stratum, whose error is at least as large on average; where there is one
    such draw, it joins the smallest of the others. NaN for a single draw in all.
    """
    counts = torch.bincount(strata)
    alone = counts == 1
    one = alone.sum() == 1 and len(counts) > 1
    host = torch.where(alone, len(strata), counts).argmin() if one else strata.new_tensor(len(counts))
    strata = torch.where(alone[strata], host, strata)
    member = torch.nn.functional.one_hot(strata).T.to(share)
    size = member.sum(1, keepdim=True)
    squares = (share - member.T @ (member @ share / size.clamp(min=1))) ** 2
    spread = (member @ squares) * torch.where(size > 0, size / (size - 1), 0.0)
    return spread.sum(0).sqrt() / len(share)


class Proposals:
    """What the codes of some items are proposed from: what the encoders give, and a Gaussian fitted to each item.

    Posteriors are those that some fusions (of `fusion.FUSIONS`) give of all evaluated subsets; `steps` 0 fits nothing.
    Modalities that an item lacks have no part in its p(X).
    """

    def __init__(
        self,
        model: MultimodalVAE,
        batch: Batch,
        fusions: Sequence[str],
        prior_weight: float | None = None,
        generator: torch.Generator | None = None,
        steps: int = local.STEPS,
    ) -> None:
        with torch.no_grad():
            q = model.encode(batch)
            self.encoders, start = encoded(model, q, fusions, prior_weight), fused(q)
        self.model, self.generator, self.log_joint = model, generator, log_joint_of(model, batch)
        self.local = local.fitted(self.log_joint, start, generator, steps) if steps else None

    def weighed(self, draws: int = DRAWS) -> Weighed:
        """ln p(X) by importance sampling: in expectation at most that, in nats and without the losses' weights."""
        return weighed(self.log_joint, covering(self.model, self.encoders, draws, self.local), self.generator)

    def annealed(self) -> LogEstimate:
        """ln p(X) by annealing from the fitted Gaussian; ValueError where none was fitted."""
        if self.local is None:
            raise ValueError("annealing starts from Gaussians that are fitted to the items: let them take some steps")
        return annealed(self.log_joint, self.local, self.generator)


def judged(
    model: MultimodalVAE,
    batches: Iterable[Batch],
    fusions: Sequence[str],
    draws: int = DRAWS,
    generator: torch.Generator | None = None,
    prior_weight: float | None = None,
    annealing: bool = False,
    steps: int = local.STEPS,
    progress: Callable[[int], Any] = lambda items: None,
) -> tuple[dict[str, float], dict[str, float]]:
    """The evidence of some items in numbers, and the standard errors of those that have one.

    `nats` is the mean over all items and `smoothed` the same with Pareto tails; `gain` is what ten times the draws add
    to it on the first MORE_ITEMS, and `annealed_gap` what annealing does on the first ANNEALED_ITEMS, if asked for.
    Numbers of effective draws and k-hat are medians. Errors of means over items are of the draws alone, those of the
    two differences also of the choice of items.
    """
    found, more, chains, items = [], [], [], 0
    for batch in (piece for whole in batches for piece in whole.split(AT_A_TIME)):
        proposals = Proposals(model, batch, fusions, prior_weight, generator, steps)
        found.append(proposals.weighed(draws))
        more += [proposals.weighed(MORE * draws)] if items < MORE_ITEMS else []
        chains += [proposals.annealed()] if annealing and items < ANNEALED_ITEMS else []
        items += batch.size
        progress(batch.size)
    return numbers(draws, joined(found), joined(more), joined(chains) if chains else None)


def numbers(
    draws: int, found: Weighed, more: Weighed, chains: LogEstimate | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """What `judged` gives, of the estimates of all items, of the first with more draws, and of the first annealed."""
    known = {"nats": summary(found)["nats"], "smoothed": found.smoothed.mean().item()}
    known |= {"draws": draws, "items": len(found.value), "effective_samples": found.effective_samples.median().item()}
    known |= {"effective_samples_mean": found.effective_samples.mean().item(), "k_hat": found.k_hat.median().item()}
    known["k_hat_above"] = (found.k_hat > pareto.RELIABLE).double().mean().item()
    errors = {"nats": summary(found)["standard_error"]}
    for name, other in {"gain": more, "annealed_gap": chains}.items():
        if other is not None:
            gap = double(other.value) - found.value[: len(other.value)]
            known |= {name: gap.mean().item(), f"{name}_items": len(gap)}
            errors[name] = (gap.std() / len(gap) ** 0.5).item()
    return known, errors
