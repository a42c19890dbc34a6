"""Figures of faces: their pixels are the model's, what may not be shown is not, and numbers are the judge's."""

import made_faces
import pytest
import torch

from workbench import plotting
from workbench.data.celeba.attributes import PHRASES, encode, encode_attributes, parse
from workbench.data.dataset import Batch
from workbench.studies import faces_plots
from workbench.studies.faces_edits import Edit, content_of, edit, edited, style_of


@pytest.fixture(scope="module")
def explored():
    return made_faces.explored()


@pytest.fixture(scope="module")
def photographs():
    return made_faces.spelt_faces("celeba")


def pictures(figure) -> list[torch.Tensor]:
    return [torch.tensor(image.get_array()) for image in figure.axes[0].images]


def texts(figure) -> list[str]:
    """All texts of a figure, each in one line."""
    found = [*figure.texts, *figure.axes[0].texts]
    return [" ".join(text.get_text().replace("\u00a0", " ").split()) for text in found]


def posterior(model, letter: str, x: torch.Tensor):
    """The package's own encoding of one modality, the other one absent."""
    present = torch.tensor([letter == other for other in "IT"]).unsqueeze(1).expand(2, len(x))
    values = [torch.zeros(len(x), 3, 64, 64), torch.zeros(len(x), 256, dtype=torch.long)]
    values["IT".index(letter)] = x
    with torch.no_grad():
        return model.encode(Batch(tuple(values), present, torch.zeros(len(x), dtype=torch.long)))


def decoded(model, content, style) -> torch.Tensor:
    """Pixels as they are shown, `[n, 64, 64, 3]`."""
    with torch.no_grad():
        return model.decode_one(0, content, style).clamp(0, 1).permute(0, 2, 3, 1)


def test_rows_share_the_description_and_columns_the_style(explored):
    said = ["smiling, young", "Male, bald"]
    figure = faces_plots.text_to_images(explored.model, said, columns=3, seed=4)
    assert "smiling, young" in texts(figure) and "bald, male" in texts(figure)
    tokens = torch.stack([encode("smiling, young"), encode("bald, male")]).long()
    content = posterior(explored.model, "T", tokens).content.mean[1]
    styles = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))
    expected = decoded(explored.model, content.repeat_interleave(3, 0), styles.repeat(2, 1))
    torch.testing.assert_close(torch.stack(pictures(figure)), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="did you mean 'smiling'"):
        faces_plots.text_to_images(explored.model, ["smilling"])


def test_random_faces_have_the_texts_of_their_first_row(explored):
    figure = faces_plots.random_faces(explored.model, rows=2, columns=3, seed=1)
    generator = torch.Generator().manual_seed(1)
    content = torch.randn(6, 32, generator=generator)
    faces, words = explored.model.generate(content, torch.randn(2, 6, 32, generator=generator))
    shown = torch.stack(pictures(figure))
    torch.testing.assert_close(shown, faces.clamp(0, 1).permute(0, 2, 3, 1), atol=1e-5, rtol=1e-4)
    for text in words[:3]:
        assert any(plotting.text_of(text)[:20].split()[0] in line for line in texts(figure))


@pytest.mark.parametrize("name, shown", [("faces", True), ("celeba", False)])
@pytest.mark.parametrize("make", [faces_plots.images_to_text, faces_plots.attribute_edits])
def test_photographs_are_not_shown_unless_asked_for(explored, name, shown, make):
    data = made_faces.spelt_faces(name)
    originals = data.storages[0].values[:3].float().permute(0, 2, 3, 1) / 255
    asked = ({}, {"originals": True}, {"originals": False})
    figures = [make(explored.model, data, range(3), **options) for options in asked]
    first, visible, hidden = (torch.stack(pictures(figure)[:3]) for figure in figures)
    assert torch.allclose(first, originals) is shown and torch.allclose(visible, originals)
    q = posterior(explored.model, "I", originals.permute(0, 3, 1, 2))
    torch.testing.assert_close(
        hidden, decoded(explored.model, q.content.mean[0], q.style.mean[0]), atol=1e-5, rtol=1e-4
    )
    assert any("The face as the model reconstructs it" in line for line in texts(figures[2]))


def test_words_that_agree_are_marked_and_are_those_of_the_image_alone(explored, photographs):
    own, written = faces_plots.marked(parse("male, smiling, young"), "bald, smiling, yo ng, ")
    assert own == ["○ male", "✓ smiling", "○ young"]
    assert written == ["✗ bald", "✓ smiling", "? yo ng"]
    assert faces_plots.marked(parse(""), "") == ([], [])
    content = posterior(explored.model, "I", photographs.storages[0].values[5:6].float() / 255).content.mean[0]
    with torch.no_grad():
        written = plotting.text_of(explored.model.decode_one(1, content, torch.zeros(1, 32))[0])
    # long words without a blank are broken, wherever a line ends
    said = ["".join(line.split()) for line in texts(faces_plots.images_to_text(explored.model, photographs, [5]))]
    own, generated = faces_plots.marked(photographs.labels[5], written)
    assert own and generated and all("".join(", ".join(side).split()) in said for side in (own, generated))


def test_a_word_is_added_where_it_is_missing_and_taken_where_it_is_not():
    before = torch.stack([parse("male, young"), parse("young, smiling")])
    after = edited(before, "smiling")
    assert torch.equal(after, torch.stack([parse("male, young, smiling"), parse("young")]))
    assert torch.equal(before, torch.stack([parse("male, young"), parse("young, smiling")]))
    hair = edited(torch.stack([parse("black hair, male"), parse("blond hair")]), "blond hair")
    assert torch.equal(hair, torch.stack([parse("blond hair, male"), parse("")]))
    with pytest.raises(ValueError, match="'happy' is none of the 40"):
        edited(before, "happy")


def test_an_edit_keeps_the_style_and_changes_the_content(explored):
    attributes, model = made_faces.attributes(4), explored.model
    style = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    found = edit(model, attributes, style, "young")
    for shown, words in ((found.before, attributes), (found.after, edited(attributes, "young"))):
        content = posterior(model, "T", encode_attributes(words).long()).content.mean[1]
        expected = decoded(model, content, style)
        torch.testing.assert_close(shown.clamp(0, 1).permute(0, 2, 3, 1), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.added, ~attributes[:, PHRASES.index("young")])


def test_numbers_of_an_edit_are_means_of_the_judge_over_each_kind(explored):
    labels = torch.zeros(4, 40, dtype=torch.bool)
    place = PHRASES.index("smiling")
    labels[:2, place] = True
    before = made_faces.spelt(labels).float() / 255
    after = made_faces.spelt(~labels).float() / 255
    found = Edit("smiling", ~labels[:, place], before, after)
    assert found.judged(explored.judges[0]) == ["+ 0.00 → 1.00 (n = 2)", "− 1.00 → 0.00 (n = 2)"]
    only = Edit("smiling", torch.ones(4, dtype=torch.bool), before, after)
    assert only.judged(explored.judges[0]) == ["+ 0.50 → 0.50 (n = 4)"]


def test_the_figure_of_edits_shows_them_with_what_has_changed(explored, photographs):
    rows, phrases = range(6), ("smiling", "male")
    figure = faces_plots.attribute_edits(explored.model, photographs, rows, explored.judges[0], phrases, columns=4)
    shown = pictures(figure)
    assert len(shown) == 2 * 4 + 2 * (4 + 4)  # the faces, from their words; each edit and its changes
    images, labels = photographs.storages[0].values[:6].float() / 255, photographs.labels[:6]
    style = style_of(explored.model, "I", images)
    found = edit(explored.model, labels, style, "smiling")
    expected = found.after[:4].clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(torch.stack(shown[8:12]), expected, atol=1e-5, rtol=1e-4)
    change = (found.after - found.before)[:4].mean(1)
    grey = torch.stack(shown[12:16])
    assert grey.shape == (4, 64, 64) and (grey - 0.5).sign().eq(change.sign()).float().mean() > 0.99
    assert torch.corrcoef(torch.stack([grey.flatten(), change.flatten()]))[0, 1] > 0.9
    signs = ["+" if added else "−" for added in found.added[:4].tolist()]
    assert [line for line in texts(figure) if line in "+−"][:4] == signs
    assert any(line.startswith("Smiling") and found.judged(explored.judges[0])[0] in line for line in texts(figure))


def test_a_product_has_the_prior_in_it(explored):
    tokens = encode("smiling").long().unsqueeze(0)
    q = posterior(explored.model, "T", tokens).content[1]
    precision = q.logvar.neg().exp()
    torch.testing.assert_close(content_of(explored.model, "T", tokens), q.mean)
    product = content_of(explored.model, "T", tokens, "product")
    torch.testing.assert_close(product, q.mean * precision / (precision + 1), atol=1e-5, rtol=1e-4)


def test_a_grid_of_items_wraps_descriptions(explored):
    batch = explored.data.batch(torch.arange(3), torch.Generator().manual_seed(0))
    figure = plotting.item_grid(batch.values, ["I", "T"], ["a", "b", "c"])
    said = [plotting.wrapped(plotting.text_of(x)) for x in batch.values[1]]
    assert [text.get_text() for text in figure.axes[0].texts][1:4] == said
    assert max(len(line) for text in said for line in text.split("\n")) <= plotting.base.LINE
