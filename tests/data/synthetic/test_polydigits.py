"""The styles of polydigits: sixteen that differ, readable, repeatable, and a data set of any number of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from workbench import paths
from workbench.config import Config
from workbench.data import load_dataset, sources
from workbench.data.synthetic import polydigits_images
from workbench.data.synthetic.polydigits import STYLES
from workbench.data.synthetic.polydigits_images import PAINTS, load_polydigits, originals, render, writing
from workbench.modality import make_modalities, modalities_of
from workbench.networks.classifiers import PolydigitsClassifier
from workbench.networks.polydigits import PolydigitsDecoder, PolydigitsEncoder

ALL = tuple(STYLES)


@pytest.fixture
def small_splits(tmp_path, monkeypatch):
    """A project of its own in which splits are small."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setattr(polydigits_images, "PER_CLASS", {"train": 12, "test": 5})


def digits(n: int) -> torch.Tensor:
    return torch.arange(n) % 10


def test_every_style_has_a_paint_and_a_letter_of_its_own():
    assert tuple(PAINTS) == ALL and len(ALL) == 16
    modalities = make_modalities(ALL, [(3, 28, 28)] * 16)
    assert "".join(m.letter for m in modalities) == "ABCDEFGHIJKLMNOP"
    assert {m.weight for m in modalities} == {1.0}


@given(st.integers(2, 16))
def test_a_number_takes_the_first_styles(count):
    name = f"polydigits-{count}"
    assert sources.parse_name(name) == ALL[:count]
    assert sources.is_known(name) and sources.is_rendered(name) and "NOT real" in sources.describe(name)
    assert all(style in sources.describe(name) for style in ALL[:count]) and "\n" not in sources.describe(name)


def test_families_and_styles_join_other_sources():
    assert sources.parse_name("polydigits-2-text") == ("amber", "blueprint", "text")
    assert sources.parse_name("uci-polydigits-3") == ("uci", "amber", "blueprint", "chalk")
    assert sources.parse_name("mnist-neon-text") == ("mnist", "neon", "text")
    both = sources.describe("uci-polydigits-2")
    assert both.startswith(sources.describe("uci")) and both.endswith(sources.describe("polydigits-2"))
    for style in ALL:
        assert sources.is_rendered(style) and "NOT real" in sources.describe(style)


@pytest.mark.parametrize(
    "name", ["polydigits", "polydigits-1", "polydigits-17", "polydigits-x", "polydigits-5x", "uci-polydigits-"]
)
def test_other_numbers_are_refused_with_the_choices(name):
    with pytest.raises(ValueError, match="from 2 to 16"):
        sources.parse_name(name)
    assert not sources.is_known(name)


def test_a_style_twice_and_an_unknown_source_are_refused():
    with pytest.raises(ValueError, match="amber twice"):
        sources.parse_name("polydigits-2-amber")
    with pytest.raises(ValueError, match=r"'photographs'.*polydigits-M"):
        sources.parse_name("mnist-photographs")


@given(st.sampled_from(ALL), st.integers(0, 30), st.integers(0, 2**31), st.sampled_from(["train", "test"]))
def test_one_picture_per_label_and_none_is_blank(style, count, seed, split):
    pictures = render(style, digits(count), split, seed)
    assert pictures.shape == (count, 3, 28, 28)
    assert all(picture.std() > 3 for picture in pictures.float())


@pytest.mark.parametrize("style", ALL)
def test_seeds_and_splits_have_pictures_of_their_own(style):
    some = [render(style, digits(20), split, seed) for split, seed in (("train", 0), ("train", 1), ("test", 0))]
    assert len(torch.cat(some).flatten(1).unique(dim=0)) == 60


def test_what_cannot_be_rendered_is_refused():
    for wrong, message in (
        (lambda: render("ambre", digits(3)), r"'ambre'.*amber"),
        (lambda: render("amber", torch.tensor([10])), "0 to 9"),
        (lambda: render("amber", digits(3), seed=-1), "-1"),
        (lambda: load_polydigits("amber", "validation"), "validation"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_handwriting_of_the_splits_is_disjoint_and_complete():
    train, test = (set(originals(split).tolist()) for split in ("train", "test"))
    assert not train & test and train | test == set(range(1797))
    for split in ("train", "test"):
        found = writing(split)
        assert found.count.sum() == len(found.field) == len(originals(split)) and (found.count > 35).all()
        assert (found.half > 0.03).all() and (found.half < 0.25).all()


def test_styles_are_told_apart():
    """A linear classifier on colours and edges of a few patches names the style: no two look alike."""

    def seen(split: str, each: int) -> tuple:
        pictures = torch.cat([render(style, digits(each), split) for style in ALL]).float() / 255
        looks = (pictures, *(pictures.diff(dim=axis).abs() for axis in (2, 3)))
        patches = [nn.functional.avg_pool2d(look, 7, ceil_mode=True).flatten(1) for look in looks]
        return torch.cat(patches, 1).numpy(), torch.arange(16).repeat_interleave(each).numpy()

    classifier = LogisticRegression(max_iter=300, C=10).fit(*seen("train", 80))
    looks, styles = seen("test", 50)
    hits = (classifier.predict(looks) == styles).reshape(16, 50).mean(1)
    assert hits.min() > 0.9 and hits.mean() > 0.97


@pytest.mark.parametrize("style", [ALL[-1], *(pytest.param(style, marks=pytest.mark.slow) for style in ALL[:-1])])
def test_digits_are_read_by_a_classifier(style):
    torch.manual_seed(0)
    network, values, labels = PolydigitsClassifier(), render(style, digits(3000)), digits(3000)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(70):
        rows = torch.randint(3000, (64,))
        loss = nn.functional.cross_entropy(network(values[rows].float() / 255), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        right = network(render(style, digits(500), "test").float() / 255).argmax(1) == digits(500)
    assert right.float().mean() > 0.7  # after less than two epochs; judges, after 600 larger steps, pass 0.95


def test_splits_are_cached_balanced_and_disjoint(small_splits, monkeypatch):
    train, test = (load_polydigits("ink", split) for split in ("train", "test"))
    assert torch.bincount(train.labels).tolist() == [12] * 10 and torch.bincount(test.labels).tolist() == [5] * 10
    everything = torch.cat([train.values, test.values]).flatten(1)
    assert len(everything.unique(dim=0)) == 170
    names = sorted(path.name for path in paths.cache_dir().glob("[!.]*"))
    version = polydigits_images.recipe_version()
    assert names == [f"polydigits-ink-{split}-0-{version}.safetensors" for split in ("test", "train")]
    monkeypatch.setattr(polydigits_images, "render", None)  # read back, not rendered again
    assert torch.equal(load_polydigits("ink", "train").values, train.values)


def test_modalities_share_the_class_and_nothing_else(small_splits):
    data = load_dataset("polydigits-5", "train", repeats=3)
    assert data.modalities == data.sources == ALL[:5] and len(data) == 3 * 120
    batch = data.batch(torch.arange(len(data)), torch.Generator())
    for m, storage in enumerate(data.storages):
        assert torch.equal(storage.labels[data.pairs[:, m].long()], data.labels)
        assert torch.equal(batch.values[m], storage.values[data.pairs[:, m].long()].float() / 255)
    assert len(data.pairs[:, :2].unique(dim=0)) > 250  # another partner in every repeat, but for chance
    assert [m.letter for m in modalities_of(load_dataset("polydigits-3-text", "test"))] == ["A", "B", "C", "T"]


def test_networks_map_pictures_to_features_and_back_and_a_configuration_takes_the_name():
    x = torch.rand(2, 3, 28, 28)
    encoder, decoder = PolydigitsEncoder(), PolydigitsDecoder(7)
    assert encoder(x).shape == (2, encoder.features)
    assert decoder(torch.randn(2, 7)).shape == x.shape
    assert Config.make("quick", data="polydigits-8").data == "polydigits-8"
