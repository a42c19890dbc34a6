"""More modalities than all subsets can be evaluated of: what is chosen, and that every objective gets through."""

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest
import torch
from helpers import random_gaussian, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import objectives
from workbench.config import Config
from workbench.data import load_dataset, sources
from workbench.data.own.arrays import from_arrays
from workbench.data.synthetic import polydigits_images
from workbench.evaluation import PARTS, evaluate_into
from workbench.fusion import MOST_IN_PRODUCTS, mixture_of_products, subsets
from workbench.inference import ORDERS, evaluated_subsets, subset_posterior
from workbench.metrics import evaluator, judges, quality, regression, representation, scores
from workbench.model import MultimodalVAE
from workbench.reports.tables import all_tables, table
from workbench.runs.run import Run, build_model
from workbench.studies.scaling import gains, qualities
from workbench.training.loop import fit

M = 5
NAMES = {",".join(subset) for subset in evaluated_subsets("ABCDE")}


@pytest.fixture
def little(tmp_path, monkeypatch):
    """A project of its own with small numbers of everything that an evaluation counts."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setattr(polydigits_images, "PER_CLASS", {"train": 12, "test": 6})
    monkeypatch.setattr(judges, "STEPS", 5)
    monkeypatch.setattr(judges, "BATCH", 16)
    monkeypatch.setattr(quality, "RUNS", 1)
    monkeypatch.setattr(regression, "MAX_ITER", 5)
    monkeypatch.setattr(scores, "repeated_probe", partial(representation.repeated_probe, draws=2))
    monkeypatch.setattr(evaluator, "LIKELIHOOD_ITEMS", 8)


# ------------------------------------------------------------------------------------------------- what is evaluated


@settings(max_examples=40)
@given(st.integers(1, 40))
def test_the_selection(count):
    """Of few modalities all subsets, of many a number that grows linearly, along chains."""
    members = range(count)
    chosen = evaluated_subsets(members)
    assert len(set(chosen)) == len(chosen), "nothing twice"
    assert {(m,) for m in members} | {tuple(members)} <= {*chosen}
    assert {tuple(m for m in members if m != other) for other in members if count > 1} <= {*chosen}
    assert {len(subset) for subset in chosen} == set(range(1, count + 1)), "every size"
    assert all(list(subset) == sorted(subset) for subset in chosen), "members in order"
    assert chosen == sorted(chosen, key=lambda subset: (len(subset), subset)), "smaller ones first, as ever"
    assert chosen == evaluated_subsets(members), "the same every time"
    if count <= 4:
        assert chosen == subsets(members)
        return
    sizes = Counter(map(len, chosen))
    assert 2 * count + 1 < len(chosen) <= 5 * count - 8
    assert sizes[1] == sizes[count - 1] == count and all(1 <= sizes[k] <= ORDERS for k in range(2, count - 1))
    by_size = {size: [{*subset} for subset in chosen if len(subset) == size] for size in range(2, count - 1)}
    for smaller, larger in pairwise(by_size.values()):  # within one of the next size, around one before
        assert all(any(a < b for a in smaller) for b in larger)
        assert all(any(a < b for b in larger) for a in smaller)


# ----------------------------------------------------------------------------------------------------- what is too many


def test_more_modalities_than_products_can_take_are_refused():
    experts = random_gaussian(MOST_IN_PRODUCTS + 1, 2, 3)
    with pytest.raises(ValueError, match="2\\^11 - 1 = 2,047 components: take at most 10"):
        mixture_of_products(experts, torch.ones(11, 2, dtype=torch.bool))
    assert len(mixture_of_products(experts[:10], torch.ones(10, 2, dtype=torch.bool)).weights) == 1023
    with pytest.raises(ValueError, match="65,535"):
        objectives.method("mopoe", 16)
    assert objectives.method("mopoe", 10) is objectives.method("mopoe")
    assert objectives.method("mmjsd", 16).label == "mmJSD"


def test_a_training_that_cannot_be_is_refused_before_anything_is_written(tmp_path):
    eleven, _ = from_arrays({letter: torch.rand(8, 2).numpy() for letter in "abcdefghijk"})
    with pytest.raises(ValueError, match="mopoe"):
        fit(
            Config(data=eleven.name, objective="mopoe", steps=2, device="cpu"), tmp_path / "run", eleven, progress=False
        )
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------- from training to tables


def evaluated(modalities: int, parts: tuple[str, ...] = PARTS, **changes) -> Run:
    fields = dict(repeats=1, batch_size=16, steps=3, device="cpu", importance_samples=2, latent_dim=6)
    run = fit(Config(data=f"polydigits-{modalities}", **fields, **changes), progress=False)
    evaluate_into(run, progress=False, samples=2, parts=parts)
    return run


KEPT = "mmvae"  # in every run of the tests; the others take as long again, each
EVERY = [pytest.param(name, marks=() if name == KEPT else pytest.mark.slow) for name in objectives.METHODS]


@pytest.mark.parametrize("objective", EVERY)
def test_every_objective_is_trained_and_evaluated(little, objective):
    run = evaluated(M, objective=objective, style_dim=2)
    metrics, fusions, letters = run.metrics, objectives.METHODS[objective].inference, {*"ABCDE"}
    for section in ("rate", "marginal_kl", "linear_probe", "linear_probe_error", "linear_probe_full"):
        assert metrics[section].keys() == {*fusions} and all(row.keys() == NAMES for row in metrics[section].values())
    for section in ("coherence", "confusion"):
        assert all(found.keys() == letters for found in metrics[section].values())
        assert all(row.keys() == NAMES for found in metrics[section].values() for row in found.values())
    rest = {target: [",".join(sorted(letters - {target}))] for target in letters}
    for found in metrics["quality"]["conditional"].values():
        assert {target: [*row] for target, row in found.items()} == rest
    likely = metrics["log_likelihood"]
    assert likely["items"] == 8 and all(row.keys() == NAMES for row in likely["X"].values())
    assert metrics["test_items"] == 60 and metrics["classifier_accuracy"].keys() == letters
    assert [row.given for row in gains([run])] == list(range(1, M + 1)) and len(qualities([run])) == 1
    if len(fusions) == 1:
        assert_tables_have_a_column_for_each_size(run)
    assert metrics["style_probe"].keys() == letters and {*table("style_probe", [run]).ours.columns} == letters
    assert sources.describe(run.config.data).count("rendered by this project") == 1


def assert_tables_have_a_column_for_each_size(run: Run) -> None:
    probes, coherence = table("linear_probe_full", [run]), table("coherence", [run])
    assert [*probes.ours.columns] == [f"{k} given" for k in range(1, M + 1)]
    (values,) = run.metrics["linear_probe_full"].values()
    pairs = [x for name, x in values.items() if name.count(",") == 1]
    assert probes.ours["2 given"].item() == pytest.approx(sum(pairs) / len(pairs))
    assert "means over the evaluated subsets" in probes.caption and "NOT real" in probes.caption
    assert [*coherence.ours.columns] == ["random", *(f"{k} given" for k in range(1, M))]
    assert "1 given, itself" in table("predictive", [run]).ours.columns
    assert all(len(shown.ours.columns) <= 2 * M + 2 for shown in all_tables([run]))


def test_numbers_of_few_modalities_are_as_they_were(little):
    """Every subset, quality of everything that was not given, log-likelihoods of all items."""
    run = evaluated(3, ("coherence", "quality", "likelihood"))
    assert run.metrics["coherence"]["mixture"]["A"].keys() == {"A", "B", "C", "A,B", "A,C", "B,C", "A,B,C"}
    assert run.metrics["quality"]["conditional"]["mixture"]["A"].keys() == {"B", "C", "B,C"}
    assert run.metrics["log_likelihood"]["items"] == run.metrics["test_items"] == 60
    assert [*table("coherence", [run]).ours.columns][:2] == ["random", "B → A"]


def test_a_subset_of_products_is_what_the_whole_mixture_gives(little):
    """Fusing the given modalities alone selects the same components as fusing all with the others absent."""
    data = load_dataset("polydigits-4", "test", repeats=1)
    model: MultimodalVAE = build_model(Config(data="polydigits-4", latent_dim=3), data)
    q = model.encode(data.batch(torch.arange(37), seeded()))
    for subset in subsets(model.letters):
        alone = subset_posterior(model, q, subset, "mixture_of_products")
        whole = model.infer(q, subset, "mixture_of_products").select()
        assert torch.allclose(alone.mean, whole.mean, atol=1e-6)
        assert torch.allclose(alone.logvar, whole.logvar, atol=1e-5)
