"""Samplers of random codes: draws by hand, files there and back, refusals, what an evaluation says, copies."""

import json
import math

import numpy as np
import pytest
import torch
from helpers import count_little, digits_root, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from own_arrays import KINDS, arrays
from own_runs import shell
from own_runs import trained as trained_on_arrays

from workbench.config import Config
from workbench.data import DataError, MultimodalDataset
from workbench.distributions import Gaussian
from workbench.evaluation import evaluate, evaluate_into
from workbench.metrics.coherence import variety
from workbench.metrics.features import FeatureSet, Statistics
from workbench.metrics.quality import frechet_distance, frechet_error
from workbench.metrics.samplers import SAMPLERS, Samplers, densities, fit_samplers, fitted, samplers_of
from workbench.metrics.samplers.densities import Gmm
from workbench.metrics.samplers.draws import Prior
from workbench.metrics.samplers.judged import Nearness
from workbench.objectives import METHODS
from workbench.reports import tables
from workbench.runs.run import Run
from workbench.training.loop import fit


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A project root for all tests, which share its judges and runs; small numbers of all that is counted."""
    with digits_root(tmp_path_factory) as (root, patch):
        count_little(patch)
        patch.setattr(densities, "FEWEST_STEPS", 3)
        patch.setattr(densities, "PASSES", 1)
        yield root


def trained(**changes) -> Run:
    """A run of such a configuration; one that another test has trained is given back."""
    config = Config(data="uci-plain-text", repeats=2, batch_size=16, steps=6, device="cpu", **changes)
    return fit(config, progress=False)


def same(one: Samplers, other: Samplers) -> bool:
    """Whether all samplers draw the same, and codes held out are as likely."""
    draws = [[samplers[name].draw(40, seeded(1)) for name in SAMPLERS] for samplers in (one, other)]
    equal = (torch.equal(x, y) for a, b in zip(*draws, strict=True) for x, y in zip(a, b, strict=True))
    return all(equal) and one.held_out == other.held_out


# ------------------------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("objective", ["mmjsd", "mmvae", "mvae", "mopoe"])
def test_exemplars_are_draws_of_the_posteriors_of_their_items(little, objective):
    """By hand: the items that a seed chooses, encoded by themselves, and the noise that comes next."""
    run = trained(objective=objective, style_dim=3)
    model, train = run.model, run.dataset("train")
    found = fit_samplers(model, train, run.config, items=64)
    rows, _ = fitted.fitted_rows(train, 64)
    generator, chosen = seeded(5), seeded(5)
    drawn, places = found.exemplar.draw(9, generator), torch.randint(len(rows), (9,), generator=chosen)
    with torch.no_grad():
        q = model.encode(train.batch(rows, seeded()))
    how = METHODS[objective].inference[0]
    for item, place in enumerate(places.tolist()):
        alone = type(q)(q.content[:, [place]], q.style[:, [place]], q.present[:, [place]])
        q_joint = model.infer(alone, fusion=how, prior_weight=run.config.prior_weight)
        means = q_joint.components.mean[:, 0] if hasattr(q_joint, "components") else q_joint.mean
        cold = found.exemplar.draw(9, seeded(5), temperature=0.0)
        assert ((means - cold.content[item]).abs().amax(-1) < 1e-4).any(), "the mean of one of its components"
    noise = torch.empty_like(drawn.content).normal_(generator=chosen)
    expected = found.exemplar.contents[places]
    torch.testing.assert_close(drawn.content, expected.mean + (0.5 * expected.logvar).exp() * noise)
    noise = torch.empty_like(drawn.style).normal_(generator=chosen)
    expected = q.style[:, places]
    torch.testing.assert_close(drawn.style, expected.mean + (0.5 * expected.logvar).exp() * noise, atol=1e-4, rtol=1e-4)


def test_the_priors_draws_are_the_models_own(little):
    model = trained(style_dim=3).model
    codes = Prior.of(model).draw(30, seeded(2))
    for ours, theirs in zip(model.generate(*codes), model.generate(30, generator=seeded(2)), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("style_dim", [0, 3])
def test_every_sampler_gives_what_a_model_decodes(little, style_dim):
    run = trained(style_dim=style_dim)
    found = fit_samplers(run.model, run.dataset("train"), run.config, items=100)
    for name in SAMPLERS:
        content, style = found[name].draw(7, seeded())
        assert content.shape == (7, run.config.content_dim) and style.shape == (3, 7, style_dim)
        assert [len(x) for x in run.model.generate(content, style)] == [7, 7, 7]
    assert found.held_out.keys() == {"prior", "gmm", "flow"}
    assert all(row.keys() == {"content", *("MST" if style_dim else "")} for row in found.held_out.values())
    with pytest.raises(ValueError, match="unknown sampler 'gmms': did you mean 'gmm'"):
        found["gmms"]


def test_held_out_codes_are_no_fitted_ones_and_their_likelihood_is_the_densities(little):
    run = trained(objective="mmvae", style_dim=2)
    train = run.dataset("train")
    rows, rest = fitted.fitted_rows(train)
    assert len(rest) == len(train) // 2 // 10 and not {*rows.tolist()} & {*rest.tolist()}
    assert {*rows.tolist(), *rest.tolist()} == {*range(len(train) // 2)}
    found = fit_samplers(run.model, train, run.config)
    held = fitted._exemplar(run.model, train, rest, run.config, 0).once()
    expected = found.gmm.styles[1].log_prob(held.style[1]).mean().item()
    assert found.held_out["gmm"]["S"] == pytest.approx(expected)
    standard = Gaussian(torch.zeros_like(held.content), torch.zeros_like(held.content))
    assert found.held_out["prior"]["content"] == pytest.approx(standard.log_prob(held.content).mean().item())


def test_what_items_lack_is_not_fitted_to(little):
    """Styles of absent modalities are the prior's in exemplars; densities of styles see the others alone."""
    run = trained(style_dim=2, missing_rate=0.6)
    train = run.dataset("train")
    found = fit_samplers(run.model, train, run.config)
    absent = ~found.exemplar.present
    assert absent.any(1).all() and found.exemplar.present.any(0).all()
    for part in found.exemplar.style:
        assert not part[absent].any() and part[~absent].any()
    present = found.exemplar.present[0]
    again = Gmm.fit(found.exemplar.once().style[0, present])
    assert torch.equal(again.mean, found.gmm.styles[0].mean)


# --------------------------------------------------------------------------------------------------- in a run folder


@pytest.mark.parametrize("style_dim", [0, 2])
def test_samplers_are_fitted_once_and_read_back(little, style_dim, monkeypatch):
    run = trained(style_dim=style_dim, seed=7)
    first = samplers_of(run)
    assert (run.folder / fitted.NAME).is_file()
    monkeypatch.setattr(fitted, "fit_samplers", None)  # it would be an error to call it
    assert same(samplers_of(run), first)


def test_samplers_come_again_by_their_seed_and_are_made_again_for_other_weights(little):
    run = trained(seed=8)
    first = samplers_of(run)
    kept = (run.folder / fitted.NAME).read_bytes()
    (run.folder / fitted.NAME).unlink()
    assert same(samplers_of(run), first)
    (run.folder / fitted.NAME).write_bytes(kept[:-9])
    assert same(samplers_of(run), first), "a damaged file"
    assert len((run.folder / fitted.NAME).read_bytes()) == len(kept)
    assert not same(samplers_of(run, components=2), first)
    other = trained(seed=9)
    (other.folder / fitted.NAME).write_bytes(kept)
    assert not same(samplers_of(other), first), "a file from another run"


def test_missing_data_is_refused_in_one_sentence(little, tmp_path, monkeypatch):
    run, splits = trained_on_arrays(tmp_path / "run")
    with pytest.raises(ValueError, match=r"was trained on arrays .*, which it does not keep: give them"):
        samplers_of(run)
    first = samplers_of(run, splits.train)
    assert same(samplers_of(run), first), "what is kept needs no data"
    with pytest.raises(ValueError, match=r"samplers need at least 20 training items, and .* has 5: give it more"):
        fit_samplers(run.model, splits.train, run.config, items=5)
    real = fit_real_away(monkeypatch, tmp_path)
    with pytest.raises(DataError, match=r"^[^\n]*mnist[^\n]*$"):
        samplers_of(real)


def fit_real_away(monkeypatch, tmp_path) -> Run:
    """A run whose data has gone: trained on embedded digits, its configuration says MNIST."""
    run = trained(seed=11)
    content = run.read("config.json")
    content["config"] |= {"data": "mnist-plain-text", "data_root": str(tmp_path / "nowhere")}
    moved = Run(tmp_path / "moved")
    moved.write("config.json", content)
    for name in ("modalities.json", "model.safetensors"):
        (moved.folder / name).write_bytes((run.folder / name).read_bytes())
    return moved


# -------------------------------------------------------------------------------------------------------- evaluation


def test_an_evaluation_that_is_asked_tells_every_sampler_and_others_none(little):
    run = trained(style_dim=2, seed=3)
    brief = evaluate(run, limit=60, progress=False, parts=["coherence"])
    metrics = evaluate_into(run, limit=60, progress=False, parts=["coherence", "samplers", "clustering"])
    for section in brief.keys() - {"seconds"}:
        assert metrics[section] == brief[section], "numbers of other parts are as without"
    assert metrics["samplers"].keys() == {*SAMPLERS}
    for name, found in metrics["samplers"].items():
        assert found.keys() == {"all", "content", "M", "S", "T"}
        assert 0 <= found["all"]["all_agree"] <= found["all"]["agreement_pattern"] <= 1
        images = {"average_precision", "f_8", "f_1_8", "fid", "nearer", "nearest", "nearest_of_test", "variety"}
        assert found["M"].keys() - {"style_held_out"} == images == found["S"].keys() - {"style_held_out"}
        assert ("held_out" in found["content"]) == (name != "exemplar") == ("style_held_out" in found["T"])
        assert all(0 <= found[letter]["variety"] <= math.log(10) + 1e-9 for letter in "MST")
        assert metrics["samplers_error"][name]["M"]["fid"] > 0
    assert {x["M"]["nearest_of_test"] for x in metrics["samplers"].values()} == {
        metrics["samplers"]["gmm"]["M"]["nearest_of_test"]
    }
    assert metrics["clustering"].keys() == {"dynamic_prior", "mixture"}
    assert json.dumps(run.metrics["samplers"]) == json.dumps(metrics["samplers"])
    again = evaluate(run, limit=60, progress=False, parts=["samplers"])
    assert again["samplers"] == metrics["samplers"]
    shown = {table.spec.name: table for table in tables.all_tables([run])}
    assert shown["samplers"].markdown().count("prior") >= 1 and {"copying", "clustering"} <= shown.keys()


def test_a_users_own_tables_have_samplers_without_judges(little, tmp_path):
    splits = MultimodalDataset.from_arrays(arrays(), name="hospital", kinds=KINDS)
    run, splits = trained_on_arrays(tmp_path / "run", style_dim=2)
    found = evaluate(run, data=splits, parts=["samplers"], progress=False)["samplers"]
    assert found.keys() == {*SAMPLERS} and all("all" not in row for row in found.values())
    assert {*found["gmm"]["content"]} == {"nearest", "nearest_of_test", "nearer", "held_out"}
    with pytest.raises(ValueError, match="the part 'clustering' needs labels"):
        evaluate(run, data=splits, parts=["clustering"], progress=False)


def test_a_snapshot_has_samplers_of_its_own_that_are_not_kept(little):
    run = trained(seed=5, snapshot_every=3)
    path = run.snapshots()[3]
    early = samplers_of(run, weights=path)
    assert not (run.folder / fitted.NAME).exists() and not same(early, samplers_of(run))


def test_the_shell_evaluates_further_parts(little, monkeypatch):
    run = trained(seed=6)
    assert shell(monkeypatch, "evaluate", run.folder, "--samples", 2, "--limit", 30, "--also", "samplers") == 0
    assert "samplers" in run.metrics and "clustering" not in run.metrics and "log_likelihood" in run.metrics


# ------------------------------------------------------------------------------------------------------------- copies


@given(st.integers(0, 99))
@settings(max_examples=10)
def test_nearness_by_loop(seed):
    train, test, made = (torch.randn(n, 3, generator=seeded(seed + n)) for n in (12, 9, 7))
    nearness = Nearness(train, test)
    near = [[min(math.dist(x, t) for t in train.tolist()) for x in points.tolist()] for points in (made, test)]
    share = np.mean([a < b for a in near[0] for b in near[1]])
    found = nearness.scores(made)
    assert found["nearer"] == pytest.approx(share)
    assert found["nearest"] == pytest.approx(sorted(near[0])[3], rel=1e-4)
    assert found["nearest_of_test"] == pytest.approx(sorted(near[1])[4], rel=1e-4)


def test_copies_are_found():
    train, test = torch.randn(2, 300, 5, generator=seeded())
    nearness = Nearness(train, test)
    assert nearness.scores(train + 0.05 * torch.randn(300, 5, generator=seeded(1)))["nearer"] > 0.98
    assert nearness.scores(torch.randn(300, 5, generator=seeded(2)))["nearer"] == pytest.approx(0.5, abs=0.06)


def test_variety_is_the_entropy_of_what_is_found():
    classes = torch.tensor([0, 0, 1, 3])
    assert variety(classes) == pytest.approx(
        torch.distributions.Categorical(torch.tensor([2.0, 1, 1])).entropy().item()
    )
    present = torch.tensor([[True, True], [True, False], [True, False], [True, False]])
    bernoulli = torch.distributions.Bernoulli(torch.tensor([1.0, 0.25]))
    assert variety(present) == pytest.approx(bernoulli.entropy().mean().item())
    assert variety(torch.arange(10)) == pytest.approx(math.log(10))


class Plain:
    name, dimensions, weights = "plain", 3, {}

    def __call__(self, images):
        return images.flatten(1)


def test_the_error_of_a_frechet_distance_is_its_spread_over_other_draws():
    real = Statistics(3)
    real.update(torch.randn(2000, 3, generator=seeded()))

    def made(seed: int) -> FeatureSet:
        return FeatureSet(Plain(), [*(1.2 * torch.randn(500, 3, generator=seeded(seed)) + 0.3).split(90)])

    sets = [made(seed) for seed in range(1, 61)]
    spread = np.std([frechet_distance(real, x.statistics) for x in sets], ddof=1)
    told = np.mean([frechet_error(real, x) for x in sets[:20]])
    assert told == pytest.approx(spread, rel=0.3)
