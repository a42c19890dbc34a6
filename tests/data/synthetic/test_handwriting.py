"""The embedded handwriting: real originals, split by writer, in MNIST's form, and close enough to MNIST to read it.

Run as a script (`python tests/data/synthetic/test_handwriting.py --seeds 0 1`), the file measures at full scale what
`test_classifier_trained_on_it_alone_reads_mnist` checks in small: the accuracy on MNIST's test set of a small CNN that
has seen this handwriting only.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from sklearn.datasets import load_digits
from torch import Tensor, nn

from workbench.data.images import Images
from workbench.data.synthetic import handwriting
from workbench.data.synthetic.handwriting import load_uci, originals, redrawn

EIGHT = np.ones((3, 3))  # touching corners join


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """A project folder of its own, so that the cache of the checkout is neither used nor filled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(tmp_path_factory.mktemp("project")))
        yield


@pytest.fixture(scope="module")
def splits(project):
    """The splits, of which that for training has a quarter of its drawings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(handwriting.PER_CLASS, "train", 700)
        yield {split: load_uci(split) for split in ("train", "test")}


@pytest.mark.parametrize(("split", "per_class"), [("train", 700), ("test", 360)])
def test_form_and_balance(splits, split, per_class):
    values, labels = splits[split]
    assert values.shape == (10 * per_class, 1, 28, 28) and values.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.bincount().tolist() == [per_class] * 10
    assert (values.flatten(1).amax(1) > 200).all()  # no image without ink
    assert len(values.flatten(1).unique(dim=0)) == 10 * per_class  # no drawing twice


def test_labels_are_those_of_the_originals(splits):
    target = load_digits().target
    for split, (_, labels) in splits.items():
        assert [int(target[row]) for row in redrawn(split)] == labels.tolist()
        assert set(redrawn(split).tolist()) == set(originals(split).tolist())


def test_splits_share_no_original_and_no_writer():
    train, test = (set(originals(split).tolist()) for split in ("train", "test"))
    assert not train & test
    assert train | test == set(range(1797))
    target = load_digits().target
    start_of_form = [*range(10)] * 3  # every writer's form begins with the ten digits, three times over
    assert target[min(test) : min(test) + 30].tolist() == start_of_form
    assert max(train) + 1 == min(test)


def test_images_show_their_originals(splits):
    """Shrunk back to 8x8, the mean drawing of an original resembles that original more than most others."""
    images = torch.from_numpy(load_digits().images).float()
    rows = redrawn("test")
    box = splits["test"].values[:, :, 4:24, 4:24].float()
    small = F.interpolate(box, size=(8, 8), mode="area")[:, 0]
    shown = rows.unique()
    mean = torch.stack([small[rows == row].mean(0) for row in shown])
    alike = np.corrcoef(mean.flatten(1), images[shown].flatten(1))[: len(shown), len(shown) :]
    rank = (alike > alike.diagonal()[:, None]).sum(1)
    assert np.median(rank) <= 0.02 * len(shown)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_drawing_is_centred_by_mass(splits, split):
    ink = splits[split].values[:, 0].double()
    axis = torch.arange(28.0, dtype=torch.float64)
    x, y = ((ink.sum(dim) * axis).sum(1) / ink.sum((1, 2)) for dim in (1, 2))
    off = torch.maximum((x - 14).abs(), (y - 14).abs())
    assert off.quantile(0.995) < 0.51 and off.max() < 1  # MNIST's rule: to the whole pixel; the rim may cut a tail
    one = ndimage.center_of_mass(ink[7].numpy())
    assert np.allclose(one, (y[7], x[7]))


@pytest.mark.parametrize("split", ["train", "test"])
def test_ink_fills_the_box_and_is_not_cut_off(splits, split):
    ink = splits[split].values[:, 0] > 64
    longer = torch.maximum(ink.any(2).sum(1), ink.any(1).sum(1)).double()
    assert 18 <= longer.median() <= 20
    assert longer.quantile(0.01) >= 15 and longer.quantile(0.99) <= 23
    rim = ink.clone()
    rim[:, 1:-1, 1:-1] = False
    assert rim.any((1, 2)).double().mean() < 0.01  # 9s with a heavy head and a long tail


@pytest.mark.parametrize("split", ["train", "test"])
def test_ink_and_contrast_are_near_those_of_mnist(splits, split):
    mass = splits[split].values[:, 0].double() / 255
    assert 0.11 < mass.mean() < 0.16  # MNIST: 0.131
    assert 0.17 < (mass > 0).double().mean() < 0.24  # MNIST: 0.192
    assert 0.04 < (mass > 0.98).double().mean() < 0.10  # MNIST: 0.073
    each = mass.mean((1, 2))
    assert each.quantile(0.01) > 0.05 and each.quantile(0.99) < 0.28  # MNIST: 0.050 and 0.258


@pytest.mark.parametrize("split", ["train", "test"])
def test_drawings_keep_the_pieces_and_loops_of_their_originals(splits, split):
    coverage = torch.from_numpy(load_digits().images).float() / 16
    originals_ink = handwriting.sharpened(F.pad(coverage, [handwriting.MARGIN] * 4)) > 0.5
    expected = handwriting.euler_number(originals_ink)[redrawn(split)]
    ink = splits[split].values[:, 0] > 127
    assert (handwriting.euler_number(ink) == expected).double().mean() > 0.94
    pieces = [np.bincount(ndimage.label(one, EIGHT)[0].ravel())[1:] for one in ink[::13].numpy()]
    whole = [sizes.max() > 0.9 * sizes.sum() for sizes in pieces]  # a few originals have a gap themselves
    assert np.mean(whole) > 0.97


def test_euler_number_is_pieces_less_holes():
    share = torch.linspace(0.1, 0.9, 50)[:, None, None]
    ink = torch.rand(50, 12, 15, generator=torch.Generator().manual_seed(0)) < share
    holes = [ndimage.label(np.pad(~one, 1, constant_values=True))[1] - 1 for one in ink.numpy()]
    pieces = [ndimage.label(one, EIGHT)[1] for one in ink.numpy()]
    assert handwriting.euler_number(ink).tolist() == [p - h for p, h in zip(pieces, holes, strict=True)]
    assert len(set(pieces)) > 5 and len(set(holes)) > 5


def test_edge_distance_measures_pens_and_keeps_images_apart():
    ink = torch.zeros(3, 40, 40, dtype=torch.bool)
    for k, half in enumerate((2, 3, 5)):
        ink[k, 4:36, 20 - half : 20 + half] = True
    field, width = handwriting.edge_distance(ink)
    assert torch.allclose(width, torch.tensor([2.0, 3.0, 5.0]) * handwriting.CELL / handwriting.FINE, rtol=0.15)
    assert torch.equal(field > 0, ink)
    for k in range(3):
        alone, _ = handwriting.edge_distance(ink[k : k + 1])
        assert torch.equal(alone[0], field[k])


def test_sharpened_ink_covers_each_cell_as_the_original_does():
    coverage = torch.from_numpy(load_digits().images[:100]).float() / 16
    ink = (handwriting.sharpened(F.pad(coverage, [1] * 4)) > 0.5).float()
    covered = F.avg_pool2d(ink[:, None], 4)[:, 0, 1:-1, 1:-1]
    bicubic = F.interpolate(coverage[:, None], scale_factor=4, mode="bicubic")
    naive = F.avg_pool2d((bicubic > 0.5).float(), 4)[:, 0]
    error, naive_error = (covered - coverage).abs().mean(), (naive - coverage).abs().mean()
    assert error < 0.05 and error < 0.7 * naive_error


def test_same_seed_same_images_whatever_the_threads(monkeypatch):
    monkeypatch.setitem(handwriting.PER_CLASS, "test", 20)
    monkeypatch.setitem(handwriting.ATTEMPTS, "test", handwriting.ATTEMPTS["train"])  # the whole recipe
    before, state = torch.get_num_threads(), torch.get_rng_state()
    drawn = []
    try:
        for threads, seed in ((1, 5), (2, 5), (1, 6)):
            torch.set_num_threads(threads)
            drawn.append(handwriting._expand("test", seed))
    finally:
        torch.set_num_threads(before)
    first, again, other = drawn
    assert torch.equal(first.values, again.values)
    assert not (first.values == other.values).flatten(1).all(1).any()
    assert torch.equal(first.labels, again.labels) and torch.equal(first.labels, other.labels)
    assert torch.equal(state, torch.get_rng_state())  # the global generator is left alone


def test_cache_round_trip(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setitem(handwriting.PER_CLASS, "test", 4)
    made = load_uci("test", seed=3)
    (file,) = (tmp_path / "data" / "cache").glob("[!.]*")
    version = hashlib.sha256(Path(handwriting.__file__).read_bytes()).hexdigest()[:8]
    assert file.name == f"uci-test-seed3-{version}.safetensors"
    monkeypatch.setattr(handwriting, "_expand", lambda *_: pytest.fail("drawn again although it is in the cache"))
    kept = load_uci("test", seed=3)
    assert torch.equal(kept.values, made.values) and torch.equal(kept.labels, made.labels)


@pytest.mark.parametrize("call", [load_uci, originals, redrawn])
def test_unknown_split_is_refused(call):
    with pytest.raises(ValueError, match="'validation'"):
        call("validation")


def small_cnn() -> nn.Module:
    def block(channels, filters, size, stride):
        return nn.Conv2d(channels, filters, size, stride, size // 2), nn.BatchNorm2d(filters), nn.ReLU()

    first = (*block(1, 24, 5, 2), *block(24, 48, 3, 1), nn.MaxPool2d(2))
    second = (*block(48, 64, 3, 1), *block(64, 64, 3, 1))
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * 49, 10))


def train_on(images: Images, drawings: int, epochs: int, seed: int) -> nn.Module:
    """A small CNN trained on that many drawings: AdamW, one cycle up to 4e-3, batch 64, shifts by up to 2 pixels."""
    torch.manual_seed(seed)
    network = small_cnn()
    chosen = torch.randperm(len(images.values))[:drawings]
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, epochs * -(-drawings // 64))
    for _ in range(epochs):
        for batch in chosen[torch.randperm(drawings)].split(64):
            values = images.values[batch].roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3)).float() / 255
            loss = F.cross_entropy(network(values), images.labels[batch], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, values: Tensor, labels: Tensor) -> float:
    guesses = torch.cat([network(part.float() / 255).argmax(1) for part in values.split(500)])
    return (guesses == labels).double().mean().item()


def mnist_test(folder: Path) -> Images:
    images = np.fromfile(folder / "t10k-images-idx3-ubyte", dtype=np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.fromfile(folder / "t10k-labels-idx1-ubyte", dtype=np.uint8, offset=8)
    return Images(torch.from_numpy(images), torch.from_numpy(labels).long())


def whole_training() -> Images:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(handwriting.PER_CLASS, "train", 2800)
        return handwriting._expand("train", 0)


@pytest.mark.slow
def test_classifier_trained_on_it_alone_reads_mnist(splits, real_data):
    folder = real_data / "MNIST" / "raw"
    if not (folder / "t10k-images-idx3-ubyte").is_file() or not (folder / "t10k-labels-idx1-ubyte").is_file():
        pytest.skip(f"{folder} lacks t10k-images-idx3-ubyte or t10k-labels-idx1-ubyte: no real MNIST to test on")
    network = train_on(whole_training(), drawings=5_000, epochs=1, seed=0)
    assert accuracy(network, *(part[::4] for part in mnist_test(folder))) > 0.8
    assert accuracy(network, *(part[::2] for part in splits["test"])) > 0.93  # legible to who has seen other writers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="train on the embedded handwriting, test on MNIST of WORKBENCH_DATA")
    parser.add_argument("--drawings", type=int, default=14_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    train, test = load_uci("train"), load_uci("test")
    mnist = mnist_test(Path(os.environ["WORKBENCH_DATA"]) / "MNIST" / "raw")
    reached = []
    for number in arguments.seeds:
        trained = train_on(train, arguments.drawings, arguments.epochs, number)
        reached.append(accuracy(trained, *mnist))
        print(f"seed {number}: MNIST {reached[-1]:.3f}, own test split {accuracy(trained, *test):.3f}", flush=True)
    sys.exit(min(reached) < 0.88)
