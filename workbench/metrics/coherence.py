"""Coherence of generations, judged by classifiers of the single modalities (Tables 2 and 15).

Conditional: content from the posterior of a subset, styles from their prior; the fraction of generations that the
judge gives the class of the given items. Random: content from p(c); do the generated modalities agree?
"""

from jaxtyping import Int
from torch import Tensor


def conditional_coherence(predicted: Int[Tensor, "n"], labels: Int[Tensor, "n"]) -> float:
    """Fraction of generations that are judged to be of the given class."""
    return (predicted == labels).double().mean().item()


def all_agree(predicted: Int[Tensor, "M n"]) -> float:
    """Fraction of random generations that all judges give the same class: the paper's words (Appendix C.1.2)."""
    return (predicted == predicted[0]).all(0).double().mean().item()


def agreement_pattern(predicted: Int[Tensor, "M n"]) -> float:
    """Fraction with (a == b) == (a == c) for three modalities: what the authors' released code counts.

    Three judges that all disagree count as agreeing, so independent guessing among ten classes scores 0.82, not 0.01.
    In general: modality 2 agrees with the first exactly when every later one does.
    """
    if len(predicted) == 1:
        return 1.0
    same = predicted[1:] == predicted[0]
    return (same == same[0]).all(0).double().mean().item()
