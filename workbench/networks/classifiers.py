"""Classifiers of single modalities, the judges of coherence: Tables 6, 7 and 8 as they can run, and one beyond them.

Table 6 prints padding 1 for MNIST, which its last row of 128 features does not fit (k4 s2 p0 does), and one input
channel for SVHN, which has three. Table 7 halves eight positions more often than they can be halved: two residual
blocks are what fits. Table 8 fits as it stands; its sigmoid is left to the caller. All return logits; use them in
evaluation mode, or dropout stays on.
"""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.networks import faces
from workbench.networks.digits import characters

CLASSES = 10


class MnistClassifier(nn.Module):
    """Convolutions k4 s2 1-32-64-128, ReLU each, linear 10 (Table 6)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, CLASSES))

    def forward(self, x: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        """Map images in [0, 1] to logits."""
        return self.layers(x)


class SvhnClassifier(nn.Module):
    """Convolutions k4 s2 3-32-64-64-128, each with dropout 0.5, batch norm and ReLU, linear 10 (Table 6)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, padding in ((3, 32, 1), (32, 64, 1), (64, 64, 1), (64, 128, 0)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=padding), nn.Dropout(0.5)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, CLASSES))

    def forward(self, x: Float[Tensor, "batch 3 32 32"]) -> Float[Tensor, "batch 10"]:
        """Map images in [0, 1] to logits."""
        return self.layers(x)


class PolydigitsClassifier(nn.Module):
    """Convolutions k4 s2 3-16-32-128, each with group norm (4) and ReLU, linear 10.

    The paper has no such table. Group norm, since the running statistics of batch norm lag behind on bright paper.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 128)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2), nn.GroupNorm(4, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, CLASSES))

    def forward(self, x: Float[Tensor, "batch 3 28 28"]) -> Float[Tensor, "batch 10"]:
        """Map images in [0, 1] to logits."""
        return self.layers(x)


class ResidualBlock1d(nn.Module):
    """Two convolutions around a strided k4 shortcut, ReLU (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, padding: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv1d(inputs, outputs, 4, stride=2, padding=padding)
        self.first = nn.Conv1d(inputs, inputs, 1)
        self.second = nn.Conv1d(inputs, outputs, 4, stride=2, padding=padding)

    def forward(self, x: Float[Tensor, "batch inputs length"]) -> Float[Tensor, "batch outputs shorter"]:
        """Halve the positions."""
        return F.relu(self.shortcut(x) + self.second(F.relu(self.first(x))))


class TextClassifier(nn.Module):
    """Convolution 71-128 k1, residual blocks 128-192-128, linear 10 (Table 7, as far as eight positions go)."""

    def __init__(self, alphabet: int = 71) -> None:
        super().__init__()
        self.alphabet = alphabet
        self.layers = nn.Sequential(
            *(nn.Conv1d(alphabet, 128, 1), nn.ReLU()),
            *(ResidualBlock1d(128, 192, padding=1), ResidualBlock1d(192, 128, padding=0)),
            *(nn.Flatten(), nn.Linear(128, CLASSES)),
        )

    def forward(self, x: Int[Tensor, "batch 8"] | Float[Tensor, "batch 8 alphabet"]) -> Float[Tensor, "batch 10"]:
        """Map tokens, or the probabilities a decoder gives for each position, to logits.

        Probabilities are read as they are. Where a word's place is uncertain, the most likely character is a blank at
        every position, while the probabilities still tell the word.
        """
        return self.layers(characters(x, self.alphabet, self.layers[0].weight))


class FaceClassifier(nn.Module):
    """Convolution 3-128 k3 s2 p1, residual blocks 128-256-384-512-640, linear 40 (Table 8)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        features = faces.ImageEncoder(width)
        self.layers = nn.Sequential(*features.layers, nn.Linear(features.features, len(ATTRIBUTES)))

    def forward(self, x: Float[Tensor, "batch 3 64 64"]) -> Float[Tensor, "batch 40"]:
        """Map images in [0, 1] to the logits of 40 attributes."""
        return self.layers(x)


class DescriptionClassifier(nn.Module):
    """Convolution 71-128 k3 s2 p1, residual blocks 128-256-384-512-640-768-896, linear 40 (Table 8)."""

    def __init__(self, width: float = 1.0, alphabet: int = 71) -> None:
        super().__init__()
        self.alphabet = alphabet
        sizes = faces.channels((128, 256, 384, 512, 640, 768, 896), width)
        self.layers = nn.Sequential(
            nn.Conv1d(alphabet, sizes[0], 3, stride=2, padding=1),
            *faces.blocks(nn.Conv1d, sizes, -1),
            *(nn.Flatten(), nn.Linear(sizes[-1], len(ATTRIBUTES))),
        )

    def forward(self, x: Int[Tensor, "batch 256"] | Float[Tensor, "batch 256 alphabet"]) -> Float[Tensor, "batch 40"]:
        """Map tokens, or the probabilities a decoder gives for each position, to the logits of 40 attributes."""
        return self.layers(characters(x, self.alphabet, self.layers[0].weight))


CLASSIFIERS: dict[tuple[int, ...], Callable[..., nn.Module]] = {
    (1, 28, 28): MnistClassifier,
    (3, 32, 32): SvhnClassifier,
    (3, 28, 28): PolydigitsClassifier,
    (8,): TextClassifier,
    (3, 64, 64): FaceClassifier,
    (256,): DescriptionClassifier,
}
SCALABLE = ((3, 64, 64), (256,))  # shapes whose classifiers take a `width`, which multiplies their channels


def make_classifier(shape: tuple[int, ...], width: float = 1.0) -> nn.Module:
    """Make an untrained classifier for items of a shape; ValueError when none is known for it.

    Those that have one width only take no notice of `width`.
    """
    if shape not in CLASSIFIERS:
        raise ValueError(f"no classifier for shape {shape}: add a line to networks.classifiers.CLASSIFIERS")
    return CLASSIFIERS[shape](width) if shape in SCALABLE else CLASSIFIERS[shape]()
