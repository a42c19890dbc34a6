"""A training step's loss and gradient, taken fast: in half precision, compiled, in parts of a batch that fit a cache.

None of it changes what is computed beyond rounding: a compiled objective draws the noise of the eager one, and parts
are taken of those objectives alone whose items do not meet. Where a configuration says "auto", `speed_for` is the rule.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from workbench.config import IMPORTANCE_SAMPLED, Config
from workbench.data.dataset import Batch
from workbench.device import has_bfloat16
from workbench.importance import items_at_a_time
from workbench.losses import Loss
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.training.processes import SINGLE, Processes

# Items, or importance samples, from which on compiling pays: it takes about a minute, and saves 7 to 20 % of the 0.6 to
# 1.5 ms that an item takes on a core. Where it does not pay after all, no more than this minute is lost.
WORTH_COMPILING = 500_000


class Speed(NamedTuple):
    """How the steps of a training are taken."""

    precision: str = "float32"  # float32 | bfloat16 (autocast)
    compiled: bool = False
    threads: int | None = None  # of torch, on which the order of its sums depends; None: as many as there are

    @property
    def label(self) -> str:
        """In words: "bfloat16", "bfloat16, compiled"."""
        return f"{self.precision}, compiled" if self.compiled else self.precision


def speed_for(config: Config, device: torch.device, steps: int, processes: Processes = SINGLE) -> Speed:
    """Return how so many steps are best taken on a device; what a configuration pins stays.

    bfloat16 where the device has instructions for it; compiled where it works and the training is long enough to earn
    back the time that compiling takes.
    """
    precision, compiled = config.precision, config.compiled == "on"
    if config.compiled == "auto" and processes.size == 1:  # not tried with gradients that are averaged
        draws = config.importance_samples if config.objective in IMPORTANCE_SAMPLED else 1
        compiled = steps * config.batch_size * draws >= WORTH_COMPILING and can_compile(device)
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    return Speed(precision, compiled)


def can_compile(device: torch.device) -> bool:
    """Return whether torch.compile works on a device, which needs a C++ compiler; warns where it does not."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8, device=device))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(f"steps are taken without torch.compile, which does not work here: {reason}", stacklevel=2)
        return False
    return True


class Step:
    """Evaluates the objective of a configuration and adds its gradient to that of the model's weights."""

    def __init__(self, model: MultimodalVAE, objective: str, speed: Speed, processes: Processes = SINGLE) -> None:
        self.speed = speed
        self.objective = METHODS[objective].objective
        if speed.compiled:  # with the noise that it would draw without, on CUDA into CUDA graphs
            graphs = {"triton.cudagraphs": True} if next(model.parameters()).is_cuda else {}
            options = {"fallback_random": True, **graphs}
            self.objective = torch.compile(self.objective, dynamic=False, options=options)
        self.evaluate = processes.averaging(model) if processes.size > 1 else functools.partial(_of, model)

    def __call__(self, batch: Batch, config: Config, generator: torch.Generator) -> Loss:
        """The loss of a batch, after its gradient was added; nothing of it needs a gradient any more."""
        items = batch.size
        if config.objective in IMPORTANCE_SAMPLED:  # so many at a time that all their importance samples fit
            items = items_at_a_time(items, config.importance_samples * len(batch.values), batch.labels.device)
        parts = batch.split(items)
        losses = [self._part(part, config, generator, len(parts)) for part in parts]
        # means are copies, also of a single part: what a CUDA graph returned is overwritten when it is replayed
        terms = {name: torch.stack([loss.terms[name] for loss in losses]).mean() for name in losses[0].terms}
        return Loss(terms["total"], terms)

    def _part(self, part: Batch, config: Config, generator: torch.Generator, parts: int) -> Loss:
        half = self.speed.precision == "bfloat16"
        torch.clear_autocast_cache()  # within an autocast of the caller's, it would keep the weights of the first step
        autocast = torch.autocast(part.labels.device.type, torch.bfloat16, enabled=half)
        with as_default(generator) as source, autocast:
            loss = self.evaluate(self.objective, part, config, source)
        (loss.total / parts).backward()
        return loss


def _of(model: MultimodalVAE, objective: Callable[..., Loss], *rest: Any) -> Loss:
    return objective(model, *rest)


@contextmanager
def as_default(generator: torch.Generator) -> Iterator[torch.Generator | None]:
    """Inside, the default generator of the device draws what `generator` would; afterwards both go on from there.

    Dropout knows no other than the default generator, and torch.compile cannot trace one. Yields what objectives are to
    be given: None for the default, or on devices whose default cannot be had the generator itself.
    """
    device = generator.device
    if device.type not in ("cpu", "cuda"):
        yield generator
        return
    default = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    before = default.get_state()
    default.set_state(generator.get_state())
    try:
        yield None
    finally:
        generator.set_state(default.get_state())
        default.set_state(before)
