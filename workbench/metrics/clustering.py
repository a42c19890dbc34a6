"""Clusters of content codes against classes: does k-means, which knows no label, find what the labels say?

Accuracy of the best one-to-one matching of clusters and classes (Hungarian method, Kuhn 1955), normalised mutual
information, and the adjusted Rand index (Hubert and Arabie 1985), which is 0 by chance.
"""

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from workbench.device import double

RUNS = 10  # of k-means, of which the tightest counts


def clustering(codes: Float[Tensor, "n latent"], labels: Int[Tensor, "n"], seed: int = 0) -> dict[str, float]:
    """Scores of k-means on codes, with as many clusters as there are classes; deterministic in the seed."""
    means = KMeans(len(labels.unique()), n_init=RUNS, random_state=seed)
    return match(labels, torch.from_numpy(means.fit_predict(double(codes).cpu().numpy())))


def match(labels: Int[Tensor, "n"], clusters: Int[Tensor, "n"]) -> dict[str, float]:
    """How well clusters of items match their classes: accuracy, nmi and ari."""
    pair = labels.cpu().numpy(), clusters.cpu().numpy()
    shared = contingency_matrix(*pair)
    matched = shared[linear_sum_assignment(shared, maximize=True)].sum() / shared.sum()
    nmi, ari = normalized_mutual_info_score(*pair), adjusted_rand_score(*pair)
    return {"accuracy": float(matched), "nmi": float(nmi), "ari": float(ari)}
