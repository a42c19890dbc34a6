"""What should be measured next of an item that lacks modalities: the information that each is expected to give.

Given what is there, x_S, the gain of a modality m is a mean over draws x_m ~ p(x_m | x_S) of the model, in bits
(Lindley 1956):

    label      I(x_m; y | x_S) = H(mean of p(y | x_S, x_m)) - mean of H(p(y | x_S, x_m)), y a class told from the code,
    content    KL(q(c | x_S, x_m) || q(c | x_S)),
    rest       I(x_m; x_R | x_S), of R, what is then still missing.

A draw is c ~ q(c | x_S) and, from this c, all that is missing, encoded again beside what is there: one pass of decoders
and encoders serves every set of modalities. As x_m and x_R are independent given c, Bayes' rule has, for every c,
p(x_R | x_S, x_m) / p(x_R | x_S) = q(c | x_S, x_m) q(c | x_S, x_R) / q(c | x_S) q(c | x_S, x_m, x_R), so that `rest` is
content(m) + content(R) - content(m and R), and needs no likelihood within a likelihood.

`content` is a mean over draws of a divergence in closed form, or of a log-ratio at a draw from the later posterior
where that is a mixture: unbiased, with the standard error of a mean. The entropy of a mean over D draws is too small by
about 1 / D: the jackknife (Quenouille 1956) takes that away and gives the error. The classifier's own p(y | x_S) in its
place would count as gained what only tells drawn items from real ones: where a model draws badly, most of it. So may
more be expected than that p(y | x_S) leaves open, which says that draws and classifier disagree. What stays are the
faults of the model; `acquisition_policy` measures what comes of them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.distributions import Diagonal, Gaussian, Mixture, kl
from workbench.likelihoods import Laplace
from workbench.model import MultimodalVAE, Posteriors
from workbench.studies.acquisition_codes import code_of, posterior, rows_of
from workbench.studies.imputation import CHUNK, draw_content

OF = ("label", "content", "rest")
DRAWS = 100
Chances = Callable[[Float[Tensor, "n content"], Bool[Tensor, "M n"]], Float[Tensor, "n classes"]]


class Gains(NamedTuple):
    """Expected gains of items in bits, their standard errors, and costs; NaN where an item has the modality."""

    names: tuple[str, ...]  # of the modalities
    bits: np.ndarray  # [n, M]
    errors: np.ndarray  # [n, M]
    costs: np.ndarray  # [M]

    @property
    def per_cost(self) -> np.ndarray:
        """Bits per unit of cost."""
        return self.bits / self.costs

    def best(self) -> np.ndarray:
        """Places of the modalities to measure next, `[n]`; -1 for an item that lacks none."""
        worth = np.where(np.isnan(self.bits), -np.inf, self.per_cost)
        return np.where(np.isnan(self.bits).all(1), -1, worth.argmax(1))


class Step(NamedTuple):
    """A measurement in an order, and what it is expected to add to those before it."""

    name: str
    bits: float
    error: float
    per_cost: float


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What is asked of a model: the gain of what, by which posterior, from how many draws, at which costs.

    `of` is one of OF; empty, the label where there is a `classifier`, else the content. The classifier gives
    probabilities for codes, the means of posteriors, and the modalities that they are made of. `costs` are one of each
    modality by name, all alike if None. Raises ValueError on what does not go together.
    """

    model: MultimodalVAE
    classifier: Chances | None = None
    of: str = ""
    fusion: str = "mixture"
    draws: int = DRAWS
    costs: Mapping[str, float | int] | None = None

    def __post_init__(self) -> None:
        if self.of not in ("", *OF):
            raise ValueError(f"there is no gain of {self.of!r}: choose one of {', '.join(OF)}")
        if self.of == "label" and self.classifier is None:
            raise ValueError(
                "the gain about a label needs a classifier: give acquisition_codes.Classifier(model, train)"
            )
        if (learnt := getattr(self.classifier, "fusion", self.fusion)) != self.fusion:
            raise ValueError(
                f"the classifier knows codes of {learnt!r}, not of {self.fusion!r}: choose the same fusion"
            )
        if self.draws < 2:
            raise ValueError(f"{self.draws} draws have no standard error: ask for 2 or more")
        self.prices()

    @property
    def about(self) -> str:
        """What the gain is of: one of OF."""
        return self.of or ("content" if self.classifier is None else "label")

    def prices(self) -> Float[np.ndarray, "M"]:
        """The costs in the order of the modalities."""
        if self.costs is None:
            return np.ones(len(self.model.names))
        by_place = {self.model.place(name): float(cost) for name, cost in self.costs.items()}
        if without := [name for m, name in enumerate(self.model.names) if m not in by_place]:
            raise ValueError(f"there is no cost of {without[0]!r}: give one for each modality")
        if odd := [m for m, cost in by_place.items() if not 0 < cost < math.inf]:
            raise ValueError(f"the cost of {self.model.names[odd[0]]!r} is {by_place[odd[0]]}: it is a positive number")
        return np.array([by_place[m] for m in range(len(by_place))])

    @torch.no_grad()
    def expected_gain(
        self, items: Batch | Posteriors | Mapping[str, Any], generator: torch.Generator | None = None
    ) -> Gains:
        """Expected gains of every modality that items lack: raw arrays by name, as `model.infer` takes them.

        ValueError on items that have nothing.
        """
        q, bits, errors = self._read(items), [], []
        for rows in torch.arange(q.present.shape[1]).split(max(1, CHUNK // self.draws)):
            imagined = _Imagined(self, rows_of(q, rows), generator)
            found = torch.stack([imagined.gain(m) for m in range(len(self.model.names))])  # [M, draws, rows]
            absent = torch.where(imagined.lacking, 0.0, math.nan)
            bits.append(found.mean(1) + absent)
            errors.append(found.std(1) / math.sqrt(self.draws) + absent)
        return Gains(self.model.names, *(torch.cat(x, 1).T.double().numpy() for x in (bits, errors)), self.prices())

    @torch.no_grad()
    def order(
        self, item: Batch | Posteriors | Mapping[str, Any], generator: torch.Generator | None = None
    ) -> list[Step]:
        """All that one item lacks, greedily: always what is expected to add most per cost to what came before.

        It is made beforehand: no step knows what those before it found. ValueError on several items.
        """
        q = self._read(item)
        if (count := q.present.shape[1]) != 1:
            raise ValueError(f"an order is that of one item, and these are {count}: give them one by one")
        imagined, chosen, steps = _Imagined(self, q, generator), torch.zeros_like(q.present), []
        while (imagined.lacking & ~chosen).any():
            left = (imagined.lacking & ~chosen).flatten().nonzero().flatten().tolist()
            gains = {m: imagined.gain(m, chosen).flatten() for m in left}
            best = max(left, key=lambda m: gains[m].mean().item() / self.prices()[m])
            bits, error = gains[best].mean().item(), gains[best].std().item() / math.sqrt(self.draws)
            steps.append(Step(self.model.names[best], bits, error, bits / self.prices()[best]))
            chosen[best] = True
        return steps

    def chances(self, q: Posteriors) -> Float[Tensor, "n classes"]:
        """Probabilities of the classes given what items have."""
        return self.classifier(code_of(posterior(q, self.fusion)), q.present)

    def contents(self, q: Posteriors, draws: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws of the content given what items have, `[draws, n, content]`."""
        return draw_content(posterior(q, self.fusion), draws, generator)

    def _read(self, items: Batch | Posteriors | Mapping[str, Any]) -> Posteriors:
        q = items if isinstance(items, Posteriors) else self.model.encode(items)
        if not q.present.any(0).all():
            raise ValueError("an item with nothing has no posterior to begin from: give each at least one modality")
        return q


class _Imagined:
    """Items, `draws` times each, with a draw of all that they lack; `told` is what some of it says, in each draw."""

    def __init__(self, asked: Acquisition, q: Posteriors, generator: torch.Generator | None) -> None:
        self.asked, self.generator, self.lacking = asked, generator, ~q.present
        content = asked.contents(q, asked.draws, generator).flatten(0, 1)
        drawn = asked.model.encode(measured(asked.model, content, generator))
        known = q.present.repeat(1, asked.draws)
        real = (x.repeat(1, asked.draws, 1) for x in (q.content.mean, q.content.logvar))
        parts = zip(real, (drawn.content.mean, drawn.content.logvar), strict=True)
        mixed = asked.model.family(*(a.where(known.unsqueeze(-1), b) for a, b in parts))
        self.q = Posteriors(mixed, drawn.style, known)
        self.before = posterior(self.q, asked.fusion)
        self._found: dict[bytes, Tensor] = {}

    def gain(self, m: int, chosen: Bool[Tensor, "M n"] | None = None) -> Float[Tensor, "draws n"]:
        """What modality m adds to what is there and the draws of those `chosen`, in bits."""
        chosen = torch.zeros_like(self.lacking) if chosen is None else chosen
        added = chosen.clone()
        added[m] = self.lacking[m]
        nats = self._told(added) - self._told(chosen)
        if self.asked.about == "rest":
            nats = nats + self._told(chosen | (self.lacking & ~added)) - self._told(self.lacking)
        return nats / math.log(2)

    def _told(self, drawn: Bool[Tensor, "M n"]) -> Float[Tensor, "draws n"]:
        if (key := drawn.cpu().numpy().tobytes()) not in self._found:
            q = replace(self.q, present=self.q.present | drawn.repeat(1, self.asked.draws))
            label = self.asked.about == "label"
            found = self.asked.chances(q) if label else self._divergence(posterior(q, self.asked.fusion))
            found = found.unflatten(0, (self.asked.draws, -1))
            self._found[key] = information(found) if label else found
        return self._found[key]

    def _divergence(self, after: Diagonal | Mixture) -> Float[Tensor, "n"]:
        """KL of what is believed of the content from what was before, in nats."""
        if isinstance(after, Gaussian):
            return kl(after, self.before)
        z = draw_content(after, 1, self.generator)
        return (after.log_prob(z) - self.before.log_prob(z)).squeeze(0)


def information(p: Float[Tensor, "draws n classes"]) -> Float[Tensor, "draws n"]:
    """H(mean over D draws of p) - mean of H(p), in nats, as the jackknife's pseudo-values D f - (D - 1) f_(without d).

    Their mean has no bias of 1 / D, and their deviation, by sqrt(D), is the standard error.
    """
    count, total, each = len(p), p.sum(0), torch.special.entr(p).sum(-1)
    whole = torch.special.entr(total / count).sum(-1)
    without = torch.special.entr((total - p).clamp(min=0) / (count - 1)).sum(-1)
    return count * whole - (count - 1) * without - each


def measured(
    model: MultimodalVAE, content: Float[Tensor, "n content"], generator: torch.Generator | None = None
) -> Batch:
    """Draws of all modalities, s ~ p(s) and x ~ p(x | c, s), as they would be measured: images are their means.

    The scale of images' likelihood is a weight that nobody fitted: with its noise, a deviation of 1.06 for pixels in
    [0, 1], encoders would see what no item looks like.
    """

    def seen(of: Any, output: Tensor) -> Tensor:
        still = isinstance(of.likelihood, Laplace) and len(of.shape) == 3
        return of.likelihood.mean(output) if still else of.likelihood.sample(output, generator)

    outputs = model.decode(content, model.draw_style(content, generator))
    values = tuple(seen(modality, output) for modality, output in zip(model.modalities, outputs, strict=True))
    there = torch.ones(len(values), len(content), dtype=torch.bool, device=content.device)
    return Batch(values, there, torch.zeros(len(content), dtype=torch.long))
