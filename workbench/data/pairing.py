"""Pair table: which items of the sources are shown together, by the rule of the paper's MNIST-SVHN-Text data set."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor


def pair_table(labels: Sequence[Int[Tensor, "_"]], repeats: int = 20, seed: int = 0) -> Int[Tensor, "N M"]:
    """Pair items of one class at random: their indices side by side, one column for each source.

    For each class, the first n = min over the sources of that class's items are matched at random, `repeats` times,
    each time independently. Rows come repeat after repeat, so the first N / repeats rows show each item once; within
    a repeat their order is random, so that a prefix holds all classes. int32. Raises ValueError when the sources
    share no class.
    """
    generator = torch.Generator().manual_seed(seed)
    classes = sorted(set.intersection(*(set(column.unique().tolist()) for column in labels)))
    if not classes or repeats < 1:
        raise ValueError("nothing to pair: the sources must share a class, and repeats must be at least 1")
    table = torch.cat([_match(labels, digit, repeats, generator) for digit in classes], dim=1)
    order = _permutations(repeats, table.shape[1], generator)
    return table.gather(1, order.unsqueeze(-1).expand_as(table)).flatten(0, 1)


def _match(
    labels: Sequence[Int[Tensor, "_"]], digit: int, repeats: int, generator: torch.Generator
) -> Int[Tensor, "repeats n M"]:
    """Random matchings of the first n items of one class of every source."""
    members = [(column == digit).nonzero().flatten() for column in labels]
    n = min(len(column) for column in members)
    columns = [column[:n][_permutations(repeats, n, generator)] for column in members]
    return torch.stack(columns, dim=-1).to(torch.int32)


def _permutations(repeats: int, n: int, generator: torch.Generator) -> Int[Tensor, "repeats n"]:
    """Independent uniform permutations, one for each row."""
    return torch.rand(repeats, n, generator=generator, dtype=torch.float64).argsort(dim=1)
