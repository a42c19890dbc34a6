"""One frozen configuration of a run; every field is a papermill parameter of the training notebook."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from workbench.errors import did_you_mean

# Fields by the names that older runs have for them, and what they are called now.
RENAMED = {
    "training_items": "train_size",
    "incomplete": "missing_rate",
    "incomplete_items": "missing_policy",
    "total_correlation": "mvtcae_alpha",
}
# Fields that say where and how to run, not what is computed: they do not enter the identity of a run.
WHERE = ("preset", "data_root", "device", "compiled", "checkpoint_every")
PRECISIONS = ("float32", "bfloat16")
DYNAMIC_PRIORS = ("geometric", "power", "arithmetic", "wasserstein", "none")
CHOICES = {
    "precision": (*PRECISIONS, "auto"),
    "compiled": ("auto", "on", "off"),
    "dynamic_prior": DYNAMIC_PRIORS,
    "posterior": ("gaussian", "laplace"),
    "self_content": ("gradient", "stopped"),
    "mixed_prior": ("pairs", "mixture"),
    "mvae_unimodal": ("weighted", "authors"),
    "missing_policy": ("used", "dropped"),
}
# Objectives that need no closed form of any divergence, and those with a further distribution of every style.
IMPORTANCE_SAMPLED = ("mmvae_iwae", "mmvae_dreg", "mmvae_plus", "mmvae_plus_dreg")
AUXILIARY = ("mmvae_plus", "mmvae_plus_dreg")
MIXTURES = ("mmjsd", "mmvae", "mopoe", "holder", "mixture_of_wasserstein", *IMPORTANCE_SAMPLED)  # that draw from one
# Choices that some objectives read, and what the others lack.
READ_BY = {
    "dynamic_prior": (("mmjsd",), "has no dynamic prior"),
    "power": (("mmjsd",), "has no dynamic prior"),
    "posterior": (IMPORTANCE_SAMPLED, "needs divergences of Gaussians in closed form"),
    "self_content": (MIXTURES, "draws its content from no mixture"),
    "mixed_prior": (("mmvm",), "has no mixture of posteriors as a prior"),
    "prior_share": (("mmvm",), "has no mixture of posteriors as a prior"),
    "prior_share_steps": (("mmvm",), "has no mixture of posteriors as a prior"),
    "mvae_unimodal": (("mvae",), "has no unimodal ELBOs"),
}
# Fields that came later: at their defaults, which compute what was computed before, they are in no run's key.
LATER = ("power", "self_content", "mixed_prior", "prior_share", "prior_share_steps", "mvae_unimodal")
LATER += ("validation", "patience", "weight_decay")

POSITIVE = (
    "latent_dim",
    "batch_size",
    "repeats",
    "learning_rate",
    "checkpoint_every",
    "content_first_factor",
    "importance_samples",
)
POSITIVE += ("width", "judge_width")
NOT_NEGATIVE = ("beta", "beta_style", "steps", "epochs", "snapshot_every", "train_size", "text_weight")
NOT_NEGATIVE += ("prior_share_steps", "patience", "weight_decay")
# What no memory holds, or no training reaches; all other whole numbers fit 64 bits.
MOST = {"latent_dim": 10**5, "importance_samples": 10**5, "repeats": 10**5, "width": 100, "judge_width": 100}
MOST |= {"epochs": 10**9, "steps": 10**12}

# quick is the smallest training here in which no modality stays at chance, reduced what two cores do in an hour (real
# handwriting, rendered house numbers), paper Appendix C.2.2.
PRESETS: dict[str, dict[str, Any]] = {
    "quick": dict(data="uci-plain-text", batch_size=32, steps=2000, epochs=0.0, content_first=0.75),
    "reduced": dict(data="mnist-plain-text", batch_size=256, steps=1000, content_first=0.75, precision="bfloat16"),
    "paper": dict(data="mnist-svhn-text", batch_size=256, steps=0, epochs=50.0, content_first=0.0, precision="auto"),
}
# What a preset changes when there are modality-specific subspaces (MS).
STYLE_PRESETS: dict[str, dict[str, Any]] = {"paper": dict(epochs=100.0)}
# What a preset changes for faces and their descriptions: Appendix C.3.2, the prior's weight from the authors' scripts.
FACES = ("celeba", "faces")
_C_3_2: dict[str, Any] = dict(latent_dim=64, style_dim=32, beta=2.5, beta_style=2.0, prior_weight=0.3)
FACES_PRESETS: dict[str, dict[str, Any]] = {
    "quick": _C_3_2 | dict(width=0.125, judge_width=0.125, batch_size=32, steps=200),
    "reduced": _C_3_2 | dict(width=0.125, judge_width=0.25, batch_size=64, steps=2500),
    "paper": _C_3_2 | dict(epochs=100.0),
}
# What every preset changes for tables that come with the project: deviations are learnt, so that a nat is one on both
# sides, styles need no help, and items that are held back say when it is enough.
TABLES = {"mfeat": 64, "miniacc": 16}  # items of a batch
_TABLES: dict[str, Any] = dict(steps=4000, epochs=0.0, beta=1.0, beta_style=1.0, content_first=0.0)


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on. `Config.make` fills in a preset; `replace` changes single fields.

    Raises ValueError, in one sentence, on a value or combination that cannot be trained.
    """

    preset: str = "quick"  # where the defaults came from: quick | reduced | paper
    data: str = "uci-plain-text"  # sources by name: handwriting-street-text, polydigits-M, celeba or faces
    data_root: str = ""  # folder of downloaded data; empty: WORKBENCH_DATA, else data/
    repeats: int = 20  # random pairings per item of a class
    train_size: int = 0  # items of the training split that are used, with all their pairings; 0: all
    missing_rate: float = 0.0  # share of the training items that lack modalities, at random; test items lack none
    missing_policy: str = "used"  # what becomes of training items that lack modalities: used | dropped
    objective: str = "mmjsd"  # a row of workbench.objectives.METHODS
    latent_dim: int = 20  # dimensions of content and one style together
    style_dim: int = 0  # dimensions of each modality-specific subspace; 0: a shared space only
    dynamic_prior: str = "geometric"  # the mean in mmjsd: geometric | power | arithmetic | wasserstein | none
    power: float = 0.5  # order of that mean where it is power: towards 0 geometric, 1 arithmetic
    prior_weight: float | None = None  # weight of p(z) in the dynamic prior; None: 1 / (M + 1)
    importance_samples: int = 30  # draws from each posterior in mmvae_iwae and mmvae_dreg: the paper's I
    posterior: str = "gaussian"  # family of posteriors and prior: gaussian | laplace (importance-sampled ones only)
    self_content: str = "gradient"  # that content gets from reconstructing where it was drawn from: gradient | stopped
    mixed_prior: str = "pairs"  # how mmvm pulls posteriors together: pairs (closed form, an upper bound) | mixture
    prior_share: float = 0.0  # share of p(c) in mmvm's prior; 1: separate VAEs
    prior_share_steps: int = 0  # over which it falls from 1
    mvae_unimodal: str = "weighted"  # unimodal ELBOs of mvae: weighted as the joint one | as the authors' code has them
    mvtcae_alpha: float = 0.9  # alpha of mvtcae: 1 relates its posterior to the experts only, 0 to p(z) only
    width: float = 1.0  # factor of the channels in the networks of faces and descriptions
    judge_width: float = 1.0  # the same for the classifiers that judge them
    text_weight: float | None = None  # weight of the text's log-likelihood; None: the ratio of the modalities' sizes
    beta: float = 5.0  # weight of all divergences
    beta_style: float = 3.0  # further weight of the style divergences
    content_first: float = 0.75  # fraction of the steps with style betas held higher, so that content learns first
    content_first_factor: float = 12.0  # how many times higher
    batch_size: int = 32
    steps: int = 2000  # optimiser steps; 0: `epochs` counts
    epochs: float = 0.0  # passes over the pair table; used where steps is 0
    validation: float | None = None  # share of the training items held back to see when to stop; None: 0.1 of own data
    patience: int = 500  # steps without better predictions of these, after which a training stops; 0: none stops
    learning_rate: float = 1e-3  # Adam (0.9, 0.999), no schedule, no clipping
    weight_decay: float = 0.0  # by AdamW: what is taken off each weight a step, as a share of learning_rate
    seed: int = 0
    device: str = "auto"  # auto | cpu | cuda | cuda:N | mps
    precision: str = "float32"  # float32 | bfloat16 (autocast) | auto: bfloat16 where the device computes in it
    compiled: str = "auto"  # the objective through torch.compile: auto, in long trainings | on | off
    checkpoint_every: int = 1000  # steps
    snapshot_every: int = 0  # keep a copy of the weights every so many steps; 0: none

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(field.name, getattr(self, field.name), field.type))
        _require(self.preset in PRESETS, f"unknown preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        for name, known in CHOICES.items():
            value = getattr(self, name)
            _require(value in known, f"unknown {name} {value!r}: choose one of {known}")
        for name in POSITIVE:
            _require(getattr(self, name) > 0, f"{name} {getattr(self, name)} must be positive")
        for name, most in MOST.items():
            _require(getattr(self, name) <= most, f"{name} {getattr(self, name)} is too much: choose at most {most:,}")
        _require(
            0 <= self.style_dim < self.latent_dim,
            f"style_dim {self.style_dim} leaves no content of latent_dim {self.latent_dim}: choose 0 to "
            f"{self.latent_dim - 1}",
        )
        for name, (readers, lack) in READ_BY.items():
            value = getattr(self, name)
            read = self.objective in readers or value == getattr(type(self), name)
            _require(read, f"{name} {value!r} is a choice of {' and '.join(readers)}: {self.objective} {lack}")
        chosen = self.dynamic_prior == "power" or self.power == type(self).power
        _require(chosen, f"power {self.power} is the order of dynamic_prior 'power', not of {self.dynamic_prior!r}")
        _require(
            0 < self.power <= 1, f"power {self.power} must lie in (0, 1]: towards 0 take dynamic_prior 'geometric'"
        )
        _require(0 <= self.prior_share <= 1, f"prior_share {self.prior_share} is a share: choose 0 to 1")
        _require(0 <= self.mvtcae_alpha <= 1, f"mvtcae_alpha {self.mvtcae_alpha} is a share: choose 0 to 1")
        weight = self.prior_weight
        _require(weight is None or 0 <= weight < 1, f"prior_weight {weight} must lie in [0, 1)")
        _require(0 <= self.content_first <= 1, f"content_first {self.content_first} is a fraction: choose 0 to 1")
        _require(
            0 <= self.missing_rate < 1,
            f"missing_rate {self.missing_rate} is a share that leaves complete items: choose [0, 1)",
        )
        _require(
            self.validation is None or 0 <= self.validation < 1,
            f"validation {self.validation} is a share of the training items: choose [0, 1)",
        )
        for name in NOT_NEGATIVE:
            _require((getattr(self, name) or 0) >= 0, f"{name} {getattr(self, name)} must not be negative")
        _require(self.steps > 0 or self.epochs > 0, "nothing to train: give steps or epochs")

    @classmethod
    def make(cls, preset: str = "quick", **changes: Any) -> "Config":
        """The preset with changes; a change that is None keeps the preset's value.

        Raises ValueError on an unknown preset or field, with the nearest known name.
        """
        if preset not in PRESETS:
            raise ValueError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
        _check_names(changes)
        changes = {name: value for name, value in changes.items() if value is not None}
        if "epochs" in changes and "steps" not in changes:
            changes["steps"] = 0  # asking for epochs means that they count
        styled = STYLE_PRESETS.get(preset, {}) if changes.get("style_dim") else {}
        faces = FACES_PRESETS[preset] if str(changes.get("data")).partition("-")[0] in FACES else {}
        size = TABLES.get(str(changes.get("data")))
        tables = _TABLES | {"batch_size": size} if size else {}
        return cls(**{"preset": preset, **PRESETS[preset], **styled, **faces, **tables, **changes})

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed."""
        _check_names(changes)
        return dataclasses.replace(self, **changes)

    @property
    def content_dim(self) -> int:
        """Dimensions of the shared space: what the style leaves of `latent_dim` (20, or 16 + 4)."""
        return self.latent_dim - self.style_dim

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the run."""
        return self.steps or max(1, round(self.epochs * steps_per_epoch))

    def at_step(self, step: int, total: int) -> "Config":
        """The configuration in force at a step: style betas are held higher during the content-first part.

        Without it a short training with modality-specific subspaces hides the class in the styles. The share of the
        prior that falls does so in ten stairs: a compiled objective is made anew for each configuration.
        """
        changes: dict[str, float] = {}
        if self.style_dim > 0 and step < self.content_first * total:
            changes["beta_style"] = self.beta_style * self.content_first_factor
        if step < self.prior_share_steps:
            left = 1 - (10 * step // self.prior_share_steps) / 10
            changes["prior_share"] = self.prior_share + (1 - self.prior_share) * left
        return self.replace(**changes) if changes else self

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Config":
        """The configuration that `to_json` made, by this version or by one that had other names for some fields."""
        return cls(**{RENAMED.get(name, name): value for name, value in values.items()})

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self)

    def key(self) -> str:
        """Twelve hexadecimal digits of everything but where to run: configurations that share it compute the same."""
        first = {now: name for name, now in RENAMED.items()}  # the names that older runs were digested under
        told = {name: x for name, x in self.to_json().items() if name not in WHERE}
        told = {name: x for name, x in told.items() if name not in LATER or x != getattr(type(self), name)}
        return digest({first.get(name, name): x for name, x in told.items()})


def digest(values: dict[str, Any]) -> str:
    """Twelve hexadecimal digits of JSON values by name, whatever their order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def field_names() -> list[str]:
    """Names of the configuration's fields, in order."""
    return [field.name for field in dataclasses.fields(Config)]


def _check_names(changes: dict[str, Any]) -> None:
    for name in changes:
        if name in RENAMED:
            raise ValueError(f"the configuration field {name!r} is called {RENAMED[name]!r} now")
        if name not in field_names():
            fields = field_names()
            hint = did_you_mean(name, fields, f": the fields are {', '.join(fields)}")
            raise ValueError(f"unknown configuration field {name!r}{hint}")


def whole(name: str, value: Any) -> int:
    """Return a whole number that 64 bits hold, numpy's among them, such as a seed; ValueError on anything else."""
    return _typed(name, value, int)


def _typed(name: str, value: Any, kind: Any) -> Any:
    """A field's value in the type that the field has, numpy's scalars among those that are taken; ValueError else."""
    if value is None and kind not in (str, int, float):
        return None
    accepted = {str: str, int: Integral}.get(kind, Real)
    fits = isinstance(value, accepted) and not isinstance(value, bool)
    _require(fits, f"{name} {value!r} is not of type {getattr(kind, '__name__', kind)}")
    if accepted is str:
        return str(value)
    if accepted is Integral:
        _require(-(2**63) <= int(value) < 2 ** (64 if name == "seed" else 63), f"{name} {value} does not fit 64 bits")
        return int(value)
    try:
        number = float(value)  # 5 and 5.0 are one configuration
    except OverflowError:
        number = math.inf
    _require(math.isfinite(number), f"{name} {number} is not finite: choose a number that is")
    return number


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
