"""Two real processes: against both shares taken one after the other, one process, and a kill.

`taught` forks them, torchrun starts those of which one is `killed`; what they do is in distributed_worker.py.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import distributed_worker as worker
import pytest
import safetensors.torch
import torch
from distributed_worker import BRIEF, DIES_BEFORE, DIVERGES_AT, KILLED, MAIN
from helpers import digits_root, fill_cache_with_judges, interrupted
from torch import Tensor

from workbench import runs
from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.objectives import METHODS
from workbench.runs.run import Run
from workbench.training import loop, processes
from workbench.training.loop import fit
from workbench.training.processes import SINGLE, Generators, Processes, joined, own_seed

WORKER = str(Path(worker.__file__))
PATIENCE = 500  # seconds: they take about ten; a hang is one even on a busy machine


Ended = subprocess.CompletedProcess[str]


def ended(*program: str) -> Ended:
    """Start Python, wait for the end of all its processes; a hang fails the test and leaves none behind."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    started = subprocess.Popen([sys.executable, *program], **pipes, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        out, err = started.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGTERM)  # torchrun ends its own
        pytest.fail(f"two processes hang: {started.communicate()}")
    return subprocess.CompletedProcess(program, started.returncode, out, err)


def torchrun(*program: str) -> Ended:
    """Two processes that torchrun starts, each of which has time for a last word before it is ended with the other."""
    return ended("-m", "torch.distributed.run", "--standalone", "--monitor-interval=3", "--nproc-per-node=2", *program)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project root as `root_with_judges` has it, for all tests of this file."""
    with digits_root(tmp_path_factory) as (root, _):
        fill_cache_with_judges("uci-text")
        yield root


@pytest.fixture(scope="module")
def data(root) -> MultimodalDataset:
    return load_dataset(MAIN.data, "train", repeats=MAIN.repeats)


@pytest.fixture(scope="module")
def one_process(root, data) -> tuple[Run, list[Tensor]]:
    """An ordinary training, and the rows of its batches."""
    rows, gather = [], MultimodalDataset.batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultimodalDataset, "batch", lambda self, r, g: rows.append(r) or gather(self, r, g))
        patch.setattr(loop, "LOG_EVERY", 1)
        return fit(MAIN, root / "one-process", data, progress=False), rows


@dataclass
class Taught:
    """What two processes left, and what each of them saw."""

    folder: Path
    saw: list[dict]
    ended: Ended

    def weights(self, name: str) -> dict[str, Tensor]:
        return safetensors.torch.load_file(self.folder / name / "model.safetensors")


@pytest.fixture(scope="module")
def taught(root, data) -> Taught:
    """All trainings that need no process to die, and one that diverges in the end."""
    folder = root / "taught"
    interrupted(12, MAIN, folder / "alone", data)  # a checkpoint of one process
    end = ended(WORKER, "diverging", str(folder))
    files = [folder / f"{rank}.json" for rank in (0, 1)]
    assert all(file.is_file() for file in files), end.stderr
    return Taught(folder, [json.loads(file.read_text()) for file in files], end)


def order_of(config: Config, data: MultimodalDataset) -> Tensor:
    """The rows of every batch `[steps, batch]`: each epoch a permutation by a seed, which a generator draws."""
    epochs, source = [], torch.Generator().manual_seed(config.seed)
    per_epoch = len(data) // config.batch_size
    while len(epochs) * per_epoch < config.steps:
        seed = int(torch.randint(2**62, (), generator=source))
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        epochs.append(order[: per_epoch * config.batch_size].view(per_epoch, -1))
    return torch.cat(epochs)[: config.steps]


def in_turn(
    config: Config, data: MultimodalDataset, noises: list[torch.Generator]
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Weights, and terms of every step, when one process takes the shares one after the other and averages."""
    model, shares = runs.build_model(config, data).train(), len(noises)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    history = []
    for step, rows in enumerate(order_of(config, data)):
        now, terms = config.at_step(step, config.steps), []
        optimizer.zero_grad()
        for part, noise in zip(rows.chunk(shares), noises, strict=True):
            loss = METHODS[config.objective].objective(model, data.batch(part, noise), now, noise)
            (loss.total / shares).backward()
            terms.append(loss.terms)
        optimizer.step()
        history.append({name: sum(x[name].item() for x in terms) / shares for name in terms[0]})
    return model.state_dict(), history


def own_noises(config: Config) -> list[torch.Generator]:
    """The generators that two processes draw noise from."""
    return [torch.Generator().manual_seed(own_seed(config.seed, rank)) for rank in (0, 1)]


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """All tensors are the same but for rounding."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")


# ------------------------------------------------------------------------------------------------------- what is shared


def test_two_shares_make_up_the_batch_of_one_process_at_every_step(taught, data, one_process):
    shares = torch.tensor([saw["rows"] for saw in taught.saw])  # [processes, steps, share]
    assert shares.shape == (2, MAIN.steps, MAIN.batch_size // 2)
    together = torch.cat([*shares], dim=1)
    assert all(len(set(rows)) == MAIN.batch_size for rows in together.tolist())
    assert together.sort(1).values.equal(order_of(MAIN, data).sort(1).values)
    rows = torch.stack(one_process[1])
    epoch = len(data) // MAIN.batch_size  # later ones begin where one process has drawn noise, too
    assert together[:epoch].sort(1).values.equal(rows[:epoch].sort(1).values)


def test_one_process_has_one_generator_and_two_have_their_own():
    alone, cpu = Generators(5, torch.device("cpu"), SINGLE), torch.device("cpu")
    assert alone.noise is alone.order and alone.noise.initial_seed() == 5
    before = torch.get_rng_state()
    two = [Generators(5, cpu, Processes(rank, 2)) for rank in (0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert [g.order.initial_seed() for g in two] == [5, 5]
    seeds = [own_seed(5, rank) for rank in (0, 1, 2)] + [own_seed(6, 0)]
    assert len({*seeds, 5}) == 5
    assert own_seed(-1, 0) != own_seed(1, 0)


def test_without_torchrun_nothing_is_shared(monkeypatch):
    monkeypatch.setattr(torch.distributed, "init_process_group", None)
    for size in (None, "1", "2"):  # a cluster may set some of the variables for itself
        if size:
            monkeypatch.setenv("WORLD_SIZE", size)
        with joined() as processes:
            assert processes is SINGLE and Processes(0, 1) == SINGLE
            assert processes.is_main and processes.program == ["workbench"]


def test_the_main_process_works_with_the_threads_of_all(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 3)
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda answer, src: None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for which, threads in ((Processes(0, 2), 3), (Processes(1, 2), None), (SINGLE, 1)):
        assert which.on_main(torch.get_num_threads) == threads
        assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


# --------------------------------------------------------------------------------------------------- what is computed


def test_the_whole_training_is_that_of_both_shares_in_turn(taught, data):
    weights, history = in_turn(MAIN, data, own_noises(MAIN))
    assert_close(taught.weights("main"), weights)
    kept = Run(taught.folder / "main").history()
    assert kept["step"] == list(range(1, MAIN.steps + 1))
    for name in history[0]:
        assert kept[name] == pytest.approx([terms[name] for terms in history], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("objective", [*sorted({*METHODS} - {"mmjsd"}), "blind"])
def test_every_objective_is_that_of_both_shares_in_turn(objective, taught, data, monkeypatch):
    """Importance samples with their checkpoints and hooks, and one that leaves a decoder without a gradient."""
    monkeypatch.setitem(METHODS, "blind", worker.BLIND)
    config = BRIEF.replace(objective=objective)
    assert_close(taught.weights(objective), in_turn(config, data, own_noises(config))[0])


def test_the_curve_is_that_of_one_process_within_the_noise(taught, data, one_process):
    """In the first epoch both take the same rows: their losses differ as those of two draws of the noise do, no more.

    How much draws matter is seen in runs of one process over these rows with other noise: if noise is all there is, any
    two of these curves are as far apart as one and two processes. A training at another learning rate is farther.
    """
    epoch = len(data) // MAIN.batch_size

    def curve_of(config: Config, seed: int) -> Tensor:
        history = in_turn(config, data, [torch.Generator().manual_seed(seed)])[1]
        return torch.tensor([terms["total"] for terms in history[:epoch]])

    def distance(one: Tensor, other: Tensor) -> float:
        return (one / other).log().pow(2).mean().sqrt().item()

    drawn = [curve_of(MAIN, seed) for seed in range(100, 106)]
    between = torch.tensor([distance(x, y) for n, x in enumerate(drawn) for y in drawn[:n]])
    one, two = (torch.tensor(run.history()["total"][:epoch]) for run in (one_process[0], Run(taught.folder / "main")))
    assert distance(one, two) < between.mean() + 3 * between.std()
    assert distance(curve_of(MAIN.replace(learning_rate=1.5e-3), 200), one) > 2 * between.max()


# ------------------------------------------------------------------------------------------ what is written and resumed


def test_a_resumed_training_goes_on_exactly_with_dropout(taught):
    whole, stopped = (taught.weights(name) for name in ("dropping", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    histories = [(taught.folder / name / "history.csv").read_text() for name in ("dropping", "stopped")]
    assert histories[0] == histories[1]


def test_an_error_of_the_group_says_that_the_others_cannot_be_reached_and_no_other_error_does(monkeypatch):
    for name in processes.FROM_TORCHRUN:
        monkeypatch.setenv(name, "2")
    group = {"is_initialized": False, "init_process_group": None, "get_rank": 0, "get_world_size": 2}
    for name, value in group.items():
        monkeypatch.setattr(processes.dist, name, lambda *_, value=value, **__: value)
    with pytest.raises(ConnectionError, match=r"cannot reach each other.*\(\[gloo\] closed by peer\)"), joined():
        raise RuntimeError("[gloo] closed by peer\nat some line")
    with pytest.raises(RuntimeError, match="something else"), joined():
        raise RuntimeError("something else")


@pytest.mark.slow
def test_a_killed_training_is_resumed_exactly_evaluated_and_written_once(taught, data):
    ended, folder = torchrun(WORKER, "killed", str(taught.folder)), taught.folder / "killed"
    assert ended.returncode == 1 and not (folder / "model.safetensors").exists()
    assert json.loads((folder / "checkpoint.json").read_text())["step"] == DIES_BEFORE - DIES_BEFORE % 5
    with pytest.raises(ValueError, match=r"with another number of processes \(2 before, 1 now\)"):
        fit(Config.make("quick", **KILLED), folder, data, progress=False)
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("workbench: ")]
    assert "the processes of this training cannot reach each other" in line

    ended = torchrun("-m", "workbench", "train", *worker.arguments(**KILLED), "--out", str(folder))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"Complete: {folder}\n"
    assert ended.stderr.count("| 5/12 [") == 1, ended.stderr  # one bar, that goes on
    whole, resumed = taught.weights("undisturbed"), safetensors.torch.load_file(folder / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert Run(folder).history()["step"] == [5, 10, 12]
    assert (folder / "history.csv").read_text() == (taught.folder / "undisturbed" / "history.csv").read_text()
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "history.csv", "modalities.json", "model.safetensors", "metrics.json"}
    assert Run(folder).metrics["coherence"]["dynamic_prior"]["M"].keys() == {"M", "T", "M,T"}


# ----------------------------------------------------------------------------------------------------- what is refused


def test_what_is_there_is_given_back_and_what_cannot_be_is_refused_by_both(taught):
    for saw in taught.saw:
        assert saw["again"]
        assert saw["odd"] == (
            "ValueError: batch_size 15 cannot be divided equally among 2 processes: "
            "choose a multiple of 2, such as 16, or another number of processes"
        )
        assert saw["other"].endswith("holds a run with another configuration: choose another folder or remove it")
        assert saw["alone"].startswith(
            "Refused: a training cannot go on with another number of processes (1 before, 2 now)"
        )
        assert saw["mps"] == "ValueError: device mps is one for all 2 processes: choose cuda, a GPU each, or cpu"
        assert saw["normalised"] == (
            "ValueError: batch normalisation cannot take its statistics over the shares of 2 processes on CPUs: "
            "train in one process, or on GPUs"
        )
    assert not (taught.folder / "odd").exists() and not (taught.folder / "normalised").exists()


def test_nan_in_one_process_stops_both_with_one_line_each(taught):
    said = (
        f"workbench: divergence is nan at step {DIVERGES_AT} of 12; no checkpoint had been written yet; "
        "try a smaller learning_rate"
    )
    assert taught.ended.returncode == 1
    assert taught.ended.stderr.count("workbench: ") == taught.ended.stderr.count(said) == 2
    assert not (taught.folder / "diverging" / "model.safetensors").exists()
    assert not (taught.folder / "diverging" / "history.csv").exists()


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    taken, network = [], torch.nn.BatchNorm1d(3)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    for local in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", local)
        assert Processes(4, 6).place(torch.device("cuda"), network, 12) == torch.device("cuda", int(local))
    assert taken == [0, 1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="there are 3 processes for 2 GPUs of this machine: start torchrun with"):
        Processes(4, 6).place(torch.device("cuda"), network, 12)
    with pytest.raises(ValueError, match="device cuda:0 is one for all 6 processes: choose cuda"):
        Processes(4, 6).place(torch.device("cuda:0"), network, 12)
    for device in ("cpu", "mps", "cuda", "cuda:1"):
        assert SINGLE.place(torch.device(device), network, 7) == torch.device(device)
