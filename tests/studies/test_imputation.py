"""Imputations against the exact conditional of a linear-Gaussian model, coverage against calibrated Gaussians."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import seeded
from linear_models import exact_model
from scipy.stats import norm
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_pinball_loss, root_mean_squared_error
from sklearn.preprocessing import StandardScaler

from workbench import Config, MultimodalDataset, fit
from workbench.distributions import Gaussian, Mixture
from workbench.model import MultimodalVAE
from workbench.studies import imputation
from workbench.studies.imputation_baselines import BASELINES, PENALTIES, baselines
from workbench.theory.linear_gaussian import LinearGaussian

MEAN, SCALE = 100.0, 20.0  # of the tables in their user's units


def tables(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Three tables of three columns, two of whose dimensions they share."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    maps = [np.array([[1, 0.5, -1], [0.3, -1, 0.8]]), np.array([[0.7, 1, 0.2], [1, 0.4, -0.6]]), np.eye(2, 3)]
    return {a: MEAN + SCALE * (z @ w + 0.4 * rng.normal(size=(n, 3))) for a, w in zip("abc", maps, strict=True)}


def laboratory(style_dim: int = 0) -> tuple[MultimodalVAE, LinearGaussian]:
    """A model on tables whose product of experts is the exact posterior, and its closed form in standardised units."""
    train, _ = MultimodalDataset.from_arrays(tables(60))
    exact = LinearGaussian.random(1, (3, 3, 3), seeded(1), noise=0.5)
    return exact_model(train, exact, style_dim), exact


@pytest.mark.parametrize(("given", "style_dim"), [("a", 0), ("ab", 0), ("ab", 2)])
def test_draws_have_the_mean_and_covariance_of_the_exact_conditional(given, style_dim):
    model, exact = laboratory(style_dim)
    arrays = {name: table[:4] for name, table in tables(60).items() if name in given}
    draws = imputation.impute(model, arrays, "c", 20_000, seeded(2), fusion="product")
    assert draws.shape == (20_000, 4, 3)
    encodings = {m.name: m.encoding for m in model.modalities}
    x = [encodings[name].values(tables(60)[name][:4])[0].double() for name in "abc"]
    present = torch.tensor([[name in given] for name in "abc"]).expand(3, 4)
    z, target = exact.posterior(x, present), encodings["c"]
    scale = torch.tensor(target.scale).double()
    mean = (z.mean @ exact.loadings[2].T + exact.biases[2]) * scale + torch.tensor(target.mean)
    spread = exact.loadings[2] @ z.covariance_matrix[0] @ exact.loadings[2].T + exact.logvars[2].exp().diag()
    expected = scale[:, None] * spread * scale
    for item in range(4):
        error = np.abs(draws[:, item].mean(0) - mean[item].numpy()) / np.sqrt(expected.diagonal().numpy() / 20_000)
        assert error.max() < 4, "standard errors"
        found = np.cov(draws[:, item].T)
        assert np.abs(found - expected.numpy()).max() < 0.04 * expected.diagonal().max().item()


def test_what_is_known_of_the_target_is_not_looked_at_and_frames_and_names_do_not_matter():
    model, _ = laboratory()
    full = {name: table[:5] for name, table in tables(60).items()}
    without = {name: full[name] for name in "ab"}
    asked = ((full, "c"), (without, "c"), ({"A": full["a"], "b": full["b"]}, "C"))
    draws = [imputation.impute(model, arrays, target, 7, seeded(3)) for arrays, target in asked]
    assert np.array_equal(draws[0], draws[1]) and np.array_equal(draws[0], draws[2])
    alone = [imputation.impute(model, {"a": full["a"]}, "c", 99, seeded(7), x) for x in ("dynamic_prior", "mixture")]
    assert np.array_equal(*alone), "the dynamic prior of a single modality is its own posterior"


def test_frames_images_and_texts_are_imputed_in_their_own_form(tmp_path):
    frame = pd.DataFrame(tables(24)["a"], columns=["x", "y", "z"])
    pixels = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    arrays = {"labs": frame, "scan": pixels, "note": ["a dot", "no dot"] * 12}
    train, _ = MultimodalDataset.from_arrays(arrays)
    run = fit(Config.make(data=train.name, steps=2, batch_size=8, device="cpu"), tmp_path / "r", train, progress=False)
    for target, shape in {"labs": (3,), "scan": (8, 8), "note": ()}.items():
        draws = imputation.impute(run.model, arrays, target, 3, seeded())
        assert draws.shape == (3, 24, *shape)
    assert draws.dtype.kind == "U"


def test_items_that_lack_one_of_the_given_modalities_use_the_others():
    model, _ = laboratory()
    a, b = (tables(60)[name][:6] for name in "ab")
    holes = np.where(np.arange(6)[:, None] == 2, np.nan, b)
    some, alone, both = (
        imputation.impute(model, arrays, "c", 4000, seeded(seed), fusion="product")
        for seed, arrays in ((4, {"a": a, "b": holes}), (5, {"a": a}), (6, {"a": a, "b": b}))
    )
    close = dict(atol=4 * 1.5 * SCALE / math.sqrt(4000))
    np.testing.assert_allclose(some[:, 2].mean(0), alone[:, 2].mean(0), **close)
    np.testing.assert_allclose(some[:, 3].mean(0), both[:, 3].mean(0), **close)


def test_draws_of_a_mixture_come_from_its_components_by_weight():
    components = Gaussian(torch.tensor([[[-5.0]], [[5.0]]]).expand(2, 3, 1), torch.full((2, 3, 1), -6.0))
    weights = torch.tensor([[0.25, 1.0, 0.5], [0.75, 0.0, 0.5]])
    draws = imputation.draw_content(Mixture(components, weights), 8000, seeded())
    assert draws.shape == (8000, 3, 1)
    share = (draws < 0).double().mean(0).flatten()
    torch.testing.assert_close(share, weights[0].double(), atol=0.025, rtol=0)
    assert (draws.abs() - 5).abs().max() < 0.5


def test_invented_items_have_the_mean_and_covariance_of_the_model_within_and_across_tables():
    model, exact = laboratory()
    made = imputation.invent(model, 40_000, seeded(8))
    assert list(made) == ["a", "b", "c"]
    found = np.hstack([(made[m.name] - m.encoding.mean) / m.encoding.scale for m in model.modalities])
    loadings, noise = torch.cat(exact.loadings), torch.cat(exact.logvars).exp()
    covariance = (loadings @ loadings.T + noise.diag()).numpy()
    np.testing.assert_allclose(found.mean(0), torch.cat(exact.biases), atol=4 * np.sqrt(covariance.max() / 40_000))
    assert np.abs(np.cov(found.T) - covariance).max() < 0.04 * covariance.max()
    given = imputation.invent(model, torch.full((20_000, 1), 2.0), seeded(9))["b"]
    encoding, mean = model.modalities[1].encoding, 2.0 * exact.loadings[1][:, 0] + exact.biases[1]
    deviation = exact.logvars[1].exp().sqrt().numpy() * encoding.scale
    expected = mean.numpy() * encoding.scale + encoding.mean
    assert np.abs((given.mean(0) - expected) / deviation).max() < 4 / math.sqrt(20_000), "from given contents"
    np.testing.assert_allclose(given.std(0), deviation, rtol=0.03)


def test_what_cannot_be_imputed_is_refused():
    model, _ = laboratory()
    for message, wrong in (
        ("unknown modality 'd'", {"target": "d"}),
        ("0 draws say nothing", {"draws": 0}),
        ("nothing but c is given", {"arrays": {"c": tables(3)["c"]}}),
        ("items 0, 1 and 2 have no modality", {"arrays": {"a": np.full((3, 3), np.nan)}}),
    ):
        with pytest.raises(ValueError, match=message):
            imputation.impute(model, **{"arrays": {"a": tables(3)["a"]}, "target": "c", **wrong})


# ------------------------------------------------------------------------------------------------- how good they are


@pytest.mark.parametrize("count", [39, 99, 400])
def test_intervals_of_calibrated_draws_hold_what_they_say_however_few_there_are(count):
    rng = np.random.default_rng(0)
    center = rng.normal(size=(4000, 2))
    draws, truth = center + rng.normal(size=(count, 4000, 2)), center + rng.normal(size=(4000, 2))
    for level, share in imputation.coverage(draws, truth).items():
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 8000))


def test_coverage_of_draws_that_are_too_sure_and_too_unsure_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    for factor in (0.5, 2.0):
        draws, truth = factor * rng.normal(size=(999, 3000, 1)), rng.normal(size=(3000, 1))
        expected = math.erf(factor * 1.2815516 / math.sqrt(2))  # 1.28 is where 90 % of a normal distribution end
        assert imputation.coverage(draws, truth, [0.8])[0.8] == pytest.approx(expected, abs=0.03)
        width = imputation.quality(draws, truth, np.array([4.0]), [0.8])["width 80%"]
        assert width == pytest.approx(factor * 2 * 1.2815516 / 4, rel=0.03)


def test_rmse_is_scikit_learns_of_standardised_columns():
    rng = np.random.default_rng(0)
    truth, predicted = (rng.normal(5, [1, 10, 100], size=(30, 3)) for _ in range(2))
    scaler = StandardScaler().fit(truth)
    expected = root_mean_squared_error(scaler.transform(truth).ravel(), scaler.transform(predicted).ravel())
    assert imputation.rmse_in_deviations(predicted, truth, scaler.scale_) == pytest.approx(expected, rel=1e-12)
    frame = pd.DataFrame(truth)
    assert imputation.rmse_in_deviations(predicted, frame, frame.std(ddof=0)) == pytest.approx(expected, rel=1e-12)
    assert imputation.rmse_in_deviations(scaler.mean_ + 0 * truth, truth, scaler.scale_) == pytest.approx(1)
    draws = rng.normal(size=(99, 4, 2))
    truth = np.array([[0, np.nan], [9, np.nan], [0, 9], [np.nan, 0]])  # what is not known is left out
    assert imputation.coverage(draws, truth, [0.95]) == {0.95: pytest.approx(3 / 5)}
    assert imputation.rmse_in_deviations(np.zeros((4, 2)), truth, [1.0, 3.0]) == pytest.approx(math.sqrt((81 + 9) / 5))


def test_impossible_intervals_and_truths_are_refused():
    draws, two, none = np.zeros((38, 3, 2)), np.zeros((2, 2)), np.full((3, 2), np.nan)
    for call, message in (
        (lambda: imputation.intervals(draws), "38 draws are too few for an interval of 95%: take 39 or more"),
        (lambda: imputation.intervals(draws, [1.0]), r"share of 1\.0"),
        (lambda: imputation.coverage(draws, two, [0.5]), r"truth has shape \(2, 2\)"),
        (lambda: imputation.rmse_in_deviations(draws[0], none, [1, 1]), "all are NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# ----------------------------------------------------------------------------------------------------------- baselines


def with_holes() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    train, test = tables(60), tables(15, seed=1)
    train["c"][:20] = np.nan
    return train, test


def standardised(train, test):
    """Columns side by side: the training items, and the test items without table c; what scaled them."""
    learnt, rows = (np.hstack([*arrays.values()]) for arrays in (train, test))
    scaler = StandardScaler().fit(learnt)
    return scaler, scaler.transform(learnt), np.where(np.arange(9) >= 6, np.nan, scaler.transform(rows))


def test_guesses_are_those_of_scikit_learn():
    train, test = with_holes()
    found = baselines(train, {name: test[name] for name in "ab"}, ["c"], draws=50, names=["mean", "kNN", "regression"])
    scaler, learnt, rows = standardised(train, test)
    complete = learnt[~np.isnan(learnt).any(1)]
    expected = {
        "mean": np.zeros((15, 3)),
        "kNN": KNNImputer(n_neighbors=5).fit(learnt).transform(rows)[:, 6:],
        "regression": RidgeCV(PENALTIES).fit(complete[:, :6], complete[:, 6:]).predict(rows[:, :6]),
    }
    for name, values in expected.items():
        assert found[name, "c"].shape == (50, 15, 3)
        back = values * scaler.scale_[6:] + scaler.mean_[6:]
        np.testing.assert_allclose(found[name, "c"].mean(0), back, rtol=1e-9)


def test_what_is_drawn_is_not_looked_at_a_seed_is_a_seed_and_columns_go_by_their_names():
    train, test = with_holes()
    blind = test | {"c": test["c"] * np.nan}
    one, other, again = (baselines(train, x, ["c"], 40, seed) for x, seed in ((test, 0), (blind, 0), (test, 1)))
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert not any(np.array_equal(one[key], again[key]) for key in one)
    train, test = ({name: pd.DataFrame(t, columns=list("xyz")) for name, t in x.items()} for x in with_holes())
    turned = test | {"a": test["a"][["z", "x", "y"]]}
    one, other = (baselines(train, given, ["c"], 40, names=["regression"]) for given in (test, turned))
    assert np.array_equal(one["regression", "c"], other["regression", "c"])
    with pytest.raises(ValueError, match="columns are x, y: give those of the training items"):
        baselines(train, test | {"a": test["a"][["x", "y"]]}, ["c"])


def test_iterative_draws_have_the_mean_of_scikit_learns_own():
    train, test = with_holes()
    found = baselines(train, test, ["a", "c"], draws=400, names=["iterative"], rounds=20)["iterative", "c"]
    scaler, learnt, rows = standardised(train, test)
    imputer = IterativeImputer(max_iter=20, random_state=0).fit(learnt)
    expected = scaler.inverse_transform(imputer.transform(rows))[:, 6:]
    # draws feed the regressions of the other columns, so that means agree up to their spread
    assert np.abs(found.mean(0) - expected).mean() < 0.2 * found.std(0).mean()


def test_intervals_of_baselines_hold_what_they_say():
    train, test = tables(400), tables(400, seed=2)
    train["c"][:100] = np.nan
    found = baselines(train, test, ["a", "c"], draws=99, rounds=10)
    assert {*found} == {(name, target) for name in BASELINES for target in "ac"}
    error = {}
    for (name, target), draws in found.items():
        for level, share in imputation.coverage(draws, test[target]).items():
            assert share == pytest.approx(level, abs=0.08), (name, target)
        error[name, target] = imputation.rmse_in_deviations(draws.mean(0), test[target], test[target].std(0))
    assert error["mean", "c"] == pytest.approx(1, abs=0.02)
    assert error["regression", "c"] < error["kNN", "c"] < error["mean", "c"]


def test_impossible_baselines_are_refused():
    train, test = with_holes()
    gap = test | {"a": np.where(np.eye(15, 3) == 1, np.nan, test["a"])}
    for wrong, message in (
        ({"names": ["mice"]}, "unknown baseline 'mice'"),
        ({"targets": ["d"]}, "unknown table 'd': the training items have a, b, c"),
        ({"arrays": gap, "names": ["regression"]}, "a regression needs every entry"),
    ):
        with pytest.raises(ValueError, match=message):
            baselines(train, **{"arrays": test, "targets": ["c"], **wrong})
    few = {name: table[18:22] for name, table in train.items()}
    with pytest.raises(ValueError, match="2 training items are complete"):
        baselines(few, test, ["c"], names=["mean"])


def test_a_masked_truth_is_not_known():
    truth, holes = np.arange(12.0).reshape(6, 2), np.arange(12).reshape(6, 2) % 3 == 0
    draws = truth + np.random.default_rng(0).normal(size=(40, 6, 2))
    for kind in (float, int):
        masked = np.ma.masked_array(np.where(holes, -9999, truth).astype(kind), holes)
        expected = imputation.quality(draws, np.where(holes, np.nan, truth), np.ones(2))
        assert imputation.quality(draws, masked, np.ones(2)) == expected


# scores of whole distributions


def test_the_crps_is_that_of_a_normal_distribution_whatever_the_number_of_draws():
    dice = np.random.default_rng(0)
    truth = dice.normal(size=(4000, 1))
    wanted = (2 * norm.pdf(truth) + truth * (2 * norm.cdf(truth) - 1) - 1 / np.sqrt(np.pi)).mean()  # Gneiting 2007
    for count in (2, 10, 100):
        assert imputation.crps(dice.normal(size=(count, 4000, 1)), truth, 1.0) == pytest.approx(wanted, abs=0.04)


def test_the_crps_is_a_sum_over_pairs_of_draws_and_skips_what_is_unknown():
    dice = np.random.default_rng(1)
    draws, truth = dice.normal(size=(5, 7, 2)), dice.normal(size=(7, 2))
    truth[3, 1], scale = np.nan, np.array([2.0, 0.5])
    pairs = [abs(a - b) for i, a in enumerate(draws) for j, b in enumerate(draws) if i != j]
    each = np.mean([abs(x - truth) for x in draws], axis=0) - np.mean(pairs, axis=0) / 2
    assert imputation.crps(draws, truth, scale) == pytest.approx(np.nanmean(each / scale))
    assert imputation.crps(draws[:1], truth, scale) == pytest.approx(np.nanmean(abs(draws[0] - truth) / scale))
    assert imputation.quality(draws, truth, scale, [0.5])["crps"] == imputation.crps(draws, truth, scale)


def test_the_pinball_loss_is_scikit_learns_and_least_at_the_right_quantile():
    dice = np.random.default_rng(2)
    draws, truth = dice.normal(size=(99, 3000, 1)), dice.normal(size=(3000, 1))
    for level in (0.1, 0.5, 0.9):
        guess = np.quantile(draws, level, axis=0, method="weibull")
        wanted = mean_pinball_loss(truth, guess, alpha=level)
        assert imputation.pinball(draws, truth, 1.0, level) == pytest.approx(wanted)
        assert all(imputation.pinball(draws + off, truth, 1.0, level) > wanted for off in (-0.5, 0.5))
    with pytest.raises(ValueError, match=r"no level of 1\.0"):
        imputation.pinball(draws, truth, 1.0, 1.0)
