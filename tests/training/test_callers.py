"""What callers have set, ask for or hand over: a training is the same everywhere, and what cannot be is told before."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from helpers import interrupted
from torch import nn

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset, Splits
from workbench.data.load import load_dataset
from workbench.device import memory_told
from workbench.errors import WorkbenchError
from workbench.evaluation import evaluate
from workbench.interop.transformer import MultimodalTransformer
from workbench.modality import modalities_of
from workbench.runs.run import Run
from workbench.training import checkpoint, loop
from workbench.training.loop import fit

X = np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture(scope="module")
def splits() -> Splits:
    return MultimodalDataset.from_arrays({"x": X, "y": X[:, :2]}, [0, 1] * 20)


def config_of(splits: Splits, **fields) -> Config:
    few = dict(steps=6, latent_dim=4, batch_size=8, device="cpu", compiled="off", precision="bfloat16")
    return Config(**{"data": splits.train.name} | few | fields)


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory) -> Run:
    return fit(config_of(splits), tmp_path_factory.mktemp("whole") / "run", splits.train, progress=False)


@contextmanager
def default(setting: str, value: object, usual: object) -> Iterator[None]:
    getattr(torch, f"set_default_{setting}")(value)
    try:
        yield
    finally:
        getattr(torch, f"set_default_{setting}")(usual)


AROUND = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": functools.partial(default, "dtype", torch.float64, torch.float32),
    "device": functools.partial(default, "device", "meta", None),
    "autocast": functools.partial(torch.autocast, "cpu", torch.bfloat16),
}


def results(run: Run) -> tuple:
    return (run.folder / "model.safetensors").read_bytes(), (run.folder / "history.csv").read_bytes()


@pytest.mark.parametrize("around", AROUND)
def test_a_training_and_its_model_are_the_same_within_whatever_the_caller_has_set(around, whole, splits, tmp_path):
    with AROUND[around]():
        run = fit(config_of(splits), tmp_path / "run", splits.train, progress=False)
        metrics = evaluate(run, data=splits, parts=["latent", "probe"], progress=False)
        model = run.model
    assert results(run) == results(whole)
    assert {(p.dtype, p.device.type) for p in model.parameters()} == {(torch.float32, "cpu")}
    expected = evaluate(whole, data=splits, parts=["latent", "probe"], progress=False)
    assert metrics | {"seconds": 0} == expected | {"seconds": 0}


@pytest.mark.parametrize("around", ["no_grad", "inference_mode", "float64", "autocast"])
def test_a_transformer_fits_there_too(around):
    codes = MultimodalTransformer(latent_dim=2, steps=4, random_state=0).fit(X).transform(X)
    with AROUND[around]():
        same = MultimodalTransformer(latent_dim=2, steps=4, random_state=0).fit(X).transform(X)
    assert np.array_equal(codes, same)


# --------------------------------------------------------------------------------------------------- parts of the data


def test_the_test_part_is_not_trained_on_nor_evaluated_in_the_place_of_the_other(whole, splits, tiny_root, tmp_path):
    named = [load_dataset("uci-text", split, repeats=2) for split in ("train", "test")]
    for train, test in (splits, named):
        config = config_of(splits, data=train.name, repeats=2)
        with pytest.raises(ValueError, match=f"the test part of {train.name} is given to train on: give the part for"):
            fit(config, tmp_path / "run", test, progress=False)
        run = whole if train.own else fit(config, tmp_path / "named", train, progress=False)
        for swapped in ((test, train), (train, train), (test, test)):
            parts = ", ".join(part.split for part in swapped)
            with pytest.raises(
                ValueError, match=rf"data is \({parts}\) of {train.name}: give its parts as \(train, te"
            ):
                evaluate(run, data=swapped, parts=["latent"], progress=False)
    assert not (tmp_path / "run").exists()


def test_nothing_to_evaluate_is_refused(whole, splits):
    for options, message in (({"limit": 0}, "limit 0"), ({"limit": -3}, "limit -3"), ({"samples": 0}, "samples 0")):
        with pytest.raises(ValueError, match=f"{message} leaves nothing to evaluate: choose 1 or more"):
            evaluate(whole, data=splits, progress=False, **options)


# ------------------------------------------------------------------------------------------- what cannot be trained


class Normed(nn.Sequential):
    features = 8

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 8), nn.BatchNorm1d(8))


def test_a_batch_of_one_item_is_refused_where_batch_normalisation_takes_its_statistics(splits, tmp_path):
    made = modalities_of(splits.train, networks={"x": (Normed, lambda code: nn.Linear(code, 3))}, likelihoods=LAPLACE)
    one = config_of(splits, batch_size=1, precision="float32")
    with pytest.raises(
        ValueError, match=r"the batch normalisation in the encoder of 'x' nothing .*choose a batch_size"
    ):
        fit(one, tmp_path / "run", splits.train, progress=False, modalities=made)
    assert not (tmp_path / "run").exists()
    fit(one.replace(batch_size=2), tmp_path / "two", splits.train, progress=False, modalities=made)
    fit(one, tmp_path / "one", splits.train, progress=False)


LAPLACE = {"x": "laplace"}


def test_too_little_memory_is_a_sentence(monkeypatch, splits, tmp_path):
    def allocate(*arguments) -> None:
        torch.empty(2**62)

    monkeypatch.setattr(loop, "model_of", allocate)
    with pytest.raises(WorkbenchError, match=r"there is not enough memory .*: choose a smaller batch_size, latent_dim"):
        fit(config_of(splits), tmp_path / "run", splits.train, progress=False)
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(WorkbenchError, match="there is not enough memory"), memory_told():
            raise error
    with pytest.raises(RuntimeError, match=r"^another$"), memory_told():
        raise RuntimeError("another")


@pytest.mark.parametrize("weight", [float("inf"), float("nan"), -1.0])
def test_weights_are_finite_numbers(weight, splits):
    for which in ("weights", "style_weights"):
        with pytest.raises(ValueError, match=f"{which} of 'x' is .*: a weight is not negative, and a finite number"):
            modalities_of(splits.train, **{which: {"x": weight}})


# ------------------------------------------------------------------------------------------------------- going on


def test_a_training_goes_on_with_the_threads_that_it_began_with(splits, tmp_path, monkeypatch):
    config, threads = config_of(splits, checkpoint_every=2), []
    torch.set_num_threads(before := torch.get_num_threads() + 1)
    try:
        folder = interrupted(3, config, tmp_path / "run", splits.train)
    finally:
        torch.set_num_threads(before - 1)
    take = loop.Trainer.step
    monkeypatch.setattr(loop.Trainer, "step", lambda self: threads.append(torch.get_num_threads()) or take(self))
    run = fit(config, folder, splits.train, progress=False)
    assert run.read("config.json")["speed"]["threads"] == before and {*threads} == {before}
    assert torch.get_num_threads() == before - 1


def test_a_kill_between_a_snapshot_and_its_checkpoint_loses_neither(splits, tmp_path, monkeypatch):
    config, save = config_of(splits, checkpoint_every=2, snapshot_every=2), checkpoint.save

    def killed(folder, step, *rest):
        if step == 4:
            raise KeyboardInterrupt
        return save(folder, step, *rest)

    undisturbed = fit(config, tmp_path / "whole", splits.train, progress=False)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", killed)
        fit(config, tmp_path / "run", splits.train, progress=False)
    run = fit(config, tmp_path / "run", splits.train, progress=False)
    assert [*run.snapshots()] == [*undisturbed.snapshots()] == [2, 4, 6] and results(run) == results(undisturbed)
