"""What sample quality is measured on: features of images, by Inception where its weights are, else by a judge.

Distances between sets of features mean something only for one extractor, so every extractor has a name to show.
Features of real images are kept, as they are the same for every run that is evaluated on them: a file of data/cache for
each set of images and extractor. Its name is a digest of all pixels, all of the extractor's weights and the type of
number in which they meet, so what is read back is what would be worked out.
"""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol, runtime_checkable
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.data.images import DataError
from workbench.data.tensors import keep_tensors, read_tensors
from workbench.device import double
from workbench.files import damage, if_sound
from workbench.metrics.judges import Classifier
from workbench.paths import cache_dir

INCEPTION_BATCH = 50  # images at a time, pytorch-fid's own choice: activations take megabytes for each


@runtime_checkable
class Features(Protocol):
    """A map from images in [0, 1] to vectors, with the name that tables show, and the weights that make it."""

    name: str
    dimensions: int
    weights: Mapping[str, Tensor]

    def __call__(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n d"]: ...


@dataclass(frozen=True)
class ClassifierFeatures:
    """The activations that the last linear layer of an image judge reads, 128 for handwriting and street."""

    judge: Classifier

    @property
    def name(self) -> str:
        return f"judge of {self.judge.source} ({self.dimensions} features)"

    @property
    def dimensions(self) -> int:
        return self._layers[-1].in_features

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self.judge.network.state_dict()

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n d"]:
        return self._layers[:-1](images)

    @property
    def _layers(self) -> nn.Sequential:
        """The judge's layers, the linear one to the classes last: those of its class, or the judge itself."""
        network = self.judge.network
        return network if isinstance(network, nn.Sequential) else network.layers


class InceptionFeatures:
    """Activations of Inception's last pooling, by pytorch-fid's network with its weights in a local file.

    Nothing is downloaded. Images are enlarged to 299x299 by the network itself. An image takes some 0.2 s on a core of
    a CPU, so name another `device` where there is one. DataError when the file does not hold these weights.
    """

    name = "Inception pool3 (pytorch-fid)"
    dimensions = 2048

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._network = _inception(weights).to(self.device)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self._network.state_dict()

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n d"]:
        """Grey images are repeated to three channels; the features lie on the network's device."""
        coloured = images.expand(-1, 3, -1, -1)
        parts = [self._network(part.to(self.device))[0] for part in coloured.split(INCEPTION_BATCH)]
        return torch.cat(parts).flatten(1)


def features_for(judge: Classifier, inception: Path | None, device: torch.device | str = "cpu") -> Features:
    """Inception's features when its weights are given, else those of the modality's judge."""
    return InceptionFeatures(inception, device) if inception else ClassifierFeatures(judge)


def _inception(path: Path) -> nn.Module:
    """pytorch-fid's network, which would download its weights, with those of a file."""
    try:
        module = importlib.import_module("pytorch_fid.inception")  # brings torchvision, which takes seconds
    except ImportError as error:
        raise DataError(f"Inception needs pytorch-fid ({error}): install it with `pip install pytorch-fid`") from error
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        with patch.object(module, "load_state_dict_from_url", lambda *_, **__: weights):
            return module.InceptionV3().eval()
    except (OSError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
        raise DataError(
            f"{path} does not hold pytorch-fid's Inception weights ({type(error).__name__}): "
            "run `workbench data fetch inception`, or give no path to use the judge's features"
        ) from error


class Statistics:
    """Mean and covariance of features that come in batches, in float64: pairwise updates of Chan et al. (1979)."""

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dimensions, dtype=torch.float64)
        self._scatter = torch.zeros(dimensions, dimensions, dtype=torch.float64)

    def update(self, features: Float[Tensor, "n d"]) -> None:
        """Take one more batch into account."""
        features, count = double(features), len(features)
        mean = features.mean(0)
        self.mean, self._scatter = self.mean.to(mean.device), self._scatter.to(mean.device)
        shift, total = mean - self.mean, self.count + count
        centred = features - mean
        self._scatter += centred.T @ centred + torch.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """The unbiased estimate, as numpy.cov has it; ValueError with less than two items."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two items, not {self.count}: give it more images")
        return self._scatter / (self.count - 1)


@dataclass(eq=False)
class FeatureSet:
    """What an extractor sees in a set of images: features (float32, where it sees them) of each batch, and no image."""

    extractor: Features
    parts: list[Float[Tensor, "_ d"]] = field(default_factory=list)

    def see(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n d"]:
        """Features of images in [0, 1]."""
        return self.extractor(images).detach().float()

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def features(self) -> Float[Tensor, "n d"]:
        return torch.cat(self.parts)

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and covariance of all features, once the set is whole."""
        found = Statistics(self.extractor.dimensions)
        for part in self.parts:
            found.update(part)
        return found


def reference(extractor: Features, batches: Iterable[Tensor]) -> FeatureSet:
    """Features of real images that come in batches: make it once for all generated sets of its modality."""
    made = FeatureSet(extractor)
    made.parts += [made.see(images) for images in batches]
    return made


def kept_reference(extractor: Features, batches: Callable[[], Iterable[Float[Tensor, "n C H W"]]]) -> FeatureSet:
    """Features of real images, `batches()` of them, from the cache where they are there, else `reference`."""
    digest, device = _digest(extractor, batches())
    path = cache_dir() / f"features-{digest}.safetensors"
    if kept := if_sound(lambda: _kept(path, extractor), path):
        return FeatureSet(extractor, [features.to(device) for features in kept])
    made = reference(extractor, batches())
    keep_tensors(path, {"features": made.features})
    return made


def _kept(path: Path, extractor: Features) -> list[Float[Tensor, "n d"]]:
    with damage(path):
        features = read_tensors(path).tensors["features"]
        if features.shape[1:] != (extractor.dimensions,):
            raise ValueError(f"features of {extractor.dimensions} dimensions are not of shape {list(features.shape)}")
        return [features]


def _digest(extractor: Features, batches: Iterable[Tensor]) -> tuple[str, torch.device]:
    """Digest of all that features depend on, and where the images are."""
    digest, device = hashlib.sha256(extractor.name.encode()), torch.device("cpu")
    for name, weights in extractor.weights.items():
        digest.update(name.encode() + weights.cpu().contiguous().numpy().tobytes())
    for images in batches:
        device = images.device
        digest.update(f"{device.type} {torch.is_autocast_enabled(device.type)} {list(images.shape)}".encode())
        digest.update(images.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16], device
