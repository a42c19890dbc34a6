"""How fast training is: whole steps of `Trainer`, timed in rounds in which all contenders take turns.

A step gathers a batch from data on the device, evaluates the objective and its gradient, and updates the weights. The
best round of each contender counts: on a shared machine a round may stall, and none is faster than the machine.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from workbench.config import IMPORTANCE_SAMPLED, PRECISIONS, Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.sources import load_dataset
from workbench.data.synthetic.polydigits import FAMILY
from workbench.device import pick_device
from workbench.fusion import takes
from workbench.objectives import METHODS, method
from workbench.runs.naming import label_of
from workbench.runs.run import start
from workbench.theory.anatomy import peak_memory
from workbench.training.loop import Trainer, TrainingDiverged

BATCH = 256  # the paper's
STYLES = (0, 4)  # a shared space only, and with modality-specific subspaces
WARM_STEPS = 3  # before anything is timed but the first step
SLOW, FEW = 5.0, 2  # a step longer than so many rounds' seconds is measured in so few rounds
BATCHES = (64, 128, 256, 512, 1024, 2048, 4096)
MODALITIES = (2, 3, 4, 8, 16)
SAMPLES = (1, 2, 5, 10, 20, 50)


class StepCost(NamedTuple):
    """What training steps of one configuration cost."""

    method: str
    objective: str
    data: str
    style_dim: int
    precision: str  # and whether the objective was compiled, as in `stepping.Speed.label`
    batch_size: int
    modalities: int
    samples: int  # K draws of every posterior; 1 for objectives that are not importance sampled
    steps_per_second: float  # in the best round
    items_per_second: float  # triples, where there are three modalities
    peak_bytes: int  # of the tensors of one training: weights, optimiser, batch, activations and gradients
    first_step: float  # seconds from nothing but the data to the end of the first step
    device: str


@dataclass(frozen=True)
class Timing:
    """How long is measured. ValueError on numbers with which nothing would be."""

    rounds: int = 5
    seconds: float = 1.0  # of a round of one contender, about
    steps: int = 0  # in a round; 0: as many as take `seconds`
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("steps", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)} is too few: choose at least {least}")
        if not self.seconds > 0:
            raise ValueError(f"seconds {self.seconds} must be positive")

    def steps_for(self, once: float) -> int:
        """Steps in a round of a contender whose step takes about `once` seconds."""
        return self.steps or max(1, round(self.seconds / max(once, 1e-9)))

    def rounds_for(self, once: float) -> int:
        """Rounds of such a contender."""
        return min(self.rounds, FEW) if once > SLOW * self.seconds else self.rounds


class Candidate(NamedTuple):
    """Something that is timed: one step of it, and what waits until the device has done it."""

    step: Callable[[], object]
    wait: Callable[[], object]


def best_of_rounds(contenders: Sequence[Candidate], timing: Timing, together: bool = False) -> list[float]:
    """Seconds for a step of each contender: its best round's, all of them taking turns.

    One step of each is timed before, to know how many make a round. Slow ones have fewer rounds; with `together` all
    have as few as the slowest, so that none has more chances.
    """
    once = [_time(contender, 1, timing.clock) for contender in contenders]
    rounds = [timing.rounds_for(seconds) for seconds in once]
    rounds = [min(rounds)] * len(rounds) if together else rounds
    best = [math.inf] * len(once)
    for turn in range(timing.rounds):
        for n, contender in enumerate(contenders):
            if turn < rounds[n]:
                best[n] = min(best[n], _time(contender, timing.steps_for(once[n]), timing.clock))
    return best


def _time(contender: Candidate, steps: int, clock: Callable[[], float]) -> float:
    """Seconds a step, the mean over some."""
    contender.wait()
    start = clock()
    for _ in range(steps):
        contender.step()
    contender.wait()
    return (clock() - start) / steps


def wait_for(device: torch.device) -> None:
    """Return when the device has done everything it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def wake(device: torch.device) -> None:
    """Let the process pay what it pays once: its threads, the context and the libraries of the device."""
    network = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten(), nn.Linear(8 * 5 * 5, 8)).to(device)
    network(torch.zeros(8, 3, 8, 8, device=device)).sum().backward()
    wait_for(device)


class Bench:
    """Trainings to be timed: their trainers, and the data they share. Nothing is written.

    Use it as a context: trainers are given a folder for their runs, which is gone afterwards.
    """

    def __init__(self, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.load = cache(self._load)

    def __enter__(self) -> "Bench":
        self.temporary = tempfile.TemporaryDirectory(prefix="workbench-bench-")
        return self

    def __exit__(self, *_: object) -> None:
        self.temporary.cleanup()

    def _load(self, name: str, root: str, repeats: int, device: torch.device) -> MultimodalDataset:
        return load_dataset(name, "train", root=root or None, repeats=repeats).to(device)

    def data(self, config: Config) -> MultimodalDataset:
        """The training split of a configuration, on its device; one copy for all."""
        return self.load(config.data, config.data_root, config.repeats, pick_device(config.device))

    def trainer(self, config: Config) -> Trainer:
        """A training of a configuration, about to take its first step."""
        data = self.data(config)
        method(config.objective, len(data.storages))
        run = start(config, Path(tempfile.mkdtemp(dir=self.temporary.name)))
        return Trainer(config, run, data, pick_device(config.device))

    def started(self, config: Config) -> tuple[Trainer, float]:
        """A training after its first step, and the seconds from its making to there."""
        device, _ = pick_device(config.device), self.data(config)
        wait_for(device)
        start = self.timing.clock()
        trainer = self.trainer(config)
        trainer.step()
        wait_for(device)
        return trainer, self.timing.clock() - start

    def warm(self, trainer: Trainer) -> Trainer:
        """Let a training take what is left of its first steps, which may compile or choose kernels; of slow ones two.

        TrainingDiverged when a loss is not finite: the speed of nonsense says nothing.
        """
        seconds = 0.0
        while trainer.done < 2 or (trainer.done < WARM_STEPS and seconds <= self.timing.seconds):
            start = self.timing.clock()
            total = trainer.step().total.item()
            seconds = self.timing.clock() - start
            if not math.isfinite(total):
                raise TrainingDiverged(f"the loss of {label_of(trainer.config)} is {total}: nothing to time")
        return trainer

    def contender(self, trainer: Trainer) -> Candidate:
        """A training as something to be timed."""
        return Candidate(trainer.step, lambda: wait_for(trainer.device))

    def peak(self, config: Config) -> int:
        """The most bytes that the tensors of a training take at one time in its first steps, without the data.

        On CUDA as the allocator counts them, elsewhere by watching every operation.
        """
        device, _ = pick_device(config.device), self.data(config)
        if device.type != "cuda":
            return peak_memory(lambda: self.warm(self.trainer(config)))
        wait_for(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        self.warm(self.trainer(config))
        wait_for(device)
        return torch.cuda.max_memory_allocated(device) - before


def speeds(configs: Sequence[Config], timing: Timing | None = None) -> list[StepCost]:
    """Steps a second, memory and time to the first step of several configurations, which take turns.

    What a process pays once (threads, the device's context) is paid before; what a configuration has compiled is not,
    so memory is measured after the first steps. Raises ValueError for a configuration whose data, device or number of
    modalities cannot be trained on.
    """
    with Bench(timing) as bench:
        for device in {pick_device(config.device) for config in configs}:
            wake(device)
        started = [bench.started(config) for config in configs]
        peaks = [bench.peak(config) for config in configs]
        trainers = [bench.warm(trainer) for trainer, _ in started]
        seconds = best_of_rounds([bench.contender(trainer) for trainer in trainers], bench.timing)
    firsts = [first for _, first in started]
    return [_row(*measured) for measured in zip(trainers, peaks, firsts, seconds, strict=True)]


def _row(trainer: Trainer, peak: int, first: float, seconds: float) -> StepCost:
    config = trainer.config
    return StepCost(
        label_of(config),
        config.objective,
        config.data,
        config.style_dim,
        trainer.evaluate.speed.label,
        config.batch_size,
        len(trainer.model.modalities),
        samples_of(config),
        1 / seconds,
        config.batch_size / seconds,
        peak,
        first,
        str(trainer.device),
    )


def samples_of(config: Config) -> int:
    """K: draws of every posterior in a step."""
    return config.importance_samples if config.objective in IMPORTANCE_SAMPLED else 1


def variants(base: Config, objectives: Iterable[str], fixed: Iterable[str] = ()) -> list[Config]:
    """Every objective with a shared space and with styles, in every precision; `fixed` fields stay as in `base`.

    ValueError on an unknown objective.
    """
    styles = [base.style_dim] if "style_dim" in fixed else STYLES
    precisions = [base.precision] if "precision" in fixed else PRECISIONS
    for name in (chosen := list(objectives) or [*METHODS]):
        method(name)
    return [
        base.replace(objective=name, style_dim=style, precision=precision)
        for name in chosen
        for style in styles
        for precision in precisions
    ]


@dataclass(frozen=True)
class Limits:
    """The ends of the scaling sweeps."""

    batch: int = BATCHES[-1]
    modalities: int = MODALITIES[-1]
    samples: int = SAMPLES[-1]


def sweeps(base: Config, objectives: Iterable[str] = (), limits: Limits | None = None) -> dict[str, list[Config]]:
    """Configurations of the scaling sweeps by what is varied: batch_size, modalities (polydigits-M), samples (K).

    Importance-sampled objectives are in the last alone, unless `objectives` names them. ValueError on an unknown one.
    """
    limits, named = limits or Limits(), list(objectives)
    for name in named:
        method(name)
    plain = named or [name for name in METHODS if name not in IMPORTANCE_SAMPLED]
    sampled = [name for name in named or METHODS if name in IMPORTANCE_SAMPLED]
    found = {
        "batch_size": [
            base.replace(objective=name, batch_size=batch)
            for name in plain
            for batch in BATCHES
            if batch <= limits.batch
        ],
        "modalities": [
            base.replace(objective=name, data=f"{FAMILY}-{m}")
            for name in plain
            for m in MODALITIES
            if m <= limits.modalities and takes(METHODS[name].posterior, m)
        ],
        "samples": [
            base.replace(objective=name, importance_samples=k)
            for name in sampled
            for k in SAMPLES
            if k <= limits.samples
        ],
    }
    return {name: configs for name, configs in found.items() if configs}
