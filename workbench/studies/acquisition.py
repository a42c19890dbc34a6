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
place would count as gained what only tells drawn items from real ones: where a model draws badly, most of it. What
stays are the faults of the model; `acquisition_policy` measures what comes of them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Diagonal, Gaussian, Mixture, kl
from workbench.fusion import fuse
from workbench.likelihoods import Laplace
from workbench.metrics.encode import encode_rows
from workbench.model import MultimodalVAE, Posteriors
from workbench.studies.imputation import CHUNK, draw_content
from workbench.studies.subset_information import check_classes, probe

OF = ("label", "content", "rest")
DRAWS = 100
STRENGTHS = (1.0, 0.1, 0.01, 0.001)  # inverse penalties of regressions
FOLDS = 5  # of the training items, in choosing the penalty or an order
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


class Classifier:
    """p(class | code), by a logistic regression for every set of modalities, learnt when the set first occurs.

    Each is learnt from the codes of all training items that have the set: what few modalities leave open is then in its
    probabilities, for which one regression for all sets, learnt from codes of many, is too sure. Their penalty is the
    one of STRENGTHS with the least cross-validated log-loss on codes of all that items have: of few items probabilities
    would else be too sure as well.
    """

    def __init__(self, model: MultimodalVAE, train: MultimodalDataset, fusion: str = "mixture") -> None:
        """ValueError on data without classes."""
        check_classes(train)
        self.posteriors, labels = encoded(model, train)
        self.fusion, self.train = fusion, train.name
        self.classes, self.labels, counts = labels.unique(return_inverse=True, return_counts=True)
        self.shares = counts.double() / counts.sum()
        self._probes: dict[tuple[bool, ...], Any] = {}
        codes = code_of(posterior(self.posteriors, fusion)).double().numpy()
        self.strength = max(STRENGTHS, key=lambda strength: self._held_out(codes, strength))

    def probe(self) -> Any:
        """Make a regression that has not yet learnt."""
        return probe(self.strength)

    def _held_out(self, codes: np.ndarray, strength: float) -> float:
        from sklearn.model_selection import cross_val_score

        return cross_val_score(probe(strength), codes, self.labels.numpy(), cv=FOLDS, scoring="neg_log_loss").mean()

    def __call__(self, codes: Float[Tensor, "n content"], present: Bool[Tensor, "M n"]) -> Float[Tensor, "n classes"]:
        """Probabilities of the classes; their shares among the training items where nothing is there."""
        p = self.shares.repeat(len(codes), 1)
        for there in present.unique(dim=1).T:
            if there.any():
                rows = (present == there.unsqueeze(1)).all(0)
                p[rows] = torch.from_numpy(self._probe(there).predict_proba(codes[rows].double().numpy()))
        return p

    def learnt_from(self, there: Bool[Tensor, "M"]) -> tuple[np.ndarray, np.ndarray, Bool[Tensor, "n"]]:
        """Codes and classes of the training items that have these modalities, and which items they are.

        ValueError where a class has none.
        """
        having = self.posteriors.present[there].all(0)
        q = rows_of(self.posteriors, having)
        found = code_of(posterior(replace(q, present=there.unsqueeze(1).expand_as(q.present)), self.fusion))
        if len(self.labels[having].unique()) < len(self.classes):
            raise ValueError(
                f"{self.train} has a class of which no training item has these modalities together "
                f"({', '.join(str(m) for m in there.nonzero().flatten().tolist())} by place): leave one of them out"
            )
        return found.double().numpy(), self.labels[having].numpy(), having

    def _probe(self, there: Bool[Tensor, "M"]) -> Any:
        key = tuple(there.tolist())
        if key not in self._probes:
            self._probes[key] = self.probe().fit(*self.learnt_from(there)[:2])
        return self._probes[key]


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
            raise ValueError("the gain about a label needs a classifier: give acquisition.Classifier(model, train)")
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


def posterior(q: Posteriors, fusion: str) -> Diagonal | Mixture:
    """q(c | what each item has); the dynamic prior of items with one modality is that one's own posterior."""
    found = fuse(fusion, q.content, q.present)
    if fusion != "dynamic_prior":
        return found
    alone, own = (q.present.sum(0) == 1).unsqueeze(1), fuse("product_alone", q.content, q.present)
    return Gaussian(own.mean.where(alone, found.mean), own.logvar.where(alone, found.logvar))


def code_of(found: Diagonal | Mixture) -> Float[Tensor, "n content"]:
    """The mean of a posterior."""
    return found.mean() if isinstance(found, Mixture) else found.mean


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


def encoded(model: MultimodalVAE, data: MultimodalDataset) -> tuple[Posteriors, Tensor]:
    """Posteriors and labels of all items of a data set, each once."""
    found = encode_rows(model, data, data.first_repeat(), torch.Generator().manual_seed(0))

    def joined(name: str) -> Diagonal:
        parts = [getattr(q, name) for q, _ in found]
        return model.family(torch.cat([x.mean for x in parts], 1), torch.cat([x.logvar for x in parts], 1))

    present, labels = torch.cat([q.present for q, _ in found], 1), torch.cat([labels for _, labels in found])
    return Posteriors(joined("content"), joined("style"), present), labels


def rows_of(q: Posteriors, rows: Tensor) -> Posteriors:
    """Posteriors of some items, by their numbers or a mask."""
    return Posteriors(q.content[:, rows], q.style[:, rows], q.present[:, rows])
