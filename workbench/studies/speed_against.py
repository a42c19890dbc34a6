"""Our training steps against another library's: the same networks, batches and objective, taking turns in one process.

The other side is given what costs it nothing: data on the device, gathered as ours are, and no logging of its own.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.device import pick_device
from workbench.objectives import method
from workbench.runs import run
from workbench.runs.naming import label_of
from workbench.studies.speed import Bench, Candidate, Timing, best_of_rounds, samples_of, wait_for
from workbench.training.loop import Trainer
from workbench.training.step import Speed

# What computes the same in multivae.
THEIRS = {
    "mvae": "MVAE, k=0",
    "mmvae": "MoPoE, single subsets",
    "mmvae_iwae": "MMVAE, IWAE, K={}",
    "mmvae_dreg": "MMVAE, DReG, K={}",
    "mopoe": "MoPoE",
    "mvtcae": "MVTCAE",
}
# What a user of multivae would take instead, where that is something else: its MMVAE has no closed form.
INSTEAD = {"mmvae": "mmvae_iwae"}
SAMPLES = {"mmvae_iwae": 1, "mmvae_dreg": 30}  # importance samples where none are asked for
SPEEDS = (Speed(), Speed("bfloat16"), Speed("bfloat16", compiled=True))  # ours
DEFAULT = ("mvae", "mmvae", "mmvae_iwae", "mmvae_dreg", "mopoe")
NOTE = (
    "Theirs: forward and backward of multivae's model around our networks, torch.optim.Adam as it comes, float32; its "
    "batches are gathered by our data set on the device, text made one-hot. Ours: Trainer.step. MMVAE against MMVAE, "
    "K=1, is one method with two estimators: ours has closed-form divergences and M decodings of an item, theirs M^2."
)


class Comparison(NamedTuple):
    """Seconds for a step of ours and of another library's, each the best of as many rounds, and their ratio."""

    method: str
    objective: str
    theirs: str  # the class of their model, and its settings
    data: str
    precision: str  # of ours, and whether it was compiled; theirs is float32
    batch_size: int
    modalities: int
    samples: int
    our_seconds: float
    their_seconds: float
    ratio: float
    device: str


class Theirs:
    """The training of a model of multivae: its loss, and Adam with its defaults."""

    def __init__(self, config: Config, data: MultimodalDataset, device: torch.device) -> None:
        from workbench.studies import speed_multivae

        self.ours = run.build_model(config, data).to(device).train()
        self.model = speed_multivae.as_multivae(config.objective, self.ours, config).to(device).train()
        self.inputs = speed_multivae.as_inputs
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.batches = data.batches(config.batch_size, device, torch.Generator(device).manual_seed(config.seed))

    def step(self) -> torch.Tensor:
        """One step on the next batch; returns its loss, which is still on the device."""
        loss = self.model(self.inputs(self.ours, next(self.batches))).loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def configurations(base: Config, objectives: Iterable[str] = (), fixed: Iterable[str] = ()) -> list[Config]:
    """What is compared: each objective that multivae has, with the importance samples of SAMPLES unless they are fixed.

    Raises ValueError on an unknown objective, when there is nothing to compare, and on styles.
    """
    if base.style_dim:
        raise ValueError(f"style_dim {base.style_dim}: the comparison is of shared spaces only, take style_dim=0")
    if base.dynamic_prior != "geometric" or base.posterior != "gaussian":
        raise ValueError("the comparison is of Gaussian posteriors without a dynamic prior: leave both as they are")
    chosen = list(objectives) or DEFAULT
    for name in chosen:
        method(name)
    if not THEIRS.keys() & chosen:
        raise ValueError(f"multivae has no {' and no '.join(chosen)}: compare some of {', '.join(THEIRS)}")
    samples = {} if "importance_samples" in fixed else SAMPLES
    return [
        base.replace(objective=name, importance_samples=samples.get(name, base.importance_samples))
        for name in chosen
        if name in THEIRS
    ]


def against(name: str) -> Callable[..., list[Comparison]]:
    """The comparison with a library; ValueError when it is unknown or not installed."""
    if name != "multivae":
        raise ValueError(f"unknown comparison {name!r}: choose multivae")
    try:
        import multivae  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the comparison needs {error.name}: install multivae with `pip install -e '.[oracle]'`"
        ) from None
    return compare


def compare(
    configs: Sequence[Config], timing: Timing | None = None, speeds: Sequence[Speed] = SPEEDS
) -> list[Comparison]:
    """Ours in several ways and multivae's in float32, one row for each of ours and each of theirs.

    All of one configuration take turns, for as many rounds.
    """
    return [row for config in configs for row in _compare(config, timing, speeds)]


def _compare(config: Config, timing: Timing | None, speeds: Sequence[Speed]) -> list[Comparison]:
    device = pick_device(config.device)
    with Bench(timing) as bench:
        data = bench.data(config)
        theirs = {name: Theirs(config.replace(**change), data, device) for name, change in _rivals(config).items()}
        ways = [config.replace(precision=s.precision, compiled="on" if s.compiled else "off") for s in speeds]
        trainers = [bench.warm(bench.trainer(one)) for one in ways]
        for other in theirs.values():
            other.step()
        others = [Candidate(other.step, lambda: wait_for(device)) for other in theirs.values()]
        seconds = best_of_rounds([*map(bench.contender, trainers), *others], bench.timing, together=True)
    rows = itertools.product(zip(theirs, seconds[len(ways) :], strict=True), zip(trainers, seconds, strict=False))
    return [_row(trainer, name, ours, other) for (name, other), (trainer, ours) in rows]


def _rivals(config: Config) -> dict[str, dict[str, Any]]:
    """Models of theirs for an objective of ours, by name, and what is to change in the configuration for them."""
    rivals = {THEIRS[config.objective].format(config.importance_samples): {}}
    if other := INSTEAD.get(config.objective):
        rivals[THEIRS[other].format(SAMPLES[other])] = {"objective": other, "importance_samples": SAMPLES[other]}
    return rivals


def _row(trainer: Trainer, theirs: str, our_seconds: float, their_seconds: float) -> Comparison:
    config = trainer.config
    return Comparison(
        label_of(config),
        config.objective,
        theirs,
        config.data,
        trainer.evaluate.speed.label,
        config.batch_size,
        len(trainer.model.modalities),
        samples_of(config),
        our_seconds,
        their_seconds,
        their_seconds / our_seconds,
        str(trainer.device),
    )
