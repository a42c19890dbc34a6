"""The parameters of a notebook: what its cell tagged `parameters` declares, and whether given values fit."""

import ast
import io
import tokenize
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

TYPES = {"int": int, "float": (float, int), "str": str, "bool": bool, "list": list, "tuple": tuple, "dict": dict}


class Parameter(NamedTuple):
    """A parameter as its notebook declares it: default value, type as written (`int | None`), comment."""

    default: Any
    type: str
    comment: str


def parameters_of(path: Path) -> dict[str, Parameter]:
    """The parameters that the cell tagged `parameters` declares, in its order.

    Raises ValueError when there is not exactly one such cell or it holds anything but assignments of literals.
    """
    return declared_in(nbformat.read(path, as_version=4), Path(path).name)


def declared_in(notebook: NotebookNode, name: str) -> dict[str, Parameter]:
    """`parameters_of` for a notebook already read; `name` is what errors call it."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{name} has {len(cells)} cells tagged 'parameters': tag exactly one")
    source = cells[0].source
    try:
        statements = ast.parse(source).body
        comments = _comments(source)
        return dict(_parameter(statement, comments) for statement in statements)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"{name}: the cell tagged 'parameters' must only assign literals to names ({error})"
        ) from error


def _comments(source: str) -> dict[int, str]:
    """The comment of each line that has one, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}


def _parameter(statement: ast.stmt, comments: Mapping[int, str]) -> tuple[str, Parameter]:
    """Name and `Parameter` of one assignment such as `beta: float = 5.0  # weight of the divergence`."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, annotation = statement.targets[0], ""
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target, annotation = statement.target, ast.unparse(statement.annotation)
    else:
        raise ValueError(f"not an assignment: {ast.unparse(statement)}")
    if not isinstance(target, ast.Name):
        raise ValueError(f"not a plain name: {ast.unparse(target)}")
    default = ast.literal_eval(statement.value)
    kind = annotation or ("None" if default is None else type(default).__name__)
    return target.id, Parameter(default, kind, comments.get(statement.end_lineno, ""))


def check_parameters(path: Path, given: Mapping[str, Any]) -> None:
    """Raise ValueError unless the notebook declares every given name, with a type that the given value has."""
    declared = parameters_of(path)
    for name, value in given.items():
        if name not in declared:
            raise ValueError(f"{Path(path).name} has no parameter {name!r}{did_you_mean(name, list(declared))}")
        if not _fits(value, declared[name].type):
            kind = declared[name].type
            raise ValueError(f"{Path(path).name}: parameter {name!r} is of type {kind}, which {value!r} is not")


def _fits(value: Any, kind: str) -> bool:
    """Whether `value` is of the type written as `kind`, such as `int | None` or `list[float]` (an int is a float)."""
    options = [option.strip().split("[")[0] for option in kind.split("|")]
    if value is None:
        return "None" in options
    if isinstance(value, bool):
        return "bool" in options
    return any(isinstance(value, TYPES.get(option, types.NoneType)) for option in options)


def distribute(paths: Sequence[Path], parameters: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """For each notebook those of `parameters` that it declares, all of them checked.

    Raises ValueError for a name that no notebook declares or a value of the wrong type.
    """
    declared = {path: parameters_of(path) for path in paths}
    known = sorted({name for names in declared.values() for name in names})
    for name in parameters:
        if name not in known:
            raise ValueError(f"no notebook of this run has a parameter {name!r}{did_you_mean(name, known)}")
    given = {path: {n: v for n, v in parameters.items() if n in declared[path]} for path in paths}
    for path in paths:
        check_parameters(path, given[path])
    return given


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of an error sentence about an unknown name: the closest known one, else all of them."""
    close = get_close_matches(name, known, n=1)
    return f": did you mean {close[0]!r}?" if close else f": choose from {', '.join(known) or 'none'}"
