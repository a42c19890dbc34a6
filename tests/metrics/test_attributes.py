"""Average precision and probes of attributes against scikit-learn, item by item where there are ties."""

import math
import warnings

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from workbench.data.celeba.attributes import ATTRIBUTES, DescriptionStorage
from workbench.metrics import regression
from workbench.metrics.attributes import (
    attribute_probe,
    average_precision,
    mean_precision,
    reading,
    repeated_attribute_probe,
    written,
)
from workbench.metrics.coherence import all_agree, attribute_agreement
from workbench.metrics.regression import logistic_regression
from workbench.metrics.representation import few_items


def correlated(items: int, latent: int = 3, attributes: int = 5):
    """Codes, and attributes that are more or less likely by what the codes say, from rare to frequent."""
    generator = seeded()
    mixing = torch.randn(latent, latent, generator=generator)
    telling = torch.randn(latent, attributes, generator=generator) / latent**0.5
    x = torch.randn(items, latent, generator=generator)
    logits = 2 * x @ telling + torch.linspace(-2, 1, attributes)
    return x @ mixing, torch.rand(items, attributes, generator=generator) < torch.sigmoid(logits)


def parted(items: int, others: int, *sizes: int):
    """Such codes and attributes to learn from, and others to be judged on."""
    x, y = correlated(items + others, *sizes)
    return (x[:items], y[:items]), (x[items:], y[items:])


# -------------------------------------------------------------------------------------------- average precision
# few different scores, so that most items are tied
@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=40))
def test_average_precision_is_that_of_scikit_learn_ties_and_all(items):
    scores, labels = zip(*items, strict=True)
    ours = average_precision(torch.tensor(scores).float(), torch.tensor(labels))
    if not any(labels):
        assert ours.isnan()
        return
    assert ours.item() == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_columns_are_independent(digits):
    scores = torch.randn(300, 7, generator=seeded(1)).round(decimals=digits)
    labels = torch.rand(300, 7, generator=seeded(2)) < torch.linspace(0.02, 0.9, 7)
    expected = [average_precision_score(y, s) for y, s in zip(labels.T.numpy(), scores.T.numpy(), strict=True)]
    torch.testing.assert_close(average_precision(scores, labels), torch.tensor(expected, dtype=torch.float64))


def test_scores_that_know_nothing_reach_the_base_rate_and_perfect_ones_one():
    labels = torch.rand(500, 3, generator=seeded()) < torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(average_precision(torch.zeros(500, 3), labels), labels.double().mean(0))
    assert average_precision(labels.float(), labels).tolist() == [1, 1, 1]


def test_an_attribute_that_nobody_has_is_left_out_of_the_mean_and_scores_of_a_model_that_diverged_refused():
    labels = torch.tensor([[True, False], [False, False]])
    found = average_precision(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), labels)
    assert found[0] == 1 and found[1].isnan() and mean_precision(found) == 1
    with pytest.raises(ValueError, match="scores that are NaN have no order"):
        average_precision(torch.tensor([0.0, math.nan]), torch.tensor([True, False]))


# ------------------------------------------------------------------------------------------------------- probes
def test_regressions_are_those_of_scikit_learn_where_there_is_an_optimum():
    x, y = correlated(1500)
    weights, intercepts = logistic_regression(x, y)
    for k in range(y.shape[1]):
        reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(x.double().numpy(), y[:, k].numpy())
        torch.testing.assert_close(weights[:, k], torch.from_numpy(reference.coef_[0]), atol=0.01, rtol=0.01)
        assert intercepts[k].item() == pytest.approx(reference.intercept_[0], abs=0.01)


def test_regressions_on_many_items_come_in_parts(monkeypatch):
    x, y = correlated(300)
    whole = logistic_regression(x, y)
    monkeypatch.setattr(regression, "ROWS", 64)
    for one, other in zip(whole, logistic_regression(x, y), strict=True):
        torch.testing.assert_close(one, other)


def test_probes_are_those_of_scikit_learn_and_near_them_where_there_is_no_optimum():
    """Few items in many dimensions can be separable; then it counts where the solver stops on its way to infinity."""
    (x, y), (new, there) = parted(60, 600, 16, 20)
    ours = attribute_probe(x, y, new, there)
    scaler = StandardScaler().fit(x.double().numpy())
    seen, unseen, reference, separable = scaler.transform(x.double().numpy()), scaler.transform(new.double()), [], []
    for labels, truth in zip(y.T.numpy(), there.T.numpy(), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(seen, labels)
        reference.append(average_precision_score(truth, fitted.decision_function(unseen)))
        separable.append(fitted.score(seen, labels) == 1)
    gap, separable = np.abs(ours.numpy() - reference), np.array(separable)
    assert 3 < separable.sum() < 17, "both kinds are there"
    assert gap[~separable].max() < 0.01 and gap[separable].max() < 0.05
    assert mean_precision(ours) == pytest.approx(np.mean(reference), abs=0.01)


def test_what_cannot_be_learnt_is_at_the_base_rate_and_dimensions_that_say_the_same_do_no_harm():
    (x, y), (new, there) = parted(50, 200)
    y[:, 0], y[:, 1] = False, True
    found = attribute_probe(x, y, new, there)
    torch.testing.assert_close(found[:2], there[:, :2].double().mean(0))
    _, y = correlated(50)
    flat = torch.full((50, 4), 0.3)
    torch.testing.assert_close(attribute_probe(flat, y, flat, y), y.double().mean(0))
    (x, y), (new, there) = parted(200, 200)
    single, doubled = attribute_probe(x, y, new, there), attribute_probe(x.repeat(1, 2), y, new.repeat(1, 2), there)
    torch.testing.assert_close(single, doubled, atol=1e-3, rtol=0)


def test_repeated_probes_are_single_ones_on_other_items():
    (x, y), (new, there) = parted(200, 100)
    means, errors = repeated_attribute_probe({"I": x}, y, {"I": new}, there, 40, 3, seeded(5))
    single = [attribute_probe(x[r], y[r], new, there) for r in few_items(200, 40, 3, seeded(5))]
    torch.testing.assert_close(means["I"], torch.stack(single).mean(0))
    headline = [mean_precision(s) for s in single]
    assert errors["I"] == pytest.approx(np.std(headline, ddof=1) / math.sqrt(3))


# -------------------------------------------------------------------------------- descriptions, and random samples
def characters(labels: torch.Tensor) -> torch.Tensor:
    """Probabilities of a decoder that is sure of the descriptions of these attributes."""
    return torch.nn.functional.one_hot(DescriptionStorage.of(labels).values.long(), 71).float()


def test_attributes_are_read_off_most_likely_characters():
    labels = torch.rand(30, len(ATTRIBUTES), generator=seeded()) < 0.2
    sure = characters(labels)
    blurred = (sure + 0.9 * torch.rand(sure.shape, generator=seeded(1))) / 3
    assert torch.equal(written(sure), labels) and torch.equal(written(blurred), labels)
    assert reading(written(sure), labels) == {"precision": 1, "recall": 1, "average_precision": 1}
    smudged = sure.clone()
    smudged[:, :3] = sure.roll(1, dims=-1)[:, :3]  # other characters
    assert (written(smudged).sum(1) == labels.sum(1) - 1)[labels.any(1)].all(), "the first phrase is not there"


def test_readings_by_loop():
    labels = torch.rand(200, 6, generator=seeded()) < 0.3
    there = labels ^ (torch.rand(200, 6, generator=seeded(1)) < 0.1)
    pairs = list(zip(there.flatten().tolist(), labels.flatten().tolist(), strict=True))
    hits = sum(a and b for a, b in pairs)
    found = reading(there, labels)
    assert found["precision"] == pytest.approx(hits / sum(a for a, _ in pairs))
    assert found["recall"] == pytest.approx(hits / sum(b for _, b in pairs))
    expected = [average_precision_score(labels[:, k], there[:, k]) for k in range(6)]
    assert found["average_precision"] == pytest.approx(np.mean(expected))
    nothing = reading(torch.zeros_like(labels), labels)
    assert math.isnan(nothing["precision"]) and nothing["recall"] == 0


def test_agreement_on_attributes_by_loop_and_by_chance():
    there = torch.rand(2, 4000, 5, generator=seeded()) < torch.tensor([0.02, 0.1, 0.5, 0.8, 0.97])
    agreed, chance = attribute_agreement(there)
    assert agreed == pytest.approx((there[0] == there[1]).double().mean().item())
    assert agreed == pytest.approx(chance, abs=0.01), "these are independent"
    there[1] = there[0]
    assert attribute_agreement(there)[0] == 1 > attribute_agreement(there)[1] == pytest.approx(chance, abs=0.01)
    there[1, :1000, 2] ^= True
    assert all_agree(there) == 0.75
