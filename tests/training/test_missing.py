"""Training on items that lack modalities, for every objective: item by item, without a trace of what is absent."""

import dataclasses
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from helpers import digits_root, marked, rows_of, seeded, spoiled, tiny_batch, tiny_model

from workbench import evaluation
from workbench.config import DYNAMIC_PRIORS, Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.load import load_dataset
from workbench.data.missing import as_configured, at_random, by_block
from workbench.distributions import Gaussian
from workbench.metrics import encode, representation, scores
from workbench.objectives import METHODS, products
from workbench.runs.run import Run, build_model
from workbench.training import loop
from workbench.training.step import Speed, Step

OBJECTIVES = sorted(METHODS)
CHOICES = [(name, "geometric") for name in OBJECTIVES] + [("mmjsd", p) for p in DYNAMIC_PRIORS if p != "geometric"]
IMAGES = (0, 1)  # of uci-plain-text
SMALL = Config(data="uci-plain-text", repeats=1, batch_size=12, importance_samples=2, device="cpu", compiled="off")


def config_of(objective: str, dynamic_prior: str, style: int = 0, **changes) -> Config:
    return SMALL.replace(objective=objective, dynamic_prior=dynamic_prior, style_dim=style, **changes)


def every_pattern(items: int = 14) -> Batch:
    """Tiny items, among them every pattern with at least one of three modalities."""
    batch = tiny_batch(3, items=items)
    patterns = torch.arange(items) % 7 + 1
    return batch._replace(present=torch.stack([(patterns >> m) % 2 == 1 for m in range(3)]))


@pytest.mark.parametrize(("objective", "prior"), CHOICES)
@pytest.mark.parametrize("style", [0, 2])
def test_the_loss_of_a_batch_is_the_mean_of_its_items_alone(objective, prior, style, monkeypatch):
    """With means for draws, and of mixtures the mean of their first component, so that no draw depends on the batch."""
    monkeypatch.setattr(Gaussian, "_noise", lambda self, generator: torch.zeros_like(self.mean))
    monkeypatch.setattr("workbench.distributions.stratified_choice", lambda weights, start=0.5: weights.argmax(0))
    monkeypatch.setattr(products, "random_subset", lambda present, generator: present & (present.cumsum(0) == 1))
    model, batch = tiny_model(3, 2, style, objective=objective), every_pattern()
    config = config_of(objective, prior, style)
    found = METHODS[objective].objective(model, batch, config, seeded())
    alone = [METHODS[objective].objective(model, rows_of(batch, [i]), config, seeded()) for i in range(batch.size)]
    torch.testing.assert_close(found.total, torch.stack([loss.total for loss in alone]).mean())


@pytest.mark.parametrize(("objective", "prior"), CHOICES)
@pytest.mark.parametrize("style", [0, 2])
def test_networks_of_what_is_absent_learn_nothing(objective, prior, style):
    """Where all items lack a modality, its encoder, heads and decoder have no gradient; the others have."""
    for absent in range(3):
        model, batch = tiny_model(3, 2, style, objective=objective), every_pattern()
        present = batch.present.clone()
        present[absent] = False
        there = present.any(0)
        loss = METHODS[objective].objective(
            model,
            spoiled(rows_of(batch._replace(present=present), there)),
            config_of(objective, prior, style),
            seeded(),
        )
        loss.total.backward()
        for networks in (model.encoders, model.heads, model.decoders):
            sizes = [
                sum(0.0 if p.grad is None else p.grad.abs().sum().item() for p in one.parameters()) for one in networks
            ]
            assert sizes[absent] == 0 and all(size > 0 for m, size in enumerate(sizes) if m != absent)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Iterator[MultimodalDataset]:
    """Real digits of which half the items lack something; the text of some sites is missing beside that."""
    with digits_root(tmp_path_factory):
        whole = load_dataset("uci-plain-text", "train", repeats=1)
        blocks = by_block(whole, torch.arange(len(whole)) % 5, {0: ["text"]})
        yield at_random(blocks, 0.5, seed=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Spoiled(MultimodalDataset):
    """A data set whose absent values are NaN, or no character."""

    def batch(self, rows, generator):
        return spoiled(super().batch(rows, generator))


def of(kind: type, data: MultimodalDataset) -> MultimodalDataset:
    return kind(**{field.name: getattr(data, field.name) for field in dataclasses.fields(data)})


@pytest.mark.parametrize("style", [marked(0, True), 4])
@pytest.mark.parametrize(("objective", "prior"), [marked(x, x != ("mopoe", "geometric")) for x in CHOICES])
def test_twenty_steps_of_every_objective(objective, prior, style, data, tmp_path):
    """In half precision, with NaN in the place of what is absent: every term stays finite, and the loss falls."""
    assert (data.present.sum(1) == 1).sum() > 20, "there are items with a single modality"
    config = config_of(objective, prior, style, steps=20, precision="bfloat16", content_first=0.0)
    run = loop.fit(config, tmp_path / "run", of(Spoiled, data), progress=False)
    assert run.trained and run.precision == "bfloat16"
    assert all(torch.isfinite(torch.tensor(column)).all() for column in run.history().values())
    fresh, trained = build_model(config, data).eval(), run.model
    batch = spoiled(data.batch(torch.arange(60), seeded()))
    losses = []
    for model in (fresh, trained):
        with torch.no_grad():
            losses.append(METHODS[objective].objective(model, batch, config, seeded()).total.item())
    assert losses[1] < 0.9 * losses[0]


def test_what_is_absent_changes_no_weight(data, tmp_path):
    runs = [
        loop.fit(config_of("mopoe", "geometric", 4, steps=6), tmp_path / kind.__name__, of(kind, data), False)
        for kind in (MultimodalDataset, Spoiled)
    ]
    for clean, dirty in zip(*(run.model.parameters() for run in runs), strict=True):
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_in_half_precision_is_near_one_in_full(objective, data):
    losses = []
    for precision in ("float32", "bfloat16"):
        model = build_model(config_of(objective, "geometric"), data)
        batch = spoiled(data.batch(torch.arange(24), seeded()))
        loss = Step(model, objective, Speed(precision))(batch, config_of(objective, "geometric"), seeded())
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        losses.append(loss.total.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


# ------------------------------------------------------------------------------------------- the configuration's fields

PARTLY = SMALL.replace(steps=2, train_size=200, missing_rate=0.5, seed=4)


@pytest.mark.parametrize("what", ["used", "dropped"])
def test_a_run_trains_on_what_its_configuration_leaves(what, tiny_root, tmp_path, monkeypatch):
    config, seen = PARTLY.replace(missing_policy=what), []
    train = loop.Trainer.train
    monkeypatch.setattr(
        loop.Trainer, "train", lambda self, *rest: seen.append(self.batches.dataset) or train(self, *rest)
    )
    run = loop.fit(config, tmp_path / "run", progress=False)
    expected = as_configured(load_dataset(config.data, "train", repeats=1), config)
    for found in (seen[0], run.dataset("train")):
        assert len(found) == len(expected) == {"used": 200, "dropped": 100}[what]
        assert torch.equal(found.pairs, expected.pairs)
        assert (found.present is None) == (what == "dropped")
        assert what == "dropped" or torch.equal(found.present, expected.present)
    assert run.dataset().present is None and len(run.dataset("train", whole=True)) == 300
    given = loop.fit(config, tmp_path / "given", load_dataset(config.data, "train", repeats=1), progress=False)
    for one, other in zip(run.model.parameters(), given.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_probes_are_fitted_to_whole_items(root_with_judges, tmp_path, monkeypatch):
    """All models are judged alike, whatever they were trained on: no probe sees an item that lacks something."""
    config, seen = PARTLY.replace(batch_size=8), []
    rows = encode.encode_rows
    monkeypatch.setattr(scores, "repeated_probe", partial(representation.repeated_probe, draws=2))
    monkeypatch.setattr(encode, "encode_rows", lambda model, d, *rest: seen.append(d) or rows(model, d, *rest))
    run = loop.fit(config, tmp_path / "run", progress=False)
    metrics = evaluation.evaluate(run, limit=50, progress=False, parts=["probe"])
    assert [len(data) for data in seen] == [300] and seen[0].present is None
    assert len(metrics["linear_probe"]["dynamic_prior"]) == 7


def test_too_few_complete_items_are_refused_before_anything_is_written(tiny_root, tmp_path):
    config = PARTLY.replace(missing_rate=0.99, missing_policy="dropped")
    with pytest.raises(ValueError, match=r"batch size 12 does not fit uci-plain-text \(train\), which has 2 rows"):
        loop.fit(config, tmp_path / "run", progress=False)
    assert not Run(tmp_path / "run").trained and not (tmp_path / "run").exists()
