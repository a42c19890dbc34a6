"""The letters that stand for modalities where people read and type them, M, S, T; inside, modalities are places."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import NamedTuple

LETTERS = {"handwriting": "M", "street": "S", "text": "T", "image": "I"}


def letters_of(names: Sequence[str]) -> tuple[str, ...]:
    """Give each modality a letter: the paper's, or the shortest capitalised beginning of its name that is not taken.

    Taken are letters and names of other modalities. ValueError for two names that cannot be told apart.
    """
    letters: list[str] = []
    for m, name in enumerate(names):
        beginnings = [name[:n].capitalize() for n in range(1, len(name) + 1)]
        first, *others = LETTERS.get(name, beginnings[0]), *beginnings, name
        taken = {*letters, *names[:m], *names[m + 1 :]}
        # who is called as another's first letter is refused below, in whichever order they come
        free = [first] * (first not in (*letters, *names[:m])) + [other for other in others if other not in taken]
        if not free or name in letters:
            raise ValueError(f"two modalities cannot be told apart by the name {name!r}: rename one")
        letters.append(free[0])
    return tuple(letters)


class Names(NamedTuple):
    """What modalities are called, by their places. A name wins over a letter, which those of older runs may equal."""

    names: tuple[str, ...]
    letters: tuple[str, ...]
    have: str  # the end of a sentence about an unknown one

    def place(self, who: str | int) -> int:
        """Return where a modality stands, by its place, name or letter; ValueError on an unknown one."""
        if isinstance(who, Integral) and not isinstance(who, bool) and 0 <= who < len(self.names):
            return int(who)
        for known in (self.names, self.letters):
            if isinstance(who, str) and who in known:
                return known.index(who)
        raise ValueError(f"unknown modality {who!r}: {self.have}")

    def places(self, given: str | int | Iterable[str | int] | None) -> list[int]:
        """Return the places of those that are given, once each; None: of all.

        A single string is one name or letter, several joined by commas, or letters written together as in "MST"; it is
        never taken apart into the characters of a name. ValueError on an unknown one.
        """
        if given is None:
            return [*range(len(self.names))]
        if not isinstance(given, Iterable):
            return [self.place(given)]
        if isinstance(given, str):
            together = given and given not in (*self.names, *self.letters) and all(one in self.letters for one in given)
            given = [*given] if together else [part.strip() for part in given.split(",")]
        return [*dict.fromkeys(self.place(who) for who in given)]

    def title(self, subset: Iterable[int]) -> str:
        """Return what a subset of places is called in results, "M,S"."""
        return ",".join(self.letters[m] for m in subset)
