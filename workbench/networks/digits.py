"""Encoders and decoders for MNIST-SVHN-Text: Tables 10, 11 and 12 as they run.

An encoder maps inputs to features `[batch, features]`; the linear heads that turn them into means and log-variances
stand in `workbench.model`. A decoder maps codes `[batch, style + content]` to the likelihood's parameters. Not every
layer is followed by a ReLU, as the captions have it: heads and outputs are not.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


def characters(x: Tensor, alphabet: int, like: Tensor) -> Float[Tensor, "batch alphabet length"]:
    """Return tokens as one-hot vectors, or probabilities as they are, as channels in the type of `like`."""
    shown = x if x.dim() == 3 else F.one_hot(x, alphabet)
    return shown.transpose(1, 2).to(like.dtype)


class MnistEncoder(nn.Module):
    """784-400 ReLU (Table 10)."""

    features = 400

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())

    def forward(self, x: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 400"]:
        """Map images in [0, 1] to features."""
        return self.layers(x)


class MnistDecoder(nn.Module):
    """code-400 ReLU-784 sigmoid (Table 10)."""

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(code_dim, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 1 28 28"]:
        """Map codes to pixel locations in [0, 1]."""
        return self.layers(code).view(-1, 1, 28, 28)


class SvhnEncoder(nn.Module):
    """Convolutions 3-32-64-64-128, ReLU each (Table 11)."""

    features = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, padding in ((3, 32, 1), (32, 64, 1), (64, 64, 1), (64, 128, 0)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=padding), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, x: Float[Tensor, "batch 3 32 32"]) -> Float[Tensor, "batch 128"]:
        """Map images in [0, 1] to features."""
        return self.layers(x)


class SvhnDecoder(nn.Module):
    """Linear 128 ReLU, transposed convolutions 128-64-64-32-3, ReLU between, none at the end (Table 11)."""

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        layers = [nn.Linear(code_dim, 128), nn.ReLU(), nn.Unflatten(1, (128, 1, 1))]
        for inputs, outputs, stride, padding in ((128, 64, 1, 0), (64, 64, 2, 1), (64, 32, 2, 1), (32, 3, 2, 1)):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=stride, padding=padding), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 3 32 32"]:
        """Map codes to pixel locations, unbounded."""
        return self.layers(code)


class TextEncoder(nn.Module):
    """Convolutions 71-128 k1, 128-128 k4 s2 p1, 128-128 k4 s2, ReLU each (Table 12)."""

    features = 128

    def __init__(self, alphabet: int = 71) -> None:
        super().__init__()
        self.alphabet = alphabet
        self.layers = nn.Sequential(
            *(nn.Conv1d(alphabet, 128, 1), nn.ReLU()),
            *(nn.Conv1d(128, 128, 4, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv1d(128, 128, 4, stride=2, padding=0), nn.ReLU()),
            nn.Flatten(),
        )

    def forward(self, tokens: Int[Tensor, "batch 8"]) -> Float[Tensor, "batch 128"]:
        """Map tokens of eight characters to features."""
        return self.layers(characters(tokens, self.alphabet, self.layers[0].weight))


class TextDecoder(nn.Module):
    """Linear 128 (no ReLU), transposed convolutions k4 ReLU, k4 s2 p1 ReLU, convolution k1 to 71 (Table 12)."""

    def __init__(self, code_dim: int, alphabet: int = 71) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(code_dim, 128), nn.Unflatten(1, (128, 1))),
            *(nn.ConvTranspose1d(128, 128, 4, stride=1, padding=0), nn.ReLU()),
            *(nn.ConvTranspose1d(128, 128, 4, stride=2, padding=1), nn.ReLU()),
            nn.Conv1d(128, alphabet, 1),
        )

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 8 alphabet"]:
        """Map codes to unnormalised log-probabilities of the characters at each position."""
        return self.layers(code).transpose(1, 2)
