"""Rendered house-number crops: repeatable, labelled right, and close enough to real ones to learn from.

Run as a script (`python tests/data/synthetic/test_street.py`), the file measures at full scale what
`test_learns_real_numbers` checks in small: the accuracy on real house numbers of a small CNN that has
seen rendered crops only.
"""

import argparse
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from workbench import paths
from workbench.data.synthetic import glyphs, street
from workbench.data.synthetic.street import load_rendered, recipe_version, render

SVHN_TRAIN = {0: 4948, 1: 13861, 2: 10585, 3: 8497, 4: 7458, 5: 6882, 6: 5727, 7: 5595, 8: 5045, 9: 4659}
MNIST_TRAIN = {0: 5923, 1: 6742, 2: 5958, 3: 6131, 4: 5842, 5: 5421, 6: 5918, 7: 6265, 8: 5851, 9: 5949}
both_sources = pytest.mark.parametrize("source", ["rendered", "plain"])


def digits(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(10, (count,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small_splits(tmp_path, monkeypatch):
    """Splits of 30 and 20 crops per digit, cached in a folder of the test's own."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setattr(street, "TRAIN_COUNTS", (30,) * 10)
    monkeypatch.setattr(street, "TEST_COUNTS", (20,) * 10)
    return tmp_path


@both_sources
def test_other_seed_other_crops(source):
    labels = digits(300)
    one, other = render(source, labels, 3), render(source, labels, 4)
    assert not (one == other).flatten(1).all(1).any()
    assert len(one.flatten(1).unique(dim=0)) == 300
    assert not torch.equal(render("plain", labels, 3), render("rendered", labels, 3)), "sources share no stream"


@settings(max_examples=15, deadline=None)
@given(source=st.sampled_from(["rendered", "plain"]), count=st.integers(0, 40), seed=st.integers(0, 2**31))
def test_one_varied_crop_per_label(source, count, seed):
    crops = render(source, digits(count, seed), seed)
    assert crops.shape == (count, 3, 32, 32) and crops.dtype == torch.uint8
    assert all(crop.std() > 1 for crop in crops.float())  # nothing blank


@pytest.mark.parametrize("call", [lambda s: render(s, digits(3), 0), lambda s: load_rendered(s, "train")])
def test_unknown_source_is_named(call):
    with pytest.raises(ValueError, match=r"'svhm'.*'rendered' or 'plain'"):
        call("svhm")


def test_unknown_split_and_impossible_labels_are_refused(small_splits):
    with pytest.raises(ValueError, match="validation"):
        load_rendered("plain", "validation")
    with pytest.raises(ValueError, match="0 to 9"):
        render("plain", torch.tensor([3, 10]), 0)
    with pytest.raises(ValueError, match="-1"):
        render("plain", torch.tensor([3]), -1)


def test_counts_pair_with_mnist_to_the_papers_number():
    assert all(street.TRAIN_COUNTS[digit] == min(count, 7000) for digit, count in SVHN_TRAIN.items())
    assert sum(min(n, MNIST_TRAIN[d]) for d, n in enumerate(street.TRAIN_COUNTS)) == 56_068
    assert street.TEST_COUNTS == (1140,) * 10  # the most frequent digit of MNIST's test set appears 1,135 times


@both_sources
def test_splits_have_their_counts_are_shuffled_and_disjoint(source, small_splits):
    train, test = load_rendered(source, "train"), load_rendered(source, "test")
    assert torch.bincount(train.labels).tolist() == [30] * 10
    assert torch.bincount(test.labels).tolist() == [20] * 10
    assert train.labels.dtype == torch.int64 and train.values.dtype == torch.uint8
    assert (train.labels.diff() < 0).sum() > 50  # not in order
    everything = torch.cat((train.values, test.values)).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything) == 500
    assert not torch.equal(load_rendered(source, "train", seed=1).values, train.values)


def test_cache_is_read_back_and_a_damaged_one_made_again(small_splits, monkeypatch):
    first = load_rendered("plain", "train")
    (file,) = paths.cache_dir().glob("*.safetensors")
    assert all(part in file.name for part in ("plain", "train", "-0-", recipe_version()))

    with monkeypatch.context() as patch:
        patch.setattr(street, "render", None)  # it would be rendered again although the cache holds it
        again = load_rendered("plain", "train")
    damaged = file.read_bytes()[:1000]
    file.unlink()  # not cut short in place: tensors read back are views of the file
    file.write_bytes(damaged)
    mended = load_rendered("plain", "train")
    for images in (again, mended):
        assert torch.equal(images.values, first.values) and torch.equal(images.labels, first.labels)


def test_who_needs_the_same_images_at_once_has_them_rendered_once(small_splits, monkeypatch):
    rendered_by, render_slowly = [], street.render

    def slowly(*arguments):
        rendered_by.append(threading.get_ident())
        time.sleep(0.3)
        return render_slowly(*arguments)

    monkeypatch.setattr(street, "render", slowly)
    with ThreadPoolExecutor(3) as pool:
        found = [future.result() for future in [pool.submit(load_rendered, "plain", "train") for _ in range(3)]]
    assert len(rendered_by) == 1 and all(torch.equal(images.values, found[0].values) for images in found)


def test_plain_is_one_bright_digit_on_a_darker_ground():
    crops = render("plain", digits(1000), 0).float().mean(1) / 255
    frame = torch.ones(32, 32, dtype=torch.bool)
    frame[3:-3, 3:-3] = False
    ground = crops[:, frame].median(1).values
    ink = crops.flatten(1).quantile(0.97, dim=1)
    assert (ground < 0.4).all() and (ink - ground > 0.25).all() and (ink > 0.55).all()
    assert ((crops - ground[:, None, None]).abs() < 0.12).float().mean() > 0.6  # ground is most of a crop, no clutter
    bright = crops > ((ground + ink) / 2)[:, None, None]
    assert (bright.sum((1, 2)) > 25).all()
    assert (bright & frame).float().sum((1, 2)).mean() < 3  # no neighbours at the rim


def test_plain_digits_are_told_apart_by_a_linear_classifier():
    train, test = digits(2000, 1), digits(500, 2)
    grey = [render("plain", x, seed).float().mean(1).flatten(1).numpy() / 255 for seed, x in ((1, train), (2, test))]
    classifier = LogisticRegression(max_iter=100).fit(grey[0], train)
    hits = classifier.predict(grey[1]) == test.numpy()
    assert hits.mean() > 0.85
    assert all(hits[test.numpy() == digit].mean() > 0.6 for digit in range(10))


def test_rendered_shows_both_polarities_and_colour():
    crops = render("rendered", digits(1000), 0).float() / 255
    middle = crops[:, :, 4:28, 4:28].mean(1).flatten(1)
    skew = ((middle - middle.mean(1, keepdim=True)) ** 3).mean(1)
    assert 0.25 < (skew > 0).float().mean() < 0.75  # light digits on dark and dark on light
    assert (crops.mean((2, 3)).std(1) > 0.02).float().mean() > 0.3
    spread = crops.flatten(1).std(1)
    assert spread.quantile(0.05) > 0.03 and spread.median() < 0.2  # seldom invisible, mostly of low contrast


def test_atlas_measures_its_glyphs():
    atlas = glyphs.atlas()
    tiles = atlas.field.view(-1, glyphs.TILE, 10, glyphs.TILE).transpose(1, 2)
    height = (tiles > 0).any(3).sum(2) * glyphs.SPAN / glyphs.TILE
    assert (height - 1).abs().max() < 0.06  # every digit is one digit height high
    assert (atlas.half_stroke > 0.015).all() and (atlas.half_stroke < 0.15).all()
    slope_x, slope_y = tiles.diff(dim=3)[:, :, :-1], tiles.diff(dim=2)[..., :-1]
    slope = (slope_x**2 + slope_y**2).sqrt() * glyphs.TILE / glyphs.SPAN
    assert (slope.median() - 1).abs() < 0.02 and slope.max() < 1.5  # a distance grows by one per unit


def real_crops(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """All crops of SVHN's files in `folder` (at most the first 5,000 of each), in 0..1, and their digits."""
    files = [scipy.io.loadmat(folder / f"{split}_32x32.mat") for split in ("train", "test")]
    values = np.concatenate([file["X"].transpose(3, 2, 0, 1)[:5000] for file in files])
    labels = np.concatenate([file["y"].ravel()[:5000] for file in files]) % 10
    return torch.from_numpy(values).float() / 255, torch.from_numpy(labels).long()


def small_cnn() -> nn.Module:
    """The paper's classifier of street crops (Table 6) with batch normalisation and less dropout."""

    def block(channels, filters, padding):
        return nn.Conv2d(channels, filters, 4, 2, padding), nn.BatchNorm2d(filters), nn.ReLU()

    convolutions = (*block(3, 32, 1), *block(32, 64, 1), *block(64, 64, 1), *block(64, 128, 0))
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 10))


def train_on_rendered(crops: int, epochs: int, seed: int) -> nn.Module:
    """A small CNN trained on that many rendered crops: Adam, one cycle up to 3e-3, batch 128."""
    labels = digits(crops, seed)
    values = render("rendered", labels, seed)
    torch.manual_seed(seed)
    network = small_cnn()
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, epochs * -(-crops // 128))
    for _ in range(epochs):
        for batch in torch.randperm(crops).split(128):
            loss = nn.functional.cross_entropy(network(values[batch].float() / 255), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, values: torch.Tensor, labels: torch.Tensor) -> float:
    return (network(values).argmax(1) == labels).float().mean().item()


def test_learns_real_numbers(real_data):
    folder = real_data / "svhn"
    if not (folder / "train_32x32.mat").is_file() or not (folder / "test_32x32.mat").is_file():
        pytest.skip(f"{folder} lacks train_32x32.mat or test_32x32.mat: no real house numbers to test on")
    network = train_on_rendered(crops=8_000, epochs=3, seed=0)
    assert accuracy(network, *real_crops(folder)) >= 0.6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="train on rendered crops, test on the real ones of WORKBENCH_DATA")
    parser.add_argument("--crops", type=int, default=24_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()
    real = real_crops(Path(os.environ["WORKBENCH_DATA"]) / "svhn")
    for number in chosen.seeds:
        right = accuracy(train_on_rendered(chosen.crops, chosen.epochs, number), *real)
        print(f"seed {number}: {right:.3f}", flush=True)
