"""Faces by their attributes: CelebA's 40 yes-or-no words, and the descriptions that the paper makes of them.

A description lists the attributes that are present, joined by ", ", in lower case with blanks for underscores, and is
filled with "*" to 256 characters (Appendix C.3.1). 256 is not "the maximum string length possible", as the paper has
it: 22 of CelebA's 202,599 descriptions are longer, up to 277, and are cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, Integer, UInt8
from torch import Tensor

from workbench.data.alphabet import ALPHABET, decode, table_of, tokens_of
from workbench.data.dataset import Storage
from workbench.data.own.encodings import Text
from workbench.errors import did_you_mean

# In the order of CelebA's list, which is alphabetical.
_NAMES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
Wearing_Necktie Young
"""
ATTRIBUTES = tuple(_NAMES.split())
PHRASES = tuple(name.lower().replace("_", " ") for name in ATTRIBUTES)
LENGTH = 256
FILL = "*"


def describe(attributes: Bool[Tensor, "40"]) -> str:
    """Return the attributes that are present, as the paper writes them, without the filling."""
    return _joined(attributes.tolist())


def _joined(attributes: Sequence[bool]) -> str:
    return ", ".join(phrase for phrase, present in zip(PHRASES, attributes, strict=True) if present)


def parse(text: str) -> Bool[Tensor, "40"]:
    """Read the attributes in a description, in any order and case, filling ignored.

    Raises ValueError, with the nearest phrase, for one that is none of the 40.
    """
    words = [" ".join(word.split()) for word in text.lower().replace("_", " ").strip(FILL + " ,").split(",")]
    if unknown := [word for word in words if word and word not in PHRASES]:
        such_as = f", such as {PHRASES[2]!r} or {PHRASES[31]!r}"
        raise ValueError(f"{unknown[0]!r} is none of the 40 attributes{did_you_mean(unknown[0], PHRASES, such_as)}")
    return torch.tensor([phrase in words for phrase in PHRASES])


def encode(text: str) -> UInt8[Tensor, "256"]:
    """Return tokens of a description, filled at the end with "*" and cut at 256; ValueError outside the alphabet."""
    return tokens_of(text.ljust(LENGTH, FILL))[:LENGTH]


def encode_attributes(attributes: Bool[Tensor, "n 40"]) -> UInt8[Tensor, "n 256"]:
    """Return tokens of the descriptions of many faces at once."""
    return torch.from_numpy(table_of([_joined(row) for row in attributes.tolist()], LENGTH, FILL))


def text_of(tokens: Integer[Tensor, "*n 256"]) -> list[str]:
    """Return descriptions of tokens without their filling."""
    return [string.strip(FILL) for string in decode(tokens)]


@dataclass(frozen=True, eq=False)
class DescriptionStorage(Storage):
    """Descriptions of faces. Its column of the pair table holds indices of faces, as that of the images does.

    With `anywhere`, the authors' released code, a description begins at a random place, drawn anew at every visit, and
    is filled on both sides; without, as the paper has it, it is filled at the end.
    """

    anywhere: bool = False

    @classmethod
    def of(cls, labels: Bool[Tensor, "n 40"], anywhere: bool = False) -> "DescriptionStorage":
        """Return the descriptions of faces with these attributes, read as filled at the end."""
        source = "description-anywhere" if anywhere else "description"
        return cls("text", source, encode_attributes(labels), labels, Text(LENGTH, FILL), anywhere)

    def gather(self, index: Int[Tensor, "batch"], generator: torch.Generator) -> Int[Tensor, "batch 256"]:
        """Return tokens of the faces `index`."""
        tokens = super().gather(index, generator)
        if not self.anywhere:
            return tokens
        # the filling at the end is as long as the start may be late
        free = (tokens != ALPHABET.index(FILL)).flip(1).long().argmax(1)
        draw = torch.rand(len(tokens), generator=generator, device=generator.device).to(tokens.device)
        start = (draw * (free + 1)).long()
        places = (torch.arange(LENGTH, device=tokens.device) - start.unsqueeze(1)) % LENGTH
        return tokens.gather(1, places)
