"""Expected gains against the linear-Gaussian laboratory and quadrature; honest errors; limits; costs; classifiers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import seeded, tiny_modalities
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import SLOPE, exact_model, table_world
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from workbench.data.dataset import Batch
from workbench.distributions import Gaussian, Laplace
from workbench.fusion import FUSIONS, fuse
from workbench.model import MultimodalVAE
from workbench.studies.acquisition import Acquisition, Gains, measured
from workbench.studies.acquisition_codes import Classifier, code_of, encoded, posterior
from workbench.theory.linear_gaussian import LinearGaussian

NODES, WEIGHTS = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(60))
SHARES = WEIGHTS / WEIGHTS.sum()


EXACT, TRAIN, _ = table_world()
MODEL = exact_model(TRAIN, EXACT)


def some(names: str, items: int = 3) -> dict[str, np.ndarray]:
    """Items that have those tables."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(items, 3)) for name in names}


def precision(*members: int) -> float:
    return EXACT.precision(torch.tensor([[m in members] for m in range(3)])).item()


def information(members: tuple[int, ...], given: tuple[int, ...]) -> float:
    """I(x_members; c | x_given), in bits."""
    return 0.5 * math.log2(precision(*given, *members) / precision(*given))


def chances(codes, present):
    """p(class | x) exactly: the mean of the sigmoid over the exact posterior, of a variance by what is there."""
    deviation = EXACT.precision(present).flatten() ** -0.5
    z = codes[:, :1].double() + deviation[:, None] * NODES
    p = torch.sigmoid(SLOPE * z) @ SHARES
    return torch.stack([1 - p, p], 1)


def entropy(p):
    return -(torch.special.xlogy(p, p)).sum(-1) / math.log(2)


def told_of_label(m: int, given: tuple[int, ...], mean: float) -> float:
    """I(x_m; y | x_given), in bits: posterior means after m are normally distributed around that before."""
    before, after = 1 / precision(*given), 1 / precision(*given, m)
    means = mean + math.sqrt(before - after) * NODES.unsqueeze(1)
    there = torch.tensor([[k in (*given, m)] for k in range(3)])
    start = entropy(chances(torch.tensor([[mean]]), torch.tensor([[k in given] for k in range(3)])))
    return (start - SHARES @ entropy(chances(means, there.expand(3, len(means))))).item()


# ----------------------------------------------------------------------------------- against what is known exactly


@pytest.mark.parametrize("names", ["a", "bc", "c"])
@pytest.mark.parametrize("style_dim", [0, 2])
def test_gains_about_content_and_rest_are_the_mutual_information(names, style_dim):
    model = exact_model(TRAIN, EXACT, style_dim)
    have = tuple("abc".index(name) for name in names)
    absent = [m for m in range(3) if m not in have]
    for of in ("content", "rest"):
        found = Acquisition(model, of=of, fusion="product", draws=4000).expected_gain(some(names), seeded(1))
        assert found.names == ("a", "b", "c") and np.isnan(found.bits[:, have]).all()
        for m in absent:
            rest = tuple(k for k in absent if k != m)
            exact = information((m,), have)
            if of == "rest":
                exact += information(rest, have) - information((m, *rest), have)
            assert np.abs(found.bits[:, m] - exact).max() <= 4 * found.errors[:, m].max() + 1e-6, (of, m)
    assert found.bits[:, absent].max() < 1e-6 or len(absent) == 2, "nothing is told of nothing"


@pytest.mark.parametrize("names", ["a", "ab"])
def test_gain_about_a_label_is_its_mutual_information(names):
    have, arrays = tuple("abc".index(name) for name in names), some(names)
    asked = Acquisition(MODEL, chances, fusion="product", draws=4000)
    found = asked.expected_gain(arrays, seeded(2))
    means = code_of(posterior(MODEL.encode(arrays), "product"))
    for item in range(3):
        for m in set(range(3)) - set(have):
            exact = told_of_label(m, have, means[item].item())
            assert abs(found.bits[item, m] - exact) < 4 * found.errors[item, m], (item, m)
            assert found.errors[item, m] < 0.2 * exact


@pytest.mark.parametrize("fusion", ["mixture", "mixture_of_products", "dynamic_prior", "holder", "wasserstein"])
def test_gain_of_any_posterior_is_that_of_quadrature(fusion):
    """The mean of KL(q_after || q_before) on a grid, over what the added expert's mean may be."""
    arrays = some("a", 2)
    asked = Acquisition(MODEL, fusion=fusion, draws=4000)
    found = asked.expected_gain(arrays, seeded(3))
    q = MODEL.encode(arrays)
    before = posterior(q, fusion)
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64).view(-1, 1, 1)
    for m in (1, 2):
        expert = q.content.logvar[m, 0].item()  # the same for whatever is drawn
        start = before.moments() if hasattr(before, "moments") else before
        spread = math.sqrt(start.logvar[0].exp().item() + math.exp(expert))
        for item in range(2):
            means = start.mean[item].double() + spread * NODES.unsqueeze(1)
            mean = q.content.mean[:, item : item + 1].double().repeat(1, len(means), 1)
            mean[m] = means
            logvar = q.content.logvar[:, item : item + 1].double().repeat(1, len(means), 1)
            logvar[m] = expert
            stack = Gaussian(mean, logvar)
            present = torch.tensor([[k in (0, m)] for k in range(3)]).expand(3, len(means))
            after = fuse(fusion, stack, present).log_prob(grid)
            alone = fusion if fusion != "dynamic_prior" else "product_alone"
            ahead = after - fuse(alone, stack, torch.tensor([[True], [False], [False]]).expand_as(present)).log_prob(
                grid
            )
            divergence = torch.trapezoid((after.exp() * ahead).squeeze(), grid.flatten(), dim=0) / math.log(2)
            exact = (SHARES @ divergence).item()
            assert abs(found.bits[item, m] - exact) < 4 * found.errors[item, m], (m, item)


@pytest.mark.parametrize(("of", "fusion"), [("label", "product"), ("content", "mixture"), ("rest", "product")])
def test_standard_errors_are_those_of_repeated_estimates(of, fusion):
    asked = Acquisition(MODEL, chances, of=of, fusion=fusion, draws=50)
    found = [asked.expected_gain(some("a", 1), seeded(seed)) for seed in range(300)]
    bits, errors = (
        np.stack([x[0, 1:] for x in part]) for part in zip(*((g.bits, g.errors) for g in found), strict=True)
    )
    ratio = np.sqrt((errors**2).mean(0)) / bits.std(0, ddof=1)
    assert ((ratio > 0.85) & (ratio < 1.15)).all(), ratio  # 300 repeats know a deviation to 4 %


# ---------------------------------------------------------------------------------------------------------- limits


def test_what_is_independent_gains_nothing_and_a_copy_nothing_more_about_the_label():
    model = exact_model(TRAIN, EXACT)
    model.heads[2].layers[0].weight.data.zero_(), model.heads[2].layers[1].bias.data.fill_(70.0)
    model.decoders[2][0].weight.data.zero_()
    for of in ("content", "rest"):
        found = Acquisition(model, of=of, fusion="product").expected_gain(some("a"), seeded(4))
        assert np.abs(found.bits[:, 2]).max() < 1e-5 < found.bits[:, 1].min() or of == "rest"
    near = replace_noise(EXACT, 0, 1e-5)
    near = LinearGaussian(
        (near.loadings[0],) * 2 + near.loadings[2:], near.biases, (near.logvars[0],) * 2 + near.logvars[2:]
    )
    copied = exact_model(TRAIN, near)

    def sharp(codes, present):
        return torch.stack([torch.sigmoid(s * SLOPE * codes[:, 0].double()) for s in (-1, 1)], 1)

    asked = Acquisition(copied, sharp, fusion="product")
    first, after = (asked.expected_gain(some(names), seeded(5)).bits[:, 1] for names in ("c", "a"))
    assert first.min() > 0.1 and after.max() < 1e-3


def replace_noise(exact: LinearGaussian, m: int, variance: float) -> LinearGaussian:
    logvars = [torch.full_like(v, variance).log() if k == m else v for k, v in enumerate(exact.logvars)]
    return replace(exact, logvars=tuple(logvars))


def test_an_order_begins_with_the_best_and_its_steps_sum_to_all_that_is_gained():
    arrays = some("a", 1)
    asked = Acquisition(MODEL, fusion="product", draws=4000)
    steps = asked.order(arrays, seeded(6))
    best = asked.expected_gain(arrays, seeded(6)).best()[0]
    assert [s.name for s in steps] == [MODEL.names[best], MODEL.names[3 - best]]
    total = sum(s.bits for s in steps)
    assert total == pytest.approx(information((1, 2), (0,)), abs=4 * math.hypot(*(s.error for s in steps)))
    assert asked.order(some("abc", 1)) == []
    cheap = Acquisition(MODEL, fusion="product", costs={"a": 1, "b": 1, "c": 1} | {MODEL.names[best]: 100.0})
    assert [s.name for s in cheap.order(arrays, seeded(6))] == [s.name for s in steps][::-1]


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=3), st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_costs_divide_and_their_unit_does_not_matter(costs, unit):
    bits = np.array([[np.nan, 0.3, 0.8], [0.1, 0.2, np.nan], [np.nan] * 3])
    found, scaled = (Gains(tuple("abc"), bits, bits, k * np.array(costs)) for k in (1.0, unit))
    np.testing.assert_allclose(found.per_cost, unit * scaled.per_cost)
    assert found.best()[2] == -1 and found.best()[0] == (1 if 0.3 / costs[1] >= 0.8 / costs[2] else 2)
    dear = Gains(tuple("abc"), bits, bits, np.array([costs[0], costs[1], 1e9]))
    assert dear.best()[0] == 1


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_images_and_texts_that_items_lack_differently(fusion):
    model = MultimodalVAE(tiny_modalities(3), 2, 1).eval()
    values = measured(model, torch.randn(5, 2, generator=seeded(7)), seeded(8)).values
    assert [x.dtype for x in values] == [torch.float32, torch.float32, torch.int64]
    present = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 1, 0, 1], [0, 0, 0, 1, 1]]).bool()
    batch = Batch(values, present, torch.zeros(5, dtype=torch.long))
    for of in ("content", "rest"):
        found = Acquisition(model, of=of, fusion=fusion, draws=7).expected_gain(batch, seeded(9))
        for part in (found.bits, found.errors):
            assert (np.isnan(part) == present.T.numpy()).all()
        assert found.best()[4] == -1
    laplace = MultimodalVAE(tiny_modalities(3), 2, 0, family=Laplace).eval()
    if fusion == "mixture":
        assert np.isfinite(Acquisition(laplace, draws=7).expected_gain(batch, seeded(9)).bits[0, 1:]).all()


# ----------------------------------------------------------------------------------------------------- classifiers


def test_every_set_has_a_regression_of_its_own_from_the_items_that_have_it():
    exact, train, test = table_world(400, labels=True)
    holes = torch.ones(len(train), 3, dtype=torch.bool)
    holes[: len(train) // 2, 1] = False
    train, model = replace(train, present=holes), exact_model(train, exact)
    classifier = Classifier(model, train, "product")
    (q, labels), (shown, _) = encoded(model, train), encoded(model, test)
    there = torch.tensor([[True], [True], [False]])
    having, present = holes[:, :2].all(1), there.expand(3, len(test))
    codes, new = (
        code_of(posterior(replace(x, present=there.expand_as(x.present)), "product")).double().numpy()[rows]
        for x, rows in ((q, having.numpy()), (shown, slice(None)))
    )
    scaler = StandardScaler().fit(codes)
    fitted = LogisticRegression(C=classifier.strength).fit(scaler.transform(codes), labels[having].numpy())
    expected = fitted.predict_proba(scaler.transform(new))
    np.testing.assert_allclose(classifier(torch.from_numpy(new), present), expected, atol=1e-4)
    nothing = classifier(torch.zeros(1, 1), torch.zeros(3, 1, dtype=torch.bool))
    np.testing.assert_allclose(nothing[0], np.bincount(labels) / len(labels))


def test_what_does_not_go_together_is_refused():
    exact, train, _ = table_world(60, labels=True)
    model = exact_model(train, exact)
    one = torch.ones(len(train), 3, dtype=torch.bool)
    one[train.labels == 1, 0] = False
    for message, make in (
        ("no gain of 'labels'", lambda: Acquisition(model, of="labels")),
        ("needs a classifier", lambda: Acquisition(model, of="label")),
        ("knows codes of 'product'", lambda: Acquisition(model, Classifier(model, train, "product"))),
        ("1 draws have no standard error", lambda: Acquisition(model, draws=1)),
        ("there is no cost of 'b'", lambda: Acquisition(model, costs={"a": 1, "c": 2})),
        ("cost of 'b' is 0.0", lambda: Acquisition(model, costs={"a": 1, "b": 0, "c": 2})),
        ("has no classes to tell", lambda: Classifier(MODEL, TRAIN)),
        (
            "no training item has these",
            lambda: Classifier(model, replace(train, present=one)).learnt_from(one[0] | True),
        ),
        ("an order is that of one item", lambda: Acquisition(model).order(some("a"))),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    q = MODEL.encode(some("a"))
    with pytest.raises(ValueError, match="an item with nothing has no posterior"):
        Acquisition(MODEL).expected_gain(replace(q, present=torch.zeros_like(q.present)))
