"""How fast training is on this machine: whole steps of `Trainer`, their memory, their parts, and how they scale.

A step gathers a batch from data on the device, evaluates the objective and its gradient, and updates the weights. All
trainings that are timed take turns in rounds, and the best round of each counts: on a shared machine a round may stall,
and none is faster than the machine. The clock is that of `torch.utils.benchmark`: reading it waits for the device.

Rows are dictionaries, as they are kept in JSON. Each says what was trained (`described`), and

    speeds, scaling   steps_per_second and items_per_second in the best round; peak_bytes of the tensors of a training:
                      weights, optimiser, batch, activations and gradients; first_step, the seconds from nothing but the
                      data to its end
    profiles          label (before | after); decodings of an item; seconds of a step, the best of the rounds; clocked,
                      those of the fastest step under the profiler: its parts, and the rest
"""

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as clock

from workbench.config import IMPORTANCE_SAMPLED, PRECISIONS, Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.load import load_dataset
from workbench.data.synthetic.polydigits import FAMILY
from workbench.device import pick_device
from workbench.fusion import takes
from workbench.objectives import METHODS
from workbench.runs.naming import label_of
from workbench.theory.anatomy import passes, peak_memory
from workbench.training.loop import Trainer, TrainingDiverged

Row = dict[str, Any]
STYLES = (0, 4)  # a shared space only, and with modality-specific subspaces
WARM_STEPS = 3  # before rounds begin: what is compiled is recorded in the second
SLOW = 5  # a step of so many times the seconds of a round has one round
SWEEPS = {
    "batch_size": (64, 128, 256, 512, 1024, 2048, 4096),
    "modalities": (2, 3, 4, 8, 16),
    "samples": (1, 2, 5, 10, 20, 50),
}
# fuse: all of the objective that is no network; decode: likelihoods, too; optimiser: the zeroing of gradients, too
PARTS = ("gather", "encode", "fuse", "decode", "backward", "optimiser")


class Timing(NamedTuple):
    """How long is measured."""

    rounds: int = 5
    seconds: float = 1.0  # of a round of one training, about


def best_of_rounds(steps: Sequence[Callable[[], object]], timing: Timing, together: bool = False) -> list[float]:
    """Time each of `steps`, all taking turns: seconds of a call, the mean over its best round.

    Slow ones have one round; with `together` all have as few as the slowest, so that none has more chances.
    """
    options = {"timer": clock, "num_threads": torch.get_num_threads()}
    timers = [Timer("step()", globals={"step": step}, **options) for step in steps]
    once = [timer.timeit(1).mean for timer in timers]
    slow = [(max(once) if together else seconds) > SLOW * timing.seconds for seconds in once]
    best = [math.inf] * len(once)
    for turn in range(timing.rounds):
        for n, timer in enumerate(timers):
            if turn == 0 or not slow[n]:
                best[n] = min(best[n], timer.timeit(max(1, round(timing.seconds / once[n]))).mean)
    return best


# ----------------------------------------------------------------------------------------------------------- trainings


class Bench:
    """Trainings to be timed, and the data they share."""

    def __init__(self) -> None:
        self.load = cache(lambda *args, repeats, device: load_dataset(*args, repeats=repeats).to(device))

    def data(self, config: Config) -> MultimodalDataset:
        """Return the training split of a configuration, on its device; one copy serves all trainings."""
        device = pick_device(config.device)
        return self.load(config.data, "train", config.data_root or None, repeats=config.repeats, device=device)

    def trainer(self, config: Config) -> Trainer:
        """Make the training of a configuration, about to take its first step."""
        trainer = Trainer(config, self.data(config), pick_device(config.device))
        return trainer.go_on(trainer.speed)

    def started(self, config: Config) -> tuple[Trainer, float]:
        """Make a training that has taken its first steps; also returns the seconds from nothing to the first one's end.

        TrainingDiverged when a loss is not finite: the speed of nonsense says nothing.
        """
        self.data(config)
        begin = clock()
        trainer = self.trainer(config)
        trainer.step()
        first = clock() - begin
        for _ in range(1, WARM_STEPS):
            total = trainer.step().total.item()
        if not math.isfinite(total):
            raise TrainingDiverged(f"the loss of {label_of(config)} is {total}: nothing to time")
        return trainer, first

    def peak(self, config: Config) -> int:
        """Return the most bytes that the tensors of a training take at one time in its first steps, without the data.

        On CUDA as the allocator counts them, elsewhere by watching every operation.
        """
        device, _ = pick_device(config.device), self.data(config)
        if device.type != "cuda":
            return peak_memory(lambda: self.started(config))
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        self.started(config)
        return torch.cuda.max_memory_allocated(device) - before


def described(trainer: Trainer) -> Row:
    """Return what a row says of a training; its `samples` are K, the draws of every posterior in a step."""
    config = trainer.config
    return {
        "method": label_of(config),
        "objective": config.objective,
        "data": config.data,
        "style_dim": config.style_dim,
        "precision": trainer.evaluate.speed.label,  # and whether the objective is compiled
        "batch_size": config.batch_size,
        "modalities": len(trainer.model.modalities),
        "samples": config.importance_samples if config.objective in IMPORTANCE_SAMPLED else 1,
        "device": str(trainer.device),
    }


def speeds(configs: Sequence[Config], timing: Timing) -> list[Row]:
    """Measure steps a second, memory and time to the first step of several configurations, which take turns.

    What a process pays once (threads, the device's context) is paid before; what a configuration has compiled is not,
    so memory is measured after the first steps. Raises ValueError for a configuration whose data, device or number of
    modalities cannot be trained on.
    """
    bench = Bench()
    for device in {pick_device(config.device) for config in configs}:
        nn.Conv2d(3, 8, 4, device=device)(torch.zeros(8, 3, 8, 8, device=device)).sum().backward()
    trainers, firsts = zip(*map(bench.started, configs), strict=True)
    peaks = [bench.peak(config) for config in configs]
    seconds = best_of_rounds([trainer.step for trainer in trainers], timing)
    rows = []
    for trainer, first, peak, once in zip(trainers, firsts, peaks, seconds, strict=True):
        rates = {"steps_per_second": 1 / once, "items_per_second": trainer.config.batch_size / once}
        rows.append(described(trainer) | rates | {"peak_bytes": peak, "first_step": first})
    return rows


def variants(base: Config, objectives: Sequence[str], fixed: Collection[str] = ()) -> list[Config]:
    """List every objective with a shared space and with styles, in every precision; `fixed` fields stay as they are."""
    styles = [base.style_dim] if "style_dim" in fixed else STYLES
    precisions = [base.precision] if "precision" in fixed else PRECISIONS
    chosen = product(objectives or METHODS, styles, precisions)
    return [base.replace(objective=name, style_dim=style, precision=kind) for name, style, kind in chosen]


def sweeps(base: Config, objectives: Sequence[str], ends: Mapping[str, int]) -> dict[str, list[Config]]:
    """List configurations by what is varied: batch_size, modalities (polydigits-M), samples (K), up to their `ends`.

    Importance-sampled objectives are in the last alone, unless `objectives` names them.
    """
    plain = objectives or [name for name in METHODS if name not in IMPORTANCE_SAMPLED]
    sampled = [name for name in objectives or METHODS if name in IMPORTANCE_SAMPLED]
    batches, counts, samples = ([k for k in SWEEPS[way] if k <= ends.get(way, k)] for way in SWEEPS)
    feasible = [(name, m) for name in plain for m in counts if takes(METHODS[name].posterior, m)]
    configs = {
        "batch_size": [base.replace(objective=name, batch_size=k) for name in plain for k in batches],
        "modalities": [base.replace(objective=name, data=f"{FAMILY}-{m}") for name, m in feasible],
        "samples": [base.replace(objective=name, importance_samples=k) for name in sampled for k in samples],
    }
    return {way: chosen for way, chosen in configs.items() if chosen}


# ------------------------------------------------------------------------------------------- where a step's time goes


def profiles(base: Config, objectives: Sequence[str], timing: Timing) -> list[Row]:
    """Profile each objective: before, eager and in float32, and after, as `base` has it; all take turns in rounds.

    There is one profile of an objective alone, called after, where the two are the same.
    """
    labels: dict[Config, str] = {}
    for name in objectives:
        after = base.replace(objective=name)
        labels |= {after.replace(precision="float32", compiled="off"): "before", after: "after"}
    bench, rows = Bench(), []
    trainers = [bench.started(config)[0] for config in labels]
    seconds = best_of_rounds([trainer.step for trainer in trainers], timing)
    profiled = zip(*([parts_of_step(trainer) for trainer in trainers] for _ in range(timing.rounds)), strict=True)
    for label, trainer, once, turns in zip(labels.values(), trainers, seconds, profiled, strict=True):
        best = min(turns, key=lambda row: row["clocked"])
        rows.append(described(trainer) | {"label": label, "decodings": decodings(trainer), "seconds": once} | best)
    return rows


def decodings(trainer: Trainer) -> float:
    """Count how often a step's forward pass decodes an item, the mean over its modalities."""
    config, evaluate = trainer.config, METHODS[trainer.config.objective].objective
    return fmean(passes(trainer.model, evaluate, next(trainer.batches), config).decoders)


def parts_of_step(trainer: Trainer) -> Row:
    """Take a step under torch.profiler: seconds of all of it, of its parts, and of the rest, which is in no part.

    A compiled objective cannot be taken apart: its evaluation is in no part, its gradient is `backward`.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells the terminal when it begins and ends
    with named_parts(trainer), profile(activities=[ProfilerActivity.CPU]) as profiler, record_function("step"):
        trainer.step()
        clock()
    seconds = {row.key: row.cpu_time_total / 1e6 for row in profiler.key_averages()}
    parts = {part: seconds.get(part, 0.0) for part in PARTS}
    parts["fuse"] = max(0.0, seconds.get("objective", 0.0) - parts["encode"] - parts["decode"])
    return {"clocked": seconds["step"], "parts": parts, "rest": seconds["step"] - sum(parts.values())}


@contextmanager
def named_parts(trainer: Trainer) -> Iterator[None]:
    """Give the parts of a training's steps their names in torch.profiler, for as long as the block lasts.

    Each waits for the device when it begins and ends, so that such steps are slower. What is computed again for the
    gradient is the gradient's.
    """
    active: set[str] = set()

    def named(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if active & {part, "backward"}:
                return function(*args, **kwargs)
            active.add(part)
            clock()
            with record_function(part):
                result = function(*args, **kwargs)
                clock()
            active.remove(part)
            return result

        return call

    model, evaluate, optimizer = trainer.model, trainer.evaluate, trainer.optimizer
    parts = [("gather", type(trainer.batches), "__next__"), ("backward", Tensor, "backward")]
    parts += [("optimiser", optimizer, "zero_grad"), ("optimiser", optimizer, "step")]
    if not evaluate.speed.compiled:
        parts += [("objective", evaluate, "objective"), ("encode", model, "encode"), ("decode", model, "decode_one")]
        parts += [("decode", kind, "log_prob") for kind in {type(m.likelihood) for m in model.modalities}]
    with ExitStack() as stack:
        for part, owner, name in parts:
            stack.enter_context(mock.patch.object(owner, name, named(part, getattr(owner, name))))
        yield
