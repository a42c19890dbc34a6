"""Drawn faces: attributes that go together as CelebA's do, a trace of every word, and nothing else touched by it."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from torch.nn import functional as F

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.load import load_dataset
from workbench.data.synthetic import faces
from workbench.data.synthetic.faces import draw, load_faces, render, styles_of
from workbench.data.synthetic.faces_attributes import ORDER, TABLE, sample_attributes
from workbench.data.synthetic.faces_shapes import DRAWS, draw_styles

# Of the 202,599 rows of CelebA's list, in the order of `ATTRIBUTES`.
FREQUENCIES = """
.111 .267 .513 .205 .022 .152 .241 .235 .239 .148 .051 .205 .142 .058 .047 .065 .063 .042 .387 .455
.417 .483 .042 .115 .835 .284 .043 .277 .080 .066 .057 .482 .208 .320 .189 .048 .472 .123 .073 .774
"""
NEVER = ["Bald Bangs", "Black_Hair Blond_Hair", "Mustache Wearing_Lipstick", "Receding_Hairline Bangs"]


def column(name: str) -> int:
    return ATTRIBUTES.index(name)


def with_and_without(attribute: str, count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """The same faces with an attribute and without it; what hides others is taken off."""
    attributes = sample_attributes(count, 5)
    for other in {"Blurry", "Wearing_Hat", "Eyeglasses"} - {attribute}:
        attributes[:, column(other)] = False
    there, away = attributes.clone(), attributes.clone()
    there[:, column(attribute)], away[:, column(attribute)] = True, False
    return render(there, 1), render(away, 1)


def together(labels: torch.Tensor) -> torch.Tensor:
    """How often two attributes are there at once, [40, 40]."""
    return labels.double().T @ labels.double() / len(labels)


@cache
def many_attributes() -> torch.Tensor:
    return sample_attributes(40_000, 0)


def test_attributes_are_as_frequent_as_in_celeba():
    found = many_attributes().double().mean(0)
    assert (found - torch.tensor([float(number) for number in FREQUENCIES.split()])).abs().max() < 0.012


@pytest.mark.parametrize("pair", NEVER)
def test_what_celeba_excludes_is_not_drawn(pair):
    one, other = (many_attributes()[:, column(name)] for name in pair.split())
    assert (one & other).double().mean() < 3e-4


def celeba(root) -> torch.Tensor:
    """All attributes of CelebA, read independently of the package."""
    marks = np.loadtxt(root / "celeba" / "list_attr_celeba.txt", skiprows=2, usecols=range(1, 41), dtype=np.int8)
    return torch.from_numpy(marks > 0)


def test_attributes_go_together_as_in_celeba(real_data):
    real, drawn = celeba(real_data), sample_attributes(200_000, 2)
    assert (together(real) - together(drawn)).abs().max() < 0.008
    both = [torch.corrcoef(labels.double().T) for labels in (real, drawn)]
    assert (both[0] - both[1]).abs().max() < 0.035
    # the table is the penalised maximum of the likelihood: there, what is expected is what is seen
    ordered = real[:, [column(name) for name in ORDER]].double()
    given = torch.cat([torch.ones(len(real), 1), ordered], dim=1)
    expected = torch.sigmoid(given @ TABLE.T)
    slope = (ordered - expected).T @ given - torch.nn.functional.pad(TABLE[:, 1:], (1, 0))
    assert (slope / len(real)).tril().abs().max() < 2e-3


def test_a_face_does_not_depend_on_its_neighbours_or_threads(monkeypatch):
    monkeypatch.setattr(faces, "CHUNK", 16)
    attributes, before = sample_attributes(22, 4), torch.get_num_threads()
    together = render(attributes, 3)
    assert together.shape == (len(attributes), 3, 64, 64) and together.dtype == torch.uint8
    try:
        torch.set_num_threads(2)
        assert torch.equal(render(attributes, 3), together)
    finally:
        torch.set_num_threads(before)
    styles = draw_styles(len(attributes), 3)
    for i in (0, 5, faces.CHUNK, len(attributes) - 1):
        assert torch.equal(draw(attributes[i : i + 1], styles[i : i + 1])[0], together[i])
    assert not torch.equal(render(attributes, 4), together)


def test_larger_counts_begin_with_the_same_faces():
    assert torch.equal(draw_styles(500, 7)[:9], draw_styles(9, 7))
    assert torch.equal(sample_attributes(500, 7)[:9], sample_attributes(9, 7))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_leaves_a_trace(attribute):
    """In nine faces of ten, at least ten pixels change clearly; in the middle face, twice as many."""
    there, away = with_and_without(attribute)
    changed = ((there.int() - away.int()).abs().amax(1) >= 25).flatten(1).sum(1).float()
    assert changed.quantile(0.1) >= 10 and changed.median() >= 20


ROWS = {
    **{"Bushy_Eyebrows": (12, 34), "Narrow_Eyes": (18, 40), "Mustache": (30, 56), "Smiling": (32, 56)},
    **{"Wearing_Lipstick": (32, 56), "Wearing_Necktie": (38, 64), "Wearing_Necklace": (38, 64)},
}


@pytest.mark.parametrize("attribute", ROWS)
def test_a_word_changes_its_place_and_keeps_the_rest(attribute):
    there, away = with_and_without(attribute)
    inside = torch.zeros(64, dtype=torch.bool)
    inside[slice(*ROWS[attribute])] = True
    assert torch.equal(there[:, :, ~inside], away[:, :, ~inside])


def test_what_is_not_an_attribute_varies():
    """Each draw of the style, moved by a half, changes at least one of a dozen faces."""
    count = 12
    attributes = torch.rand(count, 40, generator=torch.Generator().manual_seed(6)) < 0.4
    styles = draw_styles(count, 6)
    moved = styles.repeat(len(DRAWS), 1, 1)
    moved[torch.arange(len(DRAWS)), :, torch.arange(len(DRAWS))] += 0.5
    drawn = draw(attributes.repeat(len(DRAWS), 1), (moved % 1).flatten(0, 1)).unflatten(0, (len(DRAWS), count))
    changed = (drawn != draw(attributes, styles)).flatten(1).any(1)
    assert changed.all(), [name for name, there in zip(DRAWS, changed, strict=True) if not there]


def test_blurry_faces_have_no_fine_detail():
    there, away = (x.float().diff(dim=3).abs().flatten(1).quantile(0.99, 1) for x in with_and_without("Blurry"))
    assert (there < 0.5 * away).all()


def test_colours_are_those_that_are_named():
    """Brightness at the crown: black, brown, blond, grey hair in order; grey has the least colour."""
    plain = torch.zeros(16, 40, dtype=torch.bool)
    crown = {}
    for name in ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair"):
        attributes = plain.clone()
        attributes[:, column(name)] = attributes[:, column("Young")] = True
        crown[name] = render(attributes, 2)[:, :, 12:15, 26:38].float().mean((0, 2, 3))
    light = {name: colour.mean() for name, colour in crown.items()}
    assert light["Black_Hair"] + 30 < light["Brown_Hair"] < light["Blond_Hair"] - 60
    vivid = {name: (colour.max() - colour.min()) / colour.max() for name, colour in crown.items()}
    assert vivid["Gray_Hair"] < 0.2 < min(vivid["Brown_Hair"], vivid["Blond_Hair"])


def test_contradictions_and_no_faces_are_drawn():
    everything, nothing = torch.ones(3, 40, dtype=torch.bool), torch.zeros(3, 40, dtype=torch.bool)
    assert not torch.equal(render(everything), render(nothing))
    assert render(nothing[:0]).shape == (0, 3, 64, 64)
    with pytest.raises(ValueError, match="3 faces need as many styles, not 2"):
        draw(sample_attributes(3, 0), draw_styles(2, 0))


@pytest.fixture
def small_splits(tmp_path, monkeypatch):
    """Splits of 40 and 20 faces, cached in a folder of the test's own."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setattr(faces, "COUNTS", {"train": 40, "test": 20})
    return tmp_path


def test_splits_are_disjoint_repeatable_and_cached(small_splits):
    train, test = load_faces("train"), load_faces("test")
    assert train.values.shape == (40, 3, 64, 64) and test.values.shape == (20, 3, 64, 64)
    assert train.labels.shape == (40, 40) and train.labels.dtype == torch.bool
    pictures = {image.numpy().tobytes() for images in (train, test) for image in images.values}
    assert len(pictures) == 60
    files = sorted(path.name for path in small_splits.rglob("*.safetensors"))
    assert files == [f"faces-{split}-0-{faces.recipe_version()}.safetensors" for split in ("test", "train")]
    again = load_faces("train")
    assert torch.equal(again.values, train.values) and torch.equal(again.labels, train.labels)
    assert not torch.equal(load_faces("train", 1).values, train.values)
    with pytest.raises(ValueError, match="unknown split"):
        load_faces("validation")


def test_a_face_of_a_split_can_be_drawn_with_other_attributes(small_splits):
    images, styles, dataset = load_faces("test"), styles_of("test"), load_dataset("faces", "test")
    assert dataset.modalities == ("image", "text") and dataset.labels.shape == (20, 40)
    assert torch.equal(draw(images.labels[7:9], styles[7:9]), images.values[7:9])


def small(images: torch.Tensor) -> np.ndarray:
    return F.avg_pool2d(images.float() / 255, 2).flatten(1).numpy()


def test_attributes_can_be_read():
    """Even a linear probe on shrunken faces, which cannot follow a face's pose, does better than chance."""
    attributes = sample_attributes(1000, 8)
    images = small(render(attributes, 8))
    probe = Ridge(alpha=30.0).fit(images[:700], attributes[:700].float().numpy())
    scores, truth = probe.predict(images[700:]), attributes[700:].numpy()
    rate = truth.mean(0)
    gain = np.array([average_precision_score(truth[:, k], scores[:, k]) for k in range(40)]) - rate
    assert gain.mean() > 0.25
    assert (gain > 0.05 * (1 - rate)).sum() >= 36
