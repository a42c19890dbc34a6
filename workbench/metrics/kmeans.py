"""k-means on mini-batches, many runs side by side: the clusters that PRD curves count in (`metrics.quality`).

scikit-learn's MiniBatchKMeans makes one run at a time, of hundreds of steps so small that calling functions is most of
their cost. Here a step is that of all runs, on the device of the points and without waiting for it. Settings are
scikit-learn's, but for its stopping rule and its second thoughts: the number of steps is fixed, about as many as that
rule takes, and a cluster that few points come to stays where it is.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BATCH = 100
FIRST = 3 * BATCH  # points that the first centres are chosen from
TRIALS = 4  # candidates for each of these
STEPS, PASSES = 100, 1  # at least so many steps, and about as many as visit every point once


def clusters_of(
    points: Float[Tensor, "n d"], clusters: int, runs: int, generator: torch.Generator | None = None
) -> Int[Tensor, "runs n"]:
    """The cluster of every point in each of several independent runs; deterministic in the generator.

    Sculley (2010): centres are running means of what was nearest to them. The generator is one of the points' device.
    """
    with torch.autocast(points.device.type, enabled=False):
        points = points.float() - points.float().mean(0)  # near zero, so that squares do not cancel
        centres = _first_centres(points, clusters, runs, generator)
        counts = points.new_zeros(runs, clusters, 1)
        steps = max(STEPS, PASSES * len(points) // BATCH)
        for rows in _rows(points, (steps, runs, BATCH), generator):
            batch = points.index_select(0, rows.flatten()).view(runs, BATCH, -1)  # sooner than points[rows]
            own = F.one_hot(_nearest(batch, centres), clusters).to(points.dtype).transpose(1, 2)
            counts += (new := own.sum(2, keepdim=True))
            centres += (own @ batch - new * centres) / counts.clamp(min=1)
        return _nearest(points, centres)


def _nearest(points: Float[Tensor, "*runs n d"], centres: Float[Tensor, "runs k d"]) -> Int[Tensor, "runs n"]:
    """The nearest centre of every point, of the run's own or of all; a point's square is the same for all centres."""
    squares = centres.square().sum(2).unsqueeze(1)
    return (squares - 2 * points @ centres.transpose(1, 2)).argmin(2)


def _first_centres(
    points: Float[Tensor, "n d"], clusters: int, runs: int, generator: torch.Generator | None
) -> Float[Tensor, "runs k d"]:
    """Points far from each other: k-means++ (Arthur and Vassilvitskii 2007), the best of a few candidates each time."""
    some = points[_rows(points, (runs, FIRST), generator)]
    between = torch.cdist(some, some).square()
    chosen = [torch.zeros_like(between[:, 0, 0], dtype=torch.long)]
    nearest = between[:, 0]  # squared distance of each point to the centre nearest to it
    run = torch.arange(runs, device=points.device)
    while len(chosen) < clusters:
        # where all points are centres already, any of them will do
        candidates = nearest.clamp(min=1e-30).multinomial(TRIALS, replacement=True, generator=generator)
        left = torch.minimum(nearest.unsqueeze(1), between[run.unsqueeze(1), candidates])
        best = left.sum(2).argmin(1)
        chosen.append(candidates[run, best])
        nearest = left[run, best]
    return some[run.unsqueeze(1), torch.stack(chosen, dim=1)]


def _rows(points: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Int[Tensor, "..."]:
    """Points drawn at random, with replacement."""
    return torch.randint(len(points), shape, generator=generator, device=points.device)
