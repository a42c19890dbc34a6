"""Objectives side by side: contents against the judges and the package, and the widgets redrawing."""

import re
from dataclasses import replace

import pytest
import torch
from helpers import controls_of, touch

from workbench.explorers import ExploredModel, generation, objectives
from workbench.explorers.generation import GenerationSettings
from workbench.explorers.subjects import Digits
from workbench.inference import subset_posterior


def item_of(explored: ExploredModel, digit: int, letters: str, number: int = 0) -> dict:
    return {letter: x for letter, x in generation.test_item(explored, digit, number).items() if letter in letters}


def test_given_text_handwriting_is_of_the_class_that_was_written(mmjsd):
    judged, settings = [], GenerationSettings(draws=8)
    for digit in range(10):
        (made,) = objectives.compare([mmjsd], item_of(mmjsd, digit, "T"), settings)
        judged += (made.opinions["M"].argmax(-1) == digit).tolist()
    assert mmjsd.config.objective == "mmjsd" and len(judged) == 80 and sum(judged) / 80 >= 0.9


@pytest.mark.parametrize(
    ("own", "fusions"), [(True, ["dynamic_prior", "mixture", "product"]), (False, ["product"] * 3)]
)
def test_each_model_is_fused_by_its_own_method_unless_told_otherwise(models, own, fusions):
    """At temperature 0 contents are posterior means, which the package's inference must give, too."""
    assert [objectives.own_posterior(explored) for explored in models] == ["dynamic_prior", "mixture", "product"]
    rows = torch.tensor([int((models[0].data.labels == 4).nonzero()[0])] * 3)
    batch = models[0].data.batch(rows, torch.Generator().manual_seed(0))
    item = {"M": batch.values[0][0], "S": batch.values[1][0]}
    made = objectives.compare(models, item, GenerationSettings("product", 0.0, draws=3), own)
    for explored, fusion, generated in zip(models, fusions, made, strict=True):
        model = explored.model
        with torch.no_grad():
            mean = subset_posterior(model, model.encode(batch), ["M", "S"], fusion).mean
        expected = model.generate(mean, torch.zeros(3, 3, model.style_dim))
        for letter, x in zip(explored.letters, expected, strict=True):
            torch.testing.assert_close(generated.values[letter], x, atol=1e-5, rtol=1e-4)


def test_agreement_counts_draws_of_all_modalities():
    opinions = {"M": torch.eye(10)[[3, 3, 1, 2]], "S": torch.eye(10)[[3, 1, 1, 3]]}
    generated = objectives.Generated({}, opinions, [])
    assert objectives.agreement(generated, 3) == (4, 8) and objectives.agreement(generated, 2) == (1, 8)
    found = Digits().found(torch.stack([*opinions.values()]))
    assert Digits().together(found) == "all modalities agree in 2 of 4"


def test_the_table_says_in_words_what_is_not_given_and_what_agrees(models):
    item = item_of(models[0], 7, "M")
    html = objectives.draw_objectives(models, item, 7)
    counts = [objectives.agreement(made, 7) for made in objectives.compare(models, item)]
    assert html.count("not given") == 2
    said = re.findall(r"agrees with the input's class in (\d+) of (\d+)", html.replace("&#x27;", "'"))
    assert [(int(k), int(n)) for k, n in said] == counts and counts[0][1] == 12
    assert re.findall(r"<td>(dynamic prior|mixture|product)</td>", html) == ["dynamic prior", "mixture", "product"]
    images = re.findall("<img [^>]*>", html)
    assert len(images) == 1 + 3 * 2 * 4  # the input; draws of two kinds of images
    assert all('alt="' in image for image in images) and sum("judged" in image for image in images) == 24
    html = objectives.draw_objectives(models, {}, 7)
    assert html.count("not given") == 3 and "fused by" not in html
    assert len(re.findall(r"all modalities agree in \d of 4", html)) == 3 and "agrees" not in html


def test_the_figure_shows_every_subset_for_every_model(models):
    item = generation.test_item(models[0], 5)
    (ax,) = objectives.objective_grid(models, item, ["S"]).axes
    texts = [text.get_text() for text in ax.texts]
    assert texts == [*(f"{m.name}: S" for m in models), "input", "M,S,T", "M,S", "M,T", "S,T", "M", "S", "T"]
    drawn = [torch.tensor(image.get_array()) for image in ax.images]
    assert len(drawn) == 3 * 8
    torch.testing.assert_close(drawn[8], item["S"].permute(1, 2, 0))
    text_alone = objectives.compare(models, {"T": item["T"]}, GenerationSettings(temperature=0.0, draws=1))
    for place, made in enumerate(text_alone):
        torch.testing.assert_close(drawn[8 * place + 7], made.values["S"][0].permute(1, 2, 0), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="the item has no S"):
        objectives.objective_grid(models, {"M": item["M"]}, ["S"])


def test_models_with_other_modalities_cannot_be_compared_and_those_of_one_name_are_numbered(models):
    other = replace(models[1], data=replace(models[1].data, name="uci-text"))
    same = "need the same modalities and test items"
    for wrong, message in (([models[0], other], same), ([], "no model to explore")):
        with pytest.raises(ValueError, match=message):
            objectives.draw_objectives(wrong, {}, 0)
        *controls, picture = objectives.explore_objectives(wrong).children
        assert not controls and message in picture.value and 'role="alert"' in picture.value
    html = objectives.draw_objectives([models[0], models[0], models[1]], {}, 0)
    headings = re.findall('<th scope="col">([^<]*)</th>', html)
    assert headings == ["", "input", "mmJSD (MS) no. 1", "mmJSD (MS) no. 2", "MMVAE (MS)"]


def test_every_control_redraws_what_it_says(models):
    controls = controls_of(objectives.explore_objectives(models))
    picture, seen, settings = controls["picture"], [], objectives.SETTINGS
    assert controls["models"].value == (0, 1, 2)
    for name, value, letters, digit, number, change in (
        ("models", (0, 1, 2), "MST", 3, 0, {}),  # as they are
        ("class", 8, "MST", 8, 0, {}),
        ("street (S) given", False, "MT", 8, 0, {}),
        ("next example", None, "MT", 8, 1, {}),
        ("temperature", 0.5, "MT", 8, 1, {"temperature": 0.5}),
        ("resample contents", None, "MT", 8, 1, {"seed": 1}),
        ("posterior", "product", "MT", 8, 1, {"fusion": "product"}),
        ("models", (0, 2), "MT", 8, 1, {}),
    ):
        touch(controls, name, value)
        settings, shown = replace(settings, **change), [models[place] for place in controls["models"].value]
        item, own = item_of(models[0], digit, letters, number), controls["posterior"].value == "own"
        assert picture.value == objectives.draw_objectives(shown, item, digit, settings, own)
        assert picture.value not in seen
        seen.append(picture.value)
    controls["models"].value = ()
    assert "no model to explore" in picture.value
    controls["models"].value = (0, 2)
    assert picture.value == seen[-1]
