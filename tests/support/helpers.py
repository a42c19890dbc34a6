"""What several test files share: tiny models and batches, and a tiny data set of real digits."""

import base64
import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from workbench.config import AUXILIARY, Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.images import Images, cached
from workbench.data.load import load_dataset
from workbench.data.synthetic import handwriting, street
from workbench.distributions import Gaussian
from workbench.explorers.controls import Names
from workbench.likelihoods import Categorical, Laplace
from workbench.losses import Loss
from workbench.metrics import encode, judges, kmeans, quality
from workbench.modality import Modality
from workbench.model import MultimodalVAE
from workbench.training import loop

PIXELS, LETTERS, LENGTH = (1, 2, 2), 5, 3
WEIGHTS, STYLE_WEIGHTS = (1.5, 1.0, 20.0, 0.5), (1.0, 2.0, 5.0, 0.25)


class TinyImageEncoder(nn.Sequential):
    features = 4

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(math.prod(PIXELS), 4), nn.Tanh())


class TinyImageDecoder(nn.Module):
    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(code_dim, math.prod(PIXELS))

    def forward(self, code):
        return self.layer(code).view(-1, *PIXELS)


class TinyTextEncoder(nn.Sequential):
    features = 3

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(LENGTH * LETTERS, 3), nn.Tanh())

    def forward(self, x):
        return super().forward(nn.functional.one_hot(x, LETTERS).to(self[1].weight.dtype))


class TinyTextDecoder(nn.Module):
    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(code_dim, LENGTH * LETTERS)

    def forward(self, code):
        return self.layer(code).view(-1, LENGTH, LETTERS)


def is_text(m: int) -> bool:
    """Every third modality of the tiny models is text, the others are images."""
    return m % 3 == 2


def tiny_modalities(count: int) -> tuple[Modality, ...]:
    """Modalities a, b, c, d with letters A, B, C, D."""
    made = []
    for m in range(count):
        shape = (LENGTH,) if is_text(m) else PIXELS
        networks = (TinyTextEncoder, TinyTextDecoder) if is_text(m) else (TinyImageEncoder, TinyImageDecoder)
        likelihood = Categorical() if is_text(m) else Laplace(0.75)
        name = "abcd"[m]
        made.append(Modality(name, name.upper(), shape, *networks, likelihood, WEIGHTS[m], STYLE_WEIGHTS[m]))
    return tuple(made)


def tiny_model(
    count: int = 3, content_dim: int = 2, style_dim: int = 0, seed: int = 0, objective: str = "mmjsd"
) -> MultimodalVAE:
    """A float64 model whose posteriors are far from the prior and from each other, as an objective needs it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        auxiliary = objective in AUXILIARY
        model = MultimodalVAE(tiny_modalities(count), content_dim, style_dim, auxiliary=auxiliary).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.7)
    return model


def without_noise(model: MultimodalVAE) -> MultimodalVAE:
    """The model with standard deviations of 1e-15: a sample is the mean, whatever the order of the draws."""
    for heads in model.heads:
        for layer in list(heads.layers)[1::2]:
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, -69.0)
    return model


def tiny_batch(count: int = 3, items: int = 7, seed: int = 0, missing: bool = False) -> Batch:
    """Float64 items of the tiny modalities; `missing` gives every item another pattern of absent ones, or none."""
    generator = seeded(seed)
    values = tuple(
        torch.randint(LETTERS, (items, LENGTH), generator=generator)
        if is_text(m)
        else torch.rand(items, *PIXELS, generator=generator, dtype=torch.float64)
        for m in range(count)
    )
    present = torch.ones(count, items, dtype=torch.bool)
    if missing:
        patterns = torch.randperm(2**count, generator=generator)[torch.arange(items) % 2**count]
        present = torch.stack([(patterns >> m) % 2 == 1 for m in range(count)])
    return Batch(values, present, torch.arange(items) % 10)


def spoiled(batch: Batch) -> Batch:
    """The batch with NaN, or no character at all, wherever something is absent."""
    values = tuple(
        x.masked_fill(~present.view(-1, *[1] * (x.dim() - 1)), float("nan") if x.is_floating_point() else -1)
        for x, present in zip(batch.values, batch.present, strict=True)
    )
    return batch._replace(values=values)


def rows_of(batch: Batch, rows) -> Batch:
    """A physically smaller batch."""
    return Batch(tuple(x[rows] for x in batch.values), batch.present[:, rows], batch.labels[rows])


def fewer_modalities(model: MultimodalVAE, keep: list[int]) -> MultimodalVAE:
    """A physically smaller model: the same networks for some of the modalities only."""
    kept = [model.modalities[m] for m in keep]
    small = MultimodalVAE(kept, model.content_dim, model.style_dim, auxiliary=model.auxiliary).double()
    if model.auxiliary:
        small.auxiliary_logvar.data = model.auxiliary_logvar.data[keep]
    for name in ("encoders", "heads", "decoders"):
        for new, old in zip(getattr(small, name), (getattr(model, name)[m] for m in keep), strict=True):
            new.load_state_dict(old.state_dict())
    return small


def random_gaussian(*shape: int, seed: int = 0, spread: float = 1.0, dtype: torch.dtype = torch.float64) -> Gaussian:
    """A Gaussian with random means and log-variances."""
    mean, logvar = spread * torch.randn(2, *shape, generator=seeded(seed), dtype=dtype)
    return Gaussian(mean, logvar)


def marked(value: object, slow: bool) -> object:
    """A value to parametrise with, or a tuple of some, which `make test` leaves out where it is slow."""
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=[pytest.mark.slow] * slow)


def seeded(seed: int = 0) -> torch.Generator:
    """A generator with its seed set."""
    return torch.Generator().manual_seed(seed)


def fill_cache() -> None:
    """Put a few real digits into the cache of the project root, under the names of the sources `uci` and `plain`.

    The 8x8 originals are enlarged without any variation; `plain` shows them tinted. Loading them takes no time.
    """
    digits = load_digits()
    pixels = torch.from_numpy(np.kron(digits.images, np.ones((3, 3))) / 16 * 255).to(torch.uint8)[:, None]
    grey, labels = nn.functional.pad(pixels, (2, 2, 2, 2)), torch.from_numpy(digits.target).long()
    colour = nn.functional.pad(grey, (2, 2, 2, 2)).repeat(1, 3, 1, 1) // torch.tensor([1, 2, 4]).view(3, 1, 1)
    for split, rows in (("train", slice(0, 300)), ("test", slice(300, 420))):
        one, other = Images(grey[rows], labels[rows]), Images(colour[rows].to(torch.uint8), labels[rows])
        cached(f"uci-{split}-seed0-{handwriting.recipe_version()}", lambda images=one: images)
        cached(f"plain-{split}-0-{street.recipe_version()}", lambda images=other: images)


class Dropping(nn.Sequential):
    """An encoder of handwriting with dropout, which knows no generator but torch's own."""

    features = 8

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 8), nn.Dropout(0.5))


def interrupted(step: int, config: Config, folder: Path, data: MultimodalDataset | None = None) -> Path:
    """Train until this step is about to be taken; returns the run folder."""
    take = loop.Trainer.step

    def step_or_stop(self) -> Loss:
        if self.done == step:
            raise KeyboardInterrupt
        return take(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Trainer, "step", step_or_stop)
        loop.fit(config, folder, data, progress=False)
    return folder


@contextmanager
def digits_root(factory: pytest.TempPathFactory) -> Iterator[tuple[Path, pytest.MonkeyPatch]]:
    """A project root as `tiny_root` has it, for all tests of a file, and what changes more for as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(root := factory.mktemp("root")))
        fill_cache()
        yield root, patch


def count_little(patch: pytest.MonkeyPatch) -> None:
    """Make small what evaluations and samplers count: steps of judges and k-means, its runs, items at a time."""
    patch.setattr(judges, "STEPS", 5)
    patch.setattr(judges, "OTHER_STEPS", {})
    patch.setattr(judges, "BATCH", 32)
    patch.setattr(quality, "RUNS", 1)
    patch.setattr(kmeans, "STEPS", 5)
    patch.setattr(encode, "CHUNK", 64)


def fill_cache_with_judges(data: str) -> None:
    """Put untrained judges of a data set into the cache, so that an evaluation has nothing to train."""
    with mock.patch.object(judges, "_train", lambda train, k, network, progress: network.eval()):
        judges.classifiers_of(*(load_dataset(data, split, repeats=2) for split in ("train", "test")))


def controls_of(explorer: widgets.VBox) -> dict[str, widgets.Widget]:
    """An explorer's controls by their descriptions, and what it shows, its last visible child, as "picture"."""
    *rows, picture = [child for child in explorer.children if not isinstance(child, Names)]
    flat = [control for row in rows for control in (row.children if isinstance(row, widgets.Box) else [row])]
    return {control.description: control for control in flat} | {"picture": picture}


def images(html: str) -> list[np.ndarray]:
    """The pixels of all pictures of a page."""
    pngs = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in pngs]


def touch(controls: dict[str, widgets.Widget], name: str, value: object = None) -> None:
    """Move the control of a name to a value, or press it where it is a button."""
    if value is None:
        controls[name].click()
    else:
        controls[name].value = value


def to(control: widgets.Widget, value: object) -> Callable[[], None]:
    """What moves a control to a value."""
    return lambda: setattr(control, "value", value)


def assert_redraws(shown: widgets.Widget, *changes: Callable[[], None]) -> set[str]:
    """Make changes one after the other, each of which must show what has not been shown before; all that was shown."""
    seen = {shown.value}
    for count, change in enumerate(changes, start=2):
        change()
        seen.add(shown.value)
        assert len(seen) == count, f"nothing new after change {count - 1}"
    return seen
