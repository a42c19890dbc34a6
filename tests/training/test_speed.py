"""The choice of how steps are taken: pinned, measured once, kept with the run, worth its own time."""

import json

import pytest
import torch

from workbench import runs
from workbench.config import Config
from workbench.data.sources import load_dataset
from workbench.training import speed
from workbench.training.loop import Trainer, fit
from workbench.training.step import Speed

CONFIG = Config(data="uci-text", repeats=2, batch_size=8, steps=4, device="cpu", precision="auto")


@pytest.fixture
def data(tiny_root):
    return load_dataset(CONFIG.data, "train", repeats=CONFIG.repeats)


def chosen(config, data, folder, monkeypatch, seconds: dict[Speed, tuple[float, float]], steps: int) -> Speed:
    """The choice where steps take so long, and how often each candidate was measured."""
    measured = []

    def measure(self, speed: Speed) -> tuple[float, float]:
        measured.append(speed)
        return seconds[speed]

    monkeypatch.setattr(speed.Timings, "_measure", measure)
    batches = data.batches(config.batch_size, "cpu", torch.Generator())
    found = speed.choose(config, runs.start(config, folder), runs.build_model(config, data), batches, steps)
    assert len(measured) == len({*measured})
    return found


FAST_HALF = {
    Speed("float32"): (3.0, 2.0),
    Speed("bfloat16"): (3.0, 1.0),
    Speed("float32", True): (60.0, 1.5),
    Speed("bfloat16", True): (60.0, 0.5),
}
SLOW_HALF = FAST_HALF | {Speed("bfloat16"): (9.0, 4.0)}


@pytest.mark.parametrize(
    ("changes", "seconds", "steps", "expected"),
    [
        ({}, FAST_HALF, 10, Speed("bfloat16")),
        ({}, SLOW_HALF, 10, Speed("float32")),
        ({}, FAST_HALF, 1000, Speed("bfloat16", True)),
        ({}, SLOW_HALF, 1000, Speed("float32", True)),
        ({"compiled": "off"}, FAST_HALF, 1000, Speed("bfloat16")),
        ({"compiled": "on"}, FAST_HALF, 1, Speed("bfloat16", True)),
        ({"precision": "float32"}, FAST_HALF, 10, Speed("float32")),
        ({"precision": "float32"}, FAST_HALF, 1000, Speed("float32", True)),
        # compiling would pay for itself only in 120 steps of these, and is not tried below five minutes
        ({}, FAST_HALF, 200, Speed("bfloat16")),
        # it was tried and saves too little
        ({}, FAST_HALF | {Speed("bfloat16", True): (60.0, 0.99)}, 400, Speed("bfloat16")),
        ({"precision": "bfloat16", "compiled": "on"}, {}, 1, Speed("bfloat16", True)),
        ({"precision": "float32", "compiled": "off"}, {}, 10**6, Speed()),
    ],
)
def test_the_fastest_is_chosen_where_nothing_is_pinned(changes, seconds, steps, expected, data, tmp_path, monkeypatch):
    assert chosen(CONFIG.replace(**changes), data, tmp_path / "run", monkeypatch, seconds, steps) == expected


def test_a_run_goes_on_as_it_began_and_says_so(data, tmp_path, monkeypatch):
    assert chosen(CONFIG, data, tmp_path / "run", monkeypatch, FAST_HALF, 10) == Speed("bfloat16")
    assert chosen(CONFIG, data, tmp_path / "run", monkeypatch, {}, 10) == Speed("bfloat16")
    run = runs.Run(tmp_path / "run")
    assert run.read("config.json")["speed"] == {"precision": "bfloat16", "compiled": False}
    assert run.config.precision == "auto" and run.precision == "bfloat16"


def test_timings_are_measured_once_for_runs_alike(data, tmp_path, monkeypatch):
    slow = {speed: (first, 2 * best) for speed, (first, best) in SLOW_HALF.items()}
    assert chosen(CONFIG, data, tmp_path / "one", monkeypatch, FAST_HALF, 10) == Speed("bfloat16")
    assert chosen(CONFIG.replace(seed=3, beta=1.0), data, tmp_path / "two", monkeypatch, slow, 10) == Speed("bfloat16")
    assert chosen(CONFIG.replace(latent_dim=8), data, tmp_path / "three", monkeypatch, slow, 10) == Speed("float32")


def test_measuring_leaves_the_training_as_it_is(data, tmp_path):
    """A run whose precision was measured takes the very steps of one whose precision was pinned."""
    measured = fit(CONFIG, tmp_path / "measured", data, progress=False)
    pinned = fit(
        CONFIG.replace(precision=measured.precision, compiled="off"), tmp_path / "pinned", data, progress=False
    )
    assert measured.history() == pinned.history()
    kept = json.loads(next((tmp_path / "data" / "cache" / "speed").glob("*.json")).read_text())
    assert {*kept} == {"float32", "bfloat16"}
    assert all(0 < best <= 60 and 0 < first <= 60 for first, best in kept.values())


def test_where_nothing_can_be_compiled_training_goes_on_and_says_why(data, tmp_path, monkeypatch):
    def measure(self, speed: Speed) -> tuple[float, float]:
        if speed.compiled:
            raise RuntimeError("no working C++ compiler was found\nand much more")
        return 2.0, 1.0

    monkeypatch.setattr(speed.Timings, "_measure", measure)
    batches = data.batches(CONFIG.batch_size, "cpu", torch.Generator())
    begun = runs.start(CONFIG, tmp_path / "run"), runs.build_model(CONFIG, data), batches
    with pytest.warns(UserWarning, match="does not work here: no working C[+][+] compiler was found$"):
        assert not speed.choose(CONFIG, *begun, 10_000).compiled


def test_networks_with_running_statistics_keep_them(data, tmp_path):
    config = CONFIG.replace(precision="float32", compiled="off")
    run = runs.start(config, tmp_path / "run")
    trainer = Trainer(config, run, data, torch.device("cpu"))
    trainer.model.register_module("norm", torch.nn.BatchNorm1d(20))

    def follow(heads, inputs, output) -> None:
        trainer.model.norm(output[0].mean)

    trainer.model.heads[0].register_forward_hook(follow)
    before = {name: x.clone() for name, x in trainer.model.state_dict().items()}
    speed.Timings(config, trainer.model, trainer.batches).of_step(Speed())
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in trainer.model.parameters())
