"""The latent explorer: plane, ellipses and means against other computations, pictures against decodings, widgets."""

import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import random_gaussian, seeded
from matplotlib import pyplot as plt

from workbench.config import Config
from workbench.data.sources import load_dataset
from workbench.distributions import Laplace, Mixture
from workbench.explorers import generation, latent_drawing, pictures
from workbench.explorers.latent import explore_latent
from workbench.explorers.latent_map import (
    Ellipse,
    Plane,
    balanced_rows,
    interpolate,
    item_ellipses,
    joint_choices,
    latent_map,
    tsne,
    with_joint,
)
from workbench.explorers.map import Map
from workbench.explorers.models import ExploredModel
from workbench.metrics.judges import Classifier
from workbench.networks.classifiers import CLASSIFIERS
from workbench.runs.run import build_model

ITEMS = 30
ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture
def explored(tiny_root) -> ExploredModel:
    return make_explored("one", objective="mmjsd")


def matrix(ellipse: Ellipse) -> torch.Tensor:
    """The covariance that an ellipse is drawn from."""
    c, s = math.cos(ellipse.angle), math.sin(ellipse.angle)
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return turn @ torch.tensor([ellipse.a**2, ellipse.b**2], dtype=torch.float64).diag() @ turn.T


def some_plane(dims: int = 5) -> Plane:
    return Plane.fit(torch.randn(60, dims, generator=seeded(3)) * torch.arange(1, dims + 1))


# --- the plane -------------------------------------------------------------------------------------------------------


def test_the_plane_is_that_of_the_two_largest_eigenvalues():
    points = torch.randn(200, 6, generator=seeded(), dtype=torch.float64) * torch.tensor([1, 5, 2, 0.1, 3, 1])
    plane = Plane.fit(points)
    values, vectors = torch.linalg.eigh(torch.cov(points.T))
    torch.testing.assert_close((vectors[:, [-1, -2]].T @ plane.axes).abs(), torch.eye(2).double(), atol=1e-8, rtol=0)
    assert plane.shares == pytest.approx((values[[-1, -2]] / values.sum()).tolist())
    torch.testing.assert_close(torch.cov(plane.project(points).T), values[[-1, -2]].diag(), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(plane.project(points).mean(0), torch.zeros(2).double(), atol=1e-10, rtol=0)


def test_the_signs_of_the_axes_are_the_same_whatever_the_order_or_sign_of_the_points():
    points = torch.randn(50, 4, generator=seeded()) * torch.tensor([3.0, 1.0, 2.0, 0.5])
    axes = Plane.fit(points).axes
    torch.testing.assert_close(Plane.fit(points.flip(0)).axes, axes)
    torch.testing.assert_close(Plane.fit(-points).axes, axes)
    assert (axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_one_dimension_has_no_map():
    with pytest.raises(ValueError, match="at least 2 content dimensions, this model has 1"):
        Plane.fit(torch.randn(5, 1))


@pytest.mark.parametrize("family", ["Gaussian", "Laplace"])
def test_ellipses_are_covariances_of_projected_draws(family):
    plane, q = some_plane(), random_gaussian(5, seed=2)
    q = Laplace(q.mean, q.logvar) if family == "Laplace" else q
    ellipse, draws = plane.shadow(q), plane.project(q.draws(200_000, seeded(1)))
    torch.testing.assert_close(matrix(ellipse), torch.cov(draws.T), atol=0.03, rtol=0.03)
    np.testing.assert_allclose(ellipse.centre, draws.mean(0), atol=0.02)
    assert ellipse.a > ellipse.b > 0
    if family == "Gaussian":
        away = draws - torch.tensor(ellipse.centre)
        squares = (away @ torch.linalg.inv(matrix(ellipse)) * away).sum(1)
        assert (squares < 1).double().mean().item() == pytest.approx(0.393, abs=0.01)
        assert (squares < 4).double().mean().item() == pytest.approx(0.865, abs=0.01)


def test_the_ellipse_of_a_mixture_is_the_covariance_of_its_draws():
    plane, components = some_plane(), random_gaussian(3, 1, 5, seed=4, spread=1.5)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    ellipse = plane.mixture_shadow(Mixture(components, weights.unsqueeze(1)))
    counts = [int(200_000 * w) for w in weights]
    draws = torch.cat([components[m, 0].draws(n, seeded(m)) for m, n in enumerate(counts)])
    shadows = plane.project(draws)
    torch.testing.assert_close(matrix(ellipse), torch.cov(shadows.T), atol=0.05, rtol=0.03)
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
        expected = torch.stack([*means, means.mean(0) if fusion == "mixture" else joint])
        torch.testing.assert_close(chart.contents[:, item], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(chart.plane.centre.float(), chart.contents[:3].mean((0, 1)), atol=1e-5, rtol=1e-5)


def test_another_joint_moves_its_own_points_only(explored):
    before = latent_map(explored, "mixture", ITEMS)
    after = with_joint(before, "product")
    assert torch.equal(after.positions()[:3], before.positions()[:3])
    assert not torch.allclose(after.positions()[3], before.positions()[3], atol=1e-3)


def test_ellipses_of_an_item(explored):
    chart = latent_map(explored, "product", ITEMS)
    found, q, plane = item_ellipses(chart, 5), chart.q.content[:, 5], chart.plane
    assert list(found) == ["M", "S", "T", "joint", "dynamic prior", "p(c)"]
    assert found["S"].centre == pytest.approx(chart.positions()[1, 5].tolist(), abs=1e-5)
    precision = torch.exp(-q.logvar).double()
    axes, everyone = plane.axes, 1 + precision.sum(0)
    torch.testing.assert_close(matrix(found["S"]), axes.T @ (1 / precision[1]).diag() @ axes, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(matrix(found["joint"]), axes.T @ (1 / everyone).diag() @ axes, atol=1e-5, rtol=1e-5)
    quarter = 4 / everyone  # the geometric mean of three posteriors and p(c) has weights of a quarter
    torch.testing.assert_close(matrix(found["dynamic prior"]), axes.T @ quarter.diag() @ axes, atol=1e-5, rtol=1e-5)
    assert found["dynamic prior"].centre == pytest.approx(found["joint"].centre, abs=1e-4)
    assert (found["p(c)"].a, found["p(c)"].b) == pytest.approx((1, 1))
    assert found["p(c)"].centre == pytest.approx((-plane.centre @ axes).tolist())


def test_laplaces_have_a_mixture_and_no_dynamic_prior(tiny_root):
    explored = make_explored("laplace", objective="mmvae_dreg", posterior="laplace", style_dim=0)
    assert joint_choices(explored) == {"mixture": "mixture"}
    chart = latent_map(explored, "mixture", ITEMS)
    assert list(item_ellipses(chart, 0)) == ["M", "S", "T", "joint", "p(c)"]
    with pytest.raises(ValueError, match="needs Gaussian posteriors"):
        with_joint(chart, "product")


@pytest.mark.parametrize(
    ("objective", "first"), [("mmjsd", "dynamic prior"), ("mvae", "product"), ("mmvae", "mixture")]
)
def test_a_methods_own_joint_comes_first(tiny_root, objective, first):
    choices = joint_choices(make_explored("any", objective=objective))
    assert next(iter(choices)) == first and choices == generation.POSTERIORS


def test_items_are_balanced_and_the_same_every_time(explored):
    data = explored.data
    rows = balanced_rows(data, 34)
    assert torch.equal(rows, balanced_rows(data, 34)) and not torch.equal(rows, balanced_rows(data, 34, seed=1))
    assert torch.bincount(data.labels[rows]).tolist() == [4] * 4 + [3] * 6
    assert len(rows.unique()) == 34 and set(rows.tolist()) <= set(data.first_repeat().tolist())
    assert data.labels[rows].tolist() != sorted(data.labels[rows].tolist())
    everything = balanced_rows(data, 10_000)
    assert sorted(everything.tolist()) == data.first_repeat().tolist()
    with pytest.raises(ValueError, match="3 items are too few for 10 classes"):
        balanced_rows(data, 3)


def test_points_have_numbers_and_words(explored):
    chart = latent_map(explored, "mixture", ITEMS)
    assert chart.place(0) == ("M", 0) and chart.place(2 * ITEMS + 7) == ("T", 7)
    assert torch.equal(chart.content(2 * ITEMS + 7), chart.contents[2, 7])
    digit = int(chart.batch.labels[7])
    assert chart.describe(2 * ITEMS + 7) == f"digit {digit} inferred from T, item 7"
    assert chart.describe(3 * ITEMS + 7) == f"digit {digit} inferred from all modalities (joint), item 7"
    for point in (-1, 4 * ITEMS):
        with pytest.raises(IndexError, match=f"no point {point}: there are {4 * ITEMS}"):
            chart.content(point)


def test_a_line_has_equal_steps_from_end_to_end():
    a, b = torch.tensor([0.0, 1.0, -2.0]), torch.tensor([4.0, 1.0, 2.0])
    line = interpolate(a, b, 5)
    assert torch.equal(line[0], a) and torch.equal(line[-1], b)
    torch.testing.assert_close(line.diff(dim=0), torch.tensor([[1.0, 0.0, 1.0]]).expand(4, -1))
    assert len(interpolate(a, b)) == 9


def test_neighbours_stay_neighbours_in_tsne():
    contents = 0.1 * torch.randn(2, 20, 4, generator=seeded())
    contents[:, 10:] += 10  # two clusters
    places = tsne(contents)
    assert places.shape == (2, 20, 2) and torch.equal(places, tsne(contents))
    one, other = places[:, :10].flatten(0, 1), places[:, 10:].flatten(0, 1)
    assert max(torch.cdist(one, one).max(), torch.cdist(other, other).max()) < torch.cdist(one, other).min()


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_colour_is_never_alone(explored):
    chart = latent_map(explored, "mixture", ITEMS)
    marks, colours = latent_drawing.signs(chart, "class")
    assert marks == [str(digit) for digit in chart.batch.labels.tolist()] * 4
    assert len(set(zip(marks, colours, strict=True))) == len(set(marks)) == len(set(colours)) == 10
    marks, colours = latent_drawing.signs(chart, "modality")
    assert marks == ["M"] * ITEMS + ["S"] * ITEMS + ["T"] * ITEMS + ["+"] * ITEMS and len(set(colours)) == 4
    for colour in latent_drawing.colours(explored):
        rows = latent_drawing.legend(chart, colour)
        assert {(m, c) for m, c, _ in rows} == set(zip(*latent_drawing.signs(chart, colour), strict=True))
    assert [row[2] for row in rows] == ["from handwriting", "from street", "from text", "from all (joint)"]
    lines = latent_drawing.ellipse_lines(chart, 0)
    looks = {line["text"]: (line["dash"], line["width"]) for line in lines}
    assert list(looks) == ["q(c | M)", "q(c | S)", "q(c | T)", "joint: mixture", "dynamic prior", "p(c)"]
    assert len(set(looks.values())) == len(looks), "told apart without colour"
    with pytest.raises(ValueError, match="by class or modality, not by 'size'"):
        latent_drawing.signs(chart, "size")


def test_ellipses_are_drawn_at_one_and_two_deviations_and_the_dynamic_prior_once(explored):
    chart = latent_map(explored, "dynamic_prior", ITEMS)
    lines = latent_drawing.ellipse_lines(chart, 3)
    assert [line["text"] for line in lines[6:]] == ["joint: dynamic prior"] * 2 + ["p(c)"] * 2
    ellipse = item_ellipses(chart, 3)["joint"]
    for size, line in zip((1, 2), lines[6:8], strict=True):
        assert (line["a"], line["b"]) == pytest.approx((size * ellipse.a, size * ellipse.b))
        assert (line["x"], line["y"], line["angle"]) == (*ellipse.centre, ellipse.angle)


def urls(html: str) -> dict[str, str]:
    """Pictures by their alternative texts, up to the judges' words."""
    return {alt.split(", judged")[0]: src for alt, src in re.findall(r'<img alt="([^"]*)" src="([^"]*)"', html)}


def test_beside_the_map_is_the_item_and_what_its_content_makes(explored):
    chart, point = latent_map(explored, "mixture", ITEMS), ITEMS + 4
    html = latent_drawing.item_page(chart, point, "A")
    made = generation.decode(explored, chart.contents[1, 4].unsqueeze(0), {})
    shown = list(urls(html).values())
    expected = [
        x for letter, given in zip("MS", chart.batch.values, strict=False) for x in (given[4], made.values[letter][0])
    ]
    assert shown == [pictures.data_url(pictures.to_png(x)) for x in expected]
    assert f"A: digit {int(chart.batch.labels[4])} inferred from S, item 4" in html
    for letter in "MST":
        assert explored.subject.verdict(made.opinions[letter][0]) in html
    assert pictures.characters(chart.batch.values[2][4]) in html and pictures.characters(made.values["T"][0]) in html


def test_the_line_between_two_points_begins_and_ends_with_their_decodings(explored):
    chart, a, b = latent_map(explored, "mixture", ITEMS), 2, 2 * ITEMS + 9
    html = latent_drawing.line_page(chart, a, b)
    assert re.findall(r'<th scope="col">([^<]*)</th>', html) == ["", "A", *(f"{k}/8" for k in range(1, 8)), "B"]
    shown = list(urls(html).values())
    assert len(shown) == 2 * 9 and html.count('class="text"') == 9
    for place, weight in ((0, 0.0), (2, 0.25), (8, 1.0)):
        content = (1 - weight) * chart.contents[0, 2] + weight * chart.contents[2, 9]
        made = generation.decode(explored, content.unsqueeze(0), {})
        assert shown[place] == pictures.data_url(pictures.to_png(made.values["M"][0]))
        assert shown[9 + place] == pictures.data_url(pictures.to_png(made.values["S"][0]))


def test_the_figure_shows_points_and_ellipses_where_they_are(explored):
    chart = latent_map(explored, "mixture", ITEMS)
    figure = latent_drawing.draw_latent_map(chart, "modality", ["S", "joint"], item=2)
    (ax,), positions = figure.axes, chart.positions()
    found = {dots.get_label(): dots.get_offsets() for dots in ax.collections}
    np.testing.assert_allclose(found["from street"], positions[1])
    np.testing.assert_allclose(found["from all (joint)"], positions[3])
    assert len(found) == 2 and len(ax.patches) == 12 and ax.get_aspect() == 1
    lines = latent_drawing.ellipse_lines(chart, 2)
    for patch, line in zip(ax.patches, lines, strict=True):
        np.testing.assert_allclose(patch.center, (line["x"], line["y"]))
        assert (patch.width, patch.height) == pytest.approx((2 * line["a"], 2 * line["b"]))
    assert re.fullmatch(r"component 1 \(\d+% of the variance\)", ax.get_xlabel())
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["from street", "from all (joint)", *dict.fromkeys(line["text"] for line in lines)]
    assert not plt.get_fignums()


def test_the_figure_of_other_places_has_no_axes_and_no_ellipses(explored):
    chart = latent_map(explored, "mixture", ITEMS)
    places = torch.rand(4, ITEMS, 2, generator=seeded(), dtype=torch.float64)
    (ax,) = latent_drawing.draw_latent_map(chart, item=2, positions=places).axes
    drawn = np.concatenate([dots.get_offsets() for dots in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, places[:3].flatten(0, 1).tolist()))
    assert not ax.patches and not len(ax.get_xticks()) and not ax.get_xlabel()
    with pytest.raises(ValueError, match=r"unknown groups \['X'\]: this map has M, S, T, joint"):
        latent_drawing.draw_latent_map(chart, groups=["X"])


# --- widgets ---------------------------------------------------------------------------------------------------------


class Opened:
    """The parts of an explorer by name."""

    def __init__(self, models: list[ExploredModel], items: int = ITEMS) -> None:
        which, fusion, self.note, picture, self.strip, _ = explore_latent(models, items).children
        self.model, self.joint, self.projection = which.children
        self.colour, _, self.groups, self.ellipses = fusion.children
        self.map, self.side = picture.children


def test_pointing_and_choosing_change_the_pictures(explored, capsys):
    seen, chart = Opened([explored]), latent_map(explored, "dynamic_prior", ITEMS)
    labels = chart.batch.labels.tolist()
    assert (seen.map.hovered, seen.map.a) == (-1, 0) and labels[seen.map.b] != labels[0]
    assert seen.side.value == latent_drawing.item_page(chart, 0, "A")
    seen.map.hovered = ITEMS + 3
    assert seen.side.value == latent_drawing.item_page(chart, ITEMS + 3, "pointed at")
    seen.map.hovered = -1
    seen.map.a, seen.map.b = 4, 2 * ITEMS + 5
    assert seen.side.value == latent_drawing.item_page(chart, 4, "A")
    assert seen.strip.value == latent_drawing.line_page(chart, 4, 2 * ITEMS + 5)
    assert seen.map.ellipses == latent_drawing.ellipse_lines(chart, 4)
    line = interpolate(chart.contents[0, 4], chart.contents[2, 5])
    np.testing.assert_allclose(seen.map.path, chart.plane.project(line))
    assert capsys.readouterr().out == ""


def test_a_point_that_the_map_does_not_have_is_not_chosen(explored):
    seen = Opened([explored])
    first = seen.map.a, seen.map.b
    seen.map.a = 4 * ITEMS
    assert (seen.map.a, seen.map.b) == first and seen.map.ellipses
    seen.ellipses.value = False
    assert not seen.map.ellipses


def test_switches_change_what_the_map_shows(explored):
    seen = Opened([explored])
    assert [box.description for box in seen.groups.children] == ["M", "S", "T", "joint"]
    assert seen.map.shown == [0, 1, 2]
    seen.groups.children[1].value, seen.groups.children[3].value = False, True
    assert seen.map.shown == [0, 2, 3]
    seen.ellipses.value = False
    assert seen.map.ellipses == [] and len(seen.map.path) == 9
    seen.colour.value = "modality"
    assert seen.map.points["mark"][::ITEMS] == ["M", "S", "T", "+"]
    assert seen.map.legend[3][2] == "from all (joint)"
    before = seen.map.points
    seen.joint.value = "product"
    x = np.array([before["x"], seen.map.points["x"]]).reshape(2, 4, ITEMS)
    assert np.array_equal(x[0, :3], x[1, :3])
    chart = latent_map(explored, "product", ITEMS)
    np.testing.assert_allclose(x[1, 3], chart.positions()[3, :, 0])
    left, right, bottom, top = seen.map.bounds
    assert left < x[1].min() < x[1].max() < right and bottom < min(before["y"]) < max(before["y"]) < top


def test_the_mean_of_a_mixture_is_called_so(explored):
    seen = Opened([explored])
    assert "mean of the mixture" not in seen.note.value and "200" not in seen.note.value
    seen.joint.value = "mixture"
    assert "mean of the mixture" in seen.note.value and f"{ITEMS} test items" in seen.note.value


def test_tsne_has_no_ellipses_and_no_line_and_says_so(explored):
    seen, said = Opened([explored]), []
    seen.note.observe(lambda change: said.append(change.new), names="value")
    plane = seen.map.points["x"]
    seen.projection.value = "t-SNE"
    assert "computing t-SNE of 120 points" in said[0] and "are not drawn" in said[1] and len(said) == 2
    assert seen.map.points["x"] != plane and seen.map.axes == ["", ""]
    assert seen.map.ellipses == seen.map.path == [] and seen.ellipses.disabled
    seen.map.a = 3
    assert seen.map.ellipses == [] and "item 3" in seen.side.value
    seen.projection.value = "PCA"
    assert seen.map.points["x"] == plane and len(seen.map.path) == 9 and not seen.ellipses.disabled
    assert len(seen.map.ellipses) == 10
    seen.projection.value = "t-SNE"
    assert not any("computing" in text for text in said[2:]), "computed once"


def test_another_model_keeps_the_points_chosen(explored, tiny_root):
    other = make_explored("other", objective="mvae", seed=5)
    seen = Opened([explored, other])
    seen.map.a, before = 7, seen.map.points["x"]
    seen.model.value = 1
    chart = latent_map(other, "product", ITEMS)
    assert seen.joint.value == "product" and seen.map.a == 7 and seen.map.points["x"] != before
    assert seen.side.value == latent_drawing.item_page(chart, 7, "A") and other.note in seen.note.value
    seen.model.value = 0
    assert seen.map.points["x"] == before and seen.joint.value == "dynamic_prior"


def test_a_model_with_other_modalities_has_other_switches(explored, tiny_root):
    seen = Opened([explored, make_explored("two", objective="mvae", data="uci-text")])
    seen.map.a, seen.map.hovered = 3 * ITEMS + 5, 3 * ITEMS + 4
    seen.model.value = 1
    assert [box.description for box in seen.groups.children] == ["M", "T", "joint"]
    assert (seen.map.a, seen.map.hovered) == (0, -1) and len(seen.map.points["x"]) == 3 * ITEMS
    shown = seen.side.value
    seen.map.hovered = 3 * ITEMS + 4  # a message that was sent before the model changed
    assert seen.side.value == shown
    strip = seen.strip.value
    seen.map.a = 3 * ITEMS + 4
    assert (seen.side.value, seen.strip.value) == (shown, strip)
    seen.map.hovered, seen.map.a = -1, 2
    assert "A: digit" in seen.side.value and "item 2" in seen.side.value and seen.strip.value != strip


def test_what_has_no_map_is_a_message_and_another_model_has_one(explored, tiny_root):
    flat = make_explored("flat", objective="mmjsd", latent_dim=5)
    assert flat.model.content_dim == 1
    seen = Opened([flat, explored])
    assert 'role="alert"' in seen.note.value and "at least 2 content dimensions" in seen.note.value
    assert seen.map.points == {} and not seen.side.value
    seen.colour.value, seen.ellipses.value = "modality", False
    assert seen.map.points == {}
    seen.model.value = 1
    assert (
        len(seen.map.points["x"]) == 4 * ITEMS
        and 'role="alert"' not in seen.note.value
        and "A: digit" in seen.side.value
    )
    seen.model.value = 0
    assert seen.map.points == {} and not seen.strip.value and 'role="alert"' in seen.note.value


def test_no_model_is_a_message():
    (only,) = explore_latent([]).children
    assert 'role="alert"' in only.value and "train one" in only.value


def test_the_page_draws_every_trait_of_the_map():
    script, own = str(Map._esm), set(Map.class_own_traits(sync=True)) - {"_esm", "_anywidget_id"}
    assert {"points", "shown", "ellipses", "path", "hovered", "a", "b"} <= own
    assert own == {name for name in own if f'"{name}"' in script}, "a trait that map.js never reads"
    assert "export default" in script and "http" not in script.replace("http://www.w3.org/2000/svg", "")


def test_the_script_is_installed_with_the_package():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    installed = {
        path for name, globs in patterns.items() for g in globs for path in (ROOT / name.replace(".", "/")).glob(g)
    }
    assert ROOT / "workbench/explorers/map.js" in installed
