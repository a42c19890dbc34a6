"""Our training steps against another library's: the same networks, batches and objective, taking turns in one process.

The other side is given what costs it nothing: data on the device, gathered as ours are, and no logging of its own.
"""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

from workbench.config import Config
from workbench.device import pick_device
from workbench.studies.speed import Bench, Row, Timing, best_of_rounds, described
from workbench.training.step import Speed

# What computes the same in multivae: the class of its model, and its settings.
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


def check(library: str) -> None:
    """Raise ValueError when the library to be compared with is unknown or not installed."""
    if library != "multivae":
        raise ValueError(f"unknown comparison {library!r}: choose multivae")
    try:
        import multivae  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(f"this needs {error.name}: install multivae with `pip install -e '.[oracle]'`") from None


def configurations(base: Config, objectives: Sequence[str] = (), fixed: Collection[str] = ()) -> list[Config]:
    """List what is compared: objectives that multivae has, with the importance samples of SAMPLES unless fixed.

    Raises ValueError when there is nothing to compare, and on styles.
    """
    if base.style_dim:
        raise ValueError(f"style_dim {base.style_dim}: the comparison is of shared spaces only, take style_dim=0")
    if base.dynamic_prior != "geometric" or base.posterior != "gaussian":
        raise ValueError("the comparison is of Gaussian posteriors without a dynamic prior: leave both as they are")
    chosen = [name for name in objectives or DEFAULT if name in THEIRS]
    if not chosen:
        raise ValueError(f"multivae has no {' and no '.join(objectives)}: compare some of {', '.join(THEIRS)}")
    samples = {} if "importance_samples" in fixed else SAMPLES
    return [base.replace(objective=one, importance_samples=samples.get(one, base.importance_samples)) for one in chosen]


def ways(base: Config, fixed: Collection[str] = ()) -> list[Speed]:
    """List the ways of taking our steps that have what is fixed."""
    compiled = {base.compiled == "on"} if "compiled" in fixed else {True, False}
    precisions = {base.precision} if "precision" in fixed else {speed.precision for speed in SPEEDS}
    return [speed for speed in SPEEDS if speed.compiled in compiled and speed.precision in precisions]


def compare(configs: Sequence[Config], timing: Timing, speeds: Sequence[Speed] = SPEEDS) -> list[Row]:
    """Time ours in several ways and multivae's in float32, one row for each of ours and each of theirs.

    A row says what of ours was timed (`described`), and `theirs`, our_seconds, their_seconds and the `ratio` of these.
    All of one configuration take turns, for as many rounds.
    """
    return [row for config in configs for row in _compare(config, timing, speeds)]


def _compare(config: Config, timing: Timing, speeds: Sequence[Speed]) -> list[Row]:
    from workbench.studies.speed_multivae import Theirs

    rivals, device = _rivals(config), pick_device(config.device)
    bench = Bench()
    theirs = [Theirs(config.replace(**changes), bench.data(config), device) for changes in rivals.values()]
    pinned = [config.replace(precision=s.precision, compiled="on" if s.compiled else "off") for s in speeds]
    ours = [bench.started(one)[0] for one in pinned]
    seconds = best_of_rounds([training.step for training in (*ours, *theirs)], timing, together=True)
    pairs = product(zip(rivals, seconds[len(ours) :], strict=True), zip(ours, seconds, strict=False))
    return [
        described(trainer) | {"theirs": name, "our_seconds": our, "their_seconds": their, "ratio": their / our}
        for (name, their), (trainer, our) in pairs
    ]


def _rivals(config: Config) -> dict[str, dict[str, Any]]:
    """Models of theirs for an objective of ours, by name, and what is to change in the configuration for them."""
    rivals = {THEIRS[config.objective].format(config.importance_samples): {}}
    if other := INSTEAD.get(config.objective):
        rivals[THEIRS[other].format(SAMPLES[other])] = {"objective": other, "importance_samples": SAMPLES[other]}
    return rivals
