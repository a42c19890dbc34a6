"""What an evaluation counts, by the kind of labels: hits of one class of several, or average precision of attributes.

Both kinds offer the same steps, so that an evaluation asks once which it is (`score_of`): probes of codes on few and on
many items, a tally of the generations of one modality, a number made of each, and the agreement of random generations.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.data.dataset import MultimodalDataset
from workbench.data.images import Labels
from workbench.device import double
from workbench.metrics.attributes import (
    TRAIN_ITEMS,
    attribute_probe,
    average_precision,
    mean_precision,
    repeated_attribute_probe,
)
from workbench.metrics.coherence import (
    agreement_pattern,
    all_agree,
    attribute_agreement,
    conditional_coherence,
    confusion,
    variety,
)
from workbench.metrics.representation import probe_all, repeated_probe

Codes = Mapping[str, Tensor]  # by name such as "M,S"


class Probed(NamedTuple):
    """What probes of codes reach, by name of the codes."""

    mean: dict[str, float]
    error: dict[str, float]  # standard error over draws, where there were several
    by_attribute: dict[str, list[float]]  # empty for classes

    def only(self, name: str) -> "Probed":
        """The probe of one name."""
        return Probed(*({name: part[name]} if name in part else {} for part in self))

    @classmethod
    def joined(cls, named: "Mapping[str, Probed]") -> "Probed":
        """Probes of one name each, under other names."""
        return cls(*({name: x for name, one in named.items() for x in one[part].values()} for part in range(3)))


class ByClass:
    """One class of several: accuracy, confusion, agreement on the class."""

    likelihood_items = None  # test items whose log-likelihoods are estimated; None: all

    def about(self, train: MultimodalDataset, labels: Labels) -> dict[str, Any]:
        """What metrics.json says of the score itself: nothing, as accuracies are the default."""
        return {}

    def rows(self, train: MultimodalDataset, generator: torch.Generator) -> Int[Tensor, "rows"]:
        """Rows of the training split that the probe on many items learns from: every item once."""
        return train.first_repeat()

    def few(self, train: Codes, labels: Tensor, test: Codes, test_labels: Tensor, generator: torch.Generator) -> Probed:
        """The paper's linear probe on few items, many times."""
        return Probed(*repeated_probe(train, labels, test, test_labels, generator=generator), {})

    def many(self, train: Codes, labels: Tensor, test: Codes, test_labels: Tensor) -> Probed:
        """One linear probe on all items."""
        return Probed(probe_all(train, labels, test, test_labels), {}, {})

    def tally(self, judged: Tensor, labels: Labels) -> list:
        """What a judge found in the generations of one modality: counts `[given class][judged class]`."""
        return confusion(judged, labels).tolist()

    def number(self, tally: Sequence) -> float:
        """The headline of a tally: the fraction of generations that are judged to be of the given class."""
        return conditional_coherence(tally)

    def agreement(self, judged: Sequence[Int[Tensor, "n"]]) -> dict[str, float]:
        """How far random generations agree, by what all judges found: on a class, and the reference code's count."""
        classes = torch.stack([*judged])
        return {"all_agree": all_agree(classes), "agreement_pattern": agreement_pattern(classes)}

    def variety(self, judged: Int[Tensor, "n"]) -> float:
        """How evenly random generations of one modality are spread over the classes."""
        return variety(judged)


class ByAttribute:
    """Many attributes, each there or not: average precision of each, and their mean."""

    # an item costs a decoder pass for every draw, subset and modality, and these decoders are large
    likelihood_items = 200

    def about(self, train: MultimodalDataset, labels: Bool[Tensor, "n k"]) -> dict[str, Any]:
        """The score's name, what scores that know nothing reach (how frequent attributes are), and items to train."""
        rates = double(labels).mean(0).tolist()
        return {"score": "average precision", "base_rate": rates, "train_items": len(train)}

    def rows(self, train: MultimodalDataset, generator: torch.Generator) -> Int[Tensor, "rows"]:
        """TRAIN_ITEMS items drawn at random, or all."""
        return torch.randperm(len(train), generator=generator, device=generator.device)[:TRAIN_ITEMS]

    def few(self, train: Codes, labels: Tensor, test: Codes, test_labels: Tensor, generator: torch.Generator) -> Probed:
        """The paper's linear probes on few items, many times."""
        precisions, errors = repeated_attribute_probe(train, labels, test, test_labels, generator=generator)
        return _probed(precisions, errors)

    def many(self, train: Codes, labels: Tensor, test: Codes, test_labels: Tensor) -> Probed:
        """One linear probe of each attribute on many items."""
        return _probed({name: attribute_probe(x, labels, test[name], test_labels) for name, x in train.items()}, {})

    def tally(self, judged: Float[Tensor, "n k"], labels: Bool[Tensor, "n k"]) -> list:
        """Average precision of each attribute by the judge's logits, over all generations at once."""
        return average_precision(judged, labels).tolist()

    def number(self, tally: Sequence[float]) -> float:
        """Mean average precision."""
        return mean_precision(torch.tensor(tally, dtype=torch.float64))

    def agreement(self, judged: Sequence[Float[Tensor, "n k"]]) -> dict[str, float]:
        """On all attributes at once, the paper's words; on an attribute, and that by chance."""
        present = torch.stack([logits > 0 for logits in judged])
        agreed, chance = attribute_agreement(present)
        return {"all_agree": all_agree(present), "attributes_agree": agreed, "by_chance": chance}

    def variety(self, judged: Float[Tensor, "n k"]) -> float:
        """How far random generations of one modality differ in what they have."""
        return variety(judged > 0)


def _probed(precisions: Mapping[str, Tensor], errors: dict[str, float]) -> Probed:
    means = {name: mean_precision(p) for name, p in precisions.items()}
    return Probed(means, errors, {name: p.tolist() for name, p in precisions.items()})


Score = ByClass | ByAttribute


def score_of(labels: Labels) -> Score:
    """The score that labels ask for."""
    return ByAttribute() if labels.dim() == 2 else ByClass()
