"""The grid of styles by contents: rows share a style, columns a content; the widgets redraw."""

import re
from dataclasses import replace

import pytest
import torch
from helpers import controls_of, touch

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.explorers import ExploredModel, Plan, generation, grids
from workbench.explorers.models import shipped_judges
from workbench.inference import subset_posterior
from workbench.runs.run import build_model
from workbench.runs.shipped import embedded


@pytest.fixture(scope="module")
def without_styles() -> ExploredModel:
    """An untrained model with a shared space only."""
    config, data = Config.make("quick", style_dim=0), embedded("uci-plain-text")
    judges = tuple(shipped_judges("mnist-plain-text", data))
    return ExploredModel("plain mmJSD", config, build_model(config, data).eval(), judges, data)


def close(x: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-4)


def differ(x: torch.Tensor, other: torch.Tensor) -> bool:
    return (x - other).abs().mean() > 1e-3


@pytest.mark.parametrize("letter", ["M", "S", "T"])
def test_rows_share_the_style_and_columns_the_content(mmjsd, letter):
    contents, styles = grids.random_contents(mmjsd, 3, seed=1), grids.random_styles(mmjsd, 2, seed=2)
    grid, m = grids.style_content(mmjsd, letter, contents, styles), mmjsd.index(letter)
    assert grid.shape[:2] == (2, 3)
    for row in range(2):
        for column in range(3):
            style = torch.zeros(3, 1, mmjsd.model.style_dim)
            style[m] = styles[row]
            close(grid[row, column], mmjsd.model.generate(contents[column : column + 1], style)[m][0])
    twice = grids.style_content(mmjsd, letter, contents[[0, 0]], styles[[1, 1]]).flatten(0, 1)
    close(twice, grid[1:, 0].expand_as(twice))
    assert differ(grid[0], grid[1]) and differ(grid[:, 0], grid[:, 1])


def test_contents_of_text_are_read_in_the_column_of_their_class(mmjsd):
    grid = grids.fill(mmjsd, Plan("M", ("T",), rows=5))
    assert grid.kinds == [*range(10)] and grid.values.shape == (5, 10, 1, 28, 28)
    hits, cells = grid.hits
    assert hits == (grid.opinions.argmax(-1) == torch.arange(10)).sum() and cells == 50
    assert hits / cells >= 0.85  # metrics.json beside its weights tells 0.96 of 2,000 items


def test_contents_are_drawn_from_the_posteriors_of_their_items(models):
    """Temperature 0: the mean of the package's own posterior, of a mixture that of one of its components."""
    items = [{letter: generation.test_item(models[0], k)[letter] for letter in "MS"} for k in (2, 6)]
    values = (*(torch.stack([item[letter] for item in items]) for letter in "MS"), torch.zeros(2, 8, dtype=torch.long))
    batch = Batch(values, torch.tensor([[True, True], [True, True], [False, False]]), torch.tensor([2, 6]))
    for explored, fusion in zip(models, ("dynamic_prior", "mixture", "product"), strict=True):
        with torch.no_grad():
            q = explored.model.encode(batch)
            fused = None if fusion == "mixture" else subset_posterior(explored.model, q, "MS", fusion).mean[None]
        fused, components = q.content.mean[:2] if fused is None else fused, set()
        for seed in range(12):
            drawn = grids.inferred_contents(explored, items, temperature=0.0, seed=seed)
            near = (fused - drawn).abs().amax(-1) < 1e-4  # [components, items]
            assert near.any(0).all()
            components |= {*near[:, 0].int().argmax(0, keepdim=True).tolist()}
        assert len(components) == len(fused)  # in time every one


def test_random_contents_and_styles_follow_their_seeds(mmjsd):
    plan = Plan("S", content_seed=3, style_seed=4)
    first = grids.fill(mmjsd, plan)
    torch.testing.assert_close(first.values, grids.fill(mmjsd, plan).values)
    for seeds in ({"style_seed": 5}, {"content_seed": 4}):
        assert differ(grids.fill(mmjsd, replace(plan, **seeds)).values, first.values)
    assert torch.equal(first.asked.int().argmax(-1), first.opinions.argmax(-1).mode(0).values) and not first.kinds
    cold = grids.fill(mmjsd, Plan("S", temperature=0.0, rows=2)).values
    close(cold, cold[:, :1].expand_as(cold))


def test_random_contents_and_styles_are_those_of_the_sampler(mmjsd):
    plan = Plan("M", rows=2, content_seed=3, style_seed=4, sampler="gmm", temperature=0.5)
    found = generation.samplers(mmjsd)
    assert found is generation.samplers(mmjsd), "fitted once"
    contents = found.gmm.draw(10, torch.Generator().manual_seed(3), 0.5).content
    styles = found.gmm.draw(2, torch.Generator().manual_seed(4)).style[0]
    close(grids.fill(mmjsd, plan).values, grids.style_content(mmjsd, "M", contents, styles))
    with pytest.raises(ValueError, match="unknown sampler 'flows': did you mean 'flow'"):
        grids.fill(mmjsd, replace(plan, sampler="flows"))


def test_the_tables_tell_every_cell_in_words(models):
    plan = Plan("M", ("T", "S"), rows=3)
    html, filled = grids.draw_grids(models, plan), [grids.fill(explored, plan) for explored in models]
    assert "given: street of class 4" in html and len(re.findall("<img ", html)) == 10 + 3 * 3 * 10
    for explored, grid in zip(models, filled, strict=True):
        assert f"{explored.name}: judged to be of its column&#x27;s class in {grid.hits[0]} of 30" in html
    said = re.findall(r'alt="class (\d), content \d+, style (\d), judged (\d)"', html)
    judged = torch.cat([grid.opinions.argmax(-1) for grid in filled])
    assert [int(k) for *_, k in said] == judged.flatten().tolist()
    marks = re.findall(r'<div class="note">(\d) (✓|✗)</div>', html)
    assert [mark == "✓" for _, mark in marks] == [asked == read for asked, _, read in said]
    assert "judged as most of its column in" in grids.draw_grids(models, Plan("T"))


def test_the_figure_has_the_pixels_of_the_grid(models):
    plan, two = Plan("S", ("M",), rows=2), models[:2]
    (ax,) = grids.style_content_grid(two, plan).axes
    names = [f"{explored.name}, style {row}" for explored in two for row in (1, 2)]
    assert [text.get_text() for text in ax.texts] == [*names, *map(str, range(10))]
    expected = torch.cat([grids.fill(explored, plan).values.flatten(0, 1) for explored in two])
    close(torch.stack([torch.tensor(image.get_array()) for image in ax.images]), expected.permute(0, 2, 3, 1))


def test_a_model_without_styles_has_one_row_and_says_so(without_styles):
    plan = Plan("M", ("S",), rows=4)
    assert grids.fill(without_styles, plan).values.shape == (1, 10, 1, 28, 28)
    html = grids.draw_grids([without_styles], plan)
    assert "plain mmJSD: trained without styles" in html and 'role="alert"' in html
    assert html.count(">no style</th>") == 1 and ">style " not in html
    picture = controls_of(grids.explore_grid([without_styles]))["picture"]
    assert "trained without styles" in picture.value and "<img " in picture.value


def test_every_control_redraws_what_it_says(models):
    controls = controls_of(grids.explore_grid(models))
    picture, seen, plan = controls["picture"], [], Plan("M", ("M", "S", "T"))
    assert controls["models"].value == (0,)
    for name, value, change in (
        ("models", (0,), {}),  # as they are
        ("styles", 2, {"rows": 2}),
        ("generated", "T", {"letter": "T"}),
        ("text (T) given", False, {"given": ("M", "S")}),
        ("temperature", 0.5, {"temperature": 0.5}),
        ("next example", None, {"number": 1}),
        ("resample contents", None, {"content_seed": 1}),
        ("resample styles", None, {"style_seed": 1}),
        ("models", (1, 2), {}),
        ("contents", "random", {"given": ()}),
        ("drawn from", "exemplar", {"sampler": "exemplar"}),
    ):
        touch(controls, name, value)
        shown, plan = [models[place] for place in controls["models"].value], replace(plan, **change)
        assert picture.value == grids.draw_grids(shown, plan) and picture.value not in seen, name
        seen.append(picture.value)
    assert not controls["drawn from"].disabled
    controls["contents"].value = "items"
    assert controls["drawn from"].disabled
    controls["contents"].value = "random"
    assert controls["next example"].disabled and controls["street (S) given"].disabled


def test_nothing_given_is_told_and_mended_and_unknown_modalities_are_refused(mmjsd):
    controls = controls_of(grids.explore_grid([mmjsd]))
    assert "models" not in controls  # there is nothing to choose among
    for modality in mmjsd.model.modalities:
        controls[f"{modality.name} ({modality.letter}) given"].value = False
    assert "nothing is given: tick a modality" in controls["picture"].value
    controls["contents"].value = "random"
    assert "nothing is given" not in controls["picture"].value and "<img " in controls["picture"].value
    for plan, letter in ((Plan("X"), "X"), (Plan("M", ("Y",)), "Y")):
        with pytest.raises(ValueError, match=f"unknown modality '{letter}'"):
            grids.fill(mmjsd, plan)
