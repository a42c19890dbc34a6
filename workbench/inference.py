"""Posteriors of all subsets of modalities, and the codes that evaluation reads off them.

Posteriors of subsets: the method's own, the paper's first (`Method.inference`). A single modality's posterior is its
encoder's under mixture and dynamic prior (the subset of one), and includes the prior expert under the product.
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Diagonal, Mixture
from workbench.fusion import subsets
from workbench.model import MultimodalVAE, Posteriors

CHUNK = 1000  # items encoded or generated at a time
Encoded = list[tuple[Posteriors, Tensor]]  # posteriors and labels of the items of a data set, in chunks


def subset_posterior(
    model: MultimodalVAE, q: Posteriors, subset: Sequence[str], how: str, prior_weight: float | None = None
) -> Diagonal:
    """The distribution that an item's content is drawn from given a subset.

    A mixture means one of its components, the batch split evenly. The dynamic prior of a single modality is its own
    posterior: the prior in it serves to relate several.
    """
    alone = how == "dynamic_prior" and len(subset) == 1
    posterior = model.infer(q, subset, "mixture" if alone else how, prior_weight)
    return posterior.select() if isinstance(posterior, Mixture) else posterior


def encode_rows(
    model: MultimodalVAE, dataset: MultimodalDataset, rows: Int[Tensor, "n"], generator: torch.Generator
) -> Encoded:
    """Posteriors and labels of rows of a data set."""
    return encode_batches(model, (dataset.batch(chunk, generator) for chunk in rows.split(CHUNK)))


@torch.no_grad()
def encode_batches(model: MultimodalVAE, batches: Iterable[Batch]) -> Encoded:
    """Posteriors and labels of batches."""
    return [(model.encode(batch), batch.labels) for batch in batches]


def subset_posteriors(
    model: MultimodalVAE, encoded: Encoded, how: str, prior_weight: float | None = None
) -> dict[str, Diagonal]:
    """Content posteriors `[n, content]` of every subset, by name such as "M,S".

    A mixture takes its components in turn of the items' order: the first rows are one modality's. Shuffle before a cut.
    """
    found = {}
    for subset in subsets(model.letters):
        parts = [subset_posterior(model, q, subset, how, prior_weight) for q, _ in encoded]
        found[",".join(subset)] = model.family(torch.cat([p.mean for p in parts]), torch.cat([p.logvar for p in parts]))
    return found


def codes(model: MultimodalVAE, encoded: Encoded, how: str, prior_weight: float | None = None) -> dict[str, Tensor]:
    """Means of the posteriors that `subset_posteriors` gives."""
    return {name: q.mean for name, q in subset_posteriors(model, encoded, how, prior_weight).items()}


def style_codes(model: MultimodalVAE, encoded: Encoded) -> dict[str, Tensor]:
    """Means of the style posterior of each modality, by letter; none without styles."""
    if model.style_dim == 0:
        return {}
    return {letter: torch.cat([q.style.mean[m] for q, _ in encoded]) for m, letter in enumerate(model.letters)}
