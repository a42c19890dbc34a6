"""Which way of taking training steps is the fastest here: timed for a few steps, kept for the next run alike.

`precision` and `compiled` of the configuration pin the choice; where they say "auto", candidates are timed on the model
itself, without a step of the optimiser. Timings are kept in data/cache/speed; a run goes on in the way that it began.
"""

import json
import time
import warnings

import torch

from workbench import paths
from workbench.config import PRECISIONS, Config, digest
from workbench.data.dataset import Batches
from workbench.device import processor
from workbench.model import MultimodalVAE
from workbench.runs.run import Run
from workbench.training.step import Speed, Step

WORTH_COMPILING = 300.0  # seconds of training from which on compiling is tried: it takes about one minute itself
ROUNDS = 3  # timed steps of each candidate, after a first one
SHAPING = ("objective", "latent_dim", "style_dim", "importance_samples", "posterior", "width", "dynamic_prior")


def choose(config: Config, run: Run, model: MultimodalVAE, batches: Batches, steps: int) -> Speed:
    """The speed that a run began with, else the pinned one, else the fastest of the candidates for so many steps.

    What was chosen stands as "speed" in the run's config.json.
    """
    origin = run.read("config.json")
    if "speed" in origin:
        return Speed(**origin["speed"])
    speed = _pinned(config) or _fastest(config, model, batches, steps)
    run.write("config.json", {**origin, "speed": speed._asdict()})
    return speed


def _pinned(config: Config) -> Speed | None:
    if "auto" not in (config.precision, config.compiled):
        return Speed(config.precision, config.compiled == "on")
    return None


def _fastest(config: Config, model: MultimodalVAE, batches: Batches, steps: int) -> Speed:
    precisions = PRECISIONS if config.precision == "auto" else (config.precision,)
    timings = Timings(config, model, batches)
    if config.compiled == "on":
        return min((Speed(precision, True) for precision in precisions), key=timings.of_step)
    eager = min((Speed(precision) for precision in precisions), key=timings.of_step)
    left = timings.of_step(eager) * steps
    if config.compiled == "off" or left < WORTH_COMPILING:
        return eager
    fast = Speed(eager.precision, True)
    try:
        whole = timings.of_step(fast) * steps + timings.of_start(fast)
    except RuntimeError as error:  # what torch.compile raises where there is no C++ compiler, for example
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(f"steps are taken without torch.compile, which does not work here: {reason}", stacklevel=2)
        return eager
    return fast if whole < left else eager


class Timings:
    """Seconds that steps like those of a configuration take on this machine: measured when asked for the first time."""

    def __init__(self, config: Config, model: MultimodalVAE, batches: Batches) -> None:
        self.config, self.model, self.batches = config, model, batches
        self.file = paths.cache_dir() / "speed" / f"{_key(config, model, batches)}.json"

    def of_step(self, speed: Speed) -> float:
        """The best of some steps."""
        return self._of(speed)[1]

    def of_start(self, speed: Speed) -> float:
        """The first step: of a compiled objective, mostly its compilation."""
        return self._of(speed)[0]

    def _of(self, speed: Speed) -> tuple[float, float]:
        known = json.loads(self.file.read_text()) if self.file.is_file() else {}
        if speed.label not in known:
            known[speed.label] = [*self._measure(speed)]
            with paths.replacing(self.file) as temporary:
                temporary.write_text(json.dumps(known, indent=1) + "\n")
        first, best = known[speed.label]
        return first, best

    def _measure(self, speed: Speed) -> tuple[float, float]:
        """Seconds of a first step, and of the fastest of those after it; weights and buffers stay as they are."""
        generator = torch.Generator(self.batches.dataset.pairs.device).manual_seed(0)
        taken = self.batches
        batches = Batches(taken.dataset, taken.batch_size, generator, generator, taken.share)
        step, seconds = Step(self.model, self.config.objective, speed), []
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        try:
            for _ in range(ROUNDS + 1):
                start = time.perf_counter()
                step(next(batches), self.config, generator).total.item()  # waits for the device
                seconds.append(time.perf_counter() - start)
        finally:
            self.model.zero_grad(set_to_none=True)
            for name, buffer in self.model.named_buffers():
                buffer.copy_(buffers[name])
        return seconds[0], min(seconds[1:])


def _key(config: Config, model: MultimodalVAE, batches: Batches) -> str:
    """What the time of a step depends on, as twelve hexadecimal digits."""
    device = batches.dataset.pairs.device
    like = {name: getattr(config, name) for name in SHAPING} | {
        "batch": batches.batch_size // batches.share[1],
        "shapes": batches.dataset.shapes,
        "networks": [type(network).__name__ for network in (*model.encoders, *model.decoders)],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return digest(like)
