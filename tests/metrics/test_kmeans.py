"""k-means of many runs at once, against scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from helpers import seeded
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score

from workbench.metrics.kmeans import clusters_of


def clouds(items: int, dimensions: int, centres: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Clouds of points, and the cloud of each."""
    generator = seeded(3)
    places = 3 * torch.randn(centres, dimensions, generator=generator)
    which = torch.randint(centres, (items,), generator=generator)
    return places[which] + spread * torch.randn(items, dimensions, generator=generator) + 50, which


def inertia(points: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean squared distance of points to the means of their clusters, cluster by cluster."""
    parts = [points[labels == k] for k in labels.unique()]
    return sum(((part - part.mean(0)) ** 2).sum().item() for part in parts) / len(points)


def test_clusters_are_as_tight_as_those_of_scikit_learn():
    points, _ = clouds(3000, 24, 8, 1.5)
    methods = (MiniBatchKMeans(20, n_init=10, batch_size=100, random_state=seed) for seed in range(10))
    theirs = [inertia(points, torch.from_numpy(method.fit(points).labels_)) for method in methods]
    ours = [inertia(points, labels) for labels in clusters_of(points, 20, 10, seeded())]
    assert len(set(ours)) == 10  # runs of their own
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)
    assert max(ours) < max(theirs) * 1.02


def test_clouds_that_are_far_apart_are_found():
    points, which = clouds(500, 6, 5, 0.05)
    for labels in clusters_of(points, 5, 4, seeded()):
        assert adjusted_rand_score(which, labels) == 1


def test_a_seed_says_everything_and_half_precision_around_it_nothing():
    points, _ = clouds(400, 5, 4, 1.0)
    once, again, other = (clusters_of(points, 6, 3, seeded(seed)) for seed in (1, 1, 2))
    with torch.autocast("cpu", torch.bfloat16):
        inside = clusters_of(points, 6, 3, seeded(1))
    assert torch.equal(once, again) and torch.equal(once, inside) and not torch.equal(once, other)


@pytest.mark.parametrize("points", [torch.ones(30, 4), torch.eye(3).repeat(7, 1)])
def test_fewer_places_than_clusters(points):
    labels = clusters_of(points, 10, 5, seeded())
    assert labels.shape == (5, len(points))
    assert math.isclose(max(inertia(points, run) for run in labels), 0, abs_tol=1e-9)
