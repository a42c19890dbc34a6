"""Runs on faces and descriptions: judges of 40 attributes, and every number of an evaluation."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from helpers import digits_root, seeded
from made_faces import replace_faces, smooth_faces

from workbench.config import Config
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.evaluation import collapsed_modalities, evaluate, evaluate_into
from workbench.metrics import attributes, encode, quality, scores
from workbench.metrics import judges as classifiers
from workbench.metrics.attributes import average_precision
from workbench.metrics.evaluator import Items
from workbench.metrics.judges import AttributeClassifier, classifiers_of
from workbench.metrics.samplers import densities
from workbench.metrics.scores import ByAttribute
from workbench.networks.classifiers import DescriptionClassifier, FaceClassifier, make_classifier
from workbench.reports import results
from workbench.runs.run import Run, save_weights
from workbench.training.loop import fit

ALL, NARROW = {"I", "T", "I,T"}, 0.03


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A root for all tests, faces that take no time, and small numbers of everything that an evaluation counts."""
    with digits_root(tmp_path_factory) as (_, patch):
        patch.setattr(classifiers, "OTHER_STEPS", {"faces": 3, "description": 3, "description-anywhere": 3})
        patch.setattr(classifiers, "BATCH", 16)
        patch.setattr(quality, "RUNS", 1)
        patch.setattr(scores, "repeated_attribute_probe", partial(attributes.repeated_attribute_probe, draws=2))
        replace_faces(patch)
        yield


def trained(**changes) -> Run:
    settings = {"width": NARROW, "judge_width": NARROW, "batch_size": 8, "steps": 2, "device": "cpu"} | changes
    return fit(Config.make("quick", data="faces", **settings), progress=False)


# ------------------------------------------------------------------------------------------------------- judges


def shapes(network: torch.nn.Module) -> list[tuple[int, ...]]:
    """Inputs and outputs of the strided layers, in order, as a table of the paper lists them."""
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)
    strided = [m for n, m in network.named_modules() if isinstance(m, kinds) and "residual" not in n]
    return [tuple(m.weight.shape[:2][::-1]) for m in strided]


def test_judges_are_those_of_table_8():
    with torch.device("meta"):
        image, text = FaceClassifier(), DescriptionClassifier()
    steps = (128, 256, 384, 512, 640)
    assert shapes(image) == [(3, 128), *pairwise(steps), (640, 40)]
    steps = (128, 256, 384, 512, 640, 768, 896)
    assert shapes(text) == [(71, 128), *pairwise(steps), (896, 40)]
    paddings = [m.padding[0] for n, m in text.named_modules() if n.endswith("shortcut.0")]
    assert paddings == [1, 1, 1, 1, 1, 0]


def test_judges_of_a_width_and_of_probabilities():
    image, text = make_classifier((3, 64, 64), 0.125), make_classifier((256,), 0.125).eval()
    assert shapes(image)[-1] == (80, 40) and shapes(text)[-1] == (112, 40)
    tokens = torch.randint(71, (3, 256), generator=seeded())
    torch.testing.assert_close(text(tokens), text(torch.nn.functional.one_hot(tokens, 71).float()))
    assert type(make_classifier((8,), 0.125)).__name__ == "TextClassifier"
    with pytest.raises(ValueError, match="no classifier for shape"):
        make_classifier((5, 5))


def test_judges_learn_attributes_are_kept_and_come_back(little, monkeypatch):
    monkeypatch.setattr(classifiers, "OTHER_STEPS", {"faces": 25, "description": 3})
    splits = [smooth_faces(split) for split in ("train", "test")]
    judges = classifiers_of(*splits, progress=False, width=0.06)
    assert all(isinstance(judge, AttributeClassifier) and not judge.network.training for judge in judges)
    monkeypatch.setattr(classifiers, "_train", None)  # nothing is trained again
    again = classifiers_of(*splits, progress=False, width=0.06)
    batch = splits[1].batch(splits[1].first_repeat(), seeded())
    for judge, other, x in zip(judges, again, batch.values, strict=True):
        assert torch.equal(judge.read(x), other.read(x)) and torch.equal(judge.predict(x), judge.read(x) > 0)
        assert (judge.accuracy, judge.precisions) == (other.accuracy, other.precisions)
        expected = average_precision(judge.read(x), batch.labels)
        torch.testing.assert_close(torch.tensor(judge.precisions).double(), expected)
        assert judge.accuracy == pytest.approx(expected.nanmean().item())
    assert judges[0].accuracy > splits[1].labels.double().mean() + 0.05, "25 steps are enough to be above chance"


def test_another_width_means_another_judge_and_large_data_are_read_in_part(monkeypatch):
    splits = [smooth_faces("train", 40), smooth_faces("test", 20)]
    recipe = classifiers._recipe(*splits, 0, 0.5)
    assert recipe != classifiers._recipe(*splits, 0, 1.0) and recipe == classifiers._recipe(*splits, 0, 0.5)
    monkeypatch.setattr(classifiers, "HASHED", 64 * 64 * 3 * 10)
    assert [len(part) for part in classifiers._sparsely(splits[0].storages[0].values)] == [10]
    sparse = classifiers._recipe(*splits, 0, 0.5)
    splits[0].storages[0].values[4] += 1
    assert classifiers._recipe(*splits, 0, 0.5) != sparse, "the fourth item is among them"
    splits[0].storages[0].labels[3, 7] ^= True
    assert len({sparse, recipe, classifiers._recipe(*splits, 0, 0.5)}) == 3, "all labels are"


def test_descriptions_that_begin_anywhere_are_judged_where_they_begin():
    data = smooth_faces("test", 30, anywhere=True)
    shown = classifiers._items(data, 1, torch.arange(30), seeded())
    assert not torch.equal(shown, data.unimodal(1).values.long())
    assert torch.equal(shown.sort(1).values, data.unimodal(1).values.long().sort(1).values)


# --------------------------------------------------------------------------------------------------- evaluation


def test_an_evaluated_run_has_every_number(little):
    run = trained(snapshot_every=2)
    metrics = evaluate_into(run, progress=False, samples=2)
    others = {"data", "test_items", "train_items", "score", "linear_probe_error", "seconds", "over_steps"}
    assert metrics.keys() - {*results.SECTIONS} == others, "a section that no table shows"
    assert (metrics["score"], metrics["train_items"], metrics["test_items"]) == ("average precision", 400, 150)
    labels = run.dataset("test").labels
    torch.testing.assert_close(torch.tensor(metrics["base_rate"]).double(), labels.double().mean(0))
    by_attribute = metrics["by_attribute"]
    for section in ("linear_probe", "linear_probe_full"):
        for fusion in ("dynamic_prior", "mixture"):
            assert metrics[section][fusion].keys() == by_attribute[section][fusion].keys() == ALL
            for name, row in by_attribute[section][fusion].items():
                assert len(row) == len(ATTRIBUTES)
                assert metrics[section][fusion][name] == pytest.approx(sum(row) / len(row))
    for fusion, table in metrics["coherence"].items():
        for target, row in table.items():
            for subset, x in row.items():
                each = by_attribute["coherence"][fusion][target][subset]
                assert x == pytest.approx(sum(each) / len(each)) and 0 < x <= 1
    assert by_attribute["judges"].keys() == metrics["classifier_accuracy"].keys() == {"I", "T"}
    assert metrics["written"]["mixture"].keys() == {"T"} and metrics["written"]["mixture"]["T"].keys() == ALL
    assert metrics["random_coherence"].keys() == {"all_agree", "attributes_agree", "by_chance"}
    assert metrics["quality"]["conditional"]["mixture"].keys() == {"I"}
    assert metrics["log_likelihood"]["items"] == 150
    assert metrics["over_steps"][0]["score"] == "average precision"
    smiling = results.frame([run]).query("metric == 'linear_probe.Smiling' and step.isna()")
    place = ATTRIBUTES.index("Smiling")
    expected = [row[place] for table in by_attribute["linear_probe"].values() for row in table.values()]
    assert smiling["value"].tolist() == expected


def test_likelihoods_are_those_of_a_few_items(little, monkeypatch):
    monkeypatch.setattr(ByAttribute, "likelihood_items", 20)
    run = trained(style_dim=0, latent_dim=8, objective="mvae")
    found = evaluate(run, limit=60, progress=False, parts=["likelihood"], samples=2)
    assert found["log_likelihood"]["items"] == 20 and found["test_items"] == 60


def test_the_same_numbers_come_again_and_without_styles_none_of_them(little):
    run = trained(style_dim=0, latent_dim=8, objective="mvae")
    first, second = (evaluate(run, limit=40, progress=False, parts=["probe", "coherence"]) for _ in range(2))
    for metrics in (first, second):
        metrics.pop("seconds")
        metrics["written"] = {}  # holds NaN, which equals nothing
    assert first == second
    assert "style_probe" not in first["by_attribute"] and first["test_items"] == 40


def test_an_encoder_that_says_nothing_has_collapsed(little, tmp_path):
    run, path = trained(snapshot_every=2), tmp_path / "collapsed.safetensors"
    model = run.model
    torch.nn.init.zeros_(model.heads[0].layers[0].weight)
    save_weights(model, path)
    metrics = evaluate(run, path, progress=False, parts=["full_probe"])
    assert "I" in collapsed_modalities(metrics)
    rates = [rate for rate in metrics["base_rate"] if rate > 0]
    assert metrics["linear_probe_full"]["mixture"]["I"] == pytest.approx(sum(rates) / len(rates))


def test_collapsed_by_the_base_rate():
    probes = {"linear_probe": {"mixture": {"I": 0.24, "T": 0.31, "I,T": 0.2}}}
    assert collapsed_modalities(probes | {"base_rate": [0.2, 0.3, 0.0]}) == ["I"], (
        "an attribute that nobody has does not count"
    )
    assert collapsed_modalities(probes | {"base_rate": [0.5, 0.3]}) == ["I", "T"]


# --------------------------------------------------------------------------------------------------- its items


def test_items_are_alike_at_every_visit_and_never_all_at_once(monkeypatch):
    monkeypatch.setattr(encode, "CHUNK", 64)
    data = smooth_faces("test", 50, anywhere=True)
    items = Items(data, torch.arange(45), seed=3)
    first, second = list(items), list(items)
    assert [batch.size for batch in first] == [16, 16, 13] and (len(items), items.batches) == (45, 3)
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.values, other.values, strict=True))
    few = list(Items(data, torch.arange(45), seed=3, count=20))
    assert [batch.size for batch in few] == [16, 4]
    assert all(torch.equal(a, b[:4]) for a, b in zip(few[1].values, first[1].values, strict=True))


def test_small_items_come_in_large_batches():
    assert encode.at_a_time([(1, 28, 28), (3, 32, 32), (8,)]) == encode.at_a_time([(8,)]) == encode.CHUNK
    assert encode.at_a_time([(256,), (3, 64, 64)]) == encode.CHUNK // 4


def test_samplers_of_faces_are_judged_by_attributes(little, monkeypatch):
    monkeypatch.setattr(densities, "FEWEST_STEPS", 2)
    monkeypatch.setattr(densities, "PASSES", 0)
    metrics = evaluate(trained(style_dim=2), limit=20, progress=False, parts=["samplers", "clustering"])
    assert metrics["clustering"] == {}, "attributes are no classes"
    for found in metrics["samplers"].values():
        assert found["all"].keys() == {"all_agree", "attributes_agree", "by_chance"}
        assert 0 <= found["I"]["variety"] <= math.log(2) and found["I"]["fid"] >= 0 and "fid" not in found["T"]
