"""Coherence of generations, judged by classifiers of the single modalities (Tables 2 and 15).

Conditional: content from the posterior of a subset, styles from their prior; the fraction of generations that the
judge gives the class of the given items. Random: content from p(c); do the generated modalities agree? Attributes of
faces have average precisions instead (`metrics.attributes`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.device import double

CLASSES = 10
Confusion = Int[Tensor, "C C"] | Sequence[Sequence[int]]  # items of each given class (rows) by judged class (columns)


def confusion(judged: Int[Tensor, "n"], labels: Int[Tensor, "n"], classes: int = CLASSES) -> Int[Tensor, "C C"]:
    """How many items of each given class (rows) were judged to be of each class (columns)."""
    return (labels * classes + judged).bincount(minlength=classes**2).view(classes, classes)


def conditional_coherence(confused: Confusion) -> float:
    """Fraction of generations that are judged to be of the given class."""
    counts = torch.as_tensor(confused)
    return (counts.trace() / counts.sum()).item()


def coherence_by_class(confused: Confusion) -> list[float]:
    """The same for the items of every given class; NaN for a class that was not given."""
    counts = torch.as_tensor(confused).double()
    return (counts.diagonal() / counts.sum(1)).tolist()


def all_agree(predicted: Int[Tensor, "M n"] | Bool[Tensor, "M n attributes"]) -> float:
    """Fraction of random generations that all judges give the same class: the paper's words (Appendix C.1.2).

    Of attributes: the same one in every attribute.
    """
    same = (predicted == predicted[0]).all(0)
    return double(same.all(1) if same.dim() == 2 else same).mean().item()


def attribute_agreement(present: Bool[Tensor, "M n attributes"]) -> tuple[float, float]:
    """Fraction of attributes on which all judges of a random generation agree, and the same by chance.

    By chance: of modalities that were generated independently of each other, with attributes as frequent in each as
    they are. Where most attributes are rare that is most of the agreement, so neither number stands alone.
    """
    rate = double(present).mean(1)
    chance = rate.prod(0) + (1 - rate).prod(0)
    return double((present == present[0]).all(0)).mean().item(), chance.mean().item()


def variety(predicted: Int[Tensor, "n"] | Bool[Tensor, "n attributes"]) -> float:
    """Entropy in nats of how often each class is found: ln(classes) at most. Of attributes the mean of each one's."""
    shares = double(predicted).mean(0) if predicted.dim() == 2 else double(predicted.bincount()) / len(predicted)
    found = torch.stack([shares, 1 - shares]) if predicted.dim() == 2 else shares
    return -torch.special.xlogy(found, found).sum(0).mean().item()


def agreement_pattern(predicted: Int[Tensor, "M n"]) -> float:
    """Fraction with (a == b) == (a == c) for three modalities: what the authors' released code counts.

    Three judges that all disagree count as agreeing, so independent guessing among ten classes scores 0.82, not 0.01.
    In general: modality 2 agrees with the first exactly when every later one does.
    """
    if len(predicted) == 1:
        return 1.0
    same = predicted[1:] == predicted[0]
    return double((same == same[0]).all(0)).mean().item()
