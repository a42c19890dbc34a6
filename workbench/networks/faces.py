"""Encoders and decoders for faces and their descriptions: Tables 18 and 19 as they run, residual networks throughout.

Where the tables do not fit together: the last residual block of an encoder has padding 0 (Table 18 prints 1, which
leaves 2x2 positions to a linear layer of 640), those of the image decoder have stride 2 (printed 1 cannot reach 64x64),
and the text decoder begins with 640 features (printed 896, followed by a block that reads 640). `width` multiplies all
channels, so that a CPU can train what is left: a quarter of the width takes about a sixteenth of the time.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.networks.digits import characters

IMAGE = (128, 256, 384, 512, 640)
TEXT = (128, 256, 384, 512, 640, 640, 640)
SHORTCUT, RESIDUAL = 2.0, 0.3  # how the two paths of a block are weighted
DROPOUT = 0.5  # of whole channels
FEWEST = 4  # channels of a narrow network


def channels(table: Sequence[int], width: float) -> tuple[int, ...]:
    """Return the channels of a table, multiplied by a width."""
    return tuple(max(FEWEST, round(count * width)) for count in table)


class ResidualBlock(nn.Module):
    """BN-ReLU-conv1x1-dropout-BN-ReLU-conv-dropout beside a shortcut of the same strided convolution and BN.

    The sum is 2.0 shortcut + 0.3 residual, as in the authors' code. `convolution` is the class of the strided ones.
    """

    def __init__(self, convolution: type[nn.Module], inputs: int, outputs: int, padding: int) -> None:
        super().__init__()
        flat = convolution in (nn.Conv2d, nn.ConvTranspose2d)
        norm, drop = (nn.BatchNorm2d, nn.Dropout2d) if flat else (nn.BatchNorm1d, nn.Dropout1d)
        same = nn.Conv2d if flat else nn.Conv1d
        strided = {"kernel_size": 4, "stride": 2, "padding": padding, "bias": False}
        self.shortcut = nn.Sequential(convolution(inputs, outputs, **strided), norm(outputs))
        self.residual = nn.Sequential(
            *(norm(inputs), nn.ReLU(), same(inputs, inputs, 1, bias=False), drop(DROPOUT)),
            *(norm(inputs), nn.ReLU(), convolution(inputs, outputs, **strided), drop(DROPOUT)),
        )

    def forward(self, x: Float[Tensor, "batch inputs *positions"]) -> Float[Tensor, "batch outputs *others"]:
        """Halve the positions, or double them with a transposed convolution."""
        return SHORTCUT * self.shortcut(x) + RESIDUAL * self.residual(x)


def blocks(convolution: type[nn.Module], sizes: Sequence[int], bare: int) -> list[ResidualBlock]:
    """Make blocks from each size to the next with padding 1, the `bare`-th with 0: between one position and four."""
    paddings = [1] * (len(sizes) - 1)
    paddings[bare] = 0
    return [ResidualBlock(convolution, *sizes, p) for sizes, p in zip(pairwise(sizes), paddings, strict=True)]


class ImageEncoder(nn.Module):
    """Convolution 3-128 k3 s2 p1, residual blocks 128-256-384-512-640 (Table 18)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        sizes = channels(IMAGE, width)
        self.features = sizes[-1]
        self.layers = nn.Sequential(
            nn.Conv2d(3, sizes[0], 3, stride=2, padding=1), *blocks(nn.Conv2d, sizes, -1), nn.Flatten()
        )

    def forward(self, x: Float[Tensor, "batch 3 64 64"]) -> Float[Tensor, "batch features"]:
        """Map images in [0, 1] to features."""
        return self.layers(x)


class ImageDecoder(nn.Module):
    """Linear 640, transposed residual blocks 640-512-384-256-128, transposed convolution 128-3 k3 s2 p1 (Table 18)."""

    def __init__(self, code_dim: int, width: float = 1.0) -> None:
        super().__init__()
        sizes = channels(IMAGE, width)[::-1]
        self.layers = nn.Sequential(
            nn.Linear(code_dim, sizes[0]),
            nn.Unflatten(1, (sizes[0], 1, 1)),
            *blocks(nn.ConvTranspose2d, sizes, 0),
            nn.ConvTranspose2d(sizes[-1], 3, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 3 64 64"]:
        """Map codes to pixel locations, unbounded."""
        return self.layers(code)


class TextEncoder(nn.Module):
    """Convolution 71-128 k3 s2 p1, residual blocks 128-256-384-512-640-640-640 (Table 19)."""

    def __init__(self, width: float = 1.0, alphabet: int = 71) -> None:
        super().__init__()
        sizes = channels(TEXT, width)
        self.features, self.alphabet = sizes[-1], alphabet
        self.layers = nn.Sequential(
            nn.Conv1d(alphabet, sizes[0], 3, stride=2, padding=1), *blocks(nn.Conv1d, sizes, -1), nn.Flatten()
        )

    def forward(self, tokens: Int[Tensor, "batch 256"]) -> Float[Tensor, "batch features"]:
        """Map tokens of 256 characters to features."""
        return self.layers(characters(tokens, self.alphabet, self.layers[0].weight))


class TextDecoder(nn.Module):
    """Linear 640, transposed residual blocks 640-640-640-512-384-256-128, transposed convolution to 71 (Table 19)."""

    def __init__(self, code_dim: int, width: float = 1.0, alphabet: int = 71) -> None:
        super().__init__()
        sizes = channels(TEXT, width)[::-1]
        self.layers = nn.Sequential(
            nn.Linear(code_dim, sizes[0]),
            nn.Unflatten(1, (sizes[0], 1)),
            *blocks(nn.ConvTranspose1d, sizes, 0),
            nn.ConvTranspose1d(sizes[-1], alphabet, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 256 alphabet"]:
        """Map codes to unnormalised log-probabilities of the characters at each position."""
        return self.layers(code).transpose(1, 2)
