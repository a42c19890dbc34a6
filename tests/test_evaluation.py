"""Every number of a trained run, recomputed by loops where it matters."""

import pytest
import torch
from helpers import fewer_modalities, seeded, tiny_batch, tiny_model

from workbench import evaluation
from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.evaluation import asleep, codes, conditional_coherences, evaluate_into, subset_posterior, subsets
from workbench.metrics import classifiers
from workbench.metrics.classifiers import Classifier
from workbench.runs import Run, judges_version, save_weights
from workbench.training import fit

ALL = {"M", "S", "T", "M,S", "M,T", "S,T", "M,S,T"}


@pytest.fixture
def little(tiny_root, monkeypatch):
    """Small numbers of everything that an evaluation counts."""
    monkeypatch.setattr(classifiers, "STEPS", 5)
    monkeypatch.setattr(classifiers, "OTHER_STEPS", {})
    monkeypatch.setattr(classifiers, "BATCH", 32)
    monkeypatch.setattr(evaluation, "MANY_ITEMS", 150)
    monkeypatch.setattr(evaluation, "PAPER_ITEMS", 60)
    monkeypatch.setattr(evaluation, "CHUNK", 64)
    monkeypatch.setattr(evaluation, "RANDOM_ITEMS", 50)


def trained(**changes) -> Run:
    config = Config(data="uci-plain-text", repeats=2, batch_size=16, steps=6, device="cpu", **changes)
    return fit(config, progress=False)


def test_subsets_in_order():
    names = [",".join(subset) for subset in subsets(("M", "S", "T"))]
    assert names == ["M", "S", "T", "M,S", "M,T", "S,T", "M,S,T"]
    assert [len(subsets("ABCD"[:n])) for n in range(1, 5)] == [1, 3, 7, 15]


def test_an_evaluated_run_has_every_number(little):
    run = trained(style_dim=4, snapshot_every=3)
    metrics = evaluate_into(run, progress=False)
    assert run.complete and run.metrics["evaluated_with"]["judges"] == judges_version()
    assert run.metrics["coherence"] == metrics["coherence"]
    assert metrics["test_items"] == len(run.dataset("test")) // 2
    assert metrics["classifier_accuracy"].keys() == metrics["style_probe"].keys() == {"M", "S", "T"}
    for table in ("linear_probe", "linear_probe_many"):
        assert metrics[table].keys() == {"dynamic_prior", "mixture"}
        assert all(row.keys() == ALL for row in metrics[table].values())
    for table in metrics["coherence"].values():
        assert table.keys() == {"M", "S", "T"} and all(row.keys() == ALL for row in table.values())
    numbers = [x for table in metrics["linear_probe"].values() for x in table.values()]
    numbers += [x for table in metrics["coherence"].values() for row in table.values() for x in row.values()]
    numbers += [*metrics["random_coherence"].values(), *metrics["style_probe"].values()]
    assert all(0 <= x <= 1 for x in numbers)
    assert metrics["random_coherence"]["all_agree"] <= metrics["random_coherence"]["agreement_pattern"]
    assert [row["step"] for row in metrics["over_steps"]] == [3, 6]
    # under mixture and dynamic prior a single modality is its own posterior: the same probe
    for letter in "MST":
        assert metrics["linear_probe"]["mixture"][letter] == metrics["linear_probe"]["dynamic_prior"][letter]


@pytest.mark.parametrize(("objective", "inference"), [("mvae", "product"), ("mmvae", "mixture")])
def test_each_method_has_its_own_inference_and_the_same_numbers_again(objective, inference, little):
    run = trained(objective=objective)
    metrics = evaluation.evaluate(run, limit=60, progress=False)
    assert metrics["coherence"].keys() == {inference} and metrics["style_probe"] == {}
    assert metrics["test_items"] == 60
    if objective == "mvae":
        assert evaluation.evaluate(run, limit=60, progress=False) == metrics
        return
    for row in metrics["coherence"]["mixture"].values():
        for pair in ("M,S", "M,T", "S,T"):
            alone = [row[letter] for letter in pair.split(",")]
            # half of the items from each, but other draws of the noise: as far apart as 60 items can be
            assert min(alone) - 0.2 <= row[pair] <= max(alone) + 0.2


def test_a_single_modality_can_be_evaluated(little):
    config = Config(data="text", repeats=2, batch_size=16, steps=3, device="cpu")
    metrics = evaluation.evaluate(fit(config, progress=False), progress=False)
    assert metrics["linear_probe"]["mixture"].keys() == {"T"}
    assert metrics["random_coherence"] == {"all_agree": 1, "agreement_pattern": 1}


# ------------------------------------------------------------------------------------------------------ its parts


@pytest.mark.parametrize("how", ["product", "mixture", "dynamic_prior"])
def test_codes_are_means_of_physically_smaller_models(how):
    model, batch = tiny_model(3), tiny_batch(3, items=12)
    found = codes(model, [(model.encode(batch), batch.labels)], how, prior_weight=None)
    assert {*found} == {"A", "B", "C", "A,B", "A,C", "B,C", "A,B,C"}
    for name, code in found.items():
        keep = ["ABC".index(letter) for letter in name.split(",")]
        small = fewer_modalities(model, keep)
        part = Batch(tuple(batch.values[m] for m in keep), batch.present[keep], batch.labels)
        posterior = small.infer(part, how="mixture" if how == "dynamic_prior" and len(keep) == 1 else how)
        expected = posterior.select().mean if how == "mixture" or hasattr(posterior, "select") else posterior.mean
        torch.testing.assert_close(code, expected)


def test_a_mixture_of_two_takes_half_of_its_items_from_each():
    model, batch = tiny_model(3), tiny_batch(3, items=12)
    q = model.encode(batch)
    pair = subset_posterior(model, q, ("A", "C"), "mixture").mean
    from_first = (pair == q.content.mean[0]).all(1)
    from_second = (pair == q.content.mean[2]).all(1)
    assert from_first.sum() == from_second.sum() == 6 and not (from_first & from_second).any()


class Threshold(torch.nn.Module):
    """A judge that says whether the first number of an item is large."""

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        return torch.cat([torch.full_like(first, 0.3), first], dim=1)


def test_conditional_coherence_by_loop():
    model, batch = tiny_model(3, 2, 1), tiny_batch(3, items=20)
    labels = batch.labels % 2
    encoded = [(model.encode(batch), labels)]
    judges = [Classifier(Threshold(), "none", 1.0)] * 3
    ours = conditional_coherences(model, encoded, judges, "mixture", seeded(3))
    generator = seeded(3)
    for subset in subsets("ABC"):
        posterior = model.infer(batch, subset).select()
        shown = model.generate(posterior, generator=generator)
        for letter, x in zip("ABC", shown, strict=True):
            said = [int(item.flatten()[0] > 0.3) for item in x]
            expected = sum(a == b for a, b in zip(said, labels.tolist(), strict=True)) / 20
            assert ours[letter][",".join(subset)] == pytest.approx(expected)


def test_asleep():
    probes = {"M": 0.97, "S": 0.12, "T": 0.2, "M,S": 0.1}
    assert asleep({"linear_probe_many": {"mixture": probes}}) == ["S", "T"]
    assert asleep({"linear_probe_many": {"mixture": {"M": 0.26, "S": 0.99}}}) == []


def test_an_encoder_that_says_nothing_is_asleep(little):
    """A collapsed posterior, the same for every input: the state that the street encoder stays in at first."""
    run = trained()
    model = run.model()
    torch.nn.init.zeros_(model.heads[1].layers[0].weight)
    path = run.folder / "collapsed.safetensors"
    save_weights(model, path)
    assert "S" in asleep(evaluation.evaluate(run, path, limit=60, progress=False))
