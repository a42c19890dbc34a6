"""What subsets tell about a class: against scikit-learn and a known information; errors over splits."""

import math

import numpy as np
import pytest
import torch
from helpers import seeded
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from workbench import Config, MultimodalDataset, fit
from workbench.studies.subset_information import Score, added, code_scores, column_scores, over_splits, score


def shifted(n: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Tables whose columns differ between two classes: much in `near`, little in `far`, not at all in `noise`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    shifts = {"near": 2.0, "far": 0.7, "noise": 0.0}
    return {name: rng.normal(size=(n, 2)) + shift * y[:, None] for name, shift in shifts.items()}, y


def auc_of(x, y, rows, kept) -> tuple[float, np.ndarray]:
    """The area under the curve of scikit-learn's regression on some rows, for others, and its probabilities."""
    scaler = StandardScaler().fit(x[rows])
    probe = LogisticRegression().fit(scaler.transform(x[rows]), y[rows])
    p = probe.predict_proba(scaler.transform(x[kept]))[:, 1]
    return roc_auc_score(y[kept], p), p


def test_columns_score_as_scikit_learn_says():
    tables, y = shifted(400)
    tested = np.arange(400) >= 300
    train, test = MultimodalDataset.from_arrays(tables, labels=y, split=tested)
    found = column_scores(train, test)
    assert list(found) == ["N", "F", "No", "N,F", "N,No", "F,No", "N,F,No"]
    auc, p = auc_of(np.hstack([tables["near"], tables["noise"]]), y, ~tested, tested)
    assert found["N,No"].auc == pytest.approx(auc, abs=1e-6)
    share = y[tested].mean()
    bits = np.log2(np.where(y[tested], p, 1 - p)).mean() - share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert found["N,No"].bits == pytest.approx(bits, abs=1e-4)


def test_bits_are_the_mutual_information_where_the_regression_is_right():
    """Two Gaussians with one covariance: ln p(1 | x) / p(0 | x) is linear, so that sampling errors are left."""
    generator = seeded(1)
    y = torch.randint(0, 2, (40_000,), generator=generator)
    x = torch.randn(40_000, 1, generator=generator) + 1.5 * y[:, None]
    grid = torch.linspace(-8, 10, 20_001, dtype=torch.float64)
    densities = [torch.exp(-0.5 * (grid - c) ** 2) / math.sqrt(2 * math.pi) for c in (0, 1.5)]
    mixed = (densities[0] + densities[1]) / 2
    parts = [torch.special.xlogy(p, p / mixed) for p in densities]
    exact = torch.trapezoid((parts[0] + parts[1]) / 2, grid).item() / math.log(2)
    found = score(x[:20_000], y[:20_000], x[20_000:], y[20_000:])
    assert found.bits == pytest.approx(exact, abs=0.015)
    # P(one draw above another) of two unit normal distributions 1.5 apart
    assert found.auc == pytest.approx(0.5 * (1 + math.erf(1.5 / 2)), abs=0.01)


def test_nothing_to_learn_scores_nothing_and_several_classes_are_one_against_the_rest():
    generator = seeded(2)
    y = torch.arange(3000) % 3
    noise, telling = torch.randn(3000, 2, generator=generator), torch.eye(3)[y] * 6 + torch.randn(3000, 3)
    found = [score(x[:1500], y[:1500], x[1500:], y[1500:]) for x in (noise, telling)]
    assert found[0].auc == pytest.approx(0.5, abs=0.05) and abs(found[0].bits) < 0.02
    assert found[1].auc > 0.99 and 1.4 < found[1].bits < math.log2(3)


def test_items_that_lack_a_part_of_a_subset_are_left_out_of_it():
    tables, y = shifted(300)
    tables["near"][:150] = np.nan
    tested, having = np.arange(300) % 3 == 0, np.arange(300) >= 150
    train, test = MultimodalDataset.from_arrays(tables, labels=y, split=tested)
    auc, _ = auc_of(tables["near"], y, ~tested & having, tested & having)
    assert column_scores(train, test)["N"].auc == pytest.approx(auc, abs=1e-6)


def test_codes_tell_what_a_trained_model_read(tmp_path):
    tables, y = shifted(300)
    train, test = MultimodalDataset.from_arrays(tables, labels=y, split=0.3)
    config = Config.make(data=train.name, steps=50, beta=1.0, latent_dim=2, device="cpu", learning_rate=0.01)
    model = fit(config, tmp_path / "run", train, progress=False).model
    found = code_scores(model, train, test)
    assert list(found) == list(column_scores(train, test))
    assert found["N"].auc > 0.85 > 0.7 > found["No"].auc


def test_data_without_classes_is_refused():
    train, test = MultimodalDataset.from_arrays(shifted(60)[0])
    with pytest.raises(ValueError, match="has no classes to tell"):
        column_scores(train, test)
    with pytest.raises(ValueError, match="must show the same classes"):
        score(torch.zeros(4, 1), torch.tensor([0, 1, 0, 1]), torch.zeros(2, 1), torch.tensor([1, 1]))


def test_the_error_over_splits_is_that_of_means_over_the_same_items():
    """Means over training parts: their spread over data sets is what the corrected error must find from one of them."""
    rng, estimates = np.random.default_rng(0), []
    for _ in range(400):
        items = rng.normal(size=100)
        orders = (rng.permutation(100) for _ in range(10))
        means = [items[order[:20]].mean() for order in orders]  # of the test part
        estimates.append(over_splits(means, 0.2))
    spread = np.std([e.mean for e in estimates])
    assert np.sqrt(np.mean([e.error**2 for e in estimates])) == pytest.approx(spread, rel=0.15)
    assert math.isnan(over_splits([0.5]).error) and over_splits([0.5]).mean == 0.5


def test_what_is_added_is_all_less_all_but_one():
    scores = {"A": 0.6, "B": 0.7, "C": 0.5, "A,B": 0.9, "A,C": 0.6, "B,C": 0.8, "A,B,C": 0.95}
    assert added(scores) == pytest.approx({"A": 0.15, "B": 0.35, "C": 0.05})
    assert Score(0.5, 0.1, 0.4)._asdict() == {"auc": 0.5, "bits": 0.1, "accuracy": 0.4}
