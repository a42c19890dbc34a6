"""Probes, coherence counts and the judges, against scikit-learn, scipy, enumeration and loops."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix

from workbench.data.load import load_dataset
from workbench.metrics import judges as classifiers
from workbench.metrics.coherence import agreement_pattern, all_agree, conditional_coherence, confusion
from workbench.metrics.judges import classifiers_of
from workbench.metrics.regression import MAX_ITER, softmax_regression
from workbench.metrics.representation import linear_probe, probe_all, repeated_probe
from workbench.networks.classifiers import make_classifier


# --------------------------------------------------------------------------------------------------------- probes
def clouds(items: int, seed: int, spread: float = 1.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping clouds of three classes in four dimensions."""
    generator = seeded(seed)
    labels = torch.randint(3, (items,), generator=generator)
    centres = torch.eye(4)[:3] * 2
    return centres[labels] + spread * torch.randn(items, 4, generator=generator), labels


def fit_by_hand(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coefficients [3, 5] that minimise the plain multinomial cross-entropy, by scipy."""
    extended = np.hstack([codes, np.ones((len(codes), 1))])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logits = extended @ flat.reshape(3, 5).T
        top = logits.max(1, keepdims=True)
        log_p = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
        difference = np.exp(log_p) - np.eye(3)[labels]
        return -log_p[np.arange(len(labels)), labels].mean(), (difference.T @ extended / len(labels)).ravel()

    return minimize(loss, np.zeros(15), jac=True, method="L-BFGS-B", options={"gtol": 1e-10}).x.reshape(3, 5)


def test_the_probe_has_no_penalty():
    (train, y), (test, z) = clouds(300, 0), clouds(400, 1)
    weights = fit_by_hand(train.double().numpy(), y.numpy())
    predicted = (test.double().numpy() @ weights[:, :4].T + weights[:, 4]).argmax(1)
    expected = (predicted == z.numpy()).mean()
    assert 0.5 < expected < 0.95
    assert linear_probe(train, y, test, z) == pytest.approx(expected, abs=1 / 400)


def test_the_regularised_probe_is_that_of_scikit_learn():
    (train, y), (test, z) = clouds(20, 0, spread=0.7), clouds(400, 1, spread=0.7)
    direct = LogisticRegression(max_iter=1000).fit(train.numpy(), y.numpy())
    expected = direct.score(test.numpy(), z.numpy())
    assert linear_probe(train, y, test, z, regularised=True) == pytest.approx(expected, abs=1 / 400)
    assert linear_probe(train, y, test, z) != linear_probe(train, y, test, z, regularised=True)


@pytest.mark.parametrize(("classes", "spread"), [(2, 1.5), (3, 0.01), (7, 1.0)])
def test_the_fit_stops_where_scikit_learn_s_does(classes, spread):
    """Also where classes can be separated, so that there is no optimum to agree on (the second case)."""
    generator = seeded(classes)
    labels = torch.randint(classes, (500,), generator=generator)
    x = torch.randn(classes, 6, generator=generator)[labels] + spread * torch.randn(500, 6, generator=generator)
    weights, intercepts = softmax_regression(x, labels, classes)
    theirs = LogisticRegression(C=np.inf, max_iter=MAX_ITER).fit(x.double().numpy(), labels.numpy())
    probability = torch.softmax(x.double() @ weights + intercepts, dim=1).numpy()
    assert np.abs(probability - theirs.predict_proba(x.double().numpy())).max() < (0.01 if classes == 2 else 1e-6)


def test_labels_of_a_probe_may_be_any_numbers_and_many_codes_are_probed_one_by_one():
    (train, y), (test, z) = clouds(300, 0), clouds(400, 1)
    named = torch.tensor([7, -2, 40])
    assert linear_probe(train, named[y], test, named[z]) == pytest.approx(linear_probe(train, y, test, z), abs=1 / 400)
    assert linear_probe(train, named[y], test, torch.full_like(z, 3)) == 0  # a class that training never showed
    several = probe_all({"M": train, "M,S": -train[:, :2]}, y, {"M": test, "M,S": -test[:, :2]}, z)
    assert several == {"M": linear_probe(train, y, test, z), "M,S": linear_probe(-train[:, :2], y, -test[:, :2], z)}


def test_probes_of_separable_constant_and_single_class_codes():
    (train, y), (test, z) = clouds(60, 0, spread=0.01), clouds(100, 1, spread=0.01)
    assert linear_probe(train, y, test, z) == 1
    chance = linear_probe(torch.zeros_like(train), y, torch.zeros_like(test), z)
    assert chance == pytest.approx((z == y.mode().values).float().mean().item())
    with pytest.raises(ValueError, match="at least two classes"):
        linear_probe(train, torch.zeros_like(y), test, z)


@pytest.mark.parametrize(("items", "draws"), [(60, 5), (150, 4)])  # 600 of 400 codes: the draws overlap
def test_repeated_probes_are_single_ones_on_other_items(items, draws):
    (train, y), (test, z) = clouds(400, 0), clouds(300, 1)
    means, errors = repeated_probe({"M": train}, y, {"M": test}, z, items, draws, seeded(7))
    generator = seeded(7)
    order = torch.cat([torch.randperm(400, generator=generator) for _ in range(2 if items * draws > 400 else 1)])
    found = [linear_probe(train[r], y[r], test, z) for r in order[: items * draws].view(draws, items)]
    assert means["M"] == pytest.approx(np.mean(found)) and errors["M"] > 0
    assert errors["M"] == pytest.approx(np.std(found, ddof=1) / draws**0.5)


# ------------------------------------------------------------------------------------------------------ coherence
@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_counts_by_loop(modalities):
    predicted = torch.randint(3, (modalities, 500), generator=seeded())
    rows = predicted.T.tolist()
    assert all_agree(predicted) == pytest.approx(sum(len(set(row)) == 1 for row in rows) / 500)
    pattern = sum(len({row[0] == other for other in row[1:]}) <= 1 for row in rows) / 500
    assert agreement_pattern(predicted) == pytest.approx(pattern)
    labels = torch.randint(3, (500,), generator=seeded(1))
    hits = sum(row[0] == label for row, label in zip(rows, labels.tolist(), strict=True))
    assert conditional_coherence(confusion(predicted[0], labels)) == pytest.approx(hits / 500)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_confusions_have_a_row_for_each_given_class(pairs):
    judged, labels = torch.tensor(pairs).T
    expected = confusion_matrix(labels, judged, labels=range(5))  # its rows are the true classes
    assert confusion(judged, labels, classes=5).tolist() == expected.tolist()


def test_chance_levels_of_ten_classes():
    """Three independent uniform guesses, every combination once."""
    guesses = torch.tensor([*itertools.product(range(10), repeat=3)]).T
    assert all_agree(guesses) == pytest.approx(0.01)
    assert agreement_pattern(guesses) == pytest.approx(0.82)
    a, b, c = guesses
    assert agreement_pattern(guesses) == pytest.approx(((a == b) == (a == c)).double().mean().item())
    assert conditional_coherence(confusion(guesses[0], guesses[1])) == pytest.approx(0.1)


# --------------------------------------------------------------------------------------------------------- judges
@pytest.fixture
def splits(tiny_root, monkeypatch):
    monkeypatch.setattr(classifiers, "STEPS", 25)
    monkeypatch.setattr(classifiers, "OTHER_STEPS", {})
    monkeypatch.setattr(classifiers, "BATCH", 32)
    return [load_dataset("uci-plain-text", split, repeats=1) for split in ("train", "test")]


def test_judges_learn_are_kept_and_come_back(splits, tiny_root, monkeypatch):
    judges = classifiers_of(*splits, progress=False)
    files = sorted(path.name for path in (tiny_root / "data" / "cache").glob("classifier-*"))
    assert [name.split("-")[1] for name in files] == ["plain", "text", "uci"]

    def train_again(*arguments):
        raise AssertionError("a judge in the cache must not be trained again")

    monkeypatch.setattr(classifiers, "_train", train_again)
    torch.manual_seed(77)
    again = classifiers_of(*splits, progress=False)
    batch = splits[1].batch(splits[1].first_repeat(), seeded())
    for k, (judge, other) in enumerate(zip(judges, again, strict=True)):
        assert judge.source == other.source == ("uci", "plain", "text")[k]
        assert not judge.network.training and not other.network.training
        assert torch.equal(judge.predict(batch.values[k]), other.predict(batch.values[k]))
        assert judge.accuracy == other.accuracy
        values, labels = splits[1].unimodal(k)[:2]
        shown = values.float() / 255 if values.dim() == 4 else values.long()
        hits = (judge.predict(shown) == labels).double().mean().item()
        assert judge.accuracy == pytest.approx(hits)
    assert judges[0].accuracy > 0.3, "25 steps are enough to be well above chance"


def test_who_needs_the_same_judge_at_once_has_one_trained(splits, tiny_root, monkeypatch):
    trained, train = [], classifiers._train

    def slowly(data, k, network, progress):
        trained.append(data.sources[k])
        time.sleep(0.3)
        return train(data, k, network, progress)

    monkeypatch.setattr(classifiers, "_train", slowly)
    with ThreadPoolExecutor(3) as pool:
        panels = [pool.submit(classifiers_of, *splits, progress=False) for _ in range(3)]
        accuracies = [[judge.accuracy for judge in panel.result()] for panel in panels]
    assert trained == ["uci", "plain", "text"] and accuracies[0] == accuracies[1] == accuracies[2]


def test_training_a_judge_is_seeded(splits):
    trained = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        network = make_classifier(tuple(splits[0].storages[2].shape))  # of other weights each time
        trained.append(classifiers._train(splits[0], 2, network, progress=False).state_dict())
    assert all(torch.equal(x, trained[1][name]) for name, x in trained[0].items())


def test_other_data_or_recipe_means_another_judge(splits, tiny_root, monkeypatch):
    def recipes():
        return {classifiers._recipe(*splits, k) for k in range(3)} | {classifiers._recipe(splits[1], splits[0], 0)}

    before = recipes()
    assert len(before) == 4
    monkeypatch.setattr(classifiers, "STEPS", 26)
    monkeypatch.setattr(classifiers, "OTHER_STEPS", {})
    assert len(before | recipes()) == 8
