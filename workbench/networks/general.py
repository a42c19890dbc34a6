"""Encoders and decoders by kind of data, where no others are given: images of any size, vectors, token sequences.

Images and sequences are made smaller by strided convolutions as long as a side has `SMALL` positions or more, what is
left is read by a linear layer, and decoders go the same way back. What is small from the start, and vectors, have two
hidden layers. There is no normalisation over items and no dropout: data sets may be small, and modalities that an item
lacks are read as zeros. An encoder maps a batch to `[batch, features]`, a decoder maps codes `[batch, code_dim]` to the
likelihood's parameters.

Beside the layers of vectors runs a linear map: what columns share is mostly linear, and few items show little else.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Sequences = Int[Tensor, "batch length"] | Float[Tensor, "batch length alphabet"]  # tokens, or their probabilities

HIDDEN = 256  # units of hidden layers, and features of every encoder
FARTHEST = 1e4  # standard deviations from the mean
SMALL = 8  # a side with fewer positions is not made smaller
IMAGE = (32, 64, 128)  # channels after each convolution; the last stands for all further ones
LEVEL = 32  # numbers that a character is read as
SEQUENCE = (64, 64, 128)
QUARTER = {"kernel_size": 7, "stride": 4, "padding": 3}  # reads every position of any length


def mlp(*sizes: int) -> nn.Sequential:
    """Make linear layers from each size to the next, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def counted(number: int, table: Sequence[int]) -> list[int]:
    """List so many channels of a table, whose last entry stands for all further ones."""
    return [table[min(n, len(table) - 1)] for n in range(number)]


class Beside(nn.Module):
    """A learnt number per entry, the same for all items, beside the one that a network computes.

    It is the second parameter of likelihoods with two: ln scale of a normal distribution, ln dispersion of counts.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(*shape))

    def forward(self, first: Float[Tensor, "batch *entries"]) -> Float[Tensor, "batch 2 *entries"]:
        """Return both numbers, in the type of the learnt one: half precision has too few digits for it."""
        first = first.to(self.number.dtype)
        return torch.stack([first, self.number.expand_as(first)], dim=1)


def beside(shape: Sequence[int], numbers: int) -> list[nn.Module]:
    """Return what a decoder of items of a shape ends with, so that it has so many numbers an entry: 1 or 2."""
    if numbers not in (1, 2):
        raise ValueError(f"a decoder gives a likelihood 1 or 2 numbers an entry, not {numbers}")
    return [Beside(shape)] if numbers == 2 else []


def halved(sides: tuple[int, int]) -> list[tuple[int, int]]:
    """List height and width of an image and after each convolution, which halves the sides that are not small yet."""
    sizes = [sides]
    while max(sizes[-1]) >= SMALL:
        height, width = (side // 2 if side >= SMALL else side for side in sizes[-1])
        sizes.append((height, width))
    return sizes


def halving(before: tuple[int, int]) -> dict[str, tuple[int, int] | int]:
    """Return kernel, stride and padding from one size to the next: k4 s2 p1 halves a side, k3 s1 p1 keeps it."""
    stride = tuple(2 if side >= SMALL else 1 for side in before)
    return {"kernel_size": tuple(s + 2 for s in stride), "stride": stride, "padding": 1}


class ImageEncoder(nn.Module):
    """Convolutions to 32-64-128-128-... channels, ReLU each, linear 256 ReLU; 256-256 ReLU below 8x8 pixels."""

    features = HIDDEN

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        sizes = halved(shape[1:])
        channels = [shape[0], *counted(len(sizes) - 1, IMAGE)]
        layers: list[nn.Module] = []
        for size, (inputs, outputs) in zip(sizes, pairwise(channels), strict=False):
            layers += [nn.Conv2d(inputs, outputs, **halving(size)), nn.ReLU()]
        flat = channels[-1] * math.prod(sizes[-1])
        hidden = [HIDDEN] if layers else [HIDDEN, HIDDEN]
        self.layers = nn.Sequential(*layers, nn.Flatten(), *mlp(flat, *hidden), nn.ReLU())

    def forward(self, x: Float[Tensor, "batch C H W"]) -> Float[Tensor, "batch features"]:
        """Map images in [0, 1] to features."""
        return self.layers(x)


class ImageDecoder(nn.Module):
    """Linear 256 and ReLU twice, transposed convolutions that mirror `ImageEncoder`, ReLU between, none at the end."""

    def __init__(self, code_dim: int, shape: tuple[int, int, int], numbers: int = 1) -> None:
        super().__init__()
        sizes = halved(shape[1:])
        channels = [shape[0], *counted(len(sizes) - 1, IMAGE)]
        first = (channels[-1], *sizes[-1])
        layers: list[nn.Module] = []
        steps = zip(pairwise(sizes), pairwise(channels), strict=True)
        for (size, smaller), (outputs, inputs) in reversed(list(steps)):
            step = halving(size)
            rest = tuple(side - s * after for side, s, after in zip(size, step["stride"], smaller, strict=True))
            layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, **step, output_padding=rest)]
        hidden = [HIDDEN] if layers else [HIDDEN, HIDDEN]
        self.layers = nn.Sequential(
            *mlp(code_dim, *hidden, math.prod(first)), nn.Unflatten(1, first), *layers, *beside(shape, numbers)
        )

    def forward(
        self, code: Float[Tensor, "batch code"]
    ) -> Float[Tensor, "batch C H W"] | Float[Tensor, "batch 2 C H W"]:
        """Map codes to pixel locations, unbounded; with two numbers, a learnt one per pixel beside them."""
        return self.layers(code)


class Lined(nn.Module):
    """Layers with a linear map beside them, whose sum counts.

    Weights of versions that had the layers alone are read as if the map were zero, which computes the same.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.line = nn.Linear(inputs, outputs, bias=False)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        state_dict.setdefault(f"{prefix}line.weight", torch.zeros_like(self.line.weight))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class VectorEncoder(Lined):
    """256 ReLU-256 ReLU of the entries and of which of them are there; missing ones are NaN and read as zero.

    With `counts`, entries are counts, and their ln(1 + x) is read; else they are standardised, and those beyond
    FARTHEST, which no training of fewer than 10^8 items shows, are read as that.
    """

    features = HIDDEN

    def __init__(self, size: int, counts: bool = False) -> None:
        super().__init__(2 * size, HIDDEN)
        self.counts = counts
        self.layers = nn.Sequential(*mlp(2 * size, HIDDEN, HIDDEN), nn.ReLU())

    def forward(self, x: Float[Tensor, "batch size"]) -> Float[Tensor, "batch features"]:
        """Map vectors, standardised where they are not counts, to features."""
        missing = x.isnan()
        x, present = x.masked_fill(missing, 0), (~missing).to(x.dtype)
        x = torch.log1p(x) if self.counts else x.clamp(-FARTHEST, FARTHEST)
        x = torch.cat([x, present], dim=1)
        return self.layers(x) + self.line(x)


class VectorDecoder(Lined):
    """256 ReLU-256 ReLU-size; with two numbers, a learnt one per entry beside the network's."""

    def __init__(self, code_dim: int, size: int, numbers: int = 1) -> None:
        super().__init__(code_dim, size)
        self.layers, self.beside = mlp(code_dim, HIDDEN, HIDDEN, size), nn.Sequential(*beside((size,), numbers))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        if (number := state_dict.pop(f"{prefix}layers.5.number", None)) is not None:  # where it stood before the map
            state_dict[f"{prefix}beside.0.number"] = number
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch size"] | Float[Tensor, "batch 2 size"]:
        """Map codes to the likelihood's parameters, unbounded."""
        return self.beside(self.layers(code) + self.line(code))


class Levels(nn.Embedding):
    """A linear map of one-hot vectors, without making them; missing tokens, which are negative, are read as zeros.

    It also reads probabilities, such as a decoder gives for each position, as the same map of them.
    """

    def forward(self, x: Sequences) -> Float[Tensor, "batch numbers length"]:
        """Return numbers of each position, as channels."""
        if x.dim() == 3:
            return (x @ self.weight).transpose(1, 2)
        read = super().forward(x.clamp(min=0)).masked_fill((x < 0).unsqueeze(2), 0)
        return read.transpose(1, 2)


def quartered(length: int) -> list[int]:
    """List the length of a sequence and after each convolution, of which each leaves a quarter, rounded up."""
    lengths = [length]
    while lengths[-1] > SMALL:
        lengths.append(-(-lengths[-1] // 4))
    return lengths


class SequenceEncoder(nn.Module):
    """Characters to 32 numbers, convolutions k7 s4 p3 to 64-64-128-128-... channels, ReLU each, linear 256 ReLU.

    Up to 8 characters there are no convolutions but one more hidden layer: a column of categories has one.
    """

    features = HIDDEN

    def __init__(self, length: int, alphabet: int) -> None:
        super().__init__()
        lengths = quartered(length)
        channels = [LEVEL, *counted(len(lengths) - 1, SEQUENCE)]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv1d(inputs, outputs, **QUARTER), nn.ReLU()]
        hidden = [HIDDEN] if layers else [HIDDEN, HIDDEN]
        self.layers = nn.Sequential(
            Levels(alphabet, LEVEL), *layers, nn.Flatten(), *mlp(channels[-1] * lengths[-1], *hidden), nn.ReLU()
        )

    def forward(self, x: Sequences) -> Float[Tensor, "batch features"]:
        """Map tokens, or probabilities of the characters at each position, to features."""
        return self.layers(x)


class SequenceDecoder(nn.Module):
    """Linear 256 and ReLU twice, transposed convolutions that mirror `SequenceEncoder`, ReLU each, to the alphabet."""

    def __init__(self, code_dim: int, length: int, alphabet: int) -> None:
        super().__init__()
        lengths = quartered(length)
        channels = [LEVEL, *counted(len(lengths) - 1, SEQUENCE)]
        layers: list[nn.Module] = []
        steps = zip(pairwise(lengths), pairwise(channels), strict=True)
        for (longer, shorter), (outputs, inputs) in reversed(list(steps)):
            rest = longer - (4 * shorter - 3)
            layers += [nn.ReLU(), nn.ConvTranspose1d(inputs, outputs, **QUARTER, output_padding=rest)]
        hidden = [HIDDEN] if layers else [HIDDEN, HIDDEN]
        first = (channels[-1], lengths[-1])
        start = mlp(code_dim, *hidden, math.prod(first))
        layers += [nn.ReLU(), nn.Conv1d(LEVEL, alphabet, 1)]
        self.layers = nn.Sequential(*start, nn.Unflatten(1, first), *layers)

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch length alphabet"]:
        """Map codes to unnormalised log-probabilities of the characters at each position."""
        return self.layers(code).transpose(1, 2)
