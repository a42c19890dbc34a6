"""The parameters of a running notebook as a Config, with unknown names refused.

papermill only logs a parameter that the notebook does not declare. Here such a name is an error: the notebook's
injected cell is read back from the kernel's history, so that cells run by hand later do not disturb it.
"""

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.config import Config, field_names

INJECTED = "# Parameters"  # the first line of the cell that papermill adds


def config_from(namespace: Mapping[str, Any], also: Sequence[str] = ()) -> Config:
    """The configuration that a notebook's parameters describe; call it with `globals()`.

    A parameter of None takes the preset's value. `also` names the notebook's parameters that are no fields of Config.
    Functions are no parameters, even those that bear a field's name (`fusion.dynamic_prior`). Raises ValueError on an
    injected name that is neither, with the nearest known one.
    """
    known = [*field_names(), *also]
    for name in injected_names(namespace.get("In", ())):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else f": this notebook knows {', '.join(known)}"
            raise ValueError(f"unknown parameter {name!r}{hint}")
    given = {name: namespace[name] for name in field_names() if name in namespace and not callable(namespace[name])}
    return Config.make(given.pop("preset", None) or "quick", **given)


def injected_names(cells: Sequence[str]) -> list[str]:
    """Names that papermill's cells among the executed ones assign."""
    trees = [ast.parse(cell) for cell in cells if cell.startswith(INJECTED)]
    targets = [
        target for tree in trees for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
    ]
    return [target.id for target in targets if isinstance(target, ast.Name)]
