"""The grid of styles by contents: rows share a style, columns a content; the widgets redraw."""

import re

import pytest
import torch
from helpers import controls_of

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.explorers import generation, grids
from workbench.explorers.grids import Plan
from workbench.explorers.models import ExploredModel, exhibits, shipped_judges
from workbench.inference import subset_posterior
from workbench.runs.run import build_model
from workbench.runs.shipped import embedded


@pytest.fixture(scope="module")
def models() -> list[ExploredModel]:
    return exhibits()


@pytest.fixture(scope="module")
def without_styles() -> ExploredModel:
    """An untrained model with a shared space only."""
    config, data = Config.make("quick", style_dim=0), embedded("uci-plain-text")
    return ExploredModel(
        "plain mmJSD", config, build_model(config, data).eval(), tuple(shipped_judges("mnist-plain-text", data)), data
    )


@pytest.mark.parametrize("letter", ["M", "S", "T"])
def test_rows_share_the_style_and_columns_the_content(models, letter):
    model = models[0].model
    contents, styles = grids.random_contents(models[0], 3, seed=1), grids.random_styles(models[0], 2, seed=2)
    grid = grids.style_content(models[0], letter, contents, styles)
    m = models[0].index(letter)
    assert grid.shape[:2] == (2, 3)
    for row in range(2):
        for column in range(3):
            style = torch.zeros(3, 1, model.style_dim)
            style[m] = styles[row]
            alone = model.generate(contents[column : column + 1], style)[m][0]
            torch.testing.assert_close(grid[row, column], alone, atol=1e-5, rtol=1e-4)
    twice = grids.style_content(models[0], letter, contents[[0, 0]], styles[[1, 1]]).flatten(0, 1)
    torch.testing.assert_close(twice, grid[1:, 0].expand_as(twice), atol=1e-5, rtol=1e-4)
    assert (grid[0] - grid[1]).abs().mean() > 1e-3 and (grid[:, 0] - grid[:, 1]).abs().mean() > 1e-3


def test_contents_of_text_are_read_in_the_column_of_their_class(models):
    grid = grids.fill(models[0], Plan("M", ("T",), rows=5))
    assert grid.kinds == [*range(10)] and grid.values.shape == (5, 10, 1, 28, 28)
    hits, cells = grid.hits
    assert hits == (grid.opinions.argmax(-1) == torch.arange(10)).sum() and cells == 50
    assert hits / cells >= 0.85  # metrics.json beside its weights tells 0.96 of 2,000 items


def test_contents_are_drawn_from_the_posteriors_of_their_items(models):
    """Temperature 0: the mean of the package's own posterior, of a mixture that of one of its components."""
    items = [{letter: generation.test_item(models[0], k)[letter] for letter in "MS"} for k in (2, 6)]
    batch = [torch.stack([item[letter] for item in items]) for letter in "MS"]
    for exhibit, fusion in zip(models, ("dynamic_prior", "mixture", "product"), strict=True):
        values = (*batch, torch.zeros(2, 8, dtype=torch.long))
        present = torch.tensor([[True, True], [True, True], [False, False]])
        with torch.no_grad():
            q = exhibit.model.encode(Batch(values, present, torch.tensor([2, 6])))
            fused = (
                q.content.mean[:2]
                if fusion == "mixture"
                else subset_posterior(exhibit.model, q, "MS", fusion).mean[None]
            )
        seen = set()
        for seed in range(12):
            found = grids.inferred_contents(exhibit, items, temperature=0.0, seed=seed)
            near = (fused - found).abs().amax(-1) < 1e-4  # [components, items]
            assert near.any(0).all()
            seen |= {*near[:, 0].int().argmax(0, keepdim=True).tolist()}
        assert len(seen) == len(fused)  # in time every component


def test_random_contents_and_styles_follow_their_seeds(models):
    plan = Plan("S", content_seed=3, style_seed=4)
    first = grids.fill(models[0], plan)
    torch.testing.assert_close(first.values, grids.fill(models[0], plan).values)
    for other in (Plan("S", content_seed=3, style_seed=5), Plan("S", content_seed=4, style_seed=4)):
        assert (grids.fill(models[0], other).values - first.values).abs().mean() > 1e-3
    assert torch.equal(first.asked.int().argmax(-1), first.opinions.argmax(-1).mode(0).values) and not first.kinds
    cold = grids.fill(models[0], Plan("S", temperature=0.0, rows=2)).values
    torch.testing.assert_close(cold, cold[:, :1].expand_as(cold), atol=1e-5, rtol=1e-4)


def test_the_tables_tell_every_cell_in_words(models):
    plan = Plan("M", ("T", "S"), rows=3)
    html = grids.draw_grids(models, plan)
    assert "given: street of class 4" in html and len(re.findall("<img ", html)) == 10 + 3 * 3 * 10
    for exhibit in models:
        grid = grids.fill(exhibit, plan)
        assert f"{exhibit.name}: judged to be of its column&#x27;s class in {grid.hits[0]} of 30" in html
    said = re.findall(r'alt="class (\d), content \d+, style (\d), judged (\d)"', html)
    judged = [grids.fill(exhibit, plan).opinions.argmax(-1) for exhibit in models]
    assert [int(k) for *_, k in said] == torch.cat(judged).flatten().tolist()
    marks = re.findall(r'<div class="note">(\d) (✓|✗)</div>', html)
    assert [mark == "✓" for _, mark in marks] == [asked == found for asked, _, found in said]
    assert "judged as most of its column in" in grids.draw_grids(models, Plan("T"))


def test_the_figure_has_the_pixels_of_the_grid(models):
    plan = Plan("S", ("M",), rows=2)
    figure = grids.style_content_grid(models[:2], plan)
    texts = [text.get_text() for text in figure.axes[0].texts]
    named = [f"{model.name}, style {row}" for model in models[:2] for row in (1, 2)]
    assert texts == [*named, *map(str, range(10))]
    drawn = torch.stack([torch.tensor(image.get_array()) for image in figure.axes[0].images])
    expected = torch.cat([grids.fill(model, plan).values.flatten(0, 1) for model in models[:2]])
    torch.testing.assert_close(drawn, expected.permute(0, 2, 3, 1), atol=1e-5, rtol=1e-4)


def test_a_model_without_styles_has_one_row_and_says_so(without_styles):
    plan = Plan("M", ("S",), rows=4)
    assert grids.fill(without_styles, plan).values.shape == (1, 10, 1, 28, 28)
    html = grids.draw_grids([without_styles], plan)
    assert "plain mmJSD: trained without styles" in html and 'role="alert"' in html
    assert html.count(">no style</th>") == 1 and ">style " not in html
    picture = controls_of(grids.explore_grid([without_styles]))["picture"]
    assert "trained without styles" in picture.value and "<img " in picture.value


def test_wrong_input_is_refused_in_words(models):
    with pytest.raises(ValueError, match="unknown modality 'X'"):
        grids.fill(models[0], Plan("X"))
    with pytest.raises(ValueError, match="unknown modality 'Y'"):
        grids.fill(models[0], Plan("M", ("Y",)))
    *controls, picture = grids.explore_grid([]).children
    assert not controls and "no model to explore" in picture.value


def test_every_control_redraws_what_it_says(models):
    found = controls_of(grids.explore_grid(models))
    picture, seen = found["picture"], []

    def expect(plan: Plan, shown=models[:1]):
        assert picture.value == grids.draw_grids(shown, plan)
        assert picture.value not in seen
        seen.append(picture.value)

    expect(Plan("M", ("M", "S", "T")))
    found["styles"].value = 2
    expect(Plan("M", ("M", "S", "T"), 2))
    found["generated"].value = "T"
    expect(Plan("T", ("M", "S", "T"), 2))
    found["text (T) given"].value = False
    expect(Plan("T", ("M", "S"), 2))
    found["temperature"].value = 0.5
    expect(Plan("T", ("M", "S"), 2, 0.5))
    found["next example"].click()
    expect(Plan("T", ("M", "S"), 2, 0.5, 1))
    found["resample contents"].click()
    expect(Plan("T", ("M", "S"), 2, 0.5, 1, 1))
    found["resample styles"].click()
    expect(Plan("T", ("M", "S"), 2, 0.5, 1, 1, 1))
    found["models"].value = (1, 2)
    expect(Plan("T", ("M", "S"), 2, 0.5, 1, 1, 1), models[1:])
    found["contents"].value = "random"
    expect(Plan("T", (), 2, 0.5, 1, 1, 1), models[1:])
    assert found["next example"].disabled and found["street (S) given"].disabled


def test_nothing_given_is_told_and_mended(models):
    found = controls_of(grids.explore_grid(models[:1]))
    assert "models" not in found  # there is nothing to choose among
    for letter in ("handwriting (M)", "street (S)", "text (T)"):
        found[f"{letter} given"].value = False
    assert "nothing is given: tick a modality" in found["picture"].value
    found["contents"].value = "random"
    assert "nothing is given" not in found["picture"].value and "<img " in found["picture"].value
