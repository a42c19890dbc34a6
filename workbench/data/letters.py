"""The letters that stand for modalities in tables, subsets and patterns: M, S, T."""

from collections.abc import Sequence

LETTERS = {"handwriting": "M", "street": "S", "text": "T", "image": "I"}


def letters_of(names: Sequence[str]) -> tuple[str, ...]:
    """Give each modality a letter: the paper's, or the shortest capitalised beginning of its name that is not taken.

    ValueError for two names that cannot be told apart.
    """
    letters: list[str] = []
    for name in names:
        beginnings = [name[:n].capitalize() for n in range(1, len(name) + 1)]
        free = [candidate for candidate in (LETTERS.get(name, beginnings[0]), *beginnings) if candidate not in letters]
        if not free:
            raise ValueError(f"two modalities cannot be told apart by the name {name!r}: rename one")
        letters.append(free[0])
    return tuple(letters)
