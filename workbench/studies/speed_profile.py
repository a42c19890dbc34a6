"""Where a training step's time goes: gather, encode, fuse, decode, backward, optimiser.

Clocks are put round the parts of a `Trainer` from outside, and taken away again; on CUDA they wait for the device at
every change of part, so that a step with clocks is slower than one without. A compiled objective has no parts to put
clocks round: the time of its evaluation appears as not attributed, that of its gradient as `backward`.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.likelihoods import Likelihood
from workbench.runs.naming import label_of
from workbench.studies.speed import Bench, Timing, best_of_rounds, wait_for
from workbench.training.loop import Trainer

PARTS = {
    "gather": "indices, images and text of a batch",
    "encode": "encoders and their heads",
    "fuse": "everything of the objective that is no network: products, mixtures, divergences, draws",
    "decode": "decoders and likelihoods",
    "backward": "the gradient, with what is computed again for it",
    "optimiser": "Adam and the zeroing of gradients",
}
REST = "not attributed"
REFERENCE = {"precision": "float32", "compiled": "off"}  # what "before" has in place of the settings


class Profile(NamedTuple):
    """Seconds of a training step by part, in the round that was fastest with clocks."""

    label: str  # before or after
    method: str
    objective: str
    precision: str
    batch_size: int
    device: str
    seconds: float  # of a step without clocks, the best of as many rounds
    clocked: float  # of a step with clocks: the sum of the parts and what is not attributed
    parts: dict[str, float]
    rest: float  # not attributed


class Watch:
    """Adds up the seconds of parts. What is called inside another part counts for itself, but within `backward`."""

    def __init__(self, clock: Callable[[], float], wait: Callable[[], object]) -> None:
        self.clock, self.wait = clock, wait
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.parts = [REST]
        self.last = clock()

    def charge(self) -> None:
        """Give the time since the last change to the part that is running."""
        self.wait()
        now = self.clock()
        self.seconds[self.parts[-1]] += now - self.last
        self.last = now

    def enter(self, part: str) -> None:
        """A part begins."""
        self.charge()
        self.parts.append(part)

    def leave(self) -> None:
        """The part that began last ends."""
        self.charge()
        self.parts.pop()

    def ground(self, part: str) -> None:
        """What runs outside of all parts is this one's from now on."""
        self.charge()
        self.parts[0] = part

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part that lasts as long as the block; what is computed again for the gradient is the gradient's."""
        if "backward" in self.parts:
            yield
            return
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a part."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return watched


class WatchedBatches(Iterator[Batch]):
    """Batches that are watched; from when one is there, the objective runs, whose time is that of `part`."""

    def __init__(self, batches: Iterator[Batch], watch: Watch, part: str) -> None:
        self.batches, self.watch, self.part = batches, watch, part

    def __next__(self) -> Batch:
        with self.watch.part("gather"):
            batch = next(self.batches)
        self.watch.ground(self.part)
        return batch


@dataclasses.dataclass(frozen=True)
class WatchedLikelihood:
    """A likelihood that is watched."""

    likelihood: Likelihood
    watch: Watch

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        """That of the likelihood."""
        with self.watch.part("decode"):
            return self.likelihood.log_prob(output, x)

    def mean(self, output: Tensor) -> Tensor:
        """That of the likelihood."""
        return self.likelihood.mean(output)

    def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """That of the likelihood."""
        return self.likelihood.sample(output, generator)


@contextmanager
def watched(trainer: Trainer, watch: Watch) -> Iterator[None]:
    """Clocks round the parts of a training's steps, for as long as the block lasts."""
    model, optimizer = trainer.model, trainer.optimizer
    backward, update = Tensor.backward, optimizer.step
    likelihoods = tuple(
        dataclasses.replace(m, likelihood=WatchedLikelihood(m.likelihood, watch)) for m in model.modalities
    )

    def watched_backward(*args: Any, **kwargs: Any) -> None:
        with watch.part("backward"):
            backward(*args, **kwargs)

    def watched_update(*args: Any, **kwargs: Any) -> None:
        watch.ground(REST)
        with watch.part("optimiser"):
            update(*args, **kwargs)

    whole = trainer.evaluate.speed.compiled
    around = [
        (trainer, "batches", WatchedBatches(trainer.batches, watch, REST if whole else "fuse")),
        (optimizer, "zero_grad", watch.around("optimiser", optimizer.zero_grad)),
        (optimizer, "step", watched_update),
        (Tensor, "backward", watched_backward),
    ]
    if not whole:
        around += [
            (model, "modalities", likelihoods),
            (model, "encode", watch.around("encode", model.encode)),
            (model, "decode_one", watch.around("decode", model.decode_one)),
        ]
    with ExitStack() as stack:
        for of, name, value in around:
            stack.enter_context(_replaced(of, name, value))
        yield


@contextmanager
def _replaced(of: Any, name: str, value: Any) -> Iterator[None]:
    """Give an object another attribute for a while; one that was its class's is its class's again."""
    own, before = name in vars(of), getattr(of, name)
    setattr(of, name, value)
    try:
        yield
    finally:
        if own:
            setattr(of, name, before)
        else:
            delattr(of, name)


def profiles(base: Config, objectives: Sequence[str], timing: Timing | None = None) -> list[Profile]:
    """Profiles of each objective: before, eager and in float32, and after, as `base` has it.

    One of an objective alone, called after, where the two are the same.
    """
    rows = []
    for name in objectives:
        after = base.replace(objective=name)
        labelled = {"before": after.replace(**REFERENCE), "after": after}
        if labelled["before"] == after:
            del labelled["before"]
        rows += profile(labelled, timing)
    return rows


def profile(labelled: dict[str, Config], timing: Timing | None = None) -> list[Profile]:
    """A profile of each configuration; with and without clocks they take turns in rounds."""
    with Bench(timing) as bench:
        trainers = [bench.warm(bench.trainer(config)) for config in labelled.values()]
        seconds = best_of_rounds([bench.contender(trainer) for trainer in trainers], bench.timing)
        charged = [{REST: math.inf} for _ in trainers]
        for turn in range(bench.timing.rounds):
            for n, trainer in enumerate(trainers):
                if turn < bench.timing.rounds_for(seconds[n]):
                    found = _clocked(trainer, bench.timing.steps_for(seconds[n]), bench.timing.clock)
                    charged[n] = min(charged[n], found, key=lambda parts: sum(parts.values()))
    return [_row(*measured) for measured in zip(labelled, trainers, seconds, charged, strict=True)]


def _clocked(trainer: Trainer, steps: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds a step of every part, the mean over some."""
    watch = Watch(clock, lambda: wait_for(trainer.device))
    with watched(trainer, watch):
        watch.ground(REST)
        watch.seconds.clear()
        for _ in range(steps):
            trainer.step()
        watch.charge()
    return {part: watch.seconds[part] / steps for part in (*PARTS, REST)}


def _row(label: str, trainer: Trainer, seconds: float, found: dict[str, float]) -> Profile:
    config = trainer.config
    return Profile(
        label,
        label_of(config),
        config.objective,
        trainer.evaluate.speed.label,
        config.batch_size,
        str(trainer.device),
        seconds,
        sum(found.values()),
        {part: found[part] for part in PARTS},
        found[REST],
    )
