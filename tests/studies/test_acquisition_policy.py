"""Policies against loops over all orders, calibration against numpy, and a world in which advice is worth following."""

from itertools import permutations

import numpy as np
import pytest
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import exact_model, table_world

from workbench.studies import acquisition_policy as policy
from workbench.studies.acquisition import Acquisition
from workbench.studies.acquisition_codes import Classifier
from workbench.studies.acquisition_policy import Predictions, best_order, calibration, interval, play


@given(st.integers(3, 5), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_orders_are_followed_and_averaged_as_in_a_loop(count, seed):
    rng = np.random.default_rng(seed)
    bits, start = rng.normal(size=(2**count, 7)), rng.integers(0, count, 7)
    followed = []
    for order in permutations(range(count)):
        slow = np.empty((count, 7))
        for item, first in enumerate(start):
            known, left = {first}, [m for m in order if m != first]
            for k in range(count):
                slow[k, item] = bits[sum(1 << m for m in known), item]
                known |= {left[k]} if k < len(left) else set()
        np.testing.assert_allclose(policy._follow(bits, start, order), slow)
        followed.append(slow)
    np.testing.assert_allclose(policy._random(bits, start, count), np.mean(followed, 0))
    means = bits[:, 0]
    values = {
        order: np.mean([policy._follow(means[:, None], np.array([first]), order).mean() for first in range(count)])
        for order in permutations(range(count))
    }
    assert values[best_order(means)] == pytest.approx(max(values.values()))


def test_calibration_is_least_squares_and_its_interval_holds_the_truth():
    rng, held = np.random.default_rng(0), 0
    for _ in range(40):
        item = np.repeat(np.arange(60), 5)
        x = rng.gamma(1, 0.3, 300)
        y = 0.05 + 0.7 * x + rng.normal(size=60)[item] * 0.2 + rng.normal(size=300) * x
        found = calibration(Predictions(item, item, item, x, x, y), bins=6, draws=300)
        slope, intercept = np.polyfit(x, y, 1)
        assert found.slope[0] == pytest.approx(slope) and found.intercept[0] == pytest.approx(intercept)
        held += found.slope[1] < 0.7 < found.slope[2]
        assert sum(row[3] for row in found.curve) == 300 and [*found.curve] == sorted(found.curve)
    assert 34 <= held <= 40, "of 40 intervals of 95 %"


def test_interval_is_students():
    assert interval(np.array([0.0, 1.0, 2.0, 3.0])) == pytest.approx((1.5, 3.18245 * np.sqrt(5 / 3) / 2), rel=1e-4)


@pytest.fixture(scope="module")
def played():
    """A table tells much where another is uncertain: the one to measure differs from what an item begins with."""
    exact, train, test = table_world(1600, noise=(0.3, 3.0, 12.0), labels=True)
    model = exact_model(train, exact)
    return play(Acquisition(model, Classifier(model, train, "product"), fusion="product", draws=40), test, seeded(1))


def test_what_is_advised_is_better_than_chance_and_as_good_as_the_best_order(played):
    ahead, half = interval(played.ahead("random").mean(0))
    assert ahead - half > 0
    fixed, half = interval(played.ahead("fixed").mean(0))
    assert abs(fixed) < half + 0.01, "in this world one order is best for all"
    assert played.order[0] == "a" and played.beaten >= 0.5
    ends = [x[[0, -1]] for x in played.bits.values()]
    assert all(np.array_equal(x, ends[0]) for x in ends), "all begin and end with the same"


def test_gains_are_realised_as_expected(played):
    found = calibration(played.predictions)
    assert found.slope[1] < 1 < found.slope[2] and found.slope[2] - found.slope[1] < 0.6
    assert 0.8 < found.slope[0] < 1.2 and abs(found.intercept[0]) < 0.03
    assert len(played.predictions.item) == 3 * played.bits["chosen"].shape[1], "two absent at first, then one"


def test_another_number_of_modalities_is_refused(monkeypatch):
    exact, train, test = table_world(60, noise=(0.3, 3.0, 12.0), labels=True)
    model = exact_model(train, exact)
    monkeypatch.setattr(policy, "MOST", 2)
    with pytest.raises(ValueError, match="3 modalities: orders are compared for 3 to 2"):
        play(Acquisition(model, Classifier(model, train)), test)


def test_the_command_adds_rows_to_its_file(tmp_path, monkeypatch):
    """On a tiny world in place of data that come with the package."""
    from workbench.config import Config

    _, train, test = table_world(120, noise=(0.3, 3.0, 12.0), labels=True)
    made = Config.make("quick", data=train.name, steps=3, batch_size=8, device="cpu", compiled="off")
    monkeypatch.setattr(policy, "load_dataset", lambda name, part, *_, **__: {"train": train, "test": test}[part])
    monkeypatch.setattr(policy.Config, "make", classmethod(lambda cls, preset, seed, **_: made.replace(seed=seed)))
    for _ in range(2):
        policy.main(["ours"], ["mmjsd"], steps=3, splits=1, draws=5, out=tmp_path / "found.json")
    first, second = policy.json.loads((tmp_path / "found.json").read_text())
    assert first["command"].startswith("python -m workbench.studies.acquisition_policy")
    numbers = [{k: v for k, v in row.items() if k != "measured_with"} for row in (first, second)]
    assert numbers[0] == numbers[1], "the same seed, the same numbers"
    assert set(first["calibration"]) == {"slope", "intercept", "curve"} and first["items"] == len(test)
