"""Items that a training is held back from: when it stops, and whose weights are kept.

Few items are soon learnt by heart. What matters to whoever has tables is how well each modality is predicted from the
others, so that is what is looked at: the mean squared error of the decoder's mean, as a share of what the column means
of the training items leave. 1 is no better than these means.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.config import IMPORTANCE_SAMPLED, Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.missing import items_of, rows_of
from workbench.data.own.arrays import Targets, test_rows
from workbench.distributions import Mixture
from workbench.fusion import relating
from workbench.importance import items_at_a_time
from workbench.likelihoods import Categorical, NegativeBinomial
from workbench.modality import Modality
from workbench.model import MultimodalVAE, Posteriors
from workbench.objectives import METHODS

EVERY = 20  # steps between two looks
SHARE = 0.1  # of a user's own items, where the configuration says nothing
FEWEST, OF = 10, 50  # items that are held back at least, and of how many: of fewer, none unless it is asked for
MOST = 1000  # items that are looked at


def split_off(data: MultimodalDataset, config: Config) -> tuple[MultimodalDataset, MultimodalDataset | None]:
    """Return what is left to train on, and what is held back, of every class alike; None where that is nothing.

    `config.validation` None holds back SHARE of a user's own items where a batch is left, and nothing of other data.
    What was paired several times is held back with all pairings; its partners may still be seen beside others.
    """
    item, count = items_of(data)
    share = config.validation
    if share is None:
        share = max(SHARE, FEWEST / count) if data.own and count >= OF else 0.0
        share *= (1 - share) * count >= config.batch_size
    if not share:
        return data, None
    first = data.labels.cpu()[:count]
    held = torch.from_numpy(test_rows(share, Targets(first, data.labelled, data.classes), count, config.seed))[item]
    held = held.to(data.pairs.device)
    shown = held & (torch.arange(len(held), device=held.device) < count)  # each item once
    return rows_of(data, ~held), rows_of(data, shown)


class Validation:
    """What is held back of a training, how well it did so far, and the weights with which it did best."""

    def __init__(
        self,
        config: Config,
        modalities: Sequence[Modality],
        train: MultimodalDataset,
        held: MultimodalDataset,
        device: torch.device,
    ) -> None:
        """`held` are items, of which MOST are looked at; `means` are those of the columns of 10 MOST of `train`."""
        self.config, self.device = config, device
        self.batch, seen = some_of(held, MOST, config.seed).to(device), some_of(train, 10 * MOST, config.seed)
        pairs = zip(modalities, seen.values, seen.present, strict=True)
        self.means = [as_compared(m, x[there]).nanmean(0).to(device) for m, x, there in pairs]
        self.best, self.step, self.errors = (math.inf, math.inf), 0, dict.fromkeys(held.modalities, math.nan)
        self.weights: dict[str, Tensor] = {}

    def look(self, model: MultimodalVAE, step: int) -> dict[str, float]:
        """Judge a model after a step, and keep its weights if it never did better; returns what history.csv is told.

        Better is what predicts the modalities better on average, each at worst as its column means do, and of two that
        predict nothing better than these the one with the smaller objective.

        `validation` is the objective, in nats per item, and `unpredicted_MODALITY` each modality's share of the
        variance that the others do not predict.
        """
        was = model.training
        model.eval()
        total, errors = self.loss(model), unpredicted(model, self.batch, self.means, self.config)
        model.train(was)
        # by how much one is worse than its column means says nothing: whoever looks will take these
        known = [min(error, 1.0) for error in errors.values() if math.isfinite(error)]
        now = (sum(known) / max(1, len(known)), total)
        if now < self.best or not self.weights:
            self.best, self.step, self.errors = now, step, errors
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        return {"validation": total} | {f"unpredicted_{name}": error for name, error in errors.items()}

    def loss(self, model: MultimodalVAE) -> float:
        """Return the objective, with the same noise at every look; DReG's cannot do without a gradient."""
        config, generator = self.config, torch.Generator(self.device).manual_seed(self.config.seed)
        objective, items = METHODS[config.objective].objective, self.batch.size
        if config.objective in IMPORTANCE_SAMPLED:
            items = items_at_a_time(items, config.importance_samples * len(self.batch.values), self.device)
        with torch.set_grad_enabled(config.objective.endswith("dreg")):
            parts = [(part.size, objective(model, part, config, generator).total) for part in self.batch.split(items)]
        return sum(size * total.item() for size, total in parts) / self.batch.size

    @property
    def nothing(self) -> dict[str, float]:
        """What history.csv is told between two looks."""
        return dict.fromkeys(["validation", *(f"unpredicted_{name}" for name in self.errors)], math.nan)

    def over(self, step: int) -> bool:
        """Whether nothing has become better for so many steps that a training ends."""
        return 0 < self.config.patience <= step - self.step

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the weights; nothing before the first look."""
        return {"best": [*self.best], "step": self.step, "errors": self.errors} if self.step else {}

    def restore(self, state: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Go on from what `state` gave, with the best weights."""
        if state:
            self.best, self.step, self.errors = tuple(state["best"]), state["step"], state["errors"]
            self.weights = weights

    def told(self, step: int) -> dict[str, Any]:
        """What validation.json holds of a training that ended after a step."""
        return {"items": self.batch.size, "steps": step, "kept": self.step, "unpredicted": self.errors}

    def verdict(self, total: int) -> str | None:
        """Say in one sentence what a person should know of a training of so many steps; None if nothing."""
        known = [error for error in self.errors.values() if math.isfinite(error)]
        if known and min(known) >= 1:
            return (
                "No modality is predicted from the others better than by its column means: more items, fewer "
                "dimensions (latent_dim) or a smaller beta may help."
            )
        if self.step > total / 2:
            return None
        return (
            f"It learns its items by heart: from step {self.step:,} on, others are predicted worse, and the weights of "
            f"that step are kept. More items, weight_decay or smaller networks would let it learn longer."
        )


def some_of(data: MultimodalDataset, most: int, seed: int) -> Batch:
    """Up to so many rows of a data set, drawn by a seed, on the CPU."""
    data, generator = data.to("cpu"), torch.Generator().manual_seed(seed)
    return data.batch(torch.randperm(len(data), generator=generator)[:most].sort().values, generator)


@torch.no_grad()
def unpredicted(model: MultimodalVAE, batch: Batch, means: Sequence[Tensor], config: Config) -> dict[str, float]:
    """Each modality's mean squared error, given the others, as a share of that of the column means.

    NaN where no item has it beside another one, or where it does not vary.
    """
    q, errors = model.encode(batch), {}
    for m, modality in enumerate(model.modalities):
        others = batch.present.clone()
        others[m] = False
        rows = batch.present[m] & others.any(0)
        errors[modality.name] = math.nan
        if rows.any():
            known = Posteriors(q.content[:, rows], q.style[:, rows], others[:, rows])
            truth = as_compared(modality, batch.values[m][rows])
            left, around = ((truth - guess).square().nanmean() for guess in (_guess(model, m, known, config), means[m]))
            errors[modality.name] = (left / around).item() if around > 0 else math.nan
    return errors


def _guess(model: MultimodalVAE, m: int, known: Posteriors, config: Config) -> Tensor:
    """A modality's mean given the others: decoded from the mean content, of a mixture from each component's."""
    fusion = relating(METHODS[config.objective].inference[0], range(len(model.modalities) - 1))
    found = model.infer(known, None, fusion, config.prior_weight)
    parts = found.components.mean if isinstance(found, Mixture) else found.mean.unsqueeze(0)
    weights = found.weights if isinstance(found, Mixture) else torch.ones_like(parts[..., 0])
    style, modality = parts.new_zeros(parts.shape[1], model.style_dim), model.modalities[m]
    shown = [as_compared(modality, modality.likelihood.mean(model.decode_one(m, code, style)), True) for code in parts]
    shares = weights.view(*weights.shape, *[1] * (shown[0].dim() - 1))
    return (torch.stack(shown) * shares).sum(0)


def as_compared(modality: Modality, x: Tensor, predicted: bool = False) -> Tensor:
    """Values of a modality, or means that were predicted, as errors are taken of: tokens as one of n, counts by log.

    Missing entries are NaN.
    """
    if isinstance(modality.likelihood, NegativeBinomial):
        return torch.log1p(x)
    if isinstance(modality.likelihood, Categorical) and not predicted:
        shown = F.one_hot(x.clamp(min=0), modality.encoding.alphabet).float()
        return shown.masked_fill((x < 0).unsqueeze(-1), math.nan)
    return x
