"""What everything that this project draws is made of: chance, coordinates, soft edges, colours, one thread a chunk.

All steps work pixel by pixel on a whole chunk of pictures, and every chunk on one thread: so the result depends on
seeds and labels alone, never on the number of threads, and drawing does not wait for other work on the machine.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from workbench.device import one_thread_per_operation

Number = int | float


def recipe_version(*files: str) -> str:
    """Return a short hash of the code that draws: of these files and of this one."""
    code = b"".join(Path(file).read_bytes() for file in (*files, __file__))
    return hashlib.sha256(code).hexdigest()[:10]


def in_chunks(
    draw: Callable[[int, Tensor], UInt8[Tensor, "n C H W"]], chunks: Sequence[Tensor], title: str = ""
) -> Tensor:
    """Draw every chunk by `draw(i, chunk)`, as many at a time as torch has threads, each on one.

    With a `title` a progress bar counts the pictures, in every process that draws.
    """
    bar = tqdm(total=sum(map(len, chunks)), desc=title, unit=" pictures", disable=not title)
    with bar, one_thread_per_operation() as workers, ThreadPoolExecutor(workers) as pool:
        drawn = []
        for pictures in pool.map(draw, range(len(chunks)), chunks):
            drawn.append(pictures)
            bar.update(len(pictures))
        return torch.cat(drawn)


class Chance:
    """Random draws of one chunk; the stream depends on all numbers given."""

    def __init__(self, *numbers: int):
        state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
        self.generator = torch.Generator().manual_seed(int(state >> 1))

    def uniform(self, low: Number, high: Number, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def normal(self, scale: Number, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator) * scale

    def around(self, low: Number, high: Number, *shape: int) -> Tensor:
        """Draw from a triangle: most often in the middle."""
        return (self.uniform(low, high, *shape) + self.uniform(low, high, *shape)) / 2

    def coin(self, probability: float, *shape: int) -> Tensor:
        """Draw 1.0 with the given probability, else 0.0."""
        return (torch.rand(shape, generator=self.generator) < probability).float()

    def choice(self, weights: Tensor, count: int) -> Tensor:
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)

    def integers(self, count: int, *shape: int) -> Tensor:
        """Draw whole numbers below `count`, all equally likely."""
        return torch.randint(count, shape, generator=self.generator)


def pixels(side: int) -> tuple[Float[Tensor, "1 side"], Float[Tensor, "side 1"]]:
    """Return x and y of the pixels' centres, counted from the middle of the picture."""
    axis = torch.arange(side) + 0.5 - side / 2
    return axis[None], axis[:, None]


def as_bytes(pictures: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C H W"]:
    """Turn pictures in 0..1 into bytes, what lies outside cut off; the floats are used up."""
    return pictures.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)


def ink(field: Tensor, softness: Tensor | Number = 1.0) -> Tensor:
    """Return how much of each pixel a shape covers, of signed distances, its edge `softness` pixels wide."""
    return (field / softness + 0.5).clamp_(0, 1)


def tint(hue: Tensor, saturation: Tensor | Number, value: Tensor | Number) -> Float[Tensor, "N 3 _ _"]:
    """Return colours by hue (in turns: 0 red, 1/3 green, 2/3 blue), saturation and value (HSV), each [N, 1, ., .]."""
    sector = (torch.tensor([5.0, 3.0, 1.0]).view(3, 1, 1) + 6 * hue) % 6
    return value - value * saturation * torch.minimum(sector, 4 - sector).clamp(0, 1)


def blotches(chance: Chance, n: int, cells: int, side: int) -> Float[Tensor, "n 1 side side"]:
    """Draw smooth noise of unit scale with `cells` blotches each way."""
    return F.interpolate(chance.normal(1.0, n, 1, cells, cells), side, mode="bilinear", align_corners=True)


def blur(sigma: Float[Tensor, "*n 1 1"], side: int) -> Float[Tensor, "*n side side"]:
    """Return matrices that blur a column of pixels by a Gaussian of `sigma` pixels."""
    axis = torch.arange(side)
    weights = torch.exp(-((axis[:, None] - axis) ** 2) / (2 * sigma**2))
    return weights / weights.sum(-1, keepdim=True)
