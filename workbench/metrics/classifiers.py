"""Training and keeping the classifiers that judge generated samples: one per source, trained once on its real split."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from workbench.data.dataset import MultimodalDataset
from workbench.networks.classifiers import CLASSIFIERS
from workbench.paths import cache_dir, locked, replacing

BATCH = 128
STEPS = 600  # enough where digits are clean; text has 40 strings only, house numbers take longest
OTHER_STEPS = {"text": 200, "plain": 300, "mnist": 2000, "svhn": 6000, "rendered": 6000}


@dataclass(frozen=True)
class Classifier:
    """A trained judge of one source, in evaluation mode, and its own accuracy on that source's test split."""

    network: nn.Module
    source: str
    accuracy: float

    @torch.no_grad()
    def predict(self, x: Tensor) -> Int[Tensor, "batch"]:
        """Digits of images in [0, 1], tokens or character probabilities."""
        return self.network(x).argmax(-1)


def classifiers_of(train: MultimodalDataset, test: MultimodalDataset, progress: bool = True) -> list[Classifier]:
    """The judge of every modality of a data set, on the CPU: read from the cache, or trained first.

    Processes that need the same judge at once have one of them train it.
    """
    return [_classifier(train, test, k, progress) for k in range(len(train.storages))]


def steps_for(source: str) -> int:
    """Optimiser steps of a source's judge."""
    return OTHER_STEPS.get(source, STEPS)


def _classifier(train: MultimodalDataset, test: MultimodalDataset, k: int, progress: bool) -> Classifier:
    source, shape = train.sources[k], tuple(train.storages[k].shape)
    if shape not in CLASSIFIERS:
        raise ValueError(
            f"no classifier for {source!r} of shape {shape}: add a line to networks.classifiers.CLASSIFIERS"
        )
    path = cache_dir() / f"classifier-{source}-{_recipe(train, test, k)}.safetensors"
    with locked(path, f"waiting: another process is training the judge of {source}"):
        if path.is_file():
            return _read(path, CLASSIFIERS[shape](), source)
        network = _train(train, k, CLASSIFIERS[shape](), progress)
        accuracy = _accuracy(test, k, network)
        with replacing(path) as temporary:
            safetensors.torch.save_file(network.state_dict(), temporary, metadata={"accuracy": json.dumps(accuracy)})
    return Classifier(network, source, accuracy)


def _read(path: Path, network: nn.Module, source: str) -> Classifier:
    """A judge from its file, into an untrained network of its kind."""
    with safetensors.safe_open(path, "pt") as file:
        accuracy = json.loads(file.metadata()["accuracy"])
    network.load_state_dict(safetensors.torch.load_file(path))
    return Classifier(network.eval(), source, accuracy)


def _train(train: MultimodalDataset, k: int, network: nn.Module, progress: bool) -> nn.Module:
    """Adam on cross-entropy, batches drawn with replacement from all items of the source; seeded."""
    values, labels = train.unimodal(k)[:2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        optimizer = torch.optim.Adam(network.train().parameters(), lr=1e-3, fused=True)
        bar = tqdm(
            range(steps_for(train.sources[k])),
            desc=f"classifier of {train.sources[k]}",
            unit="step",
            disable=not progress,
        )
        for _ in bar:
            rows = torch.randint(len(labels), (BATCH,))
            loss = F.cross_entropy(network(_readable(values[rows])), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return network.eval()


@torch.no_grad()
def _accuracy(test: MultimodalDataset, k: int, network: nn.Module) -> float:
    values, labels = test.unimodal(k)[:2]
    hits = [
        (network(_readable(x)).argmax(-1) == y).sum()
        for x, y in zip(values.split(1000), labels.split(1000), strict=True)
    ]
    return float(torch.stack(hits).sum() / len(labels))


def _readable(values: Tensor) -> Tensor:
    """Stored images as pixels in [0, 1]; stored text as int64 tokens."""
    return values.float() / 255 if values.dim() == 4 else values.long()


def _recipe(train: MultimodalDataset, test: MultimodalDataset, k: int) -> str:
    """Digest of the data a judge was trained and tested on and of its training, so that neither is ever mixed up."""
    digest = hashlib.sha256(
        f"{steps_for(train.sources[k])} {BATCH} {CLASSIFIERS[tuple(train.storages[k].shape)].__name__}".encode()
    )
    for data in (train, test):
        values, labels = data.unimodal(k)[:2]
        digest.update(values.numpy().tobytes() + labels.numpy().tobytes())
    return digest.hexdigest()[:12]
