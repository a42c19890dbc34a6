"""Faces for tests, made in no time: smooth patches that show attributes more or less well, and pixels that spell them.

And small models of them, with judges that read the pixels.
"""

import torch
from torch import Tensor, nn

from workbench.config import Config
from workbench.data import sources
from workbench.data.celeba.attributes import PHRASES, DescriptionStorage
from workbench.data.dataset import MultimodalDataset, Storage
from workbench.data.images import Images
from workbench.explorers.models import ExploredModel
from workbench.metrics.judges import Classifier
from workbench.plotting.base import text_of
from workbench.runs.run import build_model

COUNTS = {"train": 400, "test": 150}  # of smooth ones
FACES = 40  # of those that are spelt
NONE_HAS = "mustache"  # an attribute that no face has


def attributes(count: int = FACES, seed: int = 0) -> Tensor:
    """About a quarter of the attributes each, none that is NONE_HAS; the first face has none at all."""
    found = torch.rand(count, len(PHRASES), generator=torch.Generator().manual_seed(seed)) < 0.25
    found[:, PHRASES.index(NONE_HAS)] = found[0] = False
    return found


def spelt(labels: Tensor) -> Tensor:
    """Grey images whose first 40 pixels are white where an attribute is there, black where not."""
    images = torch.full((len(labels), 3, 64, 64), 100, dtype=torch.uint8)
    images[:, :, 0, : labels.shape[1]] = (255 * labels.byte()).unsqueeze(1)
    return images


def smooth(split: str, count: int | None = None) -> Images:
    """Images [3, 64, 64] of random attributes, each a smooth pattern of its own, the rarer the fainter the noise."""
    count = count or COUNTS[split]
    generator = torch.Generator().manual_seed(len(split))
    rates = torch.linspace(0.03, 0.8, len(PHRASES))
    labels = torch.rand(count, len(PHRASES), generator=generator) < rates
    patterns = torch.randn(len(PHRASES), 3, 8, 8, generator=torch.Generator().manual_seed(7))
    noise = torch.randn(count, 3, 8, 8, generator=generator)
    small = torch.einsum("na,achw->nchw", labels.float() - rates, patterns) + noise
    large = nn.functional.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
    return Images((127.5 + 20 * large).clamp(0, 255).byte(), labels)


def described(images: Images, name: str = "faces", split: str = "test", anywhere: bool = False) -> MultimodalDataset:
    """Such images and their descriptions, as `load_dataset` would give them."""
    storages = Storage.of_images("image", name, images), DescriptionStorage.of(images.labels, anywhere)
    rows = torch.arange(len(images.labels), dtype=torch.int32)
    return MultimodalDataset(name, split, storages, torch.stack([rows, rows], 1), images.labels)


def smooth_faces(split: str, count: int | None = None, anywhere: bool = False) -> MultimodalDataset:
    """A split of smooth ones."""
    return described(smooth(split, count), split=split, anywhere=anywhere)


def spelt_faces(name: str = "faces", labels: Tensor | None = None) -> MultimodalDataset:
    """A test split of those that are spelt."""
    labels = attributes() if labels is None else labels
    return described(Images(spelt(labels), labels), name)


def replace_faces(monkeypatch) -> None:
    """Have the source "faces" give smooth ones."""
    source = sources.FACES["faces"]._replace(load=lambda split, root, seed: smooth(split))
    monkeypatch.setitem(sources.FACES, "faces", source)


class PixelReader(nn.Module):
    """The judge of images that are spelt: logits of +-8 from the first 40 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return 16 * (x[:, 0, 0, : len(PHRASES)] - 0.5)


class WordReader(nn.Module):
    """The judge of descriptions: logits of +-8, of the words that stand in the likeliest characters."""

    def forward(self, x: Tensor) -> Tensor:
        words = [[word.strip() for word in text_of(one).split(",")] for one in x]
        return torch.tensor([[8.0 if phrase in found else -8.0 for phrase in PHRASES] for found in words])


def explored(objective: str = "mmjsd", data: MultimodalDataset | None = None, **changes) -> ExploredModel:
    """An untrained model of few channels whose contents and styles depend much on what it sees."""
    data = data or spelt_faces()
    config = Config.make("quick", data="faces", objective=objective, width=0.03, **changes)
    model = build_model(config, data).eval()
    with torch.no_grad():
        for heads in model.heads:
            heads.layers[0].weight *= 20
    judges = Classifier(PixelReader(), "faces", 1.0), Classifier(WordReader(), "description", 1.0)
    return ExploredModel(f"{objective} (MS)", config, model, judges, data)
