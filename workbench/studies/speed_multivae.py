"""Our networks and data in the models of `multivae`, another library: the same objectives, computed by its code.

What its models need to compute the same loss as ours is here; `tests/test_oracle_multivae.py` compares losses and
gradients, and says what the two do differently on purpose. Importing this needs the package multivae.
"""

import math
from typing import Any

import torch
from multivae import models
from multivae.data.datasets import DatasetOutput
from multivae.models import base
from multivae.models.base.base_utils import poe
from torch import Tensor
from torch.nn.functional import one_hot

from workbench.config import AUXILIARY, Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Laplace, stratified_choice
from workbench.likelihoods import Categorical
from workbench.model import MultimodalVAE
from workbench.runs import run

Settings = tuple[type[base.BaseMultiVAE], type[base.BaseMultiVAEConfig], dict[str, Any]]


def is_text(model: MultimodalVAE, m: int) -> bool:
    """Whether a modality is characters, which multivae has as one-hot vectors."""
    return isinstance(model.modalities[m].likelihood, Categorical)


class Encoder(base.BaseEncoder):
    """Encoder and heads of one of our modalities; text comes as one-hot vectors."""

    def __init__(self, model: MultimodalVAE, m: int) -> None:
        super().__init__()
        self.network, self.heads, self.text = model.encoders[m], model.heads[m], is_text(model, m)

    def forward(self, x: Tensor) -> base.ModelOutput:
        """Posterior of content and style."""
        content, style = self.heads(self.network(x.argmax(-1) if self.text else x))
        latents = {"embedding": content.mean, "log_covariance": content.logvar}
        return base.ModelOutput(**latents, style_embedding=style.mean, style_log_covariance=style.logvar)


class Decoder(base.BaseDecoder):
    """Decoder of one of our modalities: codes are (content, style) there, (style, content) here."""

    def __init__(self, model: MultimodalVAE, m: int) -> None:
        super().__init__()
        self.network, self.content_dim = model.decoders[m], model.content_dim

    def forward(self, z: Tensor) -> base.ModelOutput:
        """Parameters of the likelihood."""
        if z.shape[-1] > self.content_dim:
            z = torch.cat([z[..., self.content_dim :], z[..., : self.content_dim]], dim=-1)
        return base.ModelOutput(reconstruction=self.network(z))


class MoPoE(models.MoPoE):
    """Theirs without p(z) as an expert, and with our choice of a component for items that lack something.

    Ours has the products of the paper's text. Theirs, after the authors' code, multiplies p(z) into that of all
    modalities only. And theirs draws the components of incomplete items at random, without sharing them out.
    """

    def _poe_fusion(self, mus: Tensor, logvars: Tensor) -> tuple[Tensor, Tensor]:
        return poe(mus, logvars, eps=0.0)

    def random_mixture_component_selection(
        self, mus: Tensor, logvars: Tensor, availabilities: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the chosen components."""
        items = torch.arange(mus.shape[1])
        choice = stratified_choice(availabilities)
        return mus[choice, items], logvars[choice, items]


class LaplaceMMVAE(models.MMVAE):
    """Theirs with our Laplace distributions: scale sqrt(exp(logvar) / 2), where theirs has a softmax over latents."""

    def log_var_to_std(self, log_var: Tensor) -> Tensor:
        """Scale of a posterior."""
        return torch.exp(0.5 * log_var) / math.sqrt(2)

    @property
    def pz_params(self) -> tuple[Tensor, Tensor]:
        """Mean and scale of the prior."""
        return self.prior_mean, torch.full_like(self.prior_mean, math.sqrt(0.5))


class MMVAEPlus(models.MMVAEPlus):
    """Theirs with our Laplace distributions, as in `LaplaceMMVAE`."""

    def _log_var_to_std(self, log_var: Tensor) -> Tensor:
        return torch.exp(0.5 * log_var) / (math.sqrt(2) if self.post_dist is torch.distributions.Laplace else 1)


def settings_of(name: str, model: MultimodalVAE, config: Config) -> Settings:
    """Return the class of their model that computes an objective of ours, that of its settings, and these.

    mvae: the joint ELBO and the unimodal ones, none of the further random subsets (k), and no warm-up of beta. mmvae,
    mopoe: styles of the same size and weight everywhere; MMVAE with a closed form of the divergence is a MoPoE whose
    subsets are single modalities. mmvae_iwae, mmvae_dreg, mmvae_plus: a fixed prior; the loose bound is the one that
    averages the draws of every expert by themselves, as ours; styles in MMVAE+ are weighted by beta alone.
    """
    if name == "crmvae":
        return models.CRMVAE, models.CRMVAEConfig, {"beta": config.beta}
    if name == "dmvae":
        weights = {m.name: config.beta * config.beta_style * m.style_weight for m in model.modalities}
        styles = {m.name: model.style_dim for m in model.modalities}
        values = {"beta": config.beta, "modalities_specific_dim": styles, "modalities_specific_betas": weights}
        return models.DMVAE, models.DMVAEConfig, values
    family = "laplace_with_softmax" if model.family is Laplace else "normal"
    sampled = {"K": config.importance_samples, "prior_and_posterior_dist": family}
    sampled |= {"loss": "dreg_looser" if "dreg" in name else "iwae_looser"}
    if name in AUXILIARY:
        values = sampled | {"beta": config.beta, "modalities_specific_dim": model.style_dim}
        return MMVAEPlus, models.MMVAEPlusConfig, values
    if name == "mvae":
        return models.MVAE, models.MVAEConfig, {"use_subsampling": True, "k": 0, "warmup": 0, "beta": config.beta}
    if name == "mvtcae":
        return models.MVTCAE, models.MVTCAEConfig, {"alpha": config.mvtcae_alpha, "beta": config.beta}
    if name in ("mmvae_iwae", "mmvae_dreg"):
        theirs = LaplaceMMVAE if model.family is Laplace else models.MMVAE
        return theirs, models.MMVAEConfig, sampled | {"learn_prior": False}
    weights = {m.style_weight for m in model.modalities}
    if model.style_dim and len(weights) > 1:
        raise ValueError("multivae has one weight for all styles, these modalities differ in theirs: take style_dim=0")
    styles = {m.name: model.style_dim for m in model.modalities} if model.style_dim else None
    values = {"beta": config.beta, "beta_style": config.beta_style * max(weights), "modalities_specific_dim": styles}
    values |= {"subsets": [[m.name] for m in model.modalities]} if name == "mmvae" else {}
    return MoPoE, models.MoPoEConfig, values


def as_multivae(name: str, model: MultimodalVAE, config: Config) -> base.BaseMultiVAE:
    """A model of multivae around our networks, with its own likelihoods, weighted as ours."""
    theirs, settings, values = settings_of(name, model, config)
    names = [m.name for m in model.modalities]
    scales = {m.name: {"scale": m.likelihood.scale} for m in model.modalities if hasattr(m.likelihood, "scale")}
    likelihoods = {
        "uses_likelihood_rescaling": True,
        "rescale_factors": {m.name: m.weight for m in model.modalities},
        "decoders_dist": {n: "categorical" if is_text(model, m) else "laplace" for m, n in enumerate(names)},
        "decoder_dist_params": scales,
    }
    made = theirs(
        settings(n_modalities=len(names), latent_dim=model.content_dim, **likelihoods, **values),
        encoders={n: Encoder(model, m) for m, n in enumerate(names)},
        decoders={n: Decoder(model, m) for m, n in enumerate(names)},
    )
    if model.auxiliary:  # theirs are parameters of their own: ours take their place
        shared = made.logvars_priors["shared"]
        del made.logvars_priors
        made.logvars_priors = {n: model.auxiliary_logvar[m : m + 1] for m, n in enumerate(names)} | {"shared": shared}
    return made


def as_inputs(model: MultimodalVAE, batch: Batch) -> DatasetOutput:
    """A batch in which nothing is missing, as multivae's models read it: text in one-hot vectors."""
    data = {}
    for m, (modality, x) in enumerate(zip(model.modalities, batch.values, strict=True)):
        data[modality.name] = one_hot(x, model.encoders[m].alphabet).float() if is_text(model, m) else x
    return DatasetOutput(data=data)


class Theirs:
    """The training of a model of multivae: its loss, and Adam with its defaults."""

    def __init__(self, config: Config, data: MultimodalDataset, device: torch.device) -> None:
        self.ours = run.build_model(config, data).to(device).train()
        self.model = as_multivae(config.objective, self.ours, config).to(device).train()
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.batches = data.batches(config.batch_size, device, torch.Generator(device).manual_seed(config.seed))

    def step(self) -> Tensor:
        """Take one step on the next batch; returns its loss, which is still on the device."""
        loss = self.model(as_inputs(self.ours, next(self.batches))).loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()
