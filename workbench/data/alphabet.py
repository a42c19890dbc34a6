"""The characters that text is written in, and their tokens: places in the alphabet."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

# The 70 characters of the char-CNN literature (a-z, 0-9, punctuation, newline) and the blank: the 71 input channels of
# the paper's networks. The literature lists '-' twice; it is kept so, for the sake of the count, and the second '-'
# (token 59) is never written: tokens take the first.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{}\n "
UNKNOWN = 255  # in place of the token of a character outside the alphabet
_TOKENS = np.full(129, UNKNOWN, dtype=np.uint8)  # by code; the last one stands for all beyond ASCII
for _character in ALPHABET:
    _TOKENS[ord(_character)] = ALPHABET.index(_character)


def table_of(strings: Sequence[str], length: int, fill: str = " ") -> np.ndarray:
    """Return tokens of many strings, uint8 `[n, length]`, filled at the end or cut; UNKNOWN outside the alphabet."""
    filled = np.array([string.ljust(length, fill) for string in strings], dtype=f"U{length}")
    codes = filled.view(np.uint32).reshape(len(strings), length)
    return _TOKENS[np.minimum(codes, len(_TOKENS) - 1)]


def tokens_of(text: str) -> UInt8[Tensor, "characters"]:
    """Return tokens of a text of any length; ValueError when it leaves the alphabet."""
    if unknown := sorted(set(text) - set(ALPHABET)):
        raise ValueError(f"{text!r} holds characters outside the alphabet: {''.join(unknown)!r}")
    return torch.from_numpy(_TOKENS[[ord(character) for character in text]])


def decode(tokens: Integer[Tensor, "*batch length"]) -> list[str]:
    """Return strings of tokens (any integer type), one for each row; a single row gives a list of one."""
    return ["".join(ALPHABET[token] for token in row) for row in tokens.reshape(-1, tokens.shape[-1]).tolist()]
