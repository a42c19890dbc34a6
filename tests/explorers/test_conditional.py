"""The conditional explorer: what is generated, what is shown, and every control moved."""

import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import assert_redraws, images, to

from workbench.distributions import Laplace
from workbench.explorers import generation, pictures
from workbench.explorers.conditional import StyleSliders, draw_conditional, explore_conditional
from workbench.explorers.generation import GenerationSettings, generate, posterior, style_effects
from workbench.runs.run import build_model


@pytest.fixture
def explorer(models):
    return explore_conditional(models)


def test_text_alone_generates_the_digit_that_it_names(mmjsd):
    hits = {letter: [] for letter in mmjsd.letters}
    for digit in range(10):
        text = {"T": generation.test_item(mmjsd, digit)["T"]}
        made = generate(mmjsd, text, GenerationSettings("mixture", draws=10, seed=digit))
        for letter, opinions in made.opinions.items():
            hits[letter] += (opinions.argmax(-1) == digit).tolist()
    shares = {letter: statistics.fmean(right) for letter, right in hits.items()}
    assert all(share >= 0.9 for share in shares.values()), shares


def test_draws_of_a_mixture_come_from_the_given_in_turn_of_a_product_from_all_and_else_from_the_prior(mmjsd):
    item = generation.test_item(mmjsd, 4)
    q, origins = posterior(mmjsd, item, "mixture", 6)
    assert origins == ["M", "M", "S", "S", "T", "T"]
    for row, letter in enumerate(origins):
        alone, _ = posterior(mmjsd, {letter: item[letter]}, "mixture")
        assert torch.allclose(q.mean[row], alone.mean[0], atol=1e-5)
    assert posterior(mmjsd, {"M": item["M"], "T": item["T"]}, "product", 2)[1] == ["M,T", "M,T"]
    q, origins = posterior(mmjsd, {}, "mixture", 3)
    assert origins == ["p(c)"] * 3 and not q.mean.any() and not q.logvar.any()


def test_temperature_scales_the_spread_of_the_contents(mmjsd):
    item = {"T": generation.test_item(mmjsd, 8)["T"]}
    settings = [GenerationSettings(temperature=t, draws=40) for t in (0.0, 0.5, 1.0, 1.5)]
    draws = [generate(mmjsd, item, one).values["M"] for one in settings]
    assert torch.equal(draws[0], draws[0][:1].expand_as(draws[0]))
    spreads = [x.std(0).mean() for x in draws[1:]]
    assert spreads[0] < spreads[1] < spreads[2]


def test_the_first_style_slider_changes_most(mmjsd):
    sliders, effects = StyleSliders(mmjsd, "M"), style_effects(mmjsd, "M")
    assert [effects[dim] for dim in sliders.order] == sorted(effects, reverse=True)
    sliders.sliders[0].value = 1.5
    assert sliders.values == [1.5 if dim == sliders.order[0] else 0.0 for dim in range(4)]


def test_the_page_shows_the_pixels_that_were_generated_and_says_them_in_words(mmjsd):
    item, settings = generation.test_item(mmjsd, 6), GenerationSettings("dynamic_prior", draws=2)
    made, html = generate(mmjsd, item, settings), draw_conditional(mmjsd, item, settings)
    shown = images(html)  # in each row what is given, then two draws; the text has no pictures
    assert len(shown) == 6
    expected = (made.values["M"][1, 0].clamp(0, 1) * 255).round().byte().numpy()
    assert np.array_equal(shown[2], expected)
    assert np.array_equal(shown[3], (item["S"].permute(1, 2, 0) * 255).round().byte().numpy())
    assert html.count("<img ") == html.count("<img alt=") and 'alt="handwriting, draw 1 from M,S,T, judged 6 (' in html
    assert "·" in html and any(block in html for block in pictures.BLOCKS)


def test_every_control_redraws(explorer):
    handwriting, street, text = explorer.inputs
    styles = [group.sliders[0] for group in explorer.styles]
    assert_redraws(
        explorer.output, to(handwriting.digit, 5), to(handwriting.number, 7), to(text.text, "nine"),
        to(street.given, False), to(explorer.fusion, "mixture"), to(explorer.temperature, 0.3), to(styles[0], 2.0),
        to(styles[2], -2.0), explorer.resample.click, explorer.restyle.click, explorer.plain.click,
        to(explorer.choice, 1),
    )  # fmt: skip
    assert explorer.explored.name == "MMVAE (MS)" and explorer.fusion.value == "mixture"


def test_sliders_set_together_redraw_once_and_a_modality_switched_off_is_not_given(explorer):
    changes = []
    explorer.output.observe(changes.append, names="value")
    explorer.restyle.click()
    assert len(changes) == 1 and any(explorer.styles[0].values)
    for count, one in enumerate(explorer.inputs, start=1):
        one.given.value = False
        assert explorer.output.value.count("not given") == count
    assert "from p(c)" in explorer.output.value and "Nothing is given" in explorer.output.value


def test_where_nothing_is_given_the_sampler_is_asked(explorer, mmjsd):
    assert explorer.sampler.disabled
    for one in explorer.inputs:
        one.given.value = False
    assert not explorer.sampler.disabled
    shown = assert_redraws(explorer.output, *(to(explorer.sampler, name) for name in ("exemplar", "gmm", "flow")))
    assert all("Nothing is given: contents are drawn from" in html for html in shown)
    settings = GenerationSettings(draws=5, seed=2, sampler="flow", temperature=0.5, style_seed=3)
    flow, made = generation.samplers(mmjsd)["flow"], generate(mmjsd, {}, settings)
    content = flow.draw(5, torch.Generator().manual_seed(2), 0.5).content
    style = flow.draw(5, torch.Generator().manual_seed(3)).style
    expected = dict(zip("MST", mmjsd.model.generate(content, style), strict=True))
    assert all(torch.equal(x, expected[letter]) for letter, x in made.values.items()) and made.origins == ["flow"] * 5


def test_what_is_given_stays_with_another_model_and_can_be_taken_back(explorer):
    begun = explorer.output.value
    explorer.inputs[0].digit.value, explorer.inputs[2].text.value, explorer.inputs[1].given.value = 8, "eight", False
    explorer.temperature.value = 0.5
    explorer.resample.click()
    explorer.choice.value = 1
    assert [one.explored.name for one in explorer.inputs] == ["MMVAE (MS)"] * 3
    assert "eight" in explorer.output.value and explorer.output.value.count("not given") == 1
    explorer.choice.value = 0
    explorer.begin.click()
    assert explorer.output.value == begun and explorer.temperature.value == 1.0


def test_a_word_that_cannot_be_used_is_told_and_nothing_dies(explorer):
    text, none = explorer.inputs[2], "is no digit from zero to nine"
    for typed, said in (("seventeen", "at most 8"), ("se§en", "outside the alphabet"), ("cat", none), ("", none)):
        text.text.value = typed
        assert said in explorer.output.value and 'role="alert"' in explorer.output.value
        assert len(images(explorer.output.value)) == 14
        text.text.value = "Seven"
        assert 'role="alert"' not in explorer.output.value and "seven" in explorer.output.value


def test_a_posterior_that_a_model_cannot_have_is_told(models):
    config = replace(models[1].config, objective="mmvae_dreg", posterior="laplace")
    laplace = replace(models[1], config=config, model=build_model(config, models[1].data).eval())
    assert laplace.model.family is Laplace
    explorer = explore_conditional([laplace])
    assert not explorer.output.value.count('alert"')
    explorer.fusion.value = "product"
    assert "needs Gaussian posteriors" in explorer.output.value
    explorer.fusion.value = "mixture"
    assert len(images(explorer.output.value)) == 14
