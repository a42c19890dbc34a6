"""What draws codes of whole items: a content, and a style of each modality.

Everything is on the CPU, with its generators: a seed means the same codes on every machine. `MultimodalVAE.generate`
takes them to where the model is.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.distributions import FAMILIES, Diagonal
from workbench.metrics.samplers.densities import Flow, Gmm
from workbench.model import MultimodalVAE


class Codes(NamedTuple):
    """Codes of some items, as `MultimodalVAE.generate` takes them."""

    content: Float[Tensor, "n content"]
    style: Float[Tensor, "M n style"]


@runtime_checkable
class Sampler(Protocol):
    """What gives codes of random items."""

    def draw(self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Codes:
        """Draw codes of so many items; the temperature scales their spread, 0 leaves none within a posterior."""
        ...


def at_temperature(
    q: Diagonal, temperature: float, generator: torch.Generator | None
) -> Float[Tensor, "*batch latent"]:
    """Draw a sample whose distance from the mean is scaled: 0 gives the mean, 1 the distribution's own spread."""
    return q.mean + temperature * (q.rsample(generator) - q.mean)


@dataclass(frozen=True)
class Prior:
    """p(z), the same of all models of as many dimensions."""

    family: type[Diagonal]
    content_dim: int
    style_dim: int
    modalities: int

    @classmethod
    def of(cls, model: MultimodalVAE) -> "Prior":
        """The prior of a model."""
        return cls(model.family, model.content_dim, model.style_dim, len(model.modalities))

    def draw(self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Codes:
        """Draw contents and styles that know nothing of each other."""
        zeros = torch.zeros(count, self.content_dim), torch.zeros(self.modalities, count, self.style_dim)
        return Codes(*(at_temperature(self.family(x, x), temperature, generator) for x in zeros))


class Exemplar(nn.Module):
    """Posteriors of training items: an item at random, and a draw from its own. What it lacks has the prior's style."""

    def __init__(
        self, content: Float[Tensor, "2 n content"], style: Float[Tensor, "2 M n style"], present: Bool[Tensor, "M n"],
        family: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.family = FAMILIES[family]
        for name, tensor in {"content": content, "style": style, "present": present}.items():
            self.register_buffer(name, tensor)

    @property
    def contents(self) -> Diagonal:
        """Content posteriors `[n, content]`, each given all that its item has."""
        return self.family(*self.content)

    @property
    def styles(self) -> Diagonal:
        """Style posteriors `[M, n, style]`."""
        return self.family(*self.style)

    def once(self, seed: int = 0) -> Codes:
        """One draw of each item, in their order: what densities are fitted to, and copies are looked for in."""
        generator = torch.Generator().manual_seed(seed)
        return Codes(self.contents.rsample(generator), self.styles.rsample(generator))

    def draw(self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Codes:
        """Draw items with replacement; the temperature scales distances from the means of their posteriors."""
        rows = torch.randint(len(self.content[0]), (count,), generator=generator)
        posteriors = self.contents[rows], self.styles[:, rows]
        return Codes(*(at_temperature(q, temperature, generator) for q in posteriors))


class Densities(nn.Module):
    """A density of the contents and one of each modality's styles, drawn from independently."""

    def __init__(self, content: Gmm | Flow, styles: list[Gmm | Flow], modalities: int) -> None:
        super().__init__()
        self.content, self.styles, self.modalities = content, nn.ModuleList(styles), modalities

    def draw(self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Codes:
        """Draw contents, then the styles of each modality."""
        content = self.content.draw(count, generator, temperature)
        styles = [style.draw(count, generator, temperature) for style in self.styles]
        return Codes(content, torch.stack(styles) if styles else content.new_empty(self.modalities, count, 0))
