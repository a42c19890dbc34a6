"""Text modality: the English name of a digit in 8 characters, at a start position that is redrawn at every visit.

There are only 40 such strings, so the modality is a table of them; a class is an offset and a count in the table.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from workbench.data.alphabet import tokens_of
from workbench.data.dataset import Storage
from workbench.data.own.encodings import Text

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LENGTH = 8


class StringTable(NamedTuple):
    """All strings, grouped by class: those of digit c are rows `offsets[c] .. offsets[c] + counts[c] - 1`."""

    values: UInt8[Tensor, "strings 8"]
    labels: Int[Tensor, "strings"]
    offsets: Int[Tensor, "10"]
    counts: Int[Tensor, "10"]


def encode(text: str) -> UInt8[Tensor, "8"]:
    """Return tokens of `text`, filled with blanks to 8; ValueError when it is longer or leaves the alphabet."""
    if len(text) > LENGTH:
        raise ValueError(f"{text!r} has {len(text)} characters: a string of this modality has at most {LENGTH}")
    return tokens_of(text.ljust(LENGTH))


def starts(word: str) -> range:
    """Return start positions of `word`: 0 .. 7 - len(word), so that at least one blank follows the word."""
    return range(LENGTH - len(word))


@cache
def string_table() -> StringTable:
    """Return the 40 strings with their digits, and where each digit's strings stand in the table."""
    strings = [(" " * start + word, digit) for digit, word in enumerate(WORDS) for start in starts(word)]
    counts = torch.tensor([len(starts(word)) for word in WORDS])
    values, labels = torch.stack([encode(string) for string, _ in strings]), [digit for _, digit in strings]
    return StringTable(values, torch.tensor(labels), counts.cumsum(0) - counts, counts)


@dataclass(frozen=True, eq=False)
class TextStorage(Storage):
    """The 40 strings. Its column of the pair table holds the class; a visit draws one of the class's strings."""

    offsets: Int[Tensor, "10"]
    counts: Int[Tensor, "10"]

    @classmethod
    def of(cls, table: StringTable) -> "TextStorage":
        """Return the strings of a table, read as filled with blanks."""
        return cls("text", "text", table.values, table.labels, Text(LENGTH), table.offsets, table.counts)

    def gather(self, index: Int[Tensor, "batch"], generator: torch.Generator) -> Int[Tensor, "batch 8"]:
        """Return tokens of the classes `index`, start positions drawn uniformly."""
        # A uniform draw below the common multiple of 3, 4 and 5 stays exactly uniform modulo each of them.
        common = math.lcm(*(len(starts(word)) for word in WORDS))
        draw = torch.randint(common, index.shape, generator=generator, device=generator.device).to(index.device)
        return super().gather(self.offsets[index] + draw % self.counts[index], generator)
