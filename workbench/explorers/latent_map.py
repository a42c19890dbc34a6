"""A map of content posteriors: test items encoded, their means in a plane, ellipses of posteriors, lines between.

Nothing here knows of widgets. A point is the mean of one posterior of one item: a modality's own q(c | x_m), or the
joint of all modalities. The map's plane is that of the two principal components of the unimodal means, a rotation of
the content space, so that distances shrink but are not distorted and a posterior's shadow is an ellipse.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Diagonal, Gaussian, Mixture
from workbench.explorers.generation import POSTERIORS, own_posterior
from workbench.explorers.models import ExploredModel
from workbench.fusion import dynamic_prior, fuse
from workbench.model import Posteriors

JOINT = "joint"
ITEMS = 200  # test items on a map
FEWEST = 3  # faces on a map
STEPS = 9  # contents on the line between two points, both ends included
PERPLEXITY = 30.0  # of t-SNE; a third of the points where they are few
ITERATIONS = 500  # of t-SNE: twice those of its early exaggeration, half of scikit-learn's, for the sake of waiting


@dataclass(frozen=True)
class Ellipse:
    """All points at one standard deviation from a centre, in the map's plane: half axes a >= b, a turned by `angle`.

    Of a Gaussian it holds 39 % of the projected mass, the one of twice its size 86 %.
    """

    centre: tuple[float, float]
    a: float
    b: float
    angle: float  # radians, counter-clockwise from the first axis

    @classmethod
    def of(cls, centre: Float[Tensor, "2"], covariance: Float[Tensor, "2 2"]) -> "Ellipse":
        """Make the ellipse of a mean and a covariance matrix."""
        variances, directions = torch.linalg.eigh(covariance.double())  # in ascending order
        b, a = variances.clamp(min=0).sqrt().tolist()
        x, y = directions[:, 1].tolist()
        left, top = centre.tolist()
        return cls((left, top), a, b, math.atan2(y, x))


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of the first two principal components: orthonormal `axes` through `centre`."""

    centre: Float[Tensor, "content"]
    axes: Float[Tensor, "content 2"]
    shares: tuple[float, float]  # of the variance of the means that it was fitted on

    @classmethod
    def fit(cls, points: Float[Tensor, "n content"]) -> "Plane":
        """Fit the plane to some points; ValueError when they have fewer than two dimensions.

        The sign of an axis is free: its largest entry is made positive, so that the same points give the same map.
        """
        if points.shape[1] < 2:
            raise ValueError(f"a map needs at least 2 content dimensions, this model has {points.shape[1]}")
        pca = PCA(2, svd_solver="full").fit(points.double().numpy())
        axes = torch.from_numpy(pca.components_).T
        largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        first, second = pca.explained_variance_ratio_.tolist()
        return cls(torch.from_numpy(pca.mean_), axes * largest.sign(), (first, second))

    def project(self, points: Float[Tensor, "*n content"]) -> Float[Tensor, "*n 2"]:
        """Project points of the content space into the plane."""
        return (points.double() - self.centre) @ self.axes

    def covariance(self, variances: Float[Tensor, "content"]) -> Float[Tensor, "2 2"]:
        """Return the covariance in the plane of dimensions with these variances: P^T diag(variances) P."""
        return self.axes.T @ (variances.double().unsqueeze(1) * self.axes)

    def shadow(self, q: Diagonal) -> Ellipse:
        """Return the ellipse of one distribution `[content]` in the plane."""
        return Ellipse.of(self.project(q.mean), self.covariance(q.logvar.exp()))

    def mixture_shadow(self, mixture: Mixture) -> Ellipse:
        """Return the ellipse of the mean and covariance of a mixture of one item `[M, 1, content]`.

        Its covariance is that of its components, on average, and that of their means.
        """
        weights = mixture.weights[:, 0].double()
        centre, means = self.project(mixture.mean()[0]), self.project(mixture.components.mean[:, 0])
        inside = self.covariance((weights.unsqueeze(1) * mixture.components.logvar[:, 0].double().exp()).sum(0))
        return Ellipse.of(centre, inside + (means - centre).T @ (weights.unsqueeze(1) * (means - centre)))


@dataclass(frozen=True, eq=False)
class LatentMap:
    """Test items of a model, encoded, and the plane of their unimodal means.

    Points are numbered group after group: point g * n + i is item i inferred from group g.
    """

    explored: ExploredModel
    batch: Batch
    q: Posteriors
    fusion: str  # the joint's fusion, one of `fusion.FUSIONS`
    contents: Float[Tensor, "groups n content"]  # means: of each modality in order, and last of the joint
    plane: Plane

    @property
    def groups(self) -> tuple[str, ...]:
        """What a point was inferred from: a modality's letter or JOINT."""
        return (*self.explored.letters, JOINT)

    @property
    def marks(self) -> tuple[str, ...]:
        """A sign for each group: its letter, or a plus for the joint."""
        return (*self.explored.letters, "+")

    @property
    def items(self) -> int:
        """Test items on the map."""
        return self.batch.size

    @property
    def points(self) -> int:
        """Points on the map: the items of all groups."""
        return len(self.groups) * self.items

    def place(self, point: int) -> tuple[str, int]:
        """Return the group and the item of a point; IndexError for a number that no point has."""
        if not 0 <= point < self.points:
            raise IndexError(f"no point {point}: there are {self.points}")
        return self.groups[point // self.items], point % self.items

    def content(self, point: int) -> Float[Tensor, "content"]:
        """Return the content at a point: the mean of its posterior."""
        self.place(point)
        return self.contents.flatten(0, 1)[point]

    def describe(self, point: int) -> str:
        """Say a point in words: "digit 7 inferred from M, item 12"."""
        group, item = self.place(point)
        source = "all modalities (joint)" if group == JOINT else group
        return f"{self.explored.subject.name(self.batch.labels[item])} inferred from {source}, item {item}"

    def positions(self) -> Float[Tensor, "groups n 2"]:
        """Project all points into the plane of the principal components."""
        return self.plane.project(self.contents)


@torch.no_grad()
def latent_map(explored: ExploredModel, fusion: str = "mixture", items: int = ITEMS, seed: int = 0) -> LatentMap:
    """Encode test items, as many of each class, and lay the plane through their unimodal means.

    ValueError for an unknown fusion, or one that the model's posteriors do not allow.
    """
    batch = explored.data.batch(balanced_rows(explored.data, items, seed), torch.Generator().manual_seed(seed))
    q = explored.model.encode(batch)
    return _arranged(explored, batch, q, fusion, Plane.fit(q.content.mean.flatten(0, 1)))


def with_joint(chart: LatentMap, fusion: str) -> LatentMap:
    """Return the same map with another joint posterior; the other points stay where they are."""
    return _arranged(chart.explored, chart.batch, chart.q, fusion, chart.plane)


@torch.no_grad()
def _arranged(explored: ExploredModel, batch: Batch, q: Posteriors, fusion: str, plane: Plane) -> LatentMap:
    joint = fuse(fusion, q.content, q.present, explored.config.prior_weight)
    mean = joint.mean() if isinstance(joint, Mixture) else joint.mean
    return LatentMap(explored, batch, q, fusion, torch.cat([q.content.mean, mean.unsqueeze(0)]), plane)


def balanced_rows(data: MultimodalDataset, items: int, seed: int = 0) -> Int[Tensor, "rows"]:
    """Pick rows of a data set with equally many of each class, in a random order that depends on the seed alone.

    Classes that have too few give what they have; faces, which are of no class, are taken at random. ValueError when
    there is not one item for each class, or fewer than three faces, through which no plane can be laid.
    """
    generator = torch.Generator().manual_seed(seed)
    candidates = data.first_repeat().cpu()
    candidates = candidates[torch.randperm(len(candidates), generator=generator)]
    if data.labels.dim() == 2:
        _check_count(min(items, len(candidates)), FEWEST, "a map of faces")
        return candidates[:items]
    labels = data.labels.cpu()
    classes = labels.unique()
    _check_count(items, len(classes), f"{len(classes)} classes")
    share, rest = divmod(items, len(classes))
    of_class = (candidates[labels[candidates] == c] for c in classes)
    rows = torch.cat([some[: share + (k < rest)] for k, some in enumerate(of_class)])
    return rows[torch.randperm(len(rows), generator=generator)]


def _check_count(items: int, fewest: int, what: str) -> None:
    if items < fewest:
        raise ValueError(f"{items} items are too few for {what}: ask for {fewest} at least")


def joint_choices(explored: ExploredModel) -> dict[str, str]:
    """List fusions for the joint, as shown and as in `fusion`, the method's own first; Laplaces: the mixture alone."""
    if not issubclass(explored.model.family, Gaussian):
        return {"mixture": POSTERIORS["mixture"]}
    own = own_posterior(explored)
    return dict(sorted(POSTERIORS.items(), key=lambda choice: choice[1] != own))


@torch.no_grad()
def item_ellipses(chart: LatentMap, item: int) -> dict[str, Ellipse]:
    """Return an item's ellipses at one standard deviation: each modality's posterior, joint, dynamic prior and p(c).

    Of a mixture it is that of its mean and covariance. A model of Laplaces has no dynamic prior.
    """
    one, plane = slice(item, item + 1), chart.plane
    experts, present = chart.q.content[:, one], chart.q.present[:, one]
    weight = chart.explored.config.prior_weight
    ellipses = {letter: plane.shadow(experts[m, 0]) for m, letter in enumerate(chart.explored.letters)}
    joint = fuse(chart.fusion, experts, present, weight)
    ellipses[JOINT] = plane.mixture_shadow(joint) if isinstance(joint, Mixture) else plane.shadow(joint[0])
    if isinstance(experts, Gaussian):
        ellipses["dynamic prior"] = plane.shadow(dynamic_prior(experts, present, weight)[0])
    return ellipses | {"p(c)": plane.shadow(chart.explored.model.prior(experts.mean[0, 0]))}


def tsne(contents: Float[Tensor, "groups n content"], seed: int = 0) -> Float[Tensor, "groups n 2"]:
    """Place all points by t-SNE (van der Maaten and Hinton 2008), which keeps neighbours together but no distances.

    Takes seconds. It is no map of the space: there are places for these points only, none for others between them.
    """
    flat = contents.flatten(0, 1).double().numpy()
    perplexity = min(PERPLEXITY, (len(flat) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init="pca", max_iter=ITERATIONS, random_state=seed)
    places = method.fit_transform(flat)
    return torch.from_numpy(places).double().view(*contents.shape[:2], 2)


def interpolate(
    a: Float[Tensor, "content"], b: Float[Tensor, "content"], steps: int = STEPS
) -> Float[Tensor, "steps content"]:
    """Return contents at equal distances on the straight line from one to another, both included."""
    weights = torch.linspace(0, 1, steps, dtype=a.dtype).unsqueeze(1)
    return torch.lerp(a.expand(steps, -1), b.expand(steps, -1), weights)
