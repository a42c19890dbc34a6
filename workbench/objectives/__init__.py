"""The training objectives: one short function each, and one table that says what makes a method.

An objective maps (model, batch, config, generator) to a `Loss` to be minimised: the negative of the method's ELBO with
the weighted terms of `workbench.losses`, or its importance-weighted kin in `workbench.importance`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from workbench.config import Config
from workbench.data.dataset import Batch
from workbench.fusion import check_count
from workbench.importance import mmvae_dreg, mmvae_iwae, mmvae_plus, mmvae_plus_dreg
from workbench.losses import Loss
from workbench.model import MultimodalVAE
from workbench.objectives.mixtures import holder, mixture_of_wasserstein, mmjsd, mmvae, mmvm, mopoe
from workbench.objectives.products import crmvae, dmvae, hellinger, masked_bound, mvae, mvtcae, wasserstein


class Objective(Protocol):
    """A training objective."""

    def __call__(
        self, model: MultimodalVAE, batch: Batch, config: Config, generator: torch.Generator | None = None
    ) -> Loss:
        """The loss of a batch; the generator draws the noise."""


@dataclass(frozen=True)
class Method:
    """One row of the table of methods: what is fused how, what regularises the content, what is reconstructed."""

    objective: Callable[..., Loss]
    label: str  # as in the paper's tables
    posterior: str  # joint posterior in training, one of FUSIONS
    regulariser: str
    paths: str  # reconstruction paths through the decoders
    inference: tuple[str, ...]  # posteriors of subsets in evaluation, the paper's first


METHODS: dict[str, Method] = {
    "mvae": Method(
        mvae, "MVAE", "product", "KL(product || p) + sum_m KL(q_m || p)", "joint, and each from itself", ("product",)
    ),
    "mmvae": Method(mmvae, "MMVAE", "mixture", "(1/M) sum_m KL(q_m || p)", "one draw into all", ("mixture",)),
    "mmjsd": Method(mmjsd, "mmJSD", "mixture", "JS(q_1 .. q_M, p)", "one draw into all", ("dynamic_prior", "mixture")),
    "mmvae_iwae": Method(
        mmvae_iwae,
        "MMVAE (IWAE)",
        "mixture",
        "inside ln mean_k p(X, z_k) / q(z_k)",
        "K draws of each into all",
        ("mixture",),
    ),
    "mmvae_dreg": Method(
        mmvae_dreg,
        "MMVAE (DReG)",
        "mixture",
        "inside ln mean_k p(X, z_k) / q(z_k)",
        "K draws of each into all",
        ("mixture",),
    ),
    "mopoe": Method(
        mopoe,
        "MoPoE",
        "mixture_of_products",
        "mean of KL(q_subset || p)",
        "one draw into all",
        ("product_alone", "mixture_of_products"),
    ),
    "mvtcae": Method(
        mvtcae,
        "MVTCAE",
        "product_alone",
        "(a/M) sum_m KL(product || q_m) + (1 - a) KL(product || p)",
        "one draw into all",
        ("product_alone",),
    ),
    "mmvm": Method(
        mmvm, "MMVM", "mixture", "sum_m KL(q_m || q_1 .. q_M, their mixture)", "each from itself", ("mixture",)
    ),
    "mmvae_plus": Method(
        mmvae_plus,
        "MMVAE+",
        "mixture",
        "inside ln mean_k p(X, z_k) / q(z_k), own style alone",
        "K draws of each into all, other styles from r",
        ("mixture",),
    ),
    "mmvae_plus_dreg": Method(
        mmvae_plus_dreg,
        "MMVAE+ (DReG)",
        "mixture",
        "inside ln mean_k p(X, z_k) / q(z_k), own style alone",
        "K draws of each into all, other styles from r",
        ("mixture",),
    ),
    "hellinger": Method(hellinger, "Hellinger", "hellinger", "KL(moments || p)", "one draw into all", ("hellinger",)),
    "holder": Method(holder, "Hölder", "holder", "mean of KL(component || p)", "one draw into all", ("holder",)),
    "wasserstein": Method(
        wasserstein, "Wasserstein", "wasserstein", "KL(barycenter || p)", "one draw into all", ("wasserstein",)
    ),
    "mixture_of_wasserstein": Method(
        mixture_of_wasserstein,
        "MWB",
        "mixture_of_wasserstein",
        "mean of KL(barycenter of a subset || p)",
        "one draw into all",
        ("wasserstein", "mixture_of_wasserstein"),
    ),
    "crmvae": Method(
        crmvae,
        "CRMVAE",
        "product_alone",
        "[KL(product || p) + sum_m KL(product || q_m)] / (M + 1)",
        "joint, and each from itself",
        ("product_alone",),
    ),
    "dmvae": Method(
        dmvae, "DMVAE", "product", "KL(product || p) + sum_m KL(q_m || p)", "joint and each into all", ("product",)
    ),
    "masked_bound": Method(
        masked_bound,
        "Masked bound",
        "product",
        "KL(q_S || p) + KL(product || q_S)",
        "a subset from itself, the rest from all",
        ("product",),
    ),
}


def method(name: str, modalities: int = 1) -> Method:
    """The method of that name; ValueError on an unknown one, or on more modalities than it can take."""
    if name not in METHODS:
        raise ValueError(f"unknown objective {name!r}: choose one of {', '.join(METHODS)}")
    check_count(METHODS[name].posterior, modalities)
    return METHODS[name]
