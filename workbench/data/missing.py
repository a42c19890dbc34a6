"""Data sets in which modalities are missing: at random, by pattern, in whole blocks; and what of them is complete.

Each function returns the same data set with another `present`: what was absent stays absent. Values are left where they
are, since no loss and no posterior reads what is absent. Encoders get zeros in its place, which only the statistics of
a batch normalisation (networks of faces) take notice of.

An item is what is observed together. Where items were paired several times (`repeats`), the pairings of one item of
the first modality whose items are all different are that item's, and lack the same: what is missing there is missing
in every repeat. Its partners of another modality may still be seen beside other items; with one repeat they are not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, SupportsIndex

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.config import Config, whole
from workbench.data.dataset import MultimodalDataset
from workbench.data.letters import Names, letters_of
from workbench.data.own.foreign import entries, plain

NAMED = 10  # items of a refusal that are named


def at_random(dataset: MultimodalDataset, share: float, seed: SupportsIndex = 0) -> MultimodalDataset:
    """Make a share of the items incomplete: each keeps a random non-empty proper subset of what it has.

    All such subsets are equally likely. Items are chosen and thinned by the seed alone: those of a smaller share are
    among those of a larger one, and lack the same. An item with a single modality keeps it.

    `share` counts items, not absent entries of the table items x modalities: as every item keeps something, at most
    (M - 1) / M of the entries can be absent, which is 67 % for three modalities; 75 % or 90 % of them could not be
    reached. Of the entries of three modalities, half of those of incomplete items are absent.

    Raises ValueError for a share outside [0, 1), or where there is only one modality to lose.
    """
    if not (isinstance(share, Real) and 0 <= share < 1):
        raise ValueError(f"a share of {share} of all items cannot be made incomplete: choose one in [0, 1)")
    if share and len(dataset.storages) == 1:
        raise ValueError(f"{dataset.name} has a single modality, of which nothing can be missing: join it with another")
    item, count = items_of(dataset)
    generator = torch.Generator().manual_seed(whole("seed", seed))
    chosen = torch.empty(count, dtype=torch.bool)
    chosen[torch.randperm(count, generator=generator)] = torch.arange(count) < round(share * count)
    kept = _proper_subsets(_present(dataset)[:count], generator)
    return _with(dataset, kept[item] | ~chosen[item].unsqueeze(1))


def by_pattern(dataset: MultimodalDataset, patterns: Mapping[str, float], seed: SupportsIndex = 0) -> MultimodalDataset:
    """Leave items no more than a pattern says: `{"M,S": 0.5, "T": 0.3}`, the others all they had.

    A pattern names what is present, by letters or names joined by commas; its number is the share of the items that
    follow it, met to an item where nothing was missing before. An item that some patterns would leave with nothing
    follows one of the others, in proportion to their shares.

    Raises ValueError on an unknown modality, on shares that are negative or more than 1 in all, and for items to which
    every pattern leaves nothing, with their indices.
    """
    masks, shares = _patterns(dataset, patterns)
    item, count = items_of(dataset)
    generator = torch.Generator().manual_seed(whole("seed", seed))
    place = (torch.randperm(count, generator=generator) + 0.5) / count
    leaves = (_present(dataset)[:count].unsqueeze(1) & masks).any(2)  # [count, patterns]
    weights = torch.where(leaves, shares, torch.zeros_like(shares))
    _refuse_empty(dataset, weights.sum(1)[item] > 0)
    ends = weights.cumsum(1) / weights.sum(1, keepdim=True)
    follows = (place.unsqueeze(1) >= ends).sum(1)  # never a pattern without weight: it ends where the last one did
    return _with(dataset, masks[follows][item])


def by_block(
    dataset: MultimodalDataset, sites: Iterable[Any], lacking: Mapping[Any, str | Sequence[str]]
) -> MultimodalDataset:
    """Take whole blocks away: `lacking={"A": ["ct"]}` takes ct from all rows of site A.

    `sites` names the site of every row, by strings or numbers; modalities go by name or letter. Raises ValueError when
    there are not as many sites as rows, on a site that no row has or an unknown modality, and for items that would be
    left with nothing, with their indices.
    """
    of_rows = [*sites] if isinstance(sites, str) else entries(plain(sites))
    if len(of_rows) != len(dataset):
        raise ValueError(f"{len(of_rows)} sites for {len(dataset)} rows of {dataset.name}: give one for each")
    if unknown := [site for site in lacking if site not in set(of_rows)]:
        known = ", ".join(map(str, dict.fromkeys(of_rows)))
        raise ValueError(f"no row of {dataset.name} is of site {unknown[0]!r}: the sites are {known}")
    has = torch.ones(len(dataset), len(dataset.storages), dtype=torch.bool)
    for site, names in lacking.items():
        rows = torch.tensor([other == site for other in of_rows])
        has &= ~(rows.unsqueeze(1) & _mask(dataset, names))
    _refuse_empty(dataset, (_present(dataset) & has).any(1))
    return _with(dataset, has)


def complete_only(dataset: MultimodalDataset) -> MultimodalDataset:
    """Return the rows that have every modality; ValueError when there is none."""
    if dataset.present is None:
        return dataset
    complete = dataset.present.all(1)
    if not complete.any():
        raise ValueError(f"no item of {dataset.name} ({dataset.split}) has every modality: use the incomplete ones")
    return replace(rows_of(dataset, complete), present=None)


def rows_of(dataset: MultimodalDataset, chosen: Bool[Tensor, "N"]) -> MultimodalDataset:
    """Return some rows of a data set; it still has repeats where equally many rows of each are among them."""
    counts = chosen.view(dataset.repeats, -1).sum(1)
    repeats = dataset.repeats if (counts == counts[0]).all() else 1
    present = None if dataset.present is None else dataset.present[chosen]
    kept = {"pairs": dataset.pairs[chosen], "labels": dataset.labels[chosen], "present": present}
    return replace(dataset, **kept, repeats=repeats)


def first_items(dataset: MultimodalDataset, count: int) -> MultimodalDataset:
    """Return the first items of a data set, in the mixed order of its rows, with all their pairings.

    ValueError when there are not so many.
    """
    item, items = items_of(dataset)
    if not 1 <= count <= items:
        raise ValueError(f"{dataset.name} ({dataset.split}) has {items} items, not {count}: choose 1 to {items}")
    chosen = torch.zeros(items, dtype=torch.bool)
    chosen[item[:count]] = True  # rows of the first repeat, each of another item
    return rows_of(dataset, chosen[item].to(dataset.pairs.device))


def as_configured(dataset: MultimodalDataset, config: Config) -> MultimodalDataset:
    """Return what a configuration leaves of a training split: `train_size`, then `missing_rate` and `missing_policy`.

    Patterns are drawn by the configuration's seed. ValueError where too little is left, and for items that have nothing
    to begin with, with their indices.
    """
    _refuse_empty(dataset, _present(dataset).any(1), "have no modality")
    if config.train_size:
        dataset = first_items(dataset, config.train_size)
    if config.missing_rate:
        dataset = at_random(dataset, config.missing_rate, config.seed)
    return complete_only(dataset) if config.missing_policy == "dropped" else dataset


def items_of(dataset: MultimodalDataset) -> tuple[Int[Tensor, "N"], int]:
    """The item that each row shows, by its row in the first repeat, and how many items there are.

    Where nothing tells the pairings of an item, or they do not lack the same, every row is an item.
    """
    rows, once = torch.arange(len(dataset)), len(dataset) // dataset.repeats
    for column in dataset.pairs.cpu().long().T.contiguous() if dataset.repeats > 1 else ():
        shown = column.view(dataset.repeats, once).sort(dim=1)
        if (shown.values == shown.values[0]).all() and (shown.values[0].diff() > 0).all():
            item = shown.indices[0][torch.searchsorted(shown.values[0], column)]
            present = _present(dataset)
            return (item, once) if torch.equal(present, present[item]) else (rows, len(rows))
    return rows, len(rows)


def _present(dataset: MultimodalDataset) -> Bool[Tensor, "N M"]:
    if dataset.present is None:
        return torch.ones(len(dataset), len(dataset.storages), dtype=torch.bool)
    return dataset.present.cpu()


def _with(dataset: MultimodalDataset, has: Bool[Tensor, "N M"]) -> MultimodalDataset:
    """The data set without what is False."""
    left = _present(dataset) & has
    return replace(dataset, present=None if left.all() else left.to(dataset.pairs.device))


def _proper_subsets(has: Bool[Tensor, "n M"], generator: torch.Generator) -> Bool[Tensor, "n M"]:
    """A non-empty proper subset of what each row has, all equally likely; all of what is single, or nothing."""
    kept = has.clone()
    undecided = (has.sum(1) > 1).nonzero().flatten()
    while len(undecided):  # a subset that is empty or everything is drawn again: for two modalities every other one
        drawn = torch.rand(len(undecided), has.shape[1], generator=generator) < 0.5
        kept[undecided] = has[undecided] & drawn
        size = kept[undecided].sum(1)
        undecided = undecided[(size == 0) | (size == has[undecided].sum(1))]
    return kept


def _patterns(
    dataset: MultimodalDataset, patterns: Mapping[str, float]
) -> tuple[Bool[Tensor, "P M"], Float[Tensor, "P"]]:
    """What each pattern has, with its share; the last one is everything, whose share is what the others leave."""
    if bad := [name for name, share in patterns.items() if not 0 <= share <= 1]:
        raise ValueError(f"pattern {bad[0]!r} has the share {patterns[bad[0]]}: choose 0 to 1")
    total = sum(patterns.values())
    if total > 1 + 1e-9:
        raise ValueError(f"the shares of the patterns add up to {total:g}: choose 1 or less in all")
    everything = torch.ones(len(dataset.storages), dtype=torch.bool)
    masks = [_mask(dataset, pattern) for pattern in patterns]
    shares = [*patterns.values(), 1.0 - total if total < 1 - 1e-9 else 0.0]
    return torch.stack([*masks, everything]), torch.tensor(shares, dtype=torch.float64)


def _mask(dataset: MultimodalDataset, names: str | Sequence[str]) -> Bool[Tensor, "M"]:
    """Which modalities are named, by letter or name; ValueError on an unknown one."""
    known = dataset.modalities
    called = Names(known, letters_of(known), f"{dataset.name} has {', '.join(known)}")
    mask = torch.zeros(len(known), dtype=torch.bool)
    mask[called.places(names)] = True
    return mask


def _refuse_empty(
    dataset: MultimodalDataset, something: Bool[Tensor, "N"], what: str = "would be left with nothing"
) -> None:
    """Raise ValueError, with their indices, for items without anything."""
    empty = (~something).nonzero().flatten().tolist()
    if empty:
        shown = ", ".join(map(str, empty[:NAMED])) + (f" and {len(empty) - NAMED} more" if len(empty) > NAMED else "")
        raise ValueError(f"items of {dataset.name} {what}: {shown}; leave them something, or leave them out")
