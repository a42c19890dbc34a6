"""Every number of a trained run, recomputed by loops where it matters."""

from functools import partial

import pytest
import torch
from helpers import count_little, digits_root, fewer_modalities, seeded, tiny_batch, tiny_model

from workbench import evaluation, inference
from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.distributions import stratified_choice
from workbench.evaluation import collapsed_modalities, evaluate_into
from workbench.fusion import subsets
from workbench.inference import component_choice, components, subset_posterior
from workbench.metrics import regression, representation, scores
from workbench.metrics.coherence import conditional_coherence
from workbench.metrics.encode import codes
from workbench.metrics.evidence import estimates
from workbench.metrics.generation import Judges, judge_conditional
from workbench.metrics.judges import Classifier
from workbench.model import MultimodalVAE
from workbench.reports import results
from workbench.runs.run import Run, run_folder, save_weights
from workbench.runs.sections import check_metrics
from workbench.runs.versions import judges_version
from workbench.training.loop import fit

ALL = {"M", "S", "T", "M,S", "M,T", "S,T", "M,S,T"}


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A project root for all tests, which share its judges and runs; small numbers of all that an evaluation counts."""
    with digits_root(tmp_path_factory) as (_, patch):
        count_little(patch)
        patch.setattr(regression, "MAX_ITER", 5)
        patch.setattr(scores, "repeated_probe", partial(representation.repeated_probe, draws=2))
        yield


def trained(**changes) -> Run:
    """A run of such a configuration; one that another test has trained is given back."""
    config = Config(data="uci-plain-text", repeats=2, batch_size=16, steps=6, device="cpu", **changes)
    return fit(config, progress=False)


def test_an_evaluated_run_has_every_number(little):
    run = trained(style_dim=4, snapshot_every=3)
    metrics = evaluate_into(run, progress=False, samples=2)
    assert run.complete and run.metrics["evaluated_with"]["judges"] == judges_version()
    assert run.metrics["coherence"] == metrics["coherence"]
    others = {"data", "test_items", "confusion", "linear_probe_error", "seconds", "over_steps"}
    assert metrics.keys() - {*results.SECTIONS} == others, "a section that no table shows"
    assert metrics["test_items"] == len(run.dataset("test")) // 2
    assert metrics["classifier_accuracy"].keys() == metrics["style_probe"].keys() == {"M", "S", "T"}
    for table in ("linear_probe", "linear_probe_error", "linear_probe_full"):
        assert metrics[table].keys() == {"dynamic_prior", "mixture"}
        assert all(row.keys() == ALL for row in metrics[table].values())
    for fusion, row in metrics["marginal_kl"].items():
        assert row.keys() == metrics["rate"][fusion].keys() == ALL
        assert all(0 <= x <= metrics["rate"][fusion][name] + 0.5 for name, x in row.items()), "never above the rate"
    for table in metrics["coherence"].values():
        assert table.keys() == {"M", "S", "T"} and all(row.keys() == ALL for row in table.values())
    numbers = [x for table in metrics["linear_probe"].values() for x in table.values()]
    numbers += [x for table in metrics["coherence"].values() for row in table.values() for x in row.values()]
    numbers += [*metrics["random_coherence"].values(), *metrics["style_probe"].values()]
    assert all(0 <= x <= 1 for x in numbers)
    assert metrics["random_coherence"]["all_agree"] <= metrics["random_coherence"]["agreement_pattern"]
    assert [row["step"] for row in metrics["over_steps"]] == [3, 6]
    assert not {"linear_probe_full", "quality", "log_likelihood"} & metrics["over_steps"][0].keys()
    # under mixture and dynamic prior a single modality is its own posterior: the same probe
    for letter in "MST":
        assert metrics["linear_probe"]["mixture"][letter] == metrics["linear_probe"]["dynamic_prior"][letter]


def test_a_posterior_that_two_ways_to_infer_share_is_probed_once(little, monkeypatch):
    asked, probe_all = [], scores.probe_all

    def noted(train, *rest):
        asked.append({*train})
        return probe_all(train, *rest)

    monkeypatch.setattr(scores, "probe_all", noted)
    found = evaluation.evaluate(trained(), limit=60, progress=False, parts=["full_probe"])["linear_probe_full"]
    assert asked == [set(), ALL, {"M,S", "M,T", "S,T", "M,S,T"}], "styles, which there are none of, and both ways"
    assert [[*row] for row in found.values()] == 2 * [["M", "S", "T", "M,S", "M,T", "S,T", "M,S,T"]]


@pytest.mark.parametrize("letters", ["M", "M,S", "M,S,T"])
@pytest.mark.parametrize("items", [1, 2, 3, 10, 97])
def test_complete_items_are_split_by_the_rule_for_all(letters, items):
    model, parts = tiny_model(), components("mixture", letters.split(","))
    q = model.encode(tiny_batch(items=items))
    assert q.present.all()
    expected = stratified_choice(torch.full((len(parts), items), 1 / len(parts)))
    assert torch.equal(component_choice(model, q, parts), expected)


def test_confusions_are_what_coherence_counts(little):
    metrics = evaluation.evaluate(trained(objective="mvae"), limit=60, progress=False, parts=["coherence"])
    assert "linear_probe" not in metrics and "quality" not in metrics
    for target, row in metrics["confusion"]["product"].items():
        for given, counts in row.items():
            counts = torch.tensor(counts)
            assert counts.shape == (10, 10) and counts.sum() == 60
            assert metrics["coherence"]["product"][target][given] == pytest.approx(counts.trace().item() / 60)


def test_quality_of_what_was_not_given(little):
    metrics = evaluation.evaluate(trained(), limit=60, progress=False, parts=["quality"])
    found = metrics["quality"]
    assert found["features"] == {"M": "judge of uci (128 features)", "S": "judge of plain (128 features)"}
    assert found["images"] == 60 and found["ceiling"] == pytest.approx(0.72, abs=0.001)
    measures = {"average_precision", "f_8", "f_1_8", "fid"}
    assert {*found["random"]} == {"M", "S"} and all({*row} == measures for row in found["random"].values())
    for table in found["conditional"].values():
        assert {target: {*row} for target, row in table.items()} == {"M": {"S", "T", "S,T"}, "S": {"M", "T", "M,T"}}
        for row in table.values():
            assert all(0 <= x["average_precision"] <= found["ceiling"] and x["fid"] >= 0 for x in row.values())


def test_log_likelihoods_of_a_run(little):
    run = trained(objective="mmvae", style_dim=4)
    found = evaluation.evaluate(run, limit=60, progress=False, parts=["likelihood"], samples=4)["log_likelihood"]
    assert found["samples"] == 4 and found["items"] == 60
    assert {*found["X"]["mixture"]} == ALL
    assert {target: len(row) for target, row in found["given"]["mixture"].items()} == {"M": 3, "S": 3, "T": 3}
    assert {target: len(row) for target, row in found["predictive"]["mixture"].items()} == {"M": 7, "S": 7, "T": 7}
    for row in found["X"]["mixture"].values():
        assert row["nats"] < 0 and row["standard_error"] > 0 and 1 <= row["effective_samples"] <= 6


def test_evidence_of_a_run(little, monkeypatch):
    """In float32, of the first complete items, whatever else is evaluated; annealing only where it is asked for."""
    for name, count in {"ITEMS": 10, "MORE_ITEMS": 6, "ANNEALED_ITEMS": 2, "AT_A_TIME": 3}.items():
        monkeypatch.setattr(estimates, name, count)
    monkeypatch.setattr(estimates, "judged", partial(estimates.judged, steps=4))
    monkeypatch.setattr(estimates, "annealed", partial(estimates.annealed, temperatures=3))
    run = trained(style_dim=4, precision="bfloat16")
    metrics = evaluation.evaluate(run, limit=60, progress=False, parts=["clustering", "evidence"])
    found, errors = metrics["evidence"], metrics["evidence_error"]
    assert found["items"] == 10 and found["draws"] == 100 and found["gain_items"] == 6 and metrics["test_items"] == 60
    assert found["nats"] < 0 < errors["nats"] and errors.keys() == {"nats", "gain"}
    judged = evaluation.evaluate(run, limit=60, progress=False, parts=["annealed"])
    assert {key: judged["evidence"][key] for key in ("items", "draws")} == {"items": 10, "draws": 100}
    assert judged["evidence"]["annealed_gap_items"] == 3 and judged["evidence_error"]["annealed_gap"] > 0
    check_metrics(judged | metrics)


def test_importance_weighted_and_laplace_runs_are_evaluated(little):
    run = trained(objective="mmvae_dreg", posterior="laplace", importance_samples=2)
    metrics = evaluation.evaluate(run, limit=20, progress=False, samples=2)
    assert metrics["linear_probe"].keys() == {"mixture"} and metrics["log_likelihood"]["X"]["mixture"]["M"]["nats"] < 0


def test_mopoe_has_two_posteriors(little):
    run = trained(objective="mopoe")
    metrics = evaluation.evaluate(run, limit=60, progress=False, parts=["coherence", "likelihood"])
    assert [*metrics["coherence"]] == ["product_alone", "mixture_of_products"]
    found = metrics["log_likelihood"]["X"]
    assert found["product_alone"]["M"] == found["mixture_of_products"]["M"], "the same draws"


def test_a_run_is_evaluated_again_for_what_it_lacks_and_never_loses_what_it_has(little, monkeypatch):
    config = Config(data="uci-plain-text", repeats=2, batch_size=16, steps=6, device="cpu", seed=1)
    evaluations = []
    whole = evaluation.evaluate

    def counted(run, *rest, **options):
        evaluations.append((options["parts"], options["limit"]))
        return whole(run, *rest, **options)

    monkeypatch.setattr(evaluation, "evaluate", counted)

    def complete(*parts: str, limit: int) -> Run:
        return evaluation.train_and_evaluate(config, progress=False, parts=parts, limit=limit)

    run = complete("probe", "latent", limit=30)
    assert "rate" in run.metrics and "coherence" not in run.metrics and run.metrics["test_items"] == 30
    weights = (run.folder / "model.safetensors").read_bytes()
    complete("latent", limit=20)
    assert evaluations == [(("latent", "probe"), 30)], "what is there on more items serves"
    run = complete("coherence", limit=20)
    assert run.metrics["test_items"] == 30 and {"rate", "linear_probe", "coherence"} <= run.metrics.keys()
    run = complete("latent", limit=40)
    assert evaluations[1:] == [(("latent", "probe", "coherence"), 30), (("latent", "probe", "coherence"), 40)]
    stored = run.metrics["evaluated_with"]
    assert stored["parts"] == ["latent", "probe", "coherence"] and stored["limit"] == 40
    monkeypatch.setattr(evaluation, "evaluate", lambda *rest, **options: counted(*rest, **options, samples=2))
    run = evaluation.train_and_evaluate(config, progress=False)
    assert evaluations[3:] == [(evaluation.PARTS, 10_000)] and run.metrics["log_likelihood"]["items"] == 120
    assert (run.folder / "model.safetensors").read_bytes() == weights, "it was trained once"


def test_snapshots_are_judged_in_no_part_that_was_not_asked_for(little):
    run = trained(style_dim=4, snapshot_every=3)
    (row, _) = evaluate_into(run, progress=False, parts=["latent", "likelihood"], limit=20)["over_steps"]
    assert row["test_items"] == 20 and "rate" in row and not {"linear_probe", "log_likelihood"} & row.keys()


def test_an_unknown_part_is_refused(little):
    config = Config(data="uci-text", device="cpu")
    with pytest.raises(
        ValueError, match="unknown part 'speed' of an evaluation: choose some of latent, probe, full_probe, coherence"
    ):
        evaluation.evaluate(trained(), parts=["speed"])
    with pytest.raises(ValueError, match="unknown part 'speed'"):
        evaluation.train_and_evaluate(config, parts=["speed"], progress=False)
    assert not run_folder(config).exists(), "refused before it was trained"


def test_the_same_numbers_come_again(little):
    run = trained(objective="mvae")
    metrics, again = (evaluation.evaluate(run, limit=20, progress=False, samples=2) for _ in range(2))
    parts = {"latent", "probe", "full probe", "judges", "generation", "likelihood"}
    assert metrics.pop("seconds").keys() == again.pop("seconds").keys() == parts
    assert metrics["coherence"].keys() == {"product"} and metrics["style_probe"] == {}
    assert metrics["test_items"] == 20 and metrics == again


def test_a_mixture_is_as_coherent_as_its_components(little):
    metrics = evaluation.evaluate(trained(objective="mmvae"), limit=60, progress=False, parts=["coherence"])
    assert metrics["coherence"].keys() == {"mixture"}
    for row in metrics["coherence"]["mixture"].values():
        for pair in ("M,S", "M,T", "S,T"):
            alone = [row[letter] for letter in pair.split(",")]
            # half of the items from each, but other draws of the noise: as far apart as 60 items can be
            assert min(alone) - 0.2 <= row[pair] <= max(alone) + 0.2


def test_a_single_modality_can_be_evaluated(little):
    config = Config(data="text", repeats=2, batch_size=16, steps=3, device="cpu")
    metrics = evaluation.evaluate(fit(config, progress=False), progress=False, limit=20, samples=2)
    assert metrics["linear_probe"]["mixture"].keys() == {"T"}
    assert metrics["random_coherence"] == {"all_agree": 1, "agreement_pattern": 1}


# ------------------------------------------------------------------------------------------------------ its parts


@pytest.mark.parametrize("fusion", ["product", "mixture", "dynamic_prior"])
def test_codes_are_means_of_physically_smaller_models(fusion):
    model, batch = tiny_model(3), tiny_batch(3, items=12)
    found = codes(model, [(model.encode(batch), batch.labels)], fusion, prior_weight=None)
    assert {*found} == {"A", "B", "C", "A,B", "A,C", "B,C", "A,B,C"}
    for name, code in found.items():
        keep = ["ABC".index(letter) for letter in name.split(",")]
        small = fewer_modalities(model, keep)
        part = Batch(tuple(batch.values[m] for m in keep), batch.present[keep], batch.labels)
        posterior = small.infer(part, fusion="mixture" if fusion == "dynamic_prior" and len(keep) == 1 else fusion)
        expected = posterior.select().mean if fusion == "mixture" or hasattr(posterior, "select") else posterior.mean
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
    """Generations of a modality alone are drawn once: a mixture shows those of each of its members for its share."""
    model, batch = tiny_model(3, 2, 1), tiny_batch(3, items=20)
    labels = batch.labels % 2
    encoded = [(model.encode(batch), labels)]
    panel = Judges(dict.fromkeys("ABC", Classifier(Threshold(), "none", 1.0)), {})
    ours = judge_conditional(model, encoded, panel, ["dynamic_prior", "mixture"], seeded(3))
    generator = seeded(3)
    alone = {name: model.generate(model.infer(batch, name).select(), generator=generator) for name in "ABC"}
    joint = {
        subset: model.generate(model.infer(batch, subset, "dynamic_prior"), generator=generator)
        for subset in subsets("ABC")[3:]
    }
    for subset in subsets("ABC"):
        whose = [subset[int((r + 0.5) / 20 * len(subset))] for r in range(20)]
        for m, letter in enumerate("ABC"):
            mixed = [alone[name][m][r] for r, name in enumerate(whose)]
            for fusion, shown in (
                ("mixture", mixed),
                ("dynamic_prior", joint[subset][m] if len(subset) > 1 else mixed),
            ):
                said = [int(item.flatten()[0] > 0.3) for item in shown]
                expected = sum(a == b for a, b in zip(said, labels.tolist(), strict=True)) / 20
                assert conditional_coherence(ours[fusion].tallies[letter][",".join(subset)]) == pytest.approx(expected)


def test_no_more_is_generated_than_there_are_posteriors(monkeypatch):
    """The joint of four modalities mixes 15 products, more than there are subsets in a selection."""
    monkeypatch.setattr(inference, "EVERY_SUBSET_OF", 3)
    model, batch = tiny_model(4, 2), tiny_batch(4, items=8)
    panel, generated = Judges(dict.fromkeys("ABCD", Classifier(Threshold(), "none", 1.0)), {}), []
    generate = MultimodalVAE.generate
    monkeypatch.setattr(MultimodalVAE, "generate", lambda *a, **k: generated.append(1) or generate(*a, **k))
    encoded = [(model.encode(batch), batch.labels % 2)]
    chosen = inference.evaluated_subsets("ABCD")
    for fusion, count in (("mixture_of_products", len(chosen)), ("mixture", 4), ("product", len(chosen))):
        generated.clear()
        found = judge_conditional(model, encoded, panel, [fusion], seeded())[fusion]
        assert len(generated) == count < 15
        assert [*found.tallies["A"]] == [",".join(subset) for subset in chosen]
        assert all(torch.tensor(tally).sum() == 8 for row in found.tallies.values() for tally in row.values())


def test_collapsed_modalities():
    probes = {"M": 0.97, "S": 0.12, "T": 0.2, "M,S": 0.1}
    assert collapsed_modalities({"linear_probe_full": {"mixture": probes}}) == ["S", "T"]
    assert collapsed_modalities({"linear_probe_full": {"mixture": {"M": 0.26, "S": 0.99}}}) == []
    assert collapsed_modalities({"linear_probe": {"mixture": probes}}) == ["S", "T"], (
        "the probe on few items where it is all there is"
    )
    with pytest.raises(ValueError, match="no probe was evaluated: ask for the part 'probe' or 'full_probe'"):
        collapsed_modalities({"coherence": {}})


def test_an_encoder_that_says_nothing_has_collapsed(little, tmp_path):
    """A collapsed posterior, the same for every input: the state that the street encoder stays in at first."""
    run, path = trained(), tmp_path / "collapsed.safetensors"
    model = run.model
    torch.nn.init.zeros_(model.heads[1].layers[0].weight)
    save_weights(model, path)
    metrics = evaluation.evaluate(run, path, limit=60, progress=False, parts=["probe", "full_probe"])
    assert "S" in collapsed_modalities(metrics)
