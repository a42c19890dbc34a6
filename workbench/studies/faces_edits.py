"""One word of a face's description changed: what the model generates before and after, and what a judge finds."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.celeba.attributes import PHRASES, encode_attributes
from workbench.data.dataset import Batch
from workbench.inference import subset_posterior
from workbench.metrics.judges import Classifier
from workbench.model import MultimodalVAE, Posteriors

EDITS = ("smiling", "eyeglasses", "male", "blond hair", "wearing hat", "young")
HAIR = ("bald", "black hair", "blond hair", "brown hair", "gray hair")  # of which a face has one


@dataclass(frozen=True)
class Edit:
    """Faces before and after a word of their descriptions was changed."""

    phrase: str
    added: Bool[Tensor, "n"]  # to the faces that lack it; taken away from the others
    before: Float[Tensor, "n 3 64 64"]
    after: Float[Tensor, "n 3 64 64"]

    def judged(self, judge: Classifier) -> list[str]:
        """The judge's mean probability of the word before and after, where it was added and where taken away."""
        before, after = (self._probabilities(judge, x) for x in (self.before, self.after))
        return [
            f"{sign} {before[those].mean():.2f} → {after[those].mean():.2f} (n = {int(those.sum())})"
            for sign, those in (("+", self.added), ("−", ~self.added))
            if those.any()
        ]

    @torch.no_grad()
    def _probabilities(self, judge: Classifier, x: Float[Tensor, "n 3 64 64"]) -> Float[Tensor, "n"]:
        return torch.sigmoid(judge.network(x))[:, PHRASES.index(self.phrase)]


def edited(attributes: Bool[Tensor, "n 40"], phrase: str) -> Bool[Tensor, "n 40"]:
    """Attributes with one added where it is missing and taken away where it is not.

    A colour of hair takes the place of the one that is there. ValueError for a phrase that is none of the 40.
    """
    if phrase not in PHRASES:
        raise ValueError(f"{phrase!r} is none of the 40 attributes: {', '.join(PHRASES)}")
    found, place = attributes.clone(), PHRASES.index(phrase)
    found[:, place] = ~attributes[:, place]
    if phrase in HAIR:
        others = [PHRASES.index(hair) for hair in HAIR if hair != phrase]
        found[:, others] &= attributes[:, place : place + 1]
    return found


def edit(
    model: MultimodalVAE,
    attributes: Bool[Tensor, "n 40"],
    style: Float[Tensor, "n style"],
    phrase: str,
    fusion: str = "mixture",
) -> Edit:
    """Faces in a given style from their attributes, and from the same with one word changed."""
    before, after = (
        decode_images(model, content_of(model, "T", encode_attributes(words).long(), fusion), style)
        for words in (attributes, edited(attributes, phrase))
    )
    return Edit(phrase, ~attributes[:, PHRASES.index(phrase)], before, after)


@torch.no_grad()
def content_of(model: MultimodalVAE, letter: str, x: Tensor, fusion: str = "mixture") -> Float[Tensor, "n content"]:
    """Mean of the content's posterior given one modality of each item; under a product it has the prior in it."""
    return subset_posterior(model, _encode(model, letter, x), [letter], fusion).mean.cpu()


@torch.no_grad()
def style_of(model: MultimodalVAE, letter: str, x: Tensor) -> Float[Tensor, "n style"]:
    """Mean of the style's posterior of one modality."""
    return _encode(model, letter, x).style.mean[model.letters.index(letter)].cpu()


@torch.no_grad()
def decode_images(
    model: MultimodalVAE, content: Float[Tensor, "n content"], style: Float[Tensor, "n style"]
) -> Float[Tensor, "n 3 64 64"]:
    """Images of contents in styles, on the CPU."""
    m, device = model.letters.index("I"), next(model.parameters()).device
    output = model.decode_one(m, content.to(device), style.to(device))
    return model.modalities[m].likelihood.mean(output).cpu()


def _encode(model: MultimodalVAE, letter: str, x: Tensor) -> Posteriors:
    """Posteriors of items of which one modality is there, on the model's device."""
    device = next(model.parameters()).device
    types = {3: torch.float32, 1: torch.long}
    values = [
        x.to(device) if m.letter == letter else torch.zeros(len(x), *m.shape, dtype=types[len(m.shape)], device=device)
        for m in model.modalities
    ]
    present = torch.tensor([[m.letter == letter] * len(x) for m in model.modalities], device=device)
    return model.encode(Batch(tuple(values), present, torch.zeros(len(x), dtype=torch.long, device=device)))
