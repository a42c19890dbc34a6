"""Items that a training is held back from: which they are, how they are judged, when it stops, and what is kept."""

import json
import math

import numpy as np
import pytest
import torch
from helpers import interrupted
from safetensors.torch import load_file

from workbench.config import Config
from workbench.data.load import load_dataset
from workbench.data.own.arrays import from_arrays
from workbench.distributions import Mixture
from workbench.objectives import METHODS
from workbench.runs import Run, build_model
from workbench.studies.imputation import impute
from workbench.training import fit
from workbench.training.validation import Validation, split_off, unpredicted

ITEMS = 120
KINDS = {"counts": "counts", "kind": "categories"}


def tables(related: bool = True, count: int = ITEMS) -> dict[str, np.ndarray]:
    """Three tables of one hidden number, or of nothing; some items lack one of them, some entries of another."""
    dice = np.random.default_rng(0)
    hidden = dice.normal(size=(count, 1)) * related
    made = {name: hidden * np.ones(n) + 0.3 * dice.normal(size=(count, n)) for name, n in (("a", 4), ("b", 3))}
    made["a"][::7] = np.nan
    made["b"][1::5, 0] = np.nan
    made["counts"] = dice.poisson(np.exp(0.8 * hidden + 1), size=(count, 3))
    made["kind"] = [[["low", "high"][int(x > 0)]] for x in hidden[:, 0] + 0.1 * dice.normal(size=count)]
    return made


def data_of(**options):
    return from_arrays(
        tables(**options), np.arange(options.get("count", ITEMS)) % 3, split=0.25, name="some", kinds=KINDS
    ).train


@pytest.fixture(scope="module")
def data():
    return data_of()


def config_of(data, **changes):
    base = dict(data=data.name, steps=100, batch_size=16, latent_dim=4, beta=1.0, content_first=0.0)
    return Config(**base | dict(learning_rate=5e-3, checkpoint_every=30, device="cpu", compiled="off") | changes)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return fit(config_of(data, snapshot_every=20), tmp_path_factory.mktemp("runs") / "whole", data, progress=False)


# which items


def test_a_tenth_of_own_items_is_held_back_of_every_class_alike(data):
    left, held = split_off(data, config_of(data))
    assert (len(left), len(held)) == (80, 10)  # at least ten
    assert held.labels.bincount().tolist() in ([4, 3, 3], [3, 4, 3], [3, 3, 4])
    rows = [{tuple(row) for row in part.pairs.tolist()} for part in (left, held)]
    assert not rows[0] & rows[1] and len(rows[0] | rows[1]) == len(data)
    assert [len(part) for part in split_off(data, config_of(data, validation=0.3))] == [63, 27]
    assert split_off(data, config_of(data, seed=1))[1].pairs.tolist() != held.pairs.tolist()


def test_few_items_and_the_packages_own_are_all_trained_on(data):
    few = data_of(count=60)
    assert split_off(few, config_of(few)) == (few, None) and split_off(data, config_of(data, validation=0.0))[1] is None
    assert split_off(data, config_of(data, batch_size=80))[1] and not split_off(data, config_of(data, batch_size=81))[1]
    digits = load_dataset("uci-text", "train", repeats=3)
    config = Config(data="uci-text", repeats=3, batch_size=8)
    assert split_off(digits, config)[1] is None
    left, held = split_off(digits, config.replace(validation=0.2))
    assert len(held) == round(0.2 * len(digits) / 3) and len(left) == len(digits) - 3 * len(held)
    shown = [set(part.pairs[:, 0].tolist()) for part in (left, held)]
    assert not shown[0] & shown[1] and len(shown[1]) == len(held)


# how they are judged


def by_hand(model, config, values, present, means, m):
    """Squared errors of one modality and of its means, item by item."""
    left, around = [], []
    for n in range(present.shape[1]):
        others = [k for k in range(len(present)) if k != m and present[k, n]]
        if not (present[m, n] and others):
            continue
        own = [x[n : n + 1] for x in values]
        batch = type(data_of().batch(torch.arange(1), torch.Generator()))(
            tuple(own), present[:, n : n + 1], torch.zeros(1)
        )
        found = model.infer(batch, others, METHODS[config.objective].inference[0], config.prior_weight)
        codes = [(1.0, found.mean)]
        if isinstance(found, Mixture):
            codes = [
                (w.item(), c.unsqueeze(0))
                for w, c in zip(found.weights[:, 0], found.components.mean[:, 0], strict=True)
                if w
            ]
        decode, likelihood = model.decode_one, model.modalities[m].likelihood
        guess = sum(w * told(m, likelihood.mean(decode(m, c, c.new_zeros(1, model.style_dim)))) for w, c in codes)[0]
        truth = own[m][0]
        if m == 3:
            truth = torch.nn.functional.one_hot(truth, 2).float()
        truth = told(m, truth)
        left += [(truth - guess).flatten()[~truth.flatten().isnan()]]
        around += [(truth - means[m]).flatten()[~truth.flatten().isnan()]]
    return (torch.cat(left).square().mean() / torch.cat(around).square().mean()).item()


def told(m, x):
    return torch.log1p(x) if m == 2 else x


@pytest.mark.parametrize("objective", ["mmjsd", "mmvae", "mvae"])
def test_each_modality_is_predicted_from_the_others_as_item_by_item(objective, data):
    config = config_of(data, objective=objective, style_dim=1)
    model = build_model(config, data).eval()
    judge = Validation(config, model.modalities, *split_off(data, config), torch.device("cpu"))
    means = judge.means
    seen = split_off(data, config)[0].batch(torch.arange(80), torch.Generator())
    assert means[0] == pytest.approx(seen.values[0][seen.present[0]].nanmean(0), abs=1e-5)
    found = unpredicted(model, judge.batch, means, config)
    wanted = [by_hand(model, config, judge.batch.values, judge.batch.present, means, m) for m in range(4)]
    assert [*found.values()] == pytest.approx(wanted, rel=1e-4)


def test_the_history_tells_and_the_best_weights_are_kept(trained):
    history, ended = trained.history(), trained.ended
    looks = [step for step, value in zip(history["step"], history["validation"], strict=True) if math.isfinite(value)]
    assert looks == [20, 40, 60, 80, 100] and {*history["step"]} == {*looks, 30, 90}
    columns = [history[f"unpredicted_{name}"] for name in ("a", "b", "counts", "kind")]
    mean = {step: np.mean(values) for step, *values in zip(history["step"], *columns, strict=True) if step in looks}
    best = min(mean, key=mean.get)
    assert ended["kept"] == best and ended["steps"] == 100 and ended["items"] == 10
    assert mean[best] == pytest.approx(np.mean([*ended["unpredicted"].values()]), rel=1e-5) and mean[best] < 0.6
    kept, last = load_file(trained.folder / "model.safetensors"), load_file(trained.snapshots()[int(best)])
    assert all(torch.equal(kept[name], last[name]) for name in kept)


def test_of_nothing_to_learn_a_training_stops_early_and_says_so(tmp_path, capsys):
    data = data_of(related=False)
    config = config_of(data, steps=2000, patience=60, learning_rate=0.02)
    run = fit(config, tmp_path / "run", data)
    ended, told = run.ended, capsys.readouterr().err
    assert ended["steps"] == ended["kept"] + 60 < 1000 and run.history()["step"][-1] == ended["steps"]
    assert ("learns its items by heart" in told) != ("No modality is predicted" in told)
    patient = fit(config.replace(patience=0, steps=ended["steps"] + 40), tmp_path / "patient", data, progress=False)
    assert patient.ended["steps"] == ended["steps"] + 40 and patient.ended["kept"] >= ended["kept"]


def test_what_is_imputed_no_better_than_means_is_said(trained, data):
    given = {"b": np.zeros((3, 3))}
    content = trained.read("validation.json")
    trained.write("validation.json", content | {"unpredicted": content["unpredicted"] | {"a": 1.04, "kind": None}})
    with pytest.warns(UserWarning, match=r"a: this model imputes it no better than the column means .*104%"):
        impute(Run(trained.folder).model, given, "a", 2)
    impute(Run(trained.folder).model, given, "kind", 2)  # warnings are errors here
    trained.write("validation.json", content)


@pytest.mark.parametrize("objective", METHODS)
def test_every_method_holds_back(objective, data, tmp_path):
    config = config_of(data, objective=objective, steps=25, importance_samples=3, style_dim=1)
    run = fit(config, tmp_path / "run", data, progress=False)
    history = run.history()
    assert run.ended["kept"] in (20, 25) and np.isfinite(history["validation"]).all()
    assert all(0 < share < 1.5 for share in run.ended["unpredicted"].values())


def test_the_loss_is_the_objective_of_all_items_however_few_are_worked_at_a_time(data, monkeypatch):
    config = config_of(data, objective="mmvae_iwae", importance_samples=3)
    model = build_model(config, data).eval()
    judge = Validation(config, model.modalities, *split_off(data, config), torch.device("cpu"))
    whole = judge.loss(model)
    monkeypatch.setattr("workbench.training.validation.items_at_a_time", lambda *_: 4)
    assert judge.loss(model) == pytest.approx(whole, rel=0.1) and judge.loss(model) == judge.loss(model)


def test_of_a_single_modality_the_objective_decides(tmp_path):
    alone = from_arrays({"b": tables()["counts"]}, split=0.25, name="one", kinds={"b": "vector"}).train
    run = fit(config_of(alone, objective="mvae", steps=40, validation=0.2), tmp_path / "run", alone, progress=False)
    history = run.history()
    looks = dict(zip(history["step"], history["validation"], strict=True))
    assert run.ended["kept"] == min((20, 40), key=looks.get) and run.ended["unpredicted"] == {"b": None}


# kills and resumes


def same(one: Run, other: Run) -> bool:
    mine, theirs = (load_file(run.folder / "model.safetensors") for run in (one, other))
    assert (one.folder / "history.csv").read_bytes() == (other.folder / "history.csv").read_bytes()
    return one.ended == other.ended and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("step", [10, 35, 99])
def test_a_resumed_training_is_bit_identical(step, trained, data, tmp_path):
    folder = interrupted(step, trained.config, tmp_path / "run", data)
    assert not (folder / "validation.json").exists()
    assert same(fit(trained.config, folder, data, progress=False), trained)


def test_a_checkpoint_of_a_version_that_held_nothing_back_goes_on_so(data, tmp_path):
    config = config_of(data)
    whole = fit(config.replace(validation=0.0), tmp_path / "whole", data, progress=False)
    folder = interrupted(45, config.replace(validation=0.0), tmp_path / "old", data)
    state = json.loads((folder / "checkpoint.json").read_text())
    assert "validation" not in state
    content = json.loads((folder / "config.json").read_text())
    kept = Run(folder).read("config.json")
    Run(folder).write("config.json", kept | {"config": config.to_json(), "key": config.key()})
    assert content["config"]["validation"] == 0.0
    resumed = fit(config, folder, data, progress=False)
    assert resumed.ended == {} and same(resumed, whole)
