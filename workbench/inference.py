"""Posteriors of subsets of modalities, which subsets an evaluation looks at, and the codes that it reads off them.

Posteriors of subsets: the method's own, the paper's first (`Method.inference`). A single modality's posterior is its
encoder's under mixture and dynamic prior (the subset of one), and includes the prior expert under the product.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Diagonal, Mixture
from workbench.fusion import fuse, subsets
from workbench.model import MultimodalVAE, Posteriors

CHUNK = 1000  # items encoded or generated at a time, where they have no more than
VALUES = 3072  # numbers in any modality; larger ones come in smaller chunks, as the networks' own numbers do
EVERY_SUBSET_OF = 4  # modalities: of so many, every subset is evaluated; of more, a selection
ORDERS = 3  # random orders of the modalities, along which the selection grows
Encoded = list[tuple[Posteriors, Tensor]]  # posteriors and labels of the items of a data set, in chunks


def evaluated_subsets(members: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The subsets of modalities that everything is evaluated on, smaller ones first, as `fusion.subsets` orders them.

    All of up to 4 modalities. Of M > 4, whose subsets are 2^M - 1, at most 5 M - 8: each modality alone, all but each,
    all of them, and what 3 random orders of the modalities begin with, so that there are subsets of every size, each
    within the next larger one. The orders depend on M alone.
    """
    count = len(members)
    if count <= EVERY_SUBSET_OF:
        return subsets(members)
    generator = torch.Generator().manual_seed(count)
    orders = [torch.randperm(count, generator=generator).tolist() for _ in range(ORDERS)]
    grown = {tuple(sorted(order[:size])) for order in orders for size in range(2, count - 1)}
    chosen = [*grown, *(s for size in (1, count - 1, count) for s in combinations(range(count), size))]
    return [tuple(members[m] for m in places) for places in sorted(chosen, key=lambda places: (len(places), places))]


def subset_posterior(
    model: MultimodalVAE, q: Posteriors, subset: Sequence[str], how: str, prior_weight: float | None = None
) -> Diagonal:
    """The distribution that an item's content is drawn from given a subset.

    A mixture means one of its components, the batch split evenly. The dynamic prior of a single modality is its own
    posterior: the prior in it serves to relate several.
    """
    if how == "mixture_of_products":
        return _among(model, q, subset)
    alone = how == "dynamic_prior" and len(subset) == 1
    posterior = model.infer(q, subset, "mixture" if alone else how, prior_weight)
    return posterior.select() if isinstance(posterior, Mixture) else posterior


def _among(model: MultimodalVAE, q: Posteriors, subset: Sequence[str]) -> Diagonal:
    """A component of the mixture of products of a subset's own modalities: its size is 2^|subset|, not 2^M."""
    given = model.mask(subset, q.present).squeeze(1)
    return fuse("mixture_of_products", q.content[given], q.present[given]).select()


def at_a_time(shapes: Sequence[tuple[int, ...]]) -> int:
    """Items of these shapes to encode or generate at a time."""
    return max(1, CHUNK * VALUES // max(VALUES, *map(math.prod, shapes)))


def encode_rows(
    model: MultimodalVAE, dataset: MultimodalDataset, rows: Int[Tensor, "n"], generator: torch.Generator
) -> Encoded:
    """Posteriors and labels of rows of a data set."""
    return encode_batches(model, (dataset.batch(chunk, generator) for chunk in rows.split(at_a_time(dataset.shapes))))


@torch.no_grad()
def encode_batches(model: MultimodalVAE, batches: Iterable[Batch]) -> Encoded:
    """Posteriors and labels of batches."""
    return [(model.encode(batch), batch.labels) for batch in batches]


def subset_posteriors(
    model: MultimodalVAE, encoded: Encoded, how: str, prior_weight: float | None = None
) -> dict[str, Diagonal]:
    """Content posteriors `[n, content]` of every evaluated subset, by name such as "M,S".

    A mixture takes its components in turn of the items' order: the first rows are one modality's. Shuffle before a cut.
    """
    found = {}
    for subset in evaluated_subsets(model.letters):
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
