"""Small images of 40 attributes, made in no time: smooth patches that show which attributes are there, and how well."""

import torch
from torch import nn

from workbench.data import sources
from workbench.data.celeba.attributes import ATTRIBUTES, DescriptionStorage
from workbench.data.dataset import MultimodalDataset
from workbench.data.images import Images, ImageStorage

COUNTS = {"train": 400, "test": 150}


def made_faces(split: str, count: int | None = None) -> Images:
    """Images [3, 64, 64] of random attributes, each a smooth pattern of its own, the rarer the fainter the noise."""
    count = count or COUNTS[split]
    generator = torch.Generator().manual_seed(len(split))
    rates = torch.linspace(0.03, 0.8, len(ATTRIBUTES))
    labels = torch.rand(count, len(ATTRIBUTES), generator=generator) < rates
    patterns = torch.randn(len(ATTRIBUTES), 3, 8, 8, generator=torch.Generator().manual_seed(7))
    noise = torch.randn(count, 3, 8, 8, generator=generator)
    small = torch.einsum("na,achw->nchw", labels.float() - rates, patterns) + noise
    large = nn.functional.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
    return Images((127.5 + 20 * large).clamp(0, 255).byte(), labels)


def faces_dataset(split: str, count: int | None = None, anywhere: bool = False) -> MultimodalDataset:
    """The same with descriptions, as `load_dataset` would give it."""
    return described(made_faces(split, count), split, anywhere=anywhere)


def described(images: Images, split: str, name: str = "faces", anywhere: bool = False) -> MultimodalDataset:
    """A data set of images and the descriptions of their attributes."""
    storages = (ImageStorage("image", name, *images), DescriptionStorage.of(images.labels, anywhere))
    rows = torch.arange(len(images.labels), dtype=torch.int32)
    return MultimodalDataset(name, split, storages, torch.stack([rows, rows], dim=1), images.labels)


def replace_faces(monkeypatch) -> None:
    """Have the source "faces" give these images."""
    source = sources.FACES["faces"]._replace(load=lambda split, root, seed: made_faces(split))
    monkeypatch.setitem(sources.FACES, "faces", source)
