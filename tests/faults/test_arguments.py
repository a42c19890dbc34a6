"""What callers hand over beside arrays, seeds, codes, names: read as what it means, or refused in a sentence."""

import numpy as np
import pytest
import torch

from workbench import Config, MultimodalDataset, evaluate, fit
from workbench.config import whole
from workbench.data import missing
from workbench.data.load import load_dataset
from workbench.runs.run import Run

N = 24
RNG = np.random.default_rng(0)
ARRAYS = {"a": RNG.normal(size=(N, 3)), "b": RNG.normal(size=(N, 2))}
LABELS = np.arange(N) % 3
TRAIN, TEST = MultimodalDataset.from_arrays(ARRAYS, LABELS, name="ward")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = Config(data=TRAIN.name, steps=3, latent_dim=4, batch_size=8, device="cpu", compiled="off")
    return fit(config, tmp_path_factory.mktemp("runs") / "run", TRAIN, progress=False)


@pytest.fixture(scope="module")
def model(run):
    return run.model


def numbers(run, **more):
    found = evaluate(run, data=(TRAIN, TEST), progress=False, **{"parts": ["latent"], **more})
    return {name: value for name, value in found.items() if name != "seconds"}


SEEDED = {
    "from_arrays": lambda run, seed: MultimodalDataset.from_arrays(ARRAYS, LABELS, seed=seed)[0].name,
    "evaluate": lambda run, seed: numbers(run, seed=seed),
    "at_random": lambda run, seed: missing.at_random(TRAIN, 0.5, seed).present.tolist(),
    "by_pattern": lambda run, seed: missing.by_pattern(TRAIN, {"a": 0.5}, seed).present.tolist(),
}


@pytest.mark.parametrize("what", SEEDED)
def test_seeds_of_numpy_are_seeds(what, run):
    wanted = SEEDED[what](run, 3)
    assert all(SEEDED[what](run, kind(3)) == wanted for kind in (np.int64, np.uint64, np.int8))
    assert SEEDED[what](run, 2**64 - 1) == SEEDED[what](run, np.uint64(2**64 - 1))


@pytest.mark.parametrize("what", [*SEEDED, "load_dataset"])
@pytest.mark.parametrize("seed", [2**64, -(2**64), 10**30, True, torch.tensor(1)], ids=str)
def test_what_is_no_seed_is_refused(what, seed, run):
    loaded = {"load_dataset": lambda run, seed: load_dataset("uci-text", "test", seed=seed)}
    with pytest.raises(ValueError, match=r"^seed .* (is not of type int|does not fit 64 bits)$"):
        (SEEDED | loaded)[what](run, seed)


@pytest.mark.parametrize("value", [1.5, "0", None, np.float64(2), b"1", [1]])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^limit .* is not of type int$"):
        whole("limit", value)


def test_one_name_is_a_list_of_one(run, model):
    assert numbers(run, parts="latent") == numbers(run)
    for given in (0, "a", "A", ["a"]):
        assert torch.equal(model.infer(ARRAYS, given, "product").mean, model.infer(ARRAYS, ["a"], "product").mean)


SITES = np.arange(len(TRAIN)) % 2


def test_a_row_whose_site_is_masked_is_of_no_site():
    masked = np.ma.masked_array(SITES, np.arange(len(TRAIN)) == 1)
    found = missing.by_block(TRAIN, masked, {1: "a"}).present
    assert (~found[:, 0]).tolist() == [site == 1 and row != 1 for row, site in enumerate(SITES)]


REFUSED = {
    "device": (lambda run: numbers(run, device="0"), "device '0' is not available here"),
    "prior weight": (lambda run: run.model.infer(ARRAYS, None, "dynamic_prior", -0.5), "prior_weight -0.5 is a share"),
    "no number": (lambda run: run.model.infer(ARRAYS, prior_weight=float("nan")), "prior_weight nan is a share"),
    "masked codes": (lambda run: run.model.generate(np.ma.masked_array(np.zeros((2, 4)), True)), "codes are finite"),
    "codes of words": (lambda run: run.model.generate(np.array([["a"] * 4])), "codes are finite numbers"),
    "fewer than none": (lambda run: run.model.generate(-1), "-1 items cannot be generated"),
    "styles": (lambda run: run.model.generate(np.zeros((2, 4)), np.zeros((3, 2, 1))), r"give \[2, 2, 0\]"),
    "no attribute": (lambda run: MultimodalDataset.from_arrays(ARRAYS, np.ones((N, 0), bool)), "labels have no column"),
    "a long name": (lambda run: MultimodalDataset.from_arrays(ARRAYS, LABELS, name="x" * 101), "at most 100"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_one_sentence(case, run):
    call, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as error:
        call(run)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\u2028b", "\udc80", "a,b", " a", ""])
def test_names_that_a_table_could_not_hold_are_refused(name):
    with pytest.raises(ValueError, match="needs a name without a comma or blanks around it, on one line: rename it"):
        MultimodalDataset.from_arrays({name: ARRAYS["a"]}, LABELS)


@pytest.mark.parametrize("name", ['5"', "%s", "<b>", "a/b", "..", "日本", "checksum", "step", "total"])
def test_other_names_stand_in_a_history_as_they_are(name, tmp_path):
    other = Run(tmp_path)
    other.add_to_history(50, {"total": 1.0, f"nll_{name}": 2.0})
    assert other.history() == {"step": [50.0], "total": [1.0], f"nll_{name}": [2.0]}
