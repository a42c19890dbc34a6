"""Training and keeping the classifiers that judge generated samples: one per source, trained once on its real split."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from workbench.data.celeba.attributes import DescriptionStorage
from workbench.data.dataset import MultimodalDataset
from workbench.data.tensors import keep_tensors, read_tensors
from workbench.device import double
from workbench.distributions import full_precision
from workbench.files import CURE, damage
from workbench.metrics.attributes import average_precision, mean_precision
from workbench.networks.classifiers import CLASSIFIERS, SCALABLE, make_classifier
from workbench.paths import cache_dir, read_or_made

BATCH = 128
STEPS = 600  # enough where digits are clean; text has 40 strings only, house numbers take longest
OTHER_STEPS = {"text": 200, "plain": 300, "mnist": 2000, "svhn": 6000, "rendered": 6000}
# At an eighth of the width 400 steps bring judges of drawn faces and their descriptions to a mean AP of 0.9.
OTHER_STEPS |= {"faces": 400, "description": 400, "description-anywhere": 1000}
OTHER_STEPS |= {"celeba": 1500, "celeba description": 2000, "celeba description-anywhere": 2000}
CHUNK = 500  # items judged at a time
CPU = torch.device("cpu")
HASHED = 2**28  # bytes of values that a judge's recipe is a digest of, at most


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

    def read(self, x: Tensor) -> Tensor:
        """What is kept of a batch of generations: what `predict` says."""
        return self.predict(x)


@dataclass(frozen=True)
class AttributeClassifier(Classifier):
    """A trained judge of attributes; its `accuracy` is the mean of `precisions`, average precisions by attribute."""

    precisions: tuple[float, ...] = ()  # NaN where no test item has the attribute

    @torch.no_grad()
    def predict(self, x: Tensor) -> Bool[Tensor, "batch attributes"]:
        """Which attributes images in [0, 1], tokens or character probabilities rather have than not."""
        return self.network(x) > 0

    @torch.no_grad()
    def read(self, x: Tensor) -> Float[Tensor, "batch attributes"]:
        """What is kept of a batch of generations: logits, positive where an attribute is rather there."""
        # average precision sorts them: half precision would tie many of them
        with torch.autocast(x.device.type, enabled=False):
            return torch.cat([self.network(full_precision(part)) for part in x.split(CHUNK)])


def classifiers_of(
    train: MultimodalDataset,
    test: MultimodalDataset,
    progress: bool = True,
    width: float = 1.0,
    device: torch.device = CPU,
) -> list[Classifier]:
    """The judge of every modality of a data set, on `device`: read from the cache, or trained there first.

    The data sets are on the CPU. `width` multiplies the channels of judges of faces and descriptions. Processes that
    need the same judge at once have one of them train it.
    """
    return [_classifier(train, test, k, progress, width, device) for k in range(len(train.storages))]


def steps_for(data: MultimodalDataset, k: int) -> int:
    """Optimiser steps of the judge of modality k: of its source there, else of its source anywhere."""
    source, name = data.sources[k], data.name.partition("-")[0]
    return OTHER_STEPS.get(f"{name} {source}", OTHER_STEPS.get(source, STEPS))


def _classifier(
    train: MultimodalDataset, test: MultimodalDataset, k: int, progress: bool, width: float, device: torch.device
) -> Classifier:
    source, network = train.sources[k], make_classifier(tuple(train.storages[k].shape), width).to(device)
    path = cache_dir() / f"classifier-{source}-{_recipe(train, test, k, width)}.safetensors"

    def make() -> Classifier:
        judge = _tested(test.to(device), k, _train(train.to(device), k, network, progress))
        keep_tensors(path, judge.network.state_dict(), note_of(judge))
        return judge

    busy = f"waiting: another process is training the judge of {source}"
    return read_or_made(path, lambda: read_judge(path, network, source), make, busy)


def note_of(judge: Classifier) -> dict[str, str]:
    """What a judge's file says beside its weights: how good the judge is."""
    attributes = {"precisions": json.dumps(judge.precisions)} if isinstance(judge, AttributeClassifier) else {}
    return {"accuracy": json.dumps(judge.accuracy)} | attributes


def with_note(network: nn.Module, note: dict[str, str], source: str) -> Classifier:
    """A judge from its network, which has its weights, and the note in its file."""
    network, accuracy = network.eval(), json.loads(note["accuracy"])
    if "precisions" in note:
        return AttributeClassifier(network, source, accuracy, tuple(json.loads(note["precisions"])))
    return Classifier(network, source, accuracy)


def read_judge(path: Path, network: nn.Module, source: str) -> Classifier:
    """A judge from its file, into an untrained network of its kind; DamagedFile where it holds something else."""
    tensors, note = read_tensors(path)
    with damage(path, CURE, RuntimeError):
        network.load_state_dict(tensors)
        return with_note(network, note, source)


def _train(train: MultimodalDataset, k: int, network: nn.Module, progress: bool) -> nn.Module:
    """Adam on cross-entropy of classes or attributes, batches drawn with replacement from all items; seeded."""
    labels = train.unimodal(k).labels
    with torch.random.fork_rng(devices=[labels.device] if labels.device.type == "cuda" else []):
        torch.manual_seed(0)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        optimizer = torch.optim.Adam(network.train().parameters(), lr=1e-3, fused=labels.device.type in ("cpu", "cuda"))
        steps, what = range(steps_for(train, k)), f"classifier of {train.sources[k]}"
        for _ in tqdm(steps, what, unit="step", disable=not progress):
            rows = torch.randint(len(labels), (BATCH,)).to(labels.device)
            loss = _loss(network(_items(train, k, rows, torch.default_generator)), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return network.eval()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.dim() == 2:
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return F.cross_entropy(logits, labels)


@torch.no_grad()
def _tested(test: MultimodalDataset, k: int, network: nn.Module) -> Classifier:
    """A judge with what it reaches on its test split: accuracy, or average precisions."""
    labels, generator = test.unimodal(k).labels, torch.Generator().manual_seed(0)
    parts = torch.arange(len(labels), device=labels.device).split(CHUNK)
    logits = torch.cat([network(_items(test, k, rows, generator)) for rows in parts])
    if labels.dim() == 1:
        return Classifier(network, test.sources[k], double(logits.argmax(-1) == labels).mean().item())
    precisions = average_precision(logits, labels)
    return AttributeClassifier(network, test.sources[k], mean_precision(precisions), tuple(precisions.tolist()))


def _items(data: MultimodalDataset, k: int, rows: Int[Tensor, "batch"], generator: torch.Generator) -> Tensor:
    """Items of a source as models read them: pixels in [0, 1], or int64 tokens, of descriptions at a drawn place."""
    storage = data.storages[k]
    if isinstance(storage, DescriptionStorage):
        return storage.gather(rows, generator)
    values = storage.values[rows]
    return values.float() / 255 if values.dim() == 4 else values.long()


def _recipe(train: MultimodalDataset, test: MultimodalDataset, k: int, width: float = 1.0) -> str:
    """Digest of the data a judge was trained and tested on and of its training, so that neither is ever mixed up.

    Of values beyond HASHED bytes, items at equal distances stand for all: CelebA's images are 2.5 GB on a disk.
    """
    shape = tuple(train.storages[k].shape)
    what = f"{steps_for(train, k)} {BATCH} {CLASSIFIERS[shape].__name__}"
    digest = hashlib.sha256(f"{what} width {width}".encode() if shape in SCALABLE else what.encode())
    for data in (train, test):
        values, labels = data.unimodal(k)[:2]
        for part in (*_sparsely(values), labels):
            digest.update(part.numpy().tobytes())
    return digest.hexdigest()[:12]


def _sparsely(values: Tensor) -> Iterator[Tensor]:
    """Parts of values of at most HASHED bytes together, all of them where they are no more."""
    apart = -(-values.numel() * values.element_size() // HASHED)
    yield from values[:: max(1, apart)].split(CHUNK)
