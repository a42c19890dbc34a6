"""Faces and descriptions in every explorer: what is given, what is generated, and what is said about it."""

import re
from dataclasses import replace

import made_faces
import numpy as np
import pytest
import torch
from helpers import controls_of, images

from workbench.data.celeba.attributes import PHRASES, describe, encode, parse
from workbench.explorers import generation, grids, latent_drawing, objectives
from workbench.explorers.conditional import explore_conditional
from workbench.explorers.faces import draw_portraits, judgement
from workbench.explorers.generation import GenerationSettings, generate
from workbench.explorers.grids import Plan
from workbench.explorers.inputs_faces import DescriptionInput, FaceInput
from workbench.explorers.latent import explore_latent
from workbench.explorers.latent_map import latent_map
from workbench.explorers.subjects import ANY, Faces
from workbench.plotting.base import text_of


@pytest.fixture(scope="module")
def models():
    return [made_faces.explored("mmjsd"), made_faces.explored("mmvae", seed=1)]


@pytest.fixture(scope="module")
def exhibit(models):
    return models[0]


@pytest.fixture
def explorer(models):
    return explore_conditional(models)


def opinion_of(**chances: float) -> torch.Tensor:
    """Probabilities of attributes, by name with underscores; others have none."""
    found = torch.zeros(len(PHRASES))
    for name, chance in chances.items():
        found[PHRASES.index(name.replace("_", " "))] = chance
    return found


# --- what a judge says -----------------------------------------------------------------------------------------------


def test_at_most_five_attributes_are_told_the_most_certain_first():
    some = opinion_of(male=0.7, smiling=0.99, young=0.4)
    assert Faces().verdict(some) == "smiling (99%), male (70%)"
    assert Faces().verdict(opinion_of(male=0.49)) == "no attribute"
    many = opinion_of(male=0.7, smiling=0.99, young=0.5, bald=0.6, bangs=0.65, goatee=0.55, chubby=0.95)
    assert Faces().verdict(many).endswith("bald (60%) and 2 more") and Faces().verdict(many).startswith("smiling (99%)")


def test_words_that_are_asked_for_are_told_apart_from_others(exhibit):
    asked = parse("smiling, young, blond hair")
    said = judgement(exhibit, opinion_of(smiling=0.9, young=0.5, blond_hair=0.49, male=0.8, bald=0.3), asked)
    assert said == ["✓ smiling, young", "✗ blond hair", "also: male (80%)"]
    assert judgement(exhibit, opinion_of(smiling=0.9), asked, short=True) == ["judged: 1 of 3 found again"]


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_typed_words_are_read_in_the_order_that_models_know(exhibit):
    text = DescriptionInput(exhibit, "T")
    text.text.value = "Smiling,  YOUNG, blond_hair"
    assert torch.equal(text.value(), encode("blond hair, smiling, young").long())
    assert "read as 'blond hair, smiling, young'" in text.remark and not text.problem
    assert [tick.description for tick in text.ticks if tick.value] == ["blond hair", "smiling", "young"]
    text.text.value = "blond hair, smiling, young"
    assert not text.remark and not text.problem


def test_words_that_cannot_be_read_leave_the_last_ones_in_use(exhibit):
    text = DescriptionInput(exhibit, "T")
    text.text.value = "smiling"
    text.text.value = "smilling"
    assert torch.equal(text.value(), encode("smiling").long())
    assert "did you mean 'smiling'?" in text.problem and text.problem.endswith("still in use.")
    text.ticks[PHRASES.index("young")].value = True
    assert text.text.value == "smiling, young" and text.value() is not None and not text.problem


def test_ticks_and_words_follow_each_other_and_call_once(exhibit):
    text, calls = DescriptionInput(exhibit, "T", words="male"), []
    text.on_change(lambda: calls.append(text.text.value))
    text.ticks[PHRASES.index("bald")].value = True
    assert calls == ["bald, male"]
    text.text.value = "young, goatee"
    assert len(calls) == 2 and {t.description for t in text.ticks if t.value} == {"young", "goatee"}
    text.nothing.click()
    assert len(calls) == 3 and text.text.value == "" and not any(t.value for t in text.ticks)
    assert torch.equal(text.value(), encode("").long()) and "nothing but filling" in text.remark


def test_all_forty_words_are_cut_and_it_is_told(exhibit):
    text = DescriptionInput(exhibit, "T")
    text.put(torch.ones(40, dtype=torch.bool))
    assert text.value().shape == (256,) and "its end is cut" in text.remark


def test_faces_are_chosen_by_number_and_attribute(exhibit):
    face = FaceInput(exhibit, "I", given=True)
    values = [kind for _, kind in face.kind.options]
    assert values[0] == ANY and made_faces.NONE_HAS not in values and len(values) == 40
    face.kind.value, face.number.value = "smiling", 2
    labels = exhibit.data.labels
    row = int(labels[:, PHRASES.index("smiling")].nonzero().flatten()[2])
    assert torch.equal(face.words(), labels[row])
    assert torch.equal(face.value(), exhibit.data.storages[0].values[row].float() / 255)


def test_an_attribute_that_no_face_has_is_refused_in_words(exhibit):
    with pytest.raises(ValueError, match=f"none of the {made_faces.FACES} test items of faces is 'mustache'"):
        generation.test_item(exhibit, made_faces.NONE_HAS)


# --- conditional explorer --------------------------------------------------------------------------------------------


def test_a_description_gives_ten_faces_in_random_styles(explorer, exhibit):
    html = explorer.output.value
    assert explorer.wish == GenerationSettings("dynamic_prior", draws=10, style_seed=0) and not explorer.styles
    item = {"T": encode(explorer.inputs[1].text.value).long()}
    made = generate(exhibit, item, explorer.wish)
    expected = (made.values["I"].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.stack(images(html)), expected)
    assert len(re.findall("<li>", html)) == 10 and 'role="alert"' not in html
    assert len(set(re.findall(r'alt="image, draw \d+ from T, judged', html))) == 10


def test_each_draw_has_a_style_of_its_own(exhibit):
    wish = GenerationSettings("mixture", temperature=0.0, draws=3, style_seed=5)
    made = generate(exhibit, {"T": encode("smiling").long()}, wish)
    styles = generation.from_prior(exhibit, 2, 3, 32, seed=5)
    q, _ = generation.posterior(exhibit, {"T": encode("smiling").long()}, "mixture", 3)
    alone = exhibit.model.generate(q.mean, styles)
    for m, letter in enumerate("IT"):
        torch.testing.assert_close(made.values[letter], alone[m])
    assert not torch.allclose(made.values["I"][0], made.values["I"][1])


def test_generated_descriptions_are_words_without_filling_or_bars(explorer, exhibit):
    item = {"T": encode(explorer.inputs[1].text.value).long()}
    words = [text_of(x) for x in generate(exhibit, item, explorer.wish).values["T"]]
    shown = re.findall('<div class="words">([^<]*)</div>', explorer.output.value)
    assert shown[0] == explorer.inputs[1].text.value and len(shown) == 11
    assert not any(text.startswith("*") or text.endswith("*") for text in words)
    assert "▁" not in explorer.output.value and "·" not in explorer.output.value


def test_what_the_judge_finds_again_is_counted_over_the_draws(exhibit):
    item, wish = {"T": encode("smiling, young").long()}, GenerationSettings(draws=4, style_seed=1)
    made, asked = generate(exhibit, item, wish), parse("smiling, young")
    html = draw_portraits(exhibit, item, wish, [], asked, "of the description")
    found = made.opinions["I"][:, asked].ge(0.5).sum(0).tolist()
    told = f"image: of the attributes of the description, found in so many of 4 draws: smiling {found[0]}, young"
    assert f"{told} {found[1]}" in html


def test_a_given_face_is_compared_with_its_own_words(explorer):
    face, text = explorer.inputs
    text.given.value, face.given.value = False, True
    face.number.value = 3
    assert "of the attributes of the face given" in explorer.output.value
    assert "of the attributes of the description" not in explorer.output.value
    text.given.value = True
    text.copy.click()
    assert text.text.value == describe(face.words()) and "of the attributes of the description" in explorer.output.value


def test_every_control_of_the_conditional_explorer_redraws(explorer):
    face, text = explorer.inputs
    seen = {explorer.output.value}
    for count, change in enumerate(
        [
            lambda: setattr(text.text, "value", "bald, male"),
            lambda: setattr(text.ticks[0], "value", True),
            lambda: setattr(face.given, "value", True),
            lambda: setattr(face.kind, "value", "young"),
            lambda: setattr(face.number, "value", 1),
            explorer.restyle.click,
            explorer.resample.click,
            lambda: setattr(explorer.fusion, "value", "mixture"),
            lambda: setattr(explorer.mode, "value", "set"),
            lambda: setattr(explorer.styles[0].sliders[0], "value", 2.0),
            explorer.restyle.click,
            lambda: setattr(explorer.choice, "value", 1),
        ],
        start=2,
    ):
        change()
        seen.add(explorer.output.value)
        assert len(seen) == count, change
    assert explorer.inputs[1].text.value == "5 o clock shadow, bald, male"
    assert len(explorer.styles) == 2 and all(len(group.sliders) == 6 for group in explorer.styles)
    explorer.restyle.click()
    assert all(len(group.values) == 32 and all(group.values) for group in explorer.styles)
    explorer.plain.click()
    assert not any(value for group in explorer.styles for value in group.values)
    explorer.mode.value = "random"
    assert explorer.output.value not in seen and not explorer.styles


def test_a_wrong_word_is_told_and_the_faces_stay(explorer):
    explorer.inputs[1].text.value = "smiling, blnd hair"
    assert "did you mean &#x27;blond hair&#x27;?" in explorer.output.value
    assert 'role="alert"' in explorer.output.value and len(images(explorer.output.value)) == 10


# --- the other explorers ---------------------------------------------------------------------------------------------


def test_columns_of_the_grid_are_faces_with_an_attribute(models, exhibit):
    plan = Plan("I", ("T",), rows=3)
    grid = grids.fill(exhibit, plan)
    assert len(grid.kinds) == 10 and grid.values.shape == (3, 10, 3, 64, 64)
    for kind, item in zip(grid.kinds, grids.items_of(exhibit, plan), strict=True):
        assert kind in text_of(item["T"]).split(", ")
    places = [PHRASES.index(kind) for kind in grid.kinds]
    expected = sum(int((grid.opinions[:, column, place] >= 0.5).sum()) for column, place in enumerate(places))
    assert grid.hits == (expected, 30)
    html = grids.draw_grids(models, plan)
    assert f"judged to have its column&#x27;s attribute in {expected} of 30" in html
    assert len(images(html)) == 60 and "face with &#x27;smiling&#x27;" in html


def test_random_contents_of_faces_are_told_by_what_most_of_a_column_have(exhibit):
    grid = grids.fill(exhibit, Plan("I", rows=3))
    most = grid.opinions.ge(0.5).float().mean(0) > 0.5
    assert torch.equal(grid.asked, most) and not grid.kinds
    assert grid.hits == (int((grid.opinions.ge(0.5) & most).sum()), 3 * int(most.sum()))


def test_a_grid_without_any_face_to_show_is_refused_in_a_sentence(exhibit):
    bare = replace(exhibit, data=made_faces.spelt_faces(labels=torch.zeros(5, 40, dtype=torch.bool)))
    picture = controls_of(grids.explore_grid([bare]))["picture"]
    assert "no test face of faces has any of the attributes" in picture.value and 'role="alert"' in picture.value


def test_objectives_are_compared_on_a_face(models):
    found = controls_of(objectives.explore_objectives(models))
    picture = found["picture"]
    assert len(images(picture.value)) == 1 + 2 * 4
    row = generation.test_row(models[0], ANY, 0)
    assert not models[0].data.labels[row].any()  # the first face has no attribute: nothing to be found again
    assert "0 of 0 attributes of the face are found, and" in picture.value
    found["faces"].value = "male"
    label = models[0].data.labels[generation.test_row(models[0], "male", 0)]
    item = generation.test_item(models[0], "male", 0)
    for made in objectives.compare(models, item):
        asked = 2 * 4 * int(label.sum())
        hits = sum(int((made.opinions[letter].ge(0.5) & label).sum()) for letter in "IT")
        assert objectives.agreement(made, label) == (hits, asked)
        assert f"{hits} of {asked} attributes of the face are found" in picture.value
    for letter in ("image (I)", "text (T)"):
        found[f"{letter} given"].value = False
    assert picture.value.count("attributes found in any modality") == 2


def test_the_map_is_coloured_by_an_attribute(exhibit):
    chart = latent_map(exhibit, "mixture", 12)
    marks, shades = latent_drawing.signs(chart, "smiling")
    there = chart.batch.labels[:, PHRASES.index("smiling")].tolist() * 3
    assert marks == ["1" if yes else "0" for yes in there]
    assert len(set(zip(marks, shades, strict=True))) == 2
    assert [text for *_, text in latent_drawing.legend(chart, "smiling")] == ["not 'smiling'", "smiling"]
    assert chart.describe(13) == "face inferred from T, item 1"
    with pytest.raises(ValueError, match="not by 'class'"):
        latent_drawing.signs(chart, "class")
    assert len(latent_drawing.draw_latent_map(chart, item=0).axes[0].collections) > 1


def test_the_latent_explorer_offers_what_its_model_can_be_coloured_by(models):
    box = explore_latent(models, items=30)
    which, fusion, *_, picture, strip, _ = box.children
    colour = fusion.children[0]
    assert colour.options == (*PHRASES, "modality") and colour.value == "male"
    before = picture.children[0].points["colour"]
    colour.value = "young"
    assert picture.children[0].points["colour"] != before
    assert "young" in {row[2] for row in picture.children[0].legend}
    which.children[0].value = 1
    assert colour.value == "young" and len(images(strip.value)) == 9
    assert '<div class="words">' in strip.value


def test_too_few_faces_for_a_map_are_refused(exhibit):
    two = replace(exhibit, data=made_faces.spelt_faces(labels=made_faces.attributes(2)))
    *_, note, picture, _, _ = explore_latent([two]).children
    assert "2 items are too few for a map of faces" in note.value and not picture.children[0].points
