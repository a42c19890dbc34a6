"""One word of a face's description changed: what the model generates before and after, and what a judge finds."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.celeba.attributes import PHRASES, encode_attributes
from workbench.distributions import Diagonal, Mixture
from workbench.fusion import fuse, relating
from workbench.metrics.judges import Classifier
from workbench.model import MultimodalVAE

Attributes = Bool[Tensor, "n 40"]
Images = Float[Tensor, "n 3 64 64"]
Style = Float[Tensor, "n style"]
EDITS = ("smiling", "eyeglasses", "male", "blond hair", "wearing hat", "young")
HAIR = ("bald", "black hair", "blond hair", "brown hair", "gray hair")  # of which a face has one


@dataclass(frozen=True)
class Edit:
    """Faces before and after a word of their descriptions was changed."""

    phrase: str
    added: Bool[Tensor, "n"]  # to the faces that lack it; taken away from the others
    before: Images
    after: Images

    def judged(self, judge: Classifier) -> list[str]:
        """The judge's mean probability of the word before and after, where it was added and where taken away."""
        before, after = (self._probabilities(judge, x) for x in (self.before, self.after))
        return [
            f"{sign} {before[those].mean():.2f} → {after[those].mean():.2f} (n = {int(those.sum())})"
            for sign, those in (("+", self.added), ("−", ~self.added))
            if those.any()
        ]

    @torch.no_grad()
    def _probabilities(self, judge: Classifier, x: Images) -> Float[Tensor, "n"]:
        return torch.sigmoid(judge.network(x))[:, PHRASES.index(self.phrase)]


def edited(attributes: Attributes, phrase: str) -> Attributes:
    """Return attributes with one added where it is missing and taken away where it is not.

    A colour of hair takes the place of the one that is there. ValueError for a phrase that is none of the 40.
    """
    if phrase not in PHRASES:
        raise ValueError(f"{phrase!r} is none of the 40 attributes: {', '.join(PHRASES)}")
    changed, place = attributes.clone(), PHRASES.index(phrase)
    changed[:, place] = ~attributes[:, place]
    if phrase in HAIR:
        others = [PHRASES.index(hair) for hair in HAIR if hair != phrase]
        changed[:, others] &= attributes[:, place : place + 1]
    return changed


def edit(model: MultimodalVAE, attributes: Attributes, style: Style, phrase: str, fusion: str = "mixture") -> Edit:
    """Generate faces in a given style from their attributes, and from the same with one word changed."""
    before, after = (
        decode_images(model, content_of(model, "T", encode_attributes(words).long(), fusion), style)
        for words in (attributes, edited(attributes, phrase))
    )
    return Edit(phrase, ~attributes[:, PHRASES.index(phrase)], before, after)


@torch.no_grad()
def content_of(model: MultimodalVAE, letter: str, x: Tensor, fusion: str = "mixture") -> Float[Tensor, "n content"]:
    """Return the mean of the content's posterior given one modality of each item; a product has the prior in it."""
    content, present = _encode(model, letter, x)[0].unsqueeze(0), torch.ones(1, len(x), dtype=torch.bool)
    q = fuse(relating(fusion, letter), content, present.to(content.mean.device))
    return (q.mean() if isinstance(q, Mixture) else q.mean).cpu()


@torch.no_grad()
def style_of(model: MultimodalVAE, letter: str, x: Tensor) -> Style:
    """Return the mean of the style's posterior of one modality."""
    return _encode(model, letter, x)[1].mean.cpu()


def _encode(model: MultimodalVAE, letter: str, x: Tensor) -> tuple[Diagonal, Diagonal]:
    """Posteriors of content and style of items of which one modality is there, on the model's device."""
    m = model.letters.index(letter)
    return model.heads[m](model.encoders[m](x.to(next(model.parameters()).device)))


@torch.no_grad()
def decode_images(model: MultimodalVAE, content: Float[Tensor, "n content"], style: Style) -> Images:
    """Return images of contents in styles, on the CPU."""
    m, device = model.letters.index("I"), next(model.parameters()).device
    output = model.decode_one(m, content.to(device), style.to(device))
    return model.modalities[m].likelihood.mean(output).cpu()
