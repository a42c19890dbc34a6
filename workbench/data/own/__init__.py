"""A user's arrays become items, and items arrays again: every kind of data that there is, by its name."""

from typing import Any

from workbench.data.own.encodings import ENCODINGS, Encoding, Image, Text
from workbench.data.own.tables import Binary, Categories, Counts, Vector

__all__ = ["Binary", "Categories", "Counts", "Encoding", "Image", "Text", "Vector", "encoding_class", "from_json"]


def encoding_class(kind: str) -> type[Encoding]:
    """Return the class of a kind; ValueError on an unknown one."""
    if kind not in ENCODINGS:
        raise ValueError(f"unknown kind {kind!r}: choose one of {', '.join(ENCODINGS)}")
    return ENCODINGS[kind]


def from_json(content: dict[str, Any]) -> Encoding:
    """Return the encoding that `to_json` wrote; ValueError on a kind that nobody defined."""
    fields = {name: _tuples(value) for name, value in content.items() if name != "kind"}
    return encoding_class(content["kind"])(**fields)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
