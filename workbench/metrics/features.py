"""What sample quality is measured on: features of images, by Inception where its weights are, else by a judge.

Distances between sets of features mean something only for one extractor, so every extractor has a name to show.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol, runtime_checkable
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.data.images import DataError
from workbench.metrics.judges import Classifier

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
        parts = [self._network(_coloured(part).to(self.device))[0] for part in images.split(INCEPTION_BATCH)]
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


def _coloured(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1)
