"""The training loop: against a loop written out, through kills and resumes, and where it must stop."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from helpers import Dropping, digits_root, interrupted, marked

from workbench import runs
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.device import pick_device
from workbench.modality import NETWORKS
from workbench.objectives import METHODS, Loss
from workbench.runs import Run
from workbench.training import checkpoint, loop
from workbench.training.loop import TrainingDiverged, fit

SMALL = Config(
    data="uci-text", repeats=2, batch_size=8, steps=12, checkpoint_every=5, device="cpu", compiled="off", style_dim=2
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Iterator[MultimodalDataset]:
    with digits_root(tmp_path_factory):
        yield load_dataset(SMALL.data, "train", repeats=SMALL.repeats)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Run:
    """A training of SMALL that nothing disturbs."""
    return fit(SMALL, tmp_path_factory.mktemp("whole") / "run", data, progress=False)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def assert_same(one: Run, other: Run) -> None:
    """Two runs have the same weights and the same history."""
    assert equal(weights(one.folder), weights(other.folder))
    assert (one.folder / "history.csv").read_text() == (other.folder / "history.csv").read_text()


# ------------------------------------------------------------------------------------------------------- what it does


def test_weights_decay_by_adamw_where_it_is_asked_for(data, tmp_path):
    config = SMALL.replace(weight_decay=0.5, steps=3)
    run = fit(config, tmp_path / "run", data, progress=False)
    model, generator = runs.build_model(config, data).train(), torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.5, fused=True)
    batches = data.batches(8, "cpu", generator)
    for step in range(3):
        loss = METHODS["mmjsd"].objective(model, next(batches), config.at_step(step, 3), generator)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert equal(weights(run.folder), model.state_dict())


def test_training_is_the_loop_written_out(data, tmp_path):
    config = SMALL.replace(content_first=0.5)
    run = fit(config, tmp_path / "run", data, progress=False)
    model = runs.build_model(config, data).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.999), fused=True)
    generator = torch.Generator().manual_seed(config.seed)
    batches = data.batches(8, "cpu", generator)
    terms = []
    for step in range(12):
        now = config.replace(beta_style=36.0 if step < 6 else 3.0)
        loss = METHODS["mmjsd"].objective(model, next(batches), now, generator)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        terms.append({name: value.item() for name, value in loss.terms.items()})
    assert equal(weights(run.folder), model.state_dict())
    history = run.history()
    assert history["step"] == [5, 10, 12]
    assert [*history] == ["step", *terms[0]]
    for row, part in enumerate((terms[:5], terms[5:10], terms[10:])):
        for name in terms[0]:
            expected = sum(values[name] for values in part) / len(part)
            assert history[name][row] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_finished_training_leaves_no_checkpoint_and_is_not_repeated(whole, data, monkeypatch):
    assert whole.trained and not whole.complete
    kept = ["config.json", "history.csv", "modalities.json", "model.safetensors"]
    assert sorted(path.name for path in whole.folder.iterdir()) == kept
    monkeypatch.setattr(loop.Trainer, "step", None)
    assert fit(SMALL, whole.folder, data, progress=False).folder == whole.folder


def test_seeds(whole, data, tmp_path):
    torch.manual_seed(2)
    first, again = weights(whole.folder), weights(fit(SMALL, tmp_path / "b", data, progress=False).folder)
    other = weights(fit(SMALL.replace(seed=1), tmp_path / "c", data, progress=False).folder)
    assert equal(first, again) and not equal(first, other)


@pytest.mark.parametrize("objective", [marked(name, name != "mmjsd") for name in sorted(METHODS)])
def test_every_objective_learns(objective, data, tmp_path):
    config = SMALL.replace(objective=objective, steps=40, checkpoint_every=8, content_first=0.0)
    total = fit(config, tmp_path / "run", data, progress=False).history()["total"]
    assert total[-1] < 0.9 * total[0]


def test_the_style_betas_change_exactly_at_the_step(data, tmp_path, monkeypatch):
    seen = []

    def spy(model, batch, config, generator=None):
        seen.append(config.beta_style)
        return METHODS["mmvae"].objective(model, batch, config, generator)

    monkeypatch.setitem(METHODS, "mmjsd", METHODS["mmjsd"].__class__(**{**vars(METHODS["mmjsd"]), "objective": spy}))
    fit(SMALL.replace(content_first=0.75, beta_style=2.0, content_first_factor=5.0), tmp_path / "run", data, False)
    assert seen == [10.0] * 9 + [2.0] * 3


def test_epochs_count_passes_over_the_pair_table(data, tmp_path):
    config = SMALL.replace(steps=0, epochs=0.2)
    run = fit(config, tmp_path / "run", data, progress=False)
    assert run.history()["step"][-1] == round(0.2 * (len(data) // 8))


def test_bfloat16_stays_close_to_float32(whole, data, tmp_path):
    rounded = fit(SMALL.replace(precision="bfloat16"), tmp_path / "b", data, progress=False)
    assert all(tensor.dtype == torch.float32 for tensor in weights(rounded.folder).values())
    assert not equal(weights(whole.folder), weights(rounded.folder))
    assert rounded.history()["total"] == pytest.approx(whole.history()["total"], rel=0.02)


def test_the_progress_bar_shows_the_loss_alone(data, tmp_path, capsys):
    """Its terms would leave no room for the bar where windows are narrow; the history has them."""
    run = fit(SMALL, tmp_path / "run", data)
    shown = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert "mmJSD" in shown and "12/12" in shown and "divergence" not in shown
    assert shown.endswith(f", loss {run.history()['total'][-1]:.4g}]")


def test_snapshots(data, tmp_path):
    run = fit(SMALL.replace(snapshot_every=4), tmp_path / "run", data, progress=False)
    assert [*run.snapshots()] == [4, 8, 12]
    assert equal(safetensors.torch.load_file(run.snapshots()[12]), weights(run.folder))
    # taking snapshots changes nothing, and a snapshot is where a shorter training stands
    short = fit(SMALL.replace(steps=8, content_first=1.0), tmp_path / "short", data, progress=False)
    snapshot = safetensors.torch.load_file(run.snapshots()[8])
    assert equal(snapshot, weights(short.folder))


# ------------------------------------------------------------------------------------------------------------ devices


def test_devices(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("gpu", "tpu:0", ""):
        with pytest.raises(ValueError, match="is not available here: choose auto or cpu"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="device 'cuda:1' is not available"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda(whole, data, tmp_path):
    config = SMALL.replace(device="cuda", precision="bfloat16")
    undisturbed = fit(config, tmp_path / "whole", data, progress=False)
    resumed = fit(config, interrupted(7, config, tmp_path / "run", data), data, progress=False)
    assert resumed.history()["total"] == pytest.approx(undisturbed.history()["total"], rel=1e-3)
    assert undisturbed.history()["total"] == pytest.approx(whole.history()["total"], rel=0.05)


# ------------------------------------------------------------------------------------------------------------- resume


@pytest.mark.parametrize("at", [3, 5, 7, 11])
def test_resume_is_bit_identical(at, whole, data, tmp_path):
    folder = interrupted(at, SMALL, tmp_path / "run", data)
    kept = folder / "checkpoint.json"
    assert kept.is_file() == (at > 3)
    if kept.is_file():
        assert json.loads(kept.read_text())["step"] == at - at % 5
    assert_same(whole, fit(SMALL, folder, data, progress=False))


CHILD = """
import sys, time, torch
from pathlib import Path
from workbench import training
from workbench.config import Config
torch.set_num_threads(int(sys.argv[2]))
take = training.Trainer.step
def slowly(self):
    time.sleep(0.03)
    return take(self)
training.Trainer.step = slowly
training.fit(Config(**__import__("json").loads(sys.argv[3])), Path(sys.argv[1]), progress=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_resume_after_a_kill_is_bit_identical(data, tmp_path):
    config, folder = SMALL.replace(steps=60), tmp_path / "killed"
    arguments = [str(folder), str(torch.get_num_threads()), json.dumps(config.to_json())]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stderr=subprocess.PIPE)
    try:
        while not (folder / "checkpoint.json").is_file() and child.poll() is None:
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        message = child.communicate()[1].decode()
    assert child.returncode == -signal.SIGKILL, message
    assert not (folder / "model.safetensors").exists()
    assert 5 <= json.loads((folder / "checkpoint.json").read_text())["step"] < 60
    resumed = fit(config, folder, data, progress=False)
    assert_same(fit(config, tmp_path / "whole", data, progress=False), resumed)


def test_dropout_follows_the_seed_and_is_resumed_exactly(data, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, (1, 28, 28), replace(NETWORKS[1, 28, 28], encoder=Dropping))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    whole = fit(SMALL, tmp_path / "whole", data, progress=False)
    assert torch.equal(torch.get_rng_state(), before), "a training leaves torch's own random numbers alone"
    torch.manual_seed(2)
    folder = interrupted(7, SMALL, tmp_path / "run", data)
    torch.manual_seed(1)
    assert equal(weights(whole.folder), weights(fit(SMALL, folder, data, progress=False).folder))


def test_an_empty_history_of_an_interrupted_training_does_no_harm(data, tmp_path):
    folder = interrupted(3, SMALL, tmp_path / "run", data)
    (folder / "history.csv").write_text("")
    assert fit(SMALL, folder, data, progress=False).history()["step"] == [5, 10, 12]


def test_a_failing_checkpoint_keeps_the_one_before(whole, data, tmp_path, monkeypatch):
    save = Path.write_bytes

    def full_disk(path, content):
        if "checkpoint-0000010" in str(path):
            save(path, b"half a file")
            raise OSError("No space left on device")
        save(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(OSError, match="No space left"):
            fit(SMALL, tmp_path / "run", data, progress=False)
    assert json.loads((tmp_path / "run" / "checkpoint.json").read_text())["step"] == 5
    assert not [path for path in (tmp_path / "run").iterdir() if "0000010" in path.name]
    assert equal(weights(fit(SMALL, tmp_path / "run", data, progress=False).folder), weights(whole.folder))


# ---------------------------------------------------------------------------------------- losses that are not finite


def diverging(monkeypatch, at: int, term: str | None, value: float = math.nan) -> None:
    """From call number `at` on, a term (None: only the gradient) of mmJSD's loss is not a number."""
    whole, calls = METHODS["mmjsd"], [0]

    def objective(model, batch, config, generator=None) -> Loss:
        loss = whole.objective(model, batch, config, generator)
        calls[0] += 1
        if calls[0] < at:
            return loss
        if term is None:
            weight = next(model.parameters())
            return Loss(loss.total + torch.sqrt(0 * weight.sum() ** 2), loss.terms)
        spoiled = loss.total * value
        return Loss(spoiled, loss.terms | {term: torch.tensor(value), "total": spoiled.detach()})

    monkeypatch.setitem(METHODS, "mmjsd", whole.__class__(**{**vars(whole), "objective": objective}))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training(value, data, tmp_path, monkeypatch):
    diverging(monkeypatch, 8, "divergence", value)
    with pytest.raises(TrainingDiverged) as error:
        fit(SMALL, tmp_path / "run", data, progress=False)
    kept = tmp_path / "run" / "checkpoint.json"
    assert str(error.value).startswith(
        f"divergence is {value} at step 8 of 12; the last good checkpoint is kept in {kept}"
    )
    assert json.loads(kept.read_text())["step"] == 5
    assert not (tmp_path / "run" / "model.safetensors").exists()
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].pop("checksum").startswith("crc32:")
    assert [row["step"] for row in rows] == ["5"] and all(math.isfinite(float(x)) for x in rows[0].values())


def test_without_a_checkpoint_the_message_says_so(data, tmp_path, monkeypatch):
    diverging(monkeypatch, 2, "nll_text")
    with pytest.raises(TrainingDiverged, match=r"^nll_text is nan at step 2 of 12; no checkpoint had been written yet"):
        fit(SMALL, tmp_path / "run", data, progress=False)


def test_a_huge_learning_rate_diverges(data, tmp_path):
    config = SMALL.replace(learning_rate=1e30, checkpoint_every=100)
    with pytest.raises(TrainingDiverged, match=r" at step [2-9] of 12; .*; try a smaller learning_rate$"):
        fit(config, tmp_path / "run", data, progress=False)


@pytest.mark.parametrize("at", [5, 10, 12])
def test_weights_that_are_not_finite_are_never_kept(at, data, tmp_path, monkeypatch):
    """The loss of a step is finite but its gradient is not: the step's weights must not become the good checkpoint."""
    diverging(monkeypatch, at, None)
    with pytest.raises(TrainingDiverged):
        fit(SMALL, tmp_path / "run", data, progress=False)
    for path in (tmp_path / "run").glob("*.safetensors"):
        tensors = safetensors.torch.load_file(path)
        assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()), path.name
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "wrong", [dict(data="uci-nonsense"), dict(batch_size=10**7), dict(objective="nonsense"), dict(device="nonsense")]
)
def test_a_refused_configuration_leaves_nothing_behind(data, tmp_path, wrong):
    with pytest.raises(ValueError, match=r"nonsense|batch size 10000000 does not fit"):
        fit(SMALL.replace(**wrong), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_that_starves_says_so_once(tiny_root, monkeypatch, capsys):
    monkeypatch.setattr(loop.threads, "starving", lambda: True)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    run = fit(Config.make("quick", data="uci-text", repeats=2, batch_size=4, steps=3, latent_dim=4), tiny_root / "run")
    assert capsys.readouterr().err.count(loop.STARVING) == 1
    assert run.read("config.json")["waiting"] == loop.threads.policy()


def test_a_checkpoint_that_a_kill_left_beside_the_weights_goes(tiny_root, tmp_path):
    """Between the last weights and the removal of the checkpoint there is a moment; the same command ends it."""
    config = Config(data="uci-text", repeats=2, batch_size=8, steps=2, device="cpu", compiled="off")
    folder, remove = tmp_path / "run", checkpoint.remove
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "remove", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        loop.fit(config.replace(checkpoint_every=1), folder, progress=False)
    assert (folder / "model.safetensors").is_file() and [*folder.glob("checkpoint*")] and remove is checkpoint.remove
    assert loop.fit(config.replace(checkpoint_every=1), folder, progress=False).trained
    assert not [*folder.glob("checkpoint*")]
