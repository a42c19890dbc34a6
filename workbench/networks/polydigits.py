"""Encoder and decoder for the 28x28 colour images of polydigits: those of PolyMNIST (Sutter et al. 2021), half as wide.

Half the channels take a third of the time, so that sixteen modalities can be trained on a CPU.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

CHANNELS = (16, 32, 64)
SIDE = 4  # of the last feature map
FEATURES = CHANNELS[-1] * SIDE**2


class PolydigitsEncoder(nn.Module):
    """Convolutions 3-16-32-64 k3 s2 p1, ReLU each."""

    features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((3, *CHANNELS)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, x: Float[Tensor, "batch 3 28 28"]) -> Float[Tensor, "batch 1024"]:
        """Map images in [0, 1] to features."""
        return self.layers(x)


class PolydigitsDecoder(nn.Module):
    """Linear 1024 ReLU, transposed convolutions 64-32-16-3 k3 s2 p1, ReLU between, none at the end."""

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        layers = [nn.Linear(code_dim, FEATURES), nn.ReLU(), nn.Unflatten(1, (CHANNELS[-1], SIDE, SIDE))]
        for (outputs, inputs), rest in zip(reversed([*pairwise((3, *CHANNELS))]), (0, 1, 1), strict=True):
            layers += [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=rest), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 3 28 28"]:
        """Map codes to pixel locations, unbounded."""
        return self.layers(code)
