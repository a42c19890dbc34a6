"""Clusters against classes: scores by brute force over permutations and by counting pairs."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given
from hypothesis import strategies as st

from workbench.metrics.clustering import clustering, match

ITEMS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=25)


@given(ITEMS)
def test_scores_by_brute_force(pairs):
    labels, clusters = (torch.tensor(column) for column in zip(*pairs, strict=True))
    found = match(labels, clusters)
    best = max(
        np.mean([names[cluster] == label for label, cluster in pairs]) for names in itertools.permutations(range(3))
    )
    assert found["accuracy"] == pytest.approx(best)

    def entropy(items) -> float:
        shares = [items.count(x) / len(items) for x in {*items}]
        return -sum(p * math.log(p) for p in shares)

    apart = [entropy([x[k] for x in pairs]) for k in (0, 1)]
    shared = sum(apart) - entropy(pairs)
    expected = shared / (sum(apart) / 2) if all(apart) else 1.0 * (sum(apart) == 0)
    assert found["nmi"] == pytest.approx(expected, abs=1e-9)
    same = [[a[k] == b[k] for a, b in itertools.combinations(pairs, 2)] for k in (0, 1)]
    both, one, other, all_pairs = np.logical_and(*same).sum(), sum(same[0]), sum(same[1]), len(same[0])
    chance = one * other / all_pairs
    most = (one + other) / 2
    assert found["ari"] == pytest.approx(1.0 if most == chance else (both - chance) / (most - chance), abs=1e-9)


def test_k_means_finds_clusters_that_are_there_whatever_they_are_called():
    labels = torch.arange(120) % 4
    centres = 9.0 * torch.randn(4, 6, generator=seeded())
    codes = centres[labels] + 0.3 * torch.randn(120, 6, generator=seeded(1))
    assert clustering(codes, labels) == {"accuracy": 1.0, "nmi": pytest.approx(1.0), "ari": pytest.approx(1.0)}
    blurred = clustering(torch.randn(600, 6, generator=seeded(2)), torch.arange(600) % 4)
    assert abs(blurred["ari"]) < 0.03 and 0.25 <= blurred["accuracy"] < 0.35
