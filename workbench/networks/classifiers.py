"""Classifiers of single modalities, the judges of coherence: Tables 6 and 7 as they can run, and one beyond them.

Table 6 prints padding 1 for MNIST, which its last row of 128 features does not fit (k4 s2 p0 does), and one input
channel for SVHN, which has three. Table 7 halves eight positions more often than they can be halved: two residual
blocks are what fits. All return logits; use them in evaluation mode, or dropout stays on.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

CLASSES = 10


class MnistClassifier(nn.Module):
    """Convolutions k4 s2 1-32-64-128, ReLU each, linear 10 (Table 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 128, 4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, CLASSES),
        )

    def forward(self, x: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        """Images in [0, 1] to logits."""
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
        """Images in [0, 1] to logits."""
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
        """Images in [0, 1] to logits."""
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
            nn.Conv1d(alphabet, 128, 1),
            nn.ReLU(),
            ResidualBlock1d(128, 192, padding=1),
            ResidualBlock1d(192, 128, padding=0),
            nn.Flatten(),
            nn.Linear(128, CLASSES),
        )

    def forward(self, x: Int[Tensor, "batch 8"] | Float[Tensor, "batch 8 alphabet"]) -> Float[Tensor, "batch 10"]:
        """Tokens, or the probabilities a decoder gives for each position, to logits.

        Probabilities are read as they are. Where a word's place is uncertain, the most likely character is a blank at
        every position, while the probabilities still tell the word.
        """
        characters = x if x.dim() == 3 else F.one_hot(x, self.alphabet)
        return self.layers(characters.transpose(1, 2).to(self.layers[0].weight.dtype))


CLASSIFIERS: dict[tuple[int, ...], type[nn.Module]] = {
    (1, 28, 28): MnistClassifier,
    (3, 32, 32): SvhnClassifier,
    (3, 28, 28): PolydigitsClassifier,
    (8,): TextClassifier,
}
