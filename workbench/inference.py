"""Posteriors of subsets of modalities, and which subsets an evaluation looks at.

Posteriors of subsets: the method's own, the paper's first (`Method.inference`). A single modality's posterior is its
encoder's under mixture and dynamic prior (the subset of one), and includes the prior expert under the product. Those
that are mixtures share their components with others, so that what is drawn from a component serves all of them.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.distributions import Diagonal, Mixture, stratified_choice
from workbench.fusion import mixture_weights, subsets
from workbench.model import MultimodalVAE, Posteriors

EVERY_SUBSET_OF = 4  # modalities: of so many, every subset is evaluated; of more, a selection
ORDERS = 3  # random orders of the modalities, along which the selection grows
ALONE = "product_alone"  # of a single modality: its posterior
INNER = {"mixture_of_products": ALONE, "mixture_of_wasserstein": "wasserstein"}  # mixtures over all subsets of these
OWN_OF_ONE = ("dynamic_prior", "hellinger", "holder", "wasserstein")  # of a single modality: its own posterior
Component = tuple[str, tuple[Any, ...]]  # a fusion that gives no mixture, and the modalities whose posteriors it fuses
Parts = tuple[Component, ...]  # of a posterior; subsets, and ways to infer, of the same parts have the same posterior


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


def evaluated_places(model: MultimodalVAE) -> list[tuple[int, ...]]:
    """The same of a model, by the modalities' places; `model.called.title` has the name of each in results."""
    return evaluated_subsets(range(len(model.modalities)))


def components(fusion: str, subset: Sequence[Any]) -> Parts:
    """What the posterior of a subset is a mixture of, with equal weights: one component where it is no mixture.

    The dynamic prior of a single modality is its own posterior: the prior in it serves to relate several.
    """
    if fusion == "mixture":
        return tuple((ALONE, (m,)) for m in subset)
    if fusion in INNER:
        return tuple((INNER[fusion], members) for members in subsets(subset))
    return ((ALONE if fusion in OWN_OF_ONE and len(subset) == 1 else fusion, tuple(subset)),)


def component_posterior(
    model: MultimodalVAE, q: Posteriors, part: Component, prior_weight: float | None = None
) -> Diagonal:
    """The distribution of a component, for each item."""
    fusion, members = part
    if fusion in (ALONE, "wasserstein") and len(members) == 1:
        m = model.place(members[0])  # whatever its family; who lacks it has the prior
        present = q.present[m].unsqueeze(-1)
        return model.family(q.content.mean[m].where(present, 0.0), q.content.logvar[m].where(present, 0.0))
    found = model.infer(q, members, fusion, prior_weight)
    return found.select() if isinstance(found, Mixture) else found  # holder's, whose weights differ from item to item


def component_choice(model: MultimodalVAE, q: Posteriors, parts: Sequence[Component]) -> Int[Tensor, "n"]:
    """Which component of a mixture each item takes: the items are split evenly among those that they have."""
    if q.present.all():  # the same split without comparing all items with all others
        items = q.present.shape[1]
        return (torch.arange(items, device=q.present.device) * 2 + 1) * len(parts) // (2 * items)
    given = [model.mask(members, q.present) for _, members in parts]
    complete = torch.stack([(q.present | ~mask).all(0) for mask in given])
    return stratified_choice(mixture_weights(complete))


def subset_posterior(
    model: MultimodalVAE,
    q: Posteriors,
    subset: str | Sequence[str | int],
    fusion: str,
    prior_weight: float | None = None,
) -> Diagonal:
    """The distribution that an item's content is drawn from given a subset.

    A mixture means one of its components, the batch split evenly.
    """
    return parts_posterior(model, q, components(fusion, model.called.places(subset)), prior_weight)


def parts_posterior(
    model: MultimodalVAE, q: Posteriors, parts: Sequence[Component], prior_weight: float | None = None
) -> Diagonal:
    """The same by its components: of each item the one that it takes."""
    posteriors = model.family.stack([component_posterior(model, q, part, prior_weight) for part in parts])
    chosen = component_choice(model, q, parts) if len(parts) > 1 else torch.zeros_like(q.present[0], dtype=torch.long)
    return posteriors[chosen, torch.arange(len(chosen), device=chosen.device)]
