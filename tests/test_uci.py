"""The embedded handwriting: real originals, split by writer, in MNIST's form, and close enough to MNIST to read it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from sklearn.datasets import load_digits
from torch import nn

from workbench.data import uci
from workbench.data.uci import load_uci, originals, redrawn


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """A project folder of its own, so that the cache of the checkout is neither used nor filled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(tmp_path_factory.mktemp("project")))
        yield


@pytest.fixture(scope="module")
def splits(project):
    return {split: load_uci(split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def mass(splits):
    """Ink in [0, 1] of the test images: [N, 28, 28]."""
    return splits["test"].values[:, 0].double() / 255


@pytest.mark.parametrize(("split", "per_class"), [("train", 2800), ("test", 360)])
def test_form_and_balance(splits, split, per_class):
    values, labels = splits[split]
    assert values.shape == (10 * per_class, 1, 28, 28) and values.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.bincount().tolist() == [per_class] * 10
    assert (values.flatten(1).amax(1) > 200).all()  # no image without ink
    assert (values.flatten(1).amin(1) == 0).all()


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
    assert np.median(rank) <= 0.05 * len(shown)


def test_ink_is_centred_by_mass_and_fills_the_box(mass):
    centre = torch.tensor([ndimage.center_of_mass(image.numpy()) for image in mass[::4]])
    assert torch.allclose(centre.mean(0), torch.full((2,), 14.0, dtype=torch.float64), atol=0.15)
    assert ((centre - 14).abs() < 1).all(1).double().mean() > 0.95  # the strongest warps leave a few further out
    height, width = (mass > 0).any(2).sum(1), (mass > 0).any(1).sum(1)
    longer = torch.maximum(height, width).double()
    assert 19 <= longer.median() <= 22 and longer.quantile(0.95) <= 24


def test_ink_and_contrast_are_those_of_mnist(mass):
    assert 0.10 < mass.mean() < 0.16  # MNIST: 0.131
    assert 0.15 < (mass > 0).double().mean() < 0.23  # MNIST: 0.192
    assert 0.04 < (mass > 0.98).double().mean() < 0.10  # MNIST: 0.073


def test_same_seed_same_images_whatever_the_threads(monkeypatch):
    monkeypatch.setitem(uci.PER_CLASS, "test", 40)
    before = torch.get_num_threads()
    drawn = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            drawn.append(uci._expand("test", 5))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(images.values, drawn[0].values) for images in drawn)
    other = uci._expand("test", 6)
    assert not torch.equal(other.values, drawn[0].values)
    assert torch.equal(other.labels, drawn[0].labels)


def test_drawing_leaves_the_global_generator_alone(monkeypatch):
    monkeypatch.setitem(uci.PER_CLASS, "test", 2)
    state = torch.get_rng_state()
    uci._expand("test", 0)
    assert torch.equal(state, torch.get_rng_state())


def test_cache_round_trip(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setitem(uci.PER_CLASS, "test", 4)
    made = load_uci("test", seed=3)
    (file,) = (tmp_path / "data" / "cache").iterdir()
    version = hashlib.sha256(Path(uci.__file__).read_bytes()).hexdigest()[:8]
    assert file.name == f"uci-test-seed3-{version}.safetensors"
    monkeypatch.setattr(uci, "_expand", lambda *_: pytest.fail("drawn again although it is in the cache"))
    kept = load_uci("test", seed=3)
    assert torch.equal(kept.values, made.values) and torch.equal(kept.labels, made.labels)


@pytest.mark.parametrize("call", [load_uci, originals, redrawn])
def test_unknown_split_is_refused(call):
    with pytest.raises(ValueError, match="'validation'"):
        call("validation")


def test_thinned_keeps_pieces_and_holes():
    """The middle line is inside the ink, thin, and has as many pieces and holes as the ink (scipy's count)."""
    images = torch.from_numpy(load_digits().images[:60]).float() / 16
    ink = uci._sharpened(F.pad(images, [2] * 4)) > 0.5
    line = uci.thinned(ink)
    assert not (line & ~ink).any()
    eight = np.ones((3, 3))
    for one, thin in zip(ink.numpy(), line.numpy(), strict=True):
        assert ndimage.label(one, eight)[1] == ndimage.label(thin, eight)[1]
        assert ndimage.label(~one)[1] == ndimage.label(~thin)[1]
    assert line.sum() < 0.4 * ink.sum()


def test_distance_is_euclidean():
    target = torch.rand(5, 20, 24, generator=torch.Generator().manual_seed(0)) < 0.03
    target[:, 4, 4] = True
    exact = torch.stack([torch.from_numpy(ndimage.distance_transform_edt(~one.numpy())) for one in target])
    near = exact < 12  # beyond its reach the distance is only known to be large
    found = uci._distance_to(target).double()
    assert torch.allclose(found[near], exact[near], atol=1e-5)
    assert (found[~near] >= 12 - 1e-5).all()


def test_sharpened_ink_covers_each_cell_as_the_original_does():
    coverage = torch.from_numpy(load_digits().images[:100]).float() / 16
    ink = (uci._sharpened(F.pad(coverage, [2] * 4)) > 0.5).float()
    covered = F.avg_pool2d(ink[:, None], 4)[:, 0, 2:-2, 2:-2]
    bicubic = F.interpolate(coverage[:, None], scale_factor=4, mode="bicubic")
    naive = F.avg_pool2d((bicubic > 0.5).float(), 4)[:, 0]
    error, naive_error = (covered - coverage).abs().mean(), (naive - coverage).abs().mean()
    assert error < 0.05 and error < 0.7 * naive_error


def test_classifier_trained_on_it_alone_reads_mnist(splits, real_data):
    images, labels = _mnist_test(real_data)
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 4, 2), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 128, 4, 2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    values, targets = splits["train"]
    for chosen in torch.cat([torch.randperm(len(values)) for _ in range(2)]).split(128):
        optimizer.zero_grad()
        F.cross_entropy(network(values[chosen].float() / 255), targets[chosen]).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (network(images.float() / 255).argmax(1) == labels).double().mean()
    assert accuracy > 0.77  # 0.82 to 0.85 measured while the recipe was chosen; chance is 0.10


def _mnist_test(root):
    folder = root / "MNIST" / "raw"
    if not (folder / "t10k-images-idx3-ubyte").is_file():
        pytest.skip(f"no MNIST test images in {folder}")
    images = np.fromfile(folder / "t10k-images-idx3-ubyte", dtype=np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.fromfile(folder / "t10k-labels-idx1-ubyte", dtype=np.uint8, offset=8)
    return torch.from_numpy(images), torch.from_numpy(labels).long()
