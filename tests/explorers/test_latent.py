"""The latent explorer: plane, ellipses and means against other computations, pictures against decodings, widgets."""

import functools
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fill_cache, random_gaussian, seeded
from matplotlib import pyplot as plt

from workbench.config import Config
from workbench.data.load import load_dataset
from workbench.distributions import Laplace, Mixture
from workbench.explorers import ExploredModel, generation, pictures
from workbench.explorers import latent_drawing as drawing
from workbench.explorers.latent import explore_latent
from workbench.explorers.latent_map import (
    Ellipse,
    LatentMap,
    Plane,
    balanced_rows,
    interpolate,
    item_ellipses,
    joint_choices,
    latent_map,
    tsne,
    with_joint,
)
from workbench.metrics.judges import Classifier
from workbench.networks.classifiers import CLASSIFIERS
from workbench.runs.run import build_model

ITEMS, ROOT = 30, Path(__file__).resolve().parents[2]
close = functools.partial(torch.testing.assert_close, atol=1e-5, rtol=1e-4)


def make_explored(name: str, **changes) -> ExploredModel:
    """Untrained networks and judges on a few real digits, with encoders that react to what they see."""
    config = Config.make("quick", **{"data": "uci-plain-text", "style_dim": 4, **changes})
    data, judges = load_dataset(config.data, "test"), []
    for source, shape in zip(data.sources, data.shapes, strict=True):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            judges.append(Classifier(CLASSIFIERS[shape]().eval(), source, 0.5))
    model = build_model(config, data).eval()
    with torch.no_grad():
        for heads in model.heads:
            heads.layers[0].weight *= 20
    return ExploredModel(name, config, model, tuple(judges), data)


@pytest.fixture(scope="module")
def make(tmp_path_factory) -> Iterator[Callable[..., ExploredModel]]:
    """`make_explored` in a project root whose cache holds a few real digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ROOT", str(tmp_path_factory.mktemp("root")))
        fill_cache()
        yield functools.cache(make_explored)


@pytest.fixture(scope="module")
def explored(make) -> ExploredModel:
    return make("one", objective="mmjsd")


@pytest.fixture(scope="module")
def chart(explored) -> LatentMap:
    return latent_map(explored, "mixture", ITEMS)


def matrix(ellipse: Ellipse) -> torch.Tensor:
    """The covariance that an ellipse is drawn from."""
    c, s = math.cos(ellipse.angle), math.sin(ellipse.angle)
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return turn @ torch.tensor([ellipse.a**2, ellipse.b**2], dtype=torch.float64).diag() @ turn.T


def some_plane() -> Plane:
    return Plane.fit(torch.randn(60, 5, generator=seeded(3)) * torch.arange(1, 6))


# --- the plane -------------------------------------------------------------------------------------------------------
def test_the_plane_is_that_of_the_two_largest_eigenvalues():
    points = torch.randn(200, 6, generator=seeded(), dtype=torch.float64) * torch.tensor([1, 5, 2, 0.1, 3, 1])
    plane = Plane.fit(points)
    values, vectors = torch.linalg.eigh(torch.cov(points.T))
    close((vectors[:, [-1, -2]].T @ plane.axes).abs(), torch.eye(2).double(), atol=1e-8, rtol=0)
    assert plane.shares == pytest.approx((values[[-1, -2]] / values.sum()).tolist())
    close(torch.cov(plane.project(points).T), values[[-1, -2]].diag(), atol=1e-8, rtol=1e-8)
    close(plane.project(points).mean(0), torch.zeros(2).double(), atol=1e-10, rtol=0)


def test_the_signs_of_the_axes_are_the_same_whatever_the_order_or_sign_of_the_points():
    points = torch.randn(50, 4, generator=seeded()) * torch.tensor([3.0, 1.0, 2.0, 0.5])
    axes = Plane.fit(points).axes
    for same in (points.flip(0), -points):
        torch.testing.assert_close(Plane.fit(same).axes, axes)
    assert (axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all()
    with pytest.raises(ValueError, match="at least 2 content dimensions, this model has 1"):
        Plane.fit(torch.randn(5, 1))


@pytest.mark.parametrize("family", ["Gaussian", "Laplace"])
def test_ellipses_are_covariances_of_projected_draws(family):
    plane, q = some_plane(), random_gaussian(5, seed=2)
    q = Laplace(q.mean, q.logvar) if family == "Laplace" else q
    ellipse, draws = plane.shadow(q), plane.project(q.draws(200_000, seeded(1)))
    close(matrix(ellipse), torch.cov(draws.T), atol=0.03, rtol=0.03)
    np.testing.assert_allclose(ellipse.centre, draws.mean(0), atol=0.02)
    assert ellipse.a > ellipse.b > 0
    if family == "Gaussian":
        away = draws - torch.tensor(ellipse.centre)
        squares = (away @ torch.linalg.inv(matrix(ellipse)) * away).sum(1)
        for square, share in ((1, 0.393), (4, 0.865)):
            assert (squares < square).double().mean().item() == pytest.approx(share, abs=0.01)


def test_the_ellipse_of_a_mixture_is_the_covariance_of_its_draws():
    plane, components = some_plane(), random_gaussian(3, 1, 5, seed=4, spread=1.5)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    ellipse = plane.mixture_shadow(Mixture(components, weights.unsqueeze(1)))
    draws = torch.cat([components[m, 0].draws(int(200_000 * w), seeded(m)) for m, w in enumerate(weights)])
    shadows = plane.project(draws)
    close(matrix(ellipse), torch.cov(shadows.T), atol=0.05, rtol=0.03)
    np.testing.assert_allclose(ellipse.centre, shadows.mean(0), atol=0.03)


# --- the map ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fusion", ["mixture", "dynamic_prior", "product"])
def test_points_are_means_of_each_items_posteriors(explored, fusion):
    chart = latent_map(explored, fusion, ITEMS)
    assert chart.contents.shape == (4, ITEMS, explored.model.content_dim) and chart.points == 4 * ITEMS
    for item in (0, 7):
        values = {letter: x[item] for letter, x in zip("MST", chart.batch.values, strict=True)}
        alone = [generation.posterior(explored, {letter: x}, "mixture")[0] for letter, x in values.items()]
        means = torch.stack([q.mean[0] for q in alone])
        precisions = torch.stack([*(torch.exp(-q.logvar[0]) for q in alone), torch.ones_like(means[0])])
        joint = (precisions[:3] * means).sum(0) / precisions.sum(0)  # equal weights, with p(c)
        close(chart.contents[:, item], torch.stack([*means, means.mean(0) if fusion == "mixture" else joint]))
    close(chart.plane.centre.float(), chart.contents[:3].mean((0, 1)), rtol=1e-5)


def test_ellipses_of_an_item(explored):
    chart = latent_map(explored, "product", ITEMS)
    ellipses, q, plane = item_ellipses(chart, 5), chart.q.content[:, 5], chart.plane
    assert list(ellipses) == ["M", "S", "T", "joint", "dynamic prior", "p(c)"]
    assert ellipses["S"].centre == pytest.approx(chart.positions()[1, 5].tolist(), abs=1e-5)
    precision = torch.exp(-q.logvar).double()
    everyone = 1 + precision.sum(0)
    # the geometric mean of three posteriors and p(c) has weights of a quarter
    for name, variances in (("S", 1 / precision[1]), ("joint", 1 / everyone), ("dynamic prior", 4 / everyone)):
        close(matrix(ellipses[name]), plane.axes.T @ variances.diag() @ plane.axes, rtol=1e-5)
    assert ellipses["dynamic prior"].centre == pytest.approx(ellipses["joint"].centre, abs=1e-4)
    assert (ellipses["p(c)"].a, ellipses["p(c)"].b) == pytest.approx((1, 1))
    assert ellipses["p(c)"].centre == pytest.approx((-plane.centre @ plane.axes).tolist())


@pytest.mark.parametrize(
    ("objective", "first"), [("mmjsd", "dynamic prior"), ("mvae", "product"), ("mmvae", "mixture")]
)
def test_a_methods_own_joint_comes_first(make, objective, first):
    choices = joint_choices(make("any", objective=objective))
    assert next(iter(choices)) == first and choices == generation.POSTERIORS


def test_laplaces_have_a_mixture_and_no_dynamic_prior(make):
    laplace = make("laplace", objective="mmvae_dreg", posterior="laplace", style_dim=0)
    assert joint_choices(laplace) == {"mixture": "mixture"}
    chart = latent_map(laplace, "mixture", ITEMS)
    assert list(item_ellipses(chart, 0)) == ["M", "S", "T", "joint", "p(c)"]
    with pytest.raises(ValueError, match="needs Gaussian posteriors"):
        with_joint(chart, "product")


def test_items_are_balanced_and_the_same_every_time(explored):
    data = explored.data
    rows = balanced_rows(data, 34)
    assert torch.equal(rows, balanced_rows(data, 34)) and not torch.equal(rows, balanced_rows(data, 34, seed=1))
    assert torch.bincount(data.labels[rows]).tolist() == [4] * 4 + [3] * 6
    assert len(rows.unique()) == 34 and set(rows.tolist()) <= set(data.first_repeat().tolist())
    assert data.labels[rows].tolist() != sorted(data.labels[rows].tolist())
    assert sorted(balanced_rows(data, 10_000).tolist()) == data.first_repeat().tolist()
    with pytest.raises(ValueError, match="3 items are too few for 10 classes"):
        balanced_rows(data, 3)


def test_points_have_numbers_and_words_and_another_joint_moves_its_own_only(chart):
    assert chart.place(0) == ("M", 0) and chart.place(2 * ITEMS + 7) == ("T", 7)
    assert torch.equal(chart.content(2 * ITEMS + 7), chart.contents[2, 7])
    digit = int(chart.batch.labels[7])
    assert chart.describe(2 * ITEMS + 7) == f"digit {digit} inferred from T, item 7"
    assert chart.describe(3 * ITEMS + 7) == f"digit {digit} inferred from all modalities (joint), item 7"
    for point in (-1, 4 * ITEMS):
        with pytest.raises(IndexError, match=f"no point {point}: there are {4 * ITEMS}"):
            chart.content(point)
    before, after = chart.positions(), with_joint(chart, "product").positions()
    assert torch.equal(after[:3], before[:3]) and not torch.allclose(after[3], before[3], atol=1e-3)


def test_a_line_has_equal_steps_and_neighbours_stay_neighbours_in_tsne():
    a, b = torch.tensor([0.0, 1.0, -2.0]), torch.tensor([4.0, 1.0, 2.0])
    line = interpolate(a, b, 5)
    assert torch.equal(line[0], a) and torch.equal(line[-1], b) and len(interpolate(a, b)) == 9
    torch.testing.assert_close(line.diff(dim=0), torch.tensor([[1.0, 0.0, 1.0]]).expand(4, -1))
    contents = 0.1 * torch.randn(2, 20, 4, generator=seeded())
    contents[:, 10:] += 10  # two clusters
    places = tsne(contents)
    assert places.shape == (2, 20, 2) and torch.equal(places, tsne(contents))
    one, other = places[:, :10].flatten(0, 1), places[:, 10:].flatten(0, 1)
    assert max(torch.cdist(one, one).max(), torch.cdist(other, other).max()) < torch.cdist(one, other).min()


# --- what is drawn ---------------------------------------------------------------------------------------------------
def test_colour_is_never_alone_and_ellipses_are_drawn_at_one_and_two_deviations(explored, chart):
    marks, colours = drawing.signs(chart, "class")
    assert marks == [str(digit) for digit in chart.batch.labels.tolist()] * 4
    assert len(set(zip(marks, colours, strict=True))) == len(set(marks)) == len(set(colours)) == 10
    marks, colours = drawing.signs(chart, "modality")
    assert marks == [mark for mark in "MST+" for _ in range(ITEMS)] and len(set(colours)) == 4
    for colour in drawing.colours(explored):
        rows = drawing.legend(chart, colour)
        assert {(m, c) for m, c, _ in rows} == set(zip(*drawing.signs(chart, colour), strict=True))
    assert [row[2] for row in rows] == ["from handwriting", "from street", "from text", "from all (joint)"]
    looks = {line["text"]: (line["dash"], line["width"]) for line in drawing.ellipse_lines(chart, 0)}
    assert list(looks) == ["q(c | M)", "q(c | S)", "q(c | T)", "joint: mixture", "dynamic prior", "p(c)"]
    assert len(set(looks.values())) == len(looks), "told apart without colour"
    with pytest.raises(ValueError, match="by class or modality, not by 'size'"):
        drawing.signs(chart, "size")
    chart = latent_map(explored, "dynamic_prior", ITEMS)
    lines, ellipse = drawing.ellipse_lines(chart, 3), item_ellipses(chart, 3)["joint"]
    assert [line["text"] for line in lines[6:]] == ["joint: dynamic prior"] * 2 + ["p(c)"] * 2
    for size, line in zip((1, 2), lines[6:8], strict=True):
        assert (line["a"], line["b"]) == pytest.approx((size * ellipse.a, size * ellipse.b))
        assert (line["x"], line["y"], line["angle"]) == (*ellipse.centre, ellipse.angle)


def urls(html: str) -> list[str]:
    """The pictures of a page, by different alternative texts up to the judges' words."""
    by_name = {alt.split(", judged")[0]: src for alt, src in re.findall(r'<img alt="([^"]*)" src="([^"]*)"', html)}
    return list(by_name.values())


def url(x: torch.Tensor) -> str:
    return pictures.data_url(pictures.to_png(x))


def test_beside_and_below_the_map_are_the_item_and_what_contents_make(explored, chart):
    html, made = drawing.item_page(chart, ITEMS + 4, "A"), generation.decode(explored, chart.contents[1, 4:5], {})
    given = {letter: x[4] for letter, x in zip("MST", chart.batch.values, strict=True)}
    assert urls(html) == [url(x) for letter in "MS" for x in (given[letter], made.values[letter][0])]
    assert f"A: digit {int(chart.batch.labels[4])} inferred from S, item 4" in html
    assert all(explored.subject.verdict(made.opinions[letter][0]) in html for letter in "MST")
    assert pictures.characters(given["T"]) in html and pictures.characters(made.values["T"][0]) in html
    html = drawing.line_page(chart, 2, 2 * ITEMS + 9)
    assert re.findall(r'<th scope="col">([^<]*)</th>', html) == ["", "A", *(f"{k}/8" for k in range(1, 8)), "B"]
    shown = urls(html)
    assert len(shown) == 2 * 9 and html.count('class="text"') == 9
    for place, weight in ((0, 0.0), (2, 0.25), (8, 1.0)):
        content = (1 - weight) * chart.contents[0, 2] + weight * chart.contents[2, 9]
        made = generation.decode(explored, content.unsqueeze(0), {})
        assert [shown[place], shown[9 + place]] == [url(made.values[letter][0]) for letter in "MS"]


def test_the_figure_shows_points_and_ellipses_and_of_other_places_neither_axes_nor_ellipses(chart):
    figure = drawing.draw_latent_map(chart, "modality", ["S", "joint"], item=2)
    (ax,), positions = figure.axes, chart.positions()
    drawn = {dots.get_label(): dots.get_offsets() for dots in ax.collections}
    np.testing.assert_allclose(drawn["from street"], positions[1])
    np.testing.assert_allclose(drawn["from all (joint)"], positions[3])
    assert len(drawn) == 2 and len(ax.patches) == 12 and ax.get_aspect() == 1
    lines = drawing.ellipse_lines(chart, 2)
    for patch, line in zip(ax.patches, lines, strict=True):
        np.testing.assert_allclose(patch.center, (line["x"], line["y"]))
        assert (patch.width, patch.height) == pytest.approx((2 * line["a"], 2 * line["b"]))
    assert re.fullmatch(r"component 1 \(\d+% of the variance\)", ax.get_xlabel())
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["from street", "from all (joint)", *dict.fromkeys(line["text"] for line in lines)]
    assert not plt.get_fignums()
    places = torch.rand(4, ITEMS, 2, generator=seeded(), dtype=torch.float64)
    (ax,) = drawing.draw_latent_map(chart, item=2, positions=places).axes
    drawn = np.concatenate([dots.get_offsets() for dots in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, places[:3].flatten(0, 1).tolist()))
    assert not ax.patches and not len(ax.get_xticks()) and not ax.get_xlabel()
    with pytest.raises(ValueError, match=r"unknown groups \['X'\]: this map has M, S, T, joint"):
        drawing.draw_latent_map(chart, groups=["X"])


# --- widgets ---------------------------------------------------------------------------------------------------------
class Opened:
    """The parts of an explorer by name."""

    def __init__(self, *models: ExploredModel) -> None:
        which, fusion, self.note, picture, self.strip, _ = explore_latent(models, ITEMS).children
        self.model, self.joint, self.projection = which.children
        self.colour, _, self.groups, self.ellipses = fusion.children
        self.map, self.side = picture.children


def test_pointing_and_choosing_change_the_pictures(explored, capsys):
    opened = Opened(explored)
    chart, shown = latent_map(explored, "dynamic_prior", ITEMS), opened.map
    labels = chart.batch.labels.tolist()
    assert (shown.hovered, shown.a) == (-1, 0) and labels[shown.b] != labels[0]
    assert opened.side.value == drawing.item_page(chart, 0, "A")
    shown.hovered = ITEMS + 3
    assert opened.side.value == drawing.item_page(chart, ITEMS + 3, "pointed at")
    shown.hovered = -1
    shown.a, shown.b = 4, 2 * ITEMS + 5
    assert opened.side.value == drawing.item_page(chart, 4, "A")
    assert opened.strip.value == drawing.line_page(chart, 4, 2 * ITEMS + 5)
    assert shown.ellipses == drawing.ellipse_lines(chart, 4)
    line = interpolate(chart.contents[0, 4], chart.contents[2, 5])
    np.testing.assert_allclose(shown.path, chart.plane.project(line))
    assert capsys.readouterr().out == ""


def test_a_point_that_the_map_does_not_have_is_not_chosen_and_the_mean_of_a_mixture_called_so(explored):
    opened = Opened(explored)
    first = opened.map.a, opened.map.b
    opened.map.a = 4 * ITEMS
    assert (opened.map.a, opened.map.b) == first and opened.map.ellipses
    opened.ellipses.value = False
    assert not opened.map.ellipses
    assert "mean of the mixture" not in opened.note.value and "200" not in opened.note.value
    opened.joint.value = "mixture"
    assert "mean of the mixture" in opened.note.value and f"{ITEMS} test items" in opened.note.value


def test_switches_change_what_the_map_shows(explored):
    opened = Opened(explored)
    assert [box.description for box in opened.groups.children] == ["M", "S", "T", "joint"]
    assert opened.map.shown == [0, 1, 2]
    opened.groups.children[1].value, opened.groups.children[3].value = False, True
    assert opened.map.shown == [0, 2, 3]
    opened.ellipses.value = False
    assert opened.map.ellipses == [] and len(opened.map.path) == 9
    opened.colour.value = "modality"
    assert opened.map.points["mark"][::ITEMS] == ["M", "S", "T", "+"]
    assert opened.map.legend[3][2] == "from all (joint)"
    before = opened.map.points
    opened.joint.value = "product"
    x = np.array([before["x"], opened.map.points["x"]]).reshape(2, 4, ITEMS)
    assert np.array_equal(x[0, :3], x[1, :3])
    np.testing.assert_allclose(x[1, 3], latent_map(explored, "product", ITEMS).positions()[3, :, 0])
    left, right, bottom, top = opened.map.bounds
    assert left < x[1].min() < x[1].max() < right and bottom < min(before["y"]) < max(before["y"]) < top


def test_tsne_has_no_ellipses_and_no_line_and_says_so(explored):
    opened = Opened(explored)
    said, shown, plane = [], opened.map, opened.map.points["x"]
    opened.note.observe(lambda change: said.append(change.new), names="value")
    opened.projection.value = "t-SNE"
    assert "computing t-SNE of 120 points" in said[0] and "are not drawn" in said[1] and len(said) == 2
    assert shown.points["x"] != plane and shown.axes == ["", ""]
    assert shown.ellipses == shown.path == [] and opened.ellipses.disabled
    shown.a = 3
    assert shown.ellipses == [] and "item 3" in opened.side.value
    opened.projection.value = "PCA"
    assert shown.points["x"] == plane and len(shown.path) == 9 and not opened.ellipses.disabled
    assert len(shown.ellipses) == 10
    opened.projection.value = "t-SNE"
    assert not any("computing" in text for text in said[2:]), "computed once"


def test_another_model_keeps_the_points_chosen(explored, make):
    other = make("other", objective="mvae", seed=5)
    opened = Opened(explored, other)
    opened.map.a, before = 7, opened.map.points["x"]
    opened.model.value = 1
    chart = latent_map(other, "product", ITEMS)
    assert opened.joint.value == "product" and opened.map.a == 7 and opened.map.points["x"] != before
    assert opened.side.value == drawing.item_page(chart, 7, "A") and other.note in opened.note.value
    opened.model.value = 0
    assert opened.map.points["x"] == before and opened.joint.value == "dynamic_prior"


def test_a_model_with_other_modalities_has_other_switches(explored, make):
    opened = Opened(explored, make("two", objective="mvae", data="uci-text"))
    opened.map.a, opened.map.hovered = 3 * ITEMS + 5, 3 * ITEMS + 4
    opened.model.value = 1
    assert [box.description for box in opened.groups.children] == ["M", "T", "joint"]
    assert (opened.map.a, opened.map.hovered) == (0, -1) and len(opened.map.points["x"]) == 3 * ITEMS
    side, strip = opened.side.value, opened.strip.value
    opened.map.hovered = 3 * ITEMS + 4  # a message that was sent before the model changed
    assert opened.side.value == side
    opened.map.a = 3 * ITEMS + 4
    assert (opened.side.value, opened.strip.value) == (side, strip)
    opened.map.hovered, opened.map.a = -1, 2
    assert "A: digit" in opened.side.value and "item 2" in opened.side.value and opened.strip.value != strip


def test_what_has_no_map_is_a_message_and_another_model_has_one(explored, make):
    flat = make("flat", objective="mmjsd", latent_dim=5)
    assert flat.model.content_dim == 1
    opened = Opened(flat, explored)
    assert 'role="alert"' in opened.note.value and "at least 2 content dimensions" in opened.note.value
    assert opened.map.points == {} and not opened.side.value
    opened.colour.value, opened.ellipses.value = "modality", False
    assert opened.map.points == {}
    opened.model.value = 1
    assert len(opened.map.points["x"]) == 4 * ITEMS and 'role="alert"' not in opened.note.value
    assert "A: digit" in opened.side.value
    opened.model.value = 0
    assert opened.map.points == {} and not opened.strip.value and 'role="alert"' in opened.note.value


def test_the_page_draws_every_trait_of_the_map_by_a_script_that_is_installed_with_the_package():
    script, own = str(drawing.Map._esm), set(drawing.Map.class_own_traits(sync=True)) - {"_esm", "_anywidget_id"}
    assert {"points", "shown", "ellipses", "path", "hovered", "a", "b"} <= own
    assert own == {name for name in own if f'"{name}"' in script}, "a trait that map.js never reads"
    assert "export default" in script and "http" not in script.replace("http://www.w3.org/2000/svg", "")
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folders = {ROOT / name.replace(".", "/"): globs for name, globs in patterns.items()}
    installed = {path for folder, globs in folders.items() for some in globs for path in folder.glob(some)}
    assert {ROOT / f"workbench/explorers/{name}.js" for name in ("map", "names", "pad")} <= installed
