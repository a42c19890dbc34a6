"""The shape of the house: imports only point down one list, no two files import each other, and folders stay small."""

import ast
import graphlib
from pathlib import Path

import pytest

import workbench

PACKAGE = Path(workbench.__file__).parent
# From the top down. A file imports its own floor or one below; a name is a file or a folder of the package.
FLOORS = (
    ("__main__", "cli"),
    ("explorers",),
    ("sweeps",),
    ("notebooks",),
    ("studies",),
    ("interop",),
    ("reports",),
    ("plotting",),
    ("evaluation",),
    ("metrics",),
    ("training",),
    ("runs",),
    ("theory",),
    ("objectives", "importance", "losses"),
    ("inference", "model", "modality", "fusion"),
    ("networks",),
    ("data",),
    ("divergences", "likelihoods", "distributions"),
    ("__init__", "config", "device", "files", "paths", "errors", "threads", "_torchvision"),
)
FLOOR = {name: height for height, names in enumerate(reversed(FLOORS)) for name in names}


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Every file of the package by its dotted name; a folder's own is its __init__."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Names of the package's files that one of them imports, also inside functions and for type checkers alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where they lead"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            below = {name for name in inner if name.removeprefix("workbench.") in known}
            names |= below or {node.module}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {name.value for name in node.args if isinstance(name, ast.Constant)}
    return {name.removeprefix("workbench.") for name in names if name.startswith("workbench.")} & known.keys()


def arrows(package: Path = PACKAGE) -> dict[str, set[str]]:
    """What each file imports."""
    known = modules(package)
    return {name: imported(path, known) for name, path in known.items()}


def upward(found: dict[str, set[str]]) -> list[str]:
    """Imports that point up, in a sentence each."""
    return [
        f"workbench.{name} imports workbench.{other}, which stands above it: imports only point down FLOORS"
        for name, others in found.items()
        for other in sorted(others)
        if FLOOR[other.split(".")[0]] > FLOOR[name.split(".")[0]]
    ]


def test_every_file_has_a_floor():
    assert {name.split(".")[0] for name in modules()} == FLOOR.keys()


def test_imports_only_point_down():
    problems = upward(arrows())
    assert not problems, "\n".join(problems)


def test_no_files_import_each_other():
    try:
        graphlib.TopologicalSorter(arrows()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"these files import each other in a circle: {' -> '.join(error.args[1])}")


def test_studies_are_imported_by_notebooks_tests_and_the_shell_alone():
    users = {name for name, others in arrows().items() if any(other.startswith("studies") for other in others)}
    assert {name.split(".")[0] for name in users} <= {"studies", "cli"}


def test_what_is_forbidden_is_found(tmp_path):
    """An import up and a circle, both inside functions."""
    for name, code in {
        "losses.py": "def f():\n    from workbench.runs import run\n",
        "runs/__init__.py": "",
        "runs/run.py": "def f():\n    importlib.import_module('workbench.runs.other')\n",
        "runs/other.py": "from workbench.runs.run import f\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    found = arrows(tmp_path)
    assert found == {"losses": {"runs.run"}, "runs": set(), "runs.run": {"runs.other"}, "runs.other": {"runs.run"}}
    assert upward(found) == [
        "workbench.losses imports workbench.runs.run, which stands above it: imports only point down FLOORS"
    ]
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(found).prepare()


def test_every_folder_can_be_taken_in_at_a_glance():
    """At most twenty files and fourteen folders in any folder; tests have two folders of their own beside these."""
    for root, most in ((PACKAGE, 14), (PACKAGE.parent / "tests", 16)):
        for place in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            inside = [path for path in place.iterdir() if path.name != "__pycache__"]
            assert sum(path.is_file() for path in inside) <= 20, place
            assert sum(path.is_dir() for path in inside) <= most, place
