"""What tests of faces and descriptions share: hand-made faces whose pixels are their attributes, and tiny networks."""

import torch
from made_faces import described
from torch import Tensor, nn

from workbench.config import Config
from workbench.data.celeba.attributes import PHRASES
from workbench.data.dataset import MultimodalDataset
from workbench.data.images import Images
from workbench.explorers.models import ExploredModel
from workbench.metrics.judges import Classifier
from workbench.plotting.base import text_of
from workbench.runs.run import build_model

FACES = 40
NONE_HAS = "mustache"  # an attribute that no face has


def attributes(count: int = FACES, seed: int = 0) -> Tensor:
    """About a quarter of the attributes each, none that is NONE_HAS; the first face has none at all."""
    found = torch.rand(count, len(PHRASES), generator=torch.Generator().manual_seed(seed)) < 0.25
    found[:, PHRASES.index(NONE_HAS)] = found[0] = False
    return found


def faces(labels: Tensor) -> Tensor:
    """Grey images whose first 40 pixels are white where an attribute is there, black where not."""
    images = torch.full((len(labels), 3, 64, 64), 100, dtype=torch.uint8)
    images[:, :, 0, : labels.shape[1]] = (255 * labels.byte()).unsqueeze(1)
    return images


class PixelReader(nn.Module):
    """The judge of such images: logits of +-8 from the first 40 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return 16 * (x[:, 0, 0, : len(PHRASES)] - 0.5)


class WordReader(nn.Module):
    """The judge of descriptions: logits of +-8, of the words that stand in the likeliest characters."""

    def forward(self, x: Tensor) -> Tensor:
        words = [[word.strip() for word in text_of(one).split(",")] for one in x]
        return torch.tensor([[8.0 if phrase in found else -8.0 for phrase in PHRASES] for found in words])


def dataset(name: str = "faces", labels: Tensor | None = None) -> MultimodalDataset:
    """A test split of such faces and their descriptions."""
    labels = attributes() if labels is None else labels
    return described(Images(faces(labels), labels), "test", name)


def explored(objective: str = "mmjsd", data: MultimodalDataset | None = None, **changes) -> ExploredModel:
    """An untrained model of few channels whose contents and styles depend much on what it sees."""
    data = data or dataset()
    config = Config.make("quick", data="faces", objective=objective, width=0.03, **changes)
    model = build_model(config, data).eval()
    with torch.no_grad():
        for heads in model.heads:
            heads.layers[0].weight *= 20
    judges = Classifier(PixelReader(), "faces", 1.0), Classifier(WordReader(), "description", 1.0)
    return ExploredModel(f"{objective} (MS)", config, model, judges, data)
