"""Faces and descriptions in every explorer: what is given, what is generated, and what is said about it."""

import re
from dataclasses import replace

import made_faces
import numpy as np
import pytest
import torch
from helpers import assert_redraws, controls_of, images, to

from workbench.data.celeba.attributes import PHRASES, describe, encode, parse
from workbench.explorers import ExploredModel, Plan, generation, grids, latent_drawing, objectives
from workbench.explorers.conditional import explore_conditional
from workbench.explorers.faces import draw_faces, judgement
from workbench.explorers.generation import GenerationSettings, generate
from workbench.explorers.inputs_faces import DescriptionInput, FaceInput
from workbench.explorers.latent import explore_latent
from workbench.explorers.latent_map import latent_map
from workbench.explorers.subjects import ANY, Faces
from workbench.plotting.base import text_of


@pytest.fixture(scope="module")
def models() -> list[ExploredModel]:
    """Two small models of hand-made faces, in place of the shipped ones."""
    return [made_faces.explored("mmjsd"), made_faces.explored("mmvae", seed=1)]


@pytest.fixture(scope="module")
def explored(models) -> ExploredModel:
    return models[0]


@pytest.fixture
def explorer(models):
    return explore_conditional(models)


def words(text: str) -> torch.Tensor:
    return encode(text).long()


def opinion_of(**chances: float) -> torch.Tensor:
    """Probabilities of attributes, by name with underscores; others have none."""
    opinion = torch.zeros(len(PHRASES))
    for name, chance in chances.items():
        opinion[PHRASES.index(name.replace("_", " "))] = chance
    return opinion


def ticked(text: DescriptionInput) -> list[str]:
    return [tick.description for tick in text.ticks if tick.value]


# --- what a judge says -----------------------------------------------------------------------------------------------
def test_at_most_five_attributes_are_told_the_most_certain_first():
    verdict = Faces().verdict
    assert verdict(opinion_of(male=0.7, smiling=0.99, young=0.4)) == "smiling (99%), male (70%)"
    assert verdict(opinion_of(male=0.49)) == "no attribute"
    many = verdict(opinion_of(male=0.7, smiling=0.99, young=0.5, bald=0.6, bangs=0.65, goatee=0.55, chubby=0.95))
    assert many.endswith("bald (60%) and 2 more") and many.startswith("smiling (99%)")


def test_words_that_are_asked_for_are_told_apart_from_others(explored):
    asked = parse("smiling, young, blond hair")
    said = judgement(explored, opinion_of(smiling=0.9, young=0.5, blond_hair=0.49, male=0.8, bald=0.3), asked)
    assert said == ["✓ smiling, young", "✗ blond hair", "also: male (80%)"]
    assert judgement(explored, opinion_of(smiling=0.9), asked, short=True) == ["judged: 1 of 3 found again"]


# --- inputs ----------------------------------------------------------------------------------------------------------
def test_typed_words_are_read_in_the_order_that_models_know_or_the_last_ones_stay_in_use(explored):
    text = DescriptionInput(explored, "T")
    text.text.value = "Smiling,  YOUNG, blond_hair"
    assert torch.equal(text.value(), words("blond hair, smiling, young"))
    assert "read as 'blond hair, smiling, young'" in text.remark and not text.problem
    assert ticked(text) == ["blond hair", "smiling", "young"]
    text.text.value = "blond hair, smiling, young"
    assert not text.remark and not text.problem
    text.text.value = "smiling"
    text.text.value = "smilling"
    assert torch.equal(text.value(), words("smiling"))
    assert "did you mean 'smiling'?" in text.problem and text.problem.endswith("still in use.")
    text.ticks[PHRASES.index("young")].value = True
    assert text.text.value == "smiling, young" and text.value() is not None and not text.problem
    text.put(torch.ones(40, dtype=torch.bool))
    assert text.value().shape == (256,) and "its end is cut" in text.remark


def test_ticks_and_words_follow_each_other_and_call_once(explored):
    text, calls = DescriptionInput(explored, "T", words="male"), []
    text.on_change(lambda: calls.append(text.text.value))
    text.ticks[PHRASES.index("bald")].value = True
    assert calls == ["bald, male"]
    text.text.value = "young, goatee"
    assert len(calls) == 2 and ticked(text) == ["goatee", "young"]
    text.nothing.click()
    assert len(calls) == 3 and text.text.value == "" and not ticked(text)
    assert torch.equal(text.value(), words("")) and "nothing but filling" in text.remark


def test_faces_are_chosen_by_number_and_attribute(explored):
    face = FaceInput(explored, "I", given=True)
    values = [kind for _, kind in face.kind.options]
    assert values[0] == ANY and made_faces.NONE_HAS not in values and len(values) == 40
    face.kind.value, face.number.value = "smiling", 2
    labels = explored.data.labels
    row = int(labels[:, PHRASES.index("smiling")].nonzero().flatten()[2])
    assert torch.equal(face.words(), labels[row])
    assert torch.equal(face.value(), explored.data.storages[0].values[row].float() / 255)
    with pytest.raises(ValueError, match=f"none of the {made_faces.FACES} test items of faces is 'mustache'"):
        generation.test_item(explored, made_faces.NONE_HAS)


# --- conditional explorer --------------------------------------------------------------------------------------------
def test_a_description_gives_ten_faces_in_random_styles_and_words_without_filling_or_bars(explorer, explored):
    html, said = explorer.output.value, explorer.inputs[1].text.value
    assert explorer.settings == GenerationSettings("dynamic_prior", draws=10, style_seed=0) and not explorer.styles
    made = generate(explored, {"T": words(said)}, explorer.settings)
    expected = (made.values["I"].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.stack(images(html)), expected)
    assert len(re.findall("<li>", html)) == 10 and 'role="alert"' not in html
    assert len(set(re.findall(r'alt="image, draw \d+ from T, judged', html))) == 10
    shown, texts = re.findall('<div class="words">([^<]*)</div>', html), [text_of(x) for x in made.values["T"]]
    assert shown[0] == said and len(shown) == 11
    assert not any(text.startswith("*") or text.endswith("*") for text in texts)
    assert "▁" not in html and "·" not in html


def test_each_draw_has_a_style_of_its_own(explored):
    item = {"T": words("smiling")}
    made = generate(explored, item, GenerationSettings("mixture", temperature=0.0, draws=3, style_seed=5))
    styles = generation.from_prior(explored, 2, 3, 32, seed=5)
    q, _ = generation.posterior(explored, item, "mixture", 3)
    alone = explored.model.generate(q.mean, styles)
    for m, letter in enumerate("IT"):
        torch.testing.assert_close(made.values[letter], alone[m])
    assert not torch.allclose(made.values["I"][0], made.values["I"][1])


def test_what_the_judge_finds_again_is_counted_over_the_draws(explored):
    item, settings, asked = {"T": words("smiling, young")}, GenerationSettings(draws=4, style_seed=1), "smiling, young"
    hits = generate(explored, item, settings).opinions["I"][:, parse(asked)].ge(0.5).sum(0).tolist()
    html = draw_faces(explored, item, settings, [], parse(asked), "of the description")
    told = f"image: of the attributes of the description, found in so many of 4 draws: smiling {hits[0]}, young"
    assert f"{told} {hits[1]}" in html


def test_a_given_face_is_compared_with_its_own_words_and_a_wrong_word_told_while_the_faces_stay(explorer):
    face, text = explorer.inputs
    text.given.value, face.given.value = False, True
    face.number.value = 3
    assert "of the attributes of the face given" in explorer.output.value
    assert "of the attributes of the description" not in explorer.output.value
    text.given.value = True
    text.copy.click()
    assert text.text.value == describe(face.words()) and "of the attributes of the description" in explorer.output.value
    text.text.value, face.given.value = "smiling, blnd hair", False
    assert "did you mean &#x27;blond hair&#x27;?" in explorer.output.value
    assert 'role="alert"' in explorer.output.value and len(images(explorer.output.value)) == 10


def test_every_control_of_the_conditional_explorer_redraws(explorer):
    face, text = explorer.inputs
    seen = assert_redraws(
        explorer.output, to(text.text, "bald, male"), to(text.ticks[0], True), to(face.given, True),
        to(face.kind, "young"), to(face.number, 1), explorer.restyle.click, explorer.resample.click,
        to(explorer.fusion, "mixture"), to(explorer.mode, "set"), lambda: to(explorer.styles[0].sliders[0], 2.0)(),
        explorer.restyle.click, to(explorer.choice, 1),
    )  # fmt: skip
    assert text.text.value == "5 o clock shadow, bald, male"
    assert len(explorer.styles) == 2 and all(len(group.sliders) == 6 for group in explorer.styles)
    explorer.restyle.click()
    assert all(len(group.values) == 32 and all(group.values) for group in explorer.styles)
    explorer.plain.click()
    assert not any(value for group in explorer.styles for value in group.values)
    seen.add(explorer.output.value)
    explorer.mode.value = "random"
    assert explorer.output.value not in seen and not explorer.styles


# --- the other explorers ---------------------------------------------------------------------------------------------
def test_columns_of_the_grid_are_faces_with_an_attribute_or_what_most_of_a_column_have(models, explored):
    plan = Plan("I", ("T",), rows=3)
    grid = grids.fill(explored, plan)
    assert len(grid.kinds) == 10 and grid.values.shape == (3, 10, 3, 64, 64)
    for kind, item in zip(grid.kinds, grids.items_of(explored, plan), strict=True):
        assert kind in text_of(item["T"]).split(", ")
    places = [PHRASES.index(kind) for kind in grid.kinds]
    expected = sum(int((grid.opinions[:, column, place] >= 0.5).sum()) for column, place in enumerate(places))
    assert grid.hits == (expected, 30)
    html = grids.draw_grids(models, plan)
    assert f"judged to have its column&#x27;s attribute in {expected} of 30" in html
    assert len(images(html)) == 60 and "face with &#x27;smiling&#x27;" in html
    grid = grids.fill(explored, Plan("I", rows=3))
    most = grid.opinions.ge(0.5).float().mean(0) > 0.5
    assert torch.equal(grid.asked, most) and not grid.kinds
    assert grid.hits == (int((grid.opinions.ge(0.5) & most).sum()), 3 * int(most.sum()))


def test_too_few_faces_for_a_grid_or_a_map_are_refused_in_a_sentence(explored):
    labels = torch.zeros(5, 40, dtype=torch.bool), made_faces.attributes(2)
    bare, two = (replace(explored, data=made_faces.spelt_faces(labels=some)) for some in labels)
    picture = controls_of(grids.explore_grid([bare]))["picture"]
    assert "no test face of faces has any of the attributes" in picture.value and 'role="alert"' in picture.value
    *_, note, picture, _, _ = explore_latent([two]).children
    assert "2 items are too few for a map of faces" in note.value and not picture.children[0].points


def test_objectives_are_compared_on_a_face(models):
    controls, labels = controls_of(objectives.explore_objectives(models)), models[0].data.labels
    picture = controls["picture"]
    assert len(images(picture.value)) == 1 + 2 * 4
    assert not labels[generation.test_row(models[0], ANY, 0)].any()  # the first face: nothing to be found again
    assert "0 of 0 attributes of the face are found, and" in picture.value
    controls["faces"].value = "male"
    label, item = labels[generation.test_row(models[0], "male", 0)], generation.test_item(models[0], "male", 0)
    for made in objectives.compare(models, item):
        asked = 2 * 4 * int(label.sum())
        hits = sum(int((made.opinions[letter].ge(0.5) & label).sum()) for letter in "IT")
        assert objectives.agreement(made, label) == (hits, asked)
        assert f"{hits} of {asked} attributes of the face are found" in picture.value
    for letter in ("image (I)", "text (T)"):
        controls[f"{letter} given"].value = False
    assert picture.value.count("attributes found in any modality") == 2


def test_the_map_is_coloured_by_an_attribute(explored):
    chart = latent_map(explored, "mixture", 12)
    marks, shades = latent_drawing.signs(chart, "smiling")
    assert marks == [str(int(x)) for x in chart.batch.labels[:, PHRASES.index("smiling")].tolist() * 3]
    assert len(set(zip(marks, shades, strict=True))) == 2
    assert [text for *_, text in latent_drawing.legend(chart, "smiling")] == ["not 'smiling'", "smiling"]
    assert chart.describe(13) == "face inferred from T, item 1"
    with pytest.raises(ValueError, match="not by 'class'"):
        latent_drawing.signs(chart, "class")
    assert len(latent_drawing.draw_latent_map(chart, item=0).axes[0].collections) > 1


def test_the_latent_explorer_offers_what_its_model_can_be_coloured_by(models):
    which, fusion, *_, picture, strip, _ = explore_latent(models, items=30).children
    colour, shown = fusion.children[0], picture.children[0]
    assert colour.options == (*PHRASES, "modality") and colour.value == "male"
    before = shown.points["colour"]
    colour.value = "young"
    assert shown.points["colour"] != before and "young" in {row[2] for row in shown.legend}
    which.children[0].value = 1
    assert colour.value == "young" and len(images(strip.value)) == 9 and '<div class="words">' in strip.value
