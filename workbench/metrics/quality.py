"""Quality of generated images: precision and recall of distributions (PRD, Table 3) and the Fréchet distance (FID).

Both compare the features of a set of generated images with those of as many real ones. Real features are computed once
for all generated sets of a modality; images come in batches and are not kept.
"""

import math
from dataclasses import dataclass
from statistics import pvariance
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.metrics.features import FeatureSet, Statistics
from workbench.metrics.kmeans import clusters_of

ANGLES = 1001
CLUSTERS = 20
RUNS = 10
GROUPS = 10  # of images, each left out once to see how far a distance is uncertain


class Curve(NamedTuple):
    """Precision and recall of distributions: one pair for each angle, from precision 0 to recall 0."""

    precision: Float[Tensor, "angles"]
    recall: Float[Tensor, "angles"]


@dataclass(frozen=True)
class Quality:
    """Quality of one set of generated images; ceilings: `prd_ceiling()` for average_precision, 1 for F."""

    average_precision: float  # mean of precisions and recalls along the PRD curve
    f_8: float  # mostly recall: falls when modes are missing
    f_1_8: float  # mostly precision: falls when samples are unlike anything real
    fid: float  # squared Fréchet distance, 0 is best; means nothing across extractors


def quality(real: FeatureSet, generated: FeatureSet, seed: int = 0) -> Quality:
    """Every measure of quality of generated images against as many real ones; deterministic in the seed.

    ValueError for sets of other sizes, fewer than ten images each or another extractor.
    """
    if real.extractor.name != generated.extractor.name:
        names = f"{real.extractor.name} and of {generated.extractor.name}"
        raise ValueError(f"features of {names} cannot be compared: use one extractor")
    _check_sizes(len(real), len(generated))
    curve = prd(real.features, generated.features, seed)
    fid = frechet_distance(real.statistics, generated.statistics)
    return Quality(average_precision(curve), f_beta(curve, 8.0), f_beta(curve, 1 / 8), fid)


def prd(real: Float[Tensor, "n d"], generated: Float[Tensor, "k d"], seed: int = 0) -> Curve:
    """PRD curve of features: k-means on their union turns both sets into histograms; the average of ten such runs.

    Sajjadi et al. 2018, with the published numbers of clusters, angles and runs; deterministic in the seed. ValueError
    unless the sets are of equal size: the larger one would rule the clusters.
    """
    _check_sizes(len(real), len(generated))
    union = torch.cat([real, generated])
    labels = clusters_of(union, CLUSTERS, RUNS, torch.Generator(union.device).manual_seed(seed)).cpu()
    histograms = [[half.bincount(minlength=CLUSTERS).double() / len(half) for half in run.chunk(2)] for run in labels]
    precisions, recalls = zip(*(prd_curve(*pair) for pair in histograms), strict=True)
    return Curve(torch.stack(precisions).mean(0), torch.stack(recalls).mean(0))


def prd_curve(real: Float[Tensor, "states"], generated: Float[Tensor, "states"], angles: int = ANGLES) -> Curve:
    """PRD curve of two distributions over the same states (Sajjadi et al. 2018).

    For a slope λ the precision is Σ min(λ P, Q), with P real and Q generated, and the recall is this over λ.
    """
    end = 1e-10  # the slopes at the ends themselves would be 0 and infinite
    slopes = torch.linspace(end, math.pi / 2 - end, angles, dtype=torch.float64).tan()
    precision = torch.minimum(slopes[:, None] * real, generated.double()).sum(1)
    return Curve(precision.clamp(max=1), (precision / slopes).clamp(max=1))  # rounding may lead just above 1


def average_precision(curve: Curve) -> float:
    """The paper's number: the mean of all precisions and recalls of a curve."""
    return torch.cat(curve).mean().item()


def prd_ceiling(angles: int = ANGLES) -> float:
    """Average precision of identical distributions: not 1 but some 1/2 + ln 2 / π = 0.72, the mean of min(λ, 1)."""
    certain = torch.ones(1, dtype=torch.float64)
    return average_precision(prd_curve(certain, certain, angles))


def f_beta(curve: Curve, beta: float) -> float:
    """The best F_β = (1 + β²) p r / (β² p + r) along a curve: recall counts β times as much as precision."""
    precision, recall = curve
    scores = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    return scores.nan_to_num(0.0).max().item()  # 0/0 where both are 0


def frechet_distance(one: Statistics, other: Statistics) -> float:
    """Squared Fréchet distance of Gaussians with these means and covariances: |m - n|^2 + tr(S + T - 2 (S T)^1/2).

    Dowson and Landau (1982); Heusel et al. (2017) made it a score of images. Of n images with d features it is biased
    upwards, by about d / n: two samples of one Gaussian, whose standard deviations fall evenly in the square root, are
    2 % of its variance apart at d = 80 and n = 1,000 (0.2 % at 10,000), and 15 % at d = 640 (1.5 %). So only distances
    of as many images by one extractor are compared.
    """
    variances, axes = torch.linalg.eigh(one.covariance)
    root = axes * variances.clamp(min=0).sqrt() @ axes.T  # rounding leads below 0 where features never fire
    # S T has the eigenvalues of S^1/2 T S^1/2, which is symmetric
    shared = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (one.mean - other.mean).square().sum() + one.covariance.trace() + other.covariance.trace() - 2 * shared
    return max(apart.item(), 0.0)


def frechet_error(real: Statistics, generated: FeatureSet, groups: int = GROUPS) -> float:
    """Standard error of `frechet_distance` over other draws of the generated images: a jackknife by groups."""
    parts, found = generated.features.tensor_split(groups), []
    for left_out in range(groups):
        others = Statistics(generated.extractor.dimensions)
        for part in (*parts[:left_out], *parts[left_out + 1 :]):
            others.update(part)
        found.append(frechet_distance(real, others))
    return math.sqrt((groups - 1) * pvariance(found))


def _check_sizes(real: int, generated: int) -> None:
    if real != generated:
        sets = f"{real} real with {generated} generated images: generate as many as there are real ones"
        raise ValueError(f"quality compares sets of equal size, not {sets}")
    if 2 * real < CLUSTERS:
        raise ValueError(f"{CLUSTERS} clusters need at least {CLUSTERS // 2} images in each set, not {real}: give more")
