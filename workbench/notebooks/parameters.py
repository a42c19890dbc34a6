"""The parameters of a notebook: what its cell tagged `parameters` declares, and the configuration that they give.

Every notebook imports this module while it runs: nothing here takes long to import, and no notebook library is needed.
"""

import ast
import io
import json
import math
import re
import tokenize
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench.config import Config, field_names
from workbench.errors import did_you_mean

INJECTED = "# Parameters"  # the first line of the cell that papermill adds
TYPES = {"int": int, "float": (float, int), "str": str, "bool": bool, "list": list, "tuple": tuple, "dict": dict}


class Parameter(NamedTuple):
    """A parameter as its notebook declares it: default value, type as written (`int | None`), comment."""

    default: Any
    type: str
    comment: str


def code_cells(path: Path) -> list[dict[str, Any]]:
    """List the code cells in a notebook's file, as they stand there: to import nbformat would take a second."""
    cells = json.loads(Path(path).read_text(encoding="utf-8")).get("cells", [])
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source_of(cell: Mapping[str, Any]) -> str:
    """Return the source of a cell, which is a list of lines in a file, and one text where nbformat has read it."""
    return "".join(cell["source"])


def without_magics(source: str) -> str:
    """Empty the lines of IPython's own syntax (%magic, !command, help?) in a source."""
    own = re.compile(r"\s*[%!]|.*\?\s*$")
    return "\n".join("" if own.match(line) else line for line in source.splitlines())


# What a notebook declares


def parameters_of(path: Path) -> dict[str, Parameter]:
    """Return the parameters that the cell tagged `parameters` declares, in its order.

    Raises ValueError when there is not exactly one such cell or it holds anything but assignments of literals.
    """
    return declared_in(code_cells(path), Path(path).name)


def declared_in(cells: Sequence[Mapping[str, Any]], name: str) -> dict[str, Parameter]:
    """Do the same for code cells already read; `name` is what errors call their notebook."""
    tagged = [source_of(cell) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{name} has {len(tagged)} cells tagged 'parameters': tag exactly one")
    try:
        statements, tokens = ast.parse(tagged[0]).body, tokenize.generate_tokens(io.StringIO(tagged[0]).readline)
        comments = {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}  # by line
        return dict(_parameter(statement, comments) for statement in statements)
    except (SyntaxError, ValueError) as error:
        message = f"{name}: the cell tagged 'parameters' must only assign literals to names ({error})"
        raise ValueError(message) from error


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


# Whether given values fit


def check_parameters(path: Path, given: Mapping[str, Any]) -> None:
    """Raise ValueError unless the notebook declares every given name, with a type that the given value has."""
    for problem in misfits(parameters_of(path), given.items(), Path(path).name):
        raise ValueError(problem)


def misfits(declared: Mapping[str, Parameter], given: Iterable[tuple[str, Any]], notebook: str) -> Iterator[str]:
    """List what is wrong with names and values that a notebook is given, one sentence each."""
    for name, value in given:
        if name not in declared:
            yield f"{notebook} has no parameter {name!r}{did_you_mean(name, declared)}"
        elif not _fits(value, kind := declared[name].type):
            yield f"{notebook}: parameter {name!r} is of type {kind}, which {value!r} is not"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{notebook}: parameter {name!r} is {value}: give a finite number"


def _fits(value: Any, kind: str) -> bool:
    """Whether `value` is of the type written as `kind`, such as `int | None` or `list[float]` (an int is a float)."""
    options = [option.strip().split("[")[0] for option in kind.split("|")]
    if value is None or isinstance(value, bool):
        return ("None" if value is None else "bool") in options
    return any(isinstance(value, TYPES.get(option, types.NoneType)) for option in options)


def distribute(paths: Sequence[Path], parameters: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """Return for each notebook those of `parameters` that it declares, all of them checked.

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


# What a running notebook was given


def config_from(namespace: Mapping[str, Any], also: Sequence[str] = ()) -> Config:
    """Make the configuration that a notebook's parameters describe; call it with `globals()`.

    A parameter of None takes the preset's value. `also` names the notebook's parameters that are no fields of Config.
    Functions are no parameters, even those that bear a field's name (`fusion.dynamic_prior`).

    papermill only logs a parameter that the notebook does not declare. Here such a name is an error: the notebook's
    injected cell is read back from the kernel's history, so that cells run by hand later do not disturb it. Raises
    ValueError on an injected name that is neither, with the nearest known one.
    """
    known = [*field_names(), *also]
    for name in injected_names(namespace.get("In", ())):
        if name not in known:
            hint = did_you_mean(name, known, f": this notebook knows {', '.join(known)}")
            raise ValueError(f"unknown parameter {name!r}{hint}")
    given = {name: namespace[name] for name in field_names() if name in namespace and not callable(namespace[name])}
    return Config.make(given.pop("preset", None) or "quick", **given)


def injected_names(cells: Sequence[str]) -> list[str]:
    """List the names that papermill's cells among the executed ones assign."""
    statements = [node for cell in cells if cell.startswith(INJECTED) for node in ast.parse(cell).body]
    targets = [target for node in statements if isinstance(node, ast.Assign) for target in node.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]
