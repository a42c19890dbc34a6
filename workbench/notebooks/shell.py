"""Parameters as words in a shell: -p NAME=VALUE or -p NAME VALUE, and in the help of a command that takes them."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from workbench.config import Config
from workbench.notebooks.parameters import declared_in

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-p", help="NAME=VALUE (or NAME VALUE), a parameter; may be given several times."),
]


def parse(settings: list[str] | None) -> dict[str, object]:
    """Read NAME=VALUE pairs; values that are Python literals become them, others stay text."""
    parsed: dict[str, object] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is not NAME=VALUE: write for example -p objective=mmvae")
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed[name] = value
    if "preset" in parsed:
        raise ValueError("preset is an option of its own: write --preset NAME instead of -p preset=NAME")
    return parsed


class Commands(TyperGroup):
    """Commands that take a parameter as papermill does, too: -p NAME VALUE."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what follows the program's name."""
        return super().parse_args(ctx, [*_joined(args)])


def _joined(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments with NAME VALUE after -p as one."""
    words = iter(arguments)
    for word in words:
        yield word
        if word in ("-p", "--set") and (name := next(words, None)):
            value = next(words, None) if name.isidentifier() else None
            yield name if value is None else f"{name}={value}"


class WithParameters(TyperCommand):
    """A command whose help lists the parameters of a run."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show it, and below it every parameter with its value where nothing else is chosen."""
        super().format_help(ctx, formatter)
        fields = re.findall(r"^    ((?!preset)\w+: \w.* = .*)", inspect.getsource(Config), re.MULTILINE)
        cell = {"source": "\n".join(fields), "metadata": {"tags": ["parameters"]}}
        rows = [(f"{name}={x.default}", x.comment) for name, x in declared_in([cell], "Config").items()]
        print("Parameters (-p), before a preset changes some:\n")
        print(*(f"  {first:{max(len(first) for first, _ in rows)}}  {said}" for first, said in rows), sep="\n")
