"""The multimodal VAE: one encoder and decoder per modality around a shared content and modality-specific styles.

Latents are z = (content c, styles s_1 .. s_M) (Section 3.5). A style of zero dimensions is a tensor of width zero, so
that a shared space only is the same code.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.data.dataset import Batch
from workbench.data.letters import Names
from workbench.data.own.foreign import as_array
from workbench.distributions import Diagonal, Gaussian, Mixture, full_precision
from workbench.fusion import fuse
from workbench.modality import Modality, batch_of, names_of

Network = TypeVar("Network", bound=nn.Module)
WIDEST = 70.0  # of log-variances: what a training comes to is within 20


@dataclass(frozen=True)
class Posteriors:
    """Unimodal posteriors of a batch: q(c | x_m) and q(s_m | x_m), experts first, and which of them are there."""

    content: Diagonal  # [M, batch, content]
    style: Diagonal  # [M, batch, style]
    present: Bool[Tensor, "M batch"]


class Heads(nn.Module):
    """Linear maps from features to means and log-variances of style and content (rows 'a' and 'b' of the tables).

    Log-variances are at most WIDEST from zero, so that an item far from all others leaves the numbers of a set finite.
    """

    def __init__(self, features: int, content_dim: int, style_dim: int, family: type[Diagonal] = Gaussian) -> None:
        super().__init__()
        self.family = family
        self.sizes = [content_dim, content_dim, style_dim, style_dim]
        self.layers = nn.ModuleList(nn.Linear(features, size) for size in self.sizes if size > 0)

    def forward(self, features: Float[Tensor, "batch features"]) -> tuple[Diagonal, Diagonal]:
        """Content and style posteriors."""
        outputs = [full_precision(layer(features)) for layer in self.layers]
        empty = outputs[0][:, :0]
        mean, logvar, style_mean, style_logvar = ([*outputs, empty, empty])[:4]
        return self.family(mean, _within(logvar)), self.family(style_mean, _within(style_logvar))


def _within(logvar: Tensor) -> Tensor:
    return logvar.clamp(-WIDEST, WIDEST)


class MultimodalVAE(nn.Module):
    """Encoders, heads and decoders of M modalities; every objective drives the same networks.

    `unpredicted` is what `Run.ended` says of items that were held back in training: by modality, the share of the
    variance that the others do not predict; empty where none were.

    `family` is that of posteriors and prior; the prior has mean zero and variance one in either. `auxiliary` gives each
    modality a further distribution of its style, r_m of mean zero, whose log-variances are learnt (MMVAE+).
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        content_dim: int,
        style_dim: int = 0,
        family: type[Diagonal] = Gaussian,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.family = family
        self.unpredicted: Mapping[str, float | None] = {}
        self.modalities = tuple(modalities)
        self.content_dim, self.style_dim = content_dim, style_dim
        self.encoders = nn.ModuleList(m.make_encoder() for m in self.modalities)
        self.heads = nn.ModuleList(Heads(encoder.features, content_dim, style_dim, family) for encoder in self.encoders)
        self.decoders = nn.ModuleList(m.make_decoder(style_dim + content_dim) for m in self.modalities)
        self.auxiliary = auxiliary
        if auxiliary:
            self.auxiliary_logvar = nn.Parameter(torch.zeros(len(self.modalities), style_dim))

    @property
    def called(self) -> Names:
        """What the modalities are called, and so where each stands."""
        return names_of(self.modalities)

    @property
    def letters(self) -> tuple[str, ...]:
        """The modalities' letters, in order."""
        return self.called.letters

    def batch_of(self, arrays: Mapping[str, Any]) -> Batch:
        """Raw arrays by the name or letter of their modality as a batch; what is not named, NaN or None is absent.

        Raises ValueError, in one sentence, on what the model cannot read.
        """
        return batch_of(self.modalities, arrays).to(next(self.parameters()).device)

    def original(self, outputs: Sequence[Tensor] | Mapping[str, Tensor]) -> dict[str, Any]:
        """Values of every modality, or of some by name, in their users' units: what `generate` gives, for example."""
        named = outputs if isinstance(outputs, Mapping) else dict(zip(self.names, outputs, strict=True))
        return {name: self.modalities[self.place(name)].encoding.original(x) for name, x in named.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities' names, in order."""
        return self.called.names

    def place(self, name: str | int) -> int:
        """Where a modality stands, by its name, letter or place; ValueError on an unknown one."""
        return self.called.place(name)

    def encode(self, batch: Batch | Mapping[str, Any]) -> Posteriors:
        """Unimodal posteriors of every modality; what is absent is read as zeros and marked absent.

        `batch` may be raw arrays by name (`batch_of`).
        """
        batch = batch if isinstance(batch, Batch) else self.batch_of(batch)
        content, style = [], []
        for m, x in enumerate(batch.values):
            x = self._in_its_type(x) if x.is_floating_point() else x
            there = batch.present[m].view(-1, *[1] * (x.dim() - 1))
            c, s = self.heads[m](self.encoders[m](torch.where(there, x, torch.zeros_like(x))))
            content.append(c)
            style.append(s)
        return Posteriors(self.family.stack(content), self.family.stack(style), batch.present)

    def infer(
        self,
        batch: Batch | Posteriors | Mapping[str, Any],
        given: str | int | Iterable[str | int] | None = None,
        fusion: str = "mixture",
        prior_weight: float | None = None,
    ) -> Diagonal | Mixture:
        """The content posterior given a subset of the modalities, for any pattern of missing ones.

        `batch` may be raw arrays by name (`batch_of`). `given` holds names, letters or places (None: all; a string
        is one name, or several joined by commas); `fusion` is one of `fusion.FUSIONS`. Modalities that an item lacks
        are left out of its posterior. Raises ValueError on an unknown modality or fusion, or a weight that is no share.
        """
        if prior_weight is not None and not (isinstance(prior_weight, Real) and 0 <= prior_weight <= 1):
            raise ValueError(f"prior_weight {prior_weight!r} is a share: choose one in [0, 1)")
        posteriors = batch if isinstance(batch, Posteriors) else self.encode(batch)
        present = posteriors.present & self.mask(given, posteriors.present)
        return fuse(fusion, posteriors.content, present, prior_weight)

    def mask(
        self, given: str | int | Iterable[str | int] | None, present: Bool[Tensor, "M batch"]
    ) -> Bool[Tensor, "M 1"]:
        """Which modalities `given` names, as a column that broadcasts over a batch."""
        places = self.called.places(given)
        chosen = [m in places for m in range(len(self.modalities))]
        return torch.tensor(chosen, device=present.device).unsqueeze(1)

    def decode_one(
        self,
        m: int,
        content: Float[Tensor, "batch content"] | np.ndarray,
        style: Float[Tensor, "batch style"] | np.ndarray,
    ) -> Tensor:
        """Parameters of p(x_m | s_m, c) from one modality's decoder."""
        codes = torch.cat([self._in_its_type(style), self._in_its_type(content)], dim=-1)
        return full_precision(self.decoders[m](codes))

    def decode(
        self, content: Float[Tensor, "batch content"] | np.ndarray, style: Float[Tensor, "M batch style"] | np.ndarray
    ) -> tuple[Tensor, ...]:
        """Parameters of p(x_m | s_m, c) for every modality."""
        content, style = self._in_its_type(content), self._in_its_type(style)
        return tuple(self.decode_one(m, content, style[m]) for m in range(len(self.modalities)))

    def _in_its_type(self, values: Any) -> Tensor:
        """Numbers, tensor or not, in the type and place of the weights; those that are so stay as they are."""
        if not isinstance(values, Tensor):
            array = np.array(as_array(values))
            if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
                raise ValueError(
                    "codes are finite numbers, and these hold something else: nothing of them may be missing"
                )
            values = torch.from_numpy(array)
        return values.to(self.heads[0].layers[0].weight)

    def draw_style(
        self, like: Float[Tensor, "batch content"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "M batch style"]:
        """Styles from their prior p(s), one set for each row of `like`."""
        return self.prior(like.new_empty(len(self.modalities), like.shape[0], self.style_dim)).rsample(generator)

    def prior(self, like: Float[Tensor, "*batch latent"]) -> Diagonal:
        """p(z) in the shape, type and place of a tensor: mean zero, variance one, in the family of the posteriors."""
        return self.family(torch.zeros_like(like), torch.zeros_like(like))

    @torch.no_grad()
    def generate(
        self,
        content: Any,
        style: Any = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, ...]:
        """Means of p(x_m | s_m, c) for every modality: pixels for images, character probabilities for text.

        `content` are codes `[batch, content]`, numbers of any type, a posterior from `infer` (conditional generation:
        one sample per item is drawn) or a number of items (random generation: content from p(c)). `style` are codes
        `[M, batch, style]`; None draws from the prior. Raises ValueError on codes of another size.
        """
        if isinstance(content, Integral):
            if content < 0:
                raise ValueError(f"{content} items cannot be generated: choose 0 or more")
            weight = self.heads[0].layers[0].weight
            content = self.prior(weight.new_empty((int(content), self.content_dim))).rsample(generator)
        elif isinstance(content, Diagonal | Mixture):
            content = content.rsample(generator)
        content = self._in_its_type(content)
        if content.shape[-1:] != (self.content_dim,):
            raise ValueError(
                f"codes of shape {tuple(content.shape)}: give [items, {self.content_dim}], as the content is"
            )
        style = self.draw_style(content, generator) if style is None else self._in_its_type(style)
        if style.shape != (wanted := (len(self.modalities), *content.shape[:-1], self.style_dim)):
            raise ValueError(f"styles of shape {tuple(style.shape)}: give {[*wanted]}, [modalities, items, style]")
        outputs = self.decode(content, style)
        return tuple(m.likelihood.mean(output) for m, output in zip(self.modalities, outputs, strict=True))


def channels_last(model: Network) -> Network:
    """A model or network with the kernels of its convolutions over images laid out channels last.

    `Module.to` would refuse a user's three-dimensional convolutions, whose kernels have another such layout.
    """
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model
