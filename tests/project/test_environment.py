"""The environment's files agree with each other, and the core needs only the core's dependencies."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = {
    name: [Requirement(line) for line in lines]
    for name, lines in {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items()
}
CORE_MODULES = [
    "config", "distributions", "divergences", "data.dataset", "modality", "fusion", "model", "objectives", "training",
    "runs", "evaluation",
]  # fmt: skip
OUTSIDE_CORE = {
    "pandas", "matplotlib", "torchvision", "papermill", "nbformat", "nbconvert", "nbclient", "typer", "seaborn",
    "IPython", "ipykernel", "ipywidgets", "PIL",
}  # fmt: skip


IMPORT_WITHOUT = """
import importlib, sys

class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {blocked!r} or top.startswith("jupyter"):
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for module in {modules!r}:
    importlib.import_module(module)
"""


def _pins(lines: list[str]) -> dict[str, Requirement]:
    requirements = [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-"))]
    return {canonicalize_name(r.name): r for r in requirements}


CONSTRAINTS = _pins((ROOT / "constraints.txt").read_text().splitlines())


def _pinned_version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not an exact pin"
    return specifier.version


def test_constraints_are_plain_exact_pins():
    for requirement in CONSTRAINTS.values():
        version = _pinned_version(requirement)
        assert requirement.url is None and "+" not in version and "*" not in version, requirement


@pytest.mark.parametrize("group", DIRECT)
def test_direct_dependencies_are_pinned_within_their_ranges(group):
    for requirement in DIRECT[group]:
        pin = CONSTRAINTS.get(canonicalize_name(requirement.name))
        assert pin is not None, f"constraints.txt does not pin {requirement.name}"
        assert _pinned_version(pin) in requirement.specifier, f"{pin} is outside {requirement}"


def test_conda_environment_pins_the_same_versions():
    (pip_lines,) = [d["pip"] for d in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][2:]]
    pins = _pins(pip_lines)
    direct = {canonicalize_name(r.name) for group in ("core", "notebooks", "cluster", "test") for r in DIRECT[group]}
    assert pins.keys() == direct
    assert {n: str(r.specifier) for n, r in pins.items()} == {n: str(CONSTRAINTS[n].specifier) for n in direct}
    assert "-e .[notebooks,cluster,test]" in pip_lines and "-c constraints.txt" in pip_lines


def test_conda_environment_names_a_supported_python():
    python = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][0]
    assert f"{python.removeprefix('python=')}.0" in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_pre_commit_uses_the_pinned_ruff():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (ruff,) = [r for r in repositories if r["repo"].endswith("/ruff-pre-commit")]
    assert ruff["rev"] == f"v{_pinned_version(CONSTRAINTS['ruff'])}"


def test_citation_names_the_software_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    paper = citation["preferred-citation"]
    assert [a["family-names"] for a in paper["authors"]] == ["Sutter", "Daunhawer", "Vogt"]
    assert (paper["year"], paper["type"]) == (2020, "conference-paper")
    assert paper in citation["references"]


def test_changelog_has_the_version():
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def _import_without_extras(*modules: str) -> subprocess.CompletedProcess:
    """Import modules in an interpreter of their own, where nothing of the extras can be imported."""
    code = IMPORT_WITHOUT.format(blocked=OUTSIDE_CORE, modules=modules)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_core_imports_need_only_the_core_dependencies():
    done = _import_without_extras("workbench", *(f"workbench.{module}" for module in CORE_MODULES))
    assert done.returncode == 0, done.stderr


def test_the_import_check_can_fail():
    done = _import_without_extras("workbench.notebooks.execution")
    assert done.returncode != 0 and "No module named" in done.stderr


def test_every_pin_installs_on_the_oldest_python():
    """A Python 3.11.2, as Debian 12 has it, must not be refused by a pin that wants 3.11.5."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    wants = {
        canonicalize_name(d.metadata["Name"]): d.metadata.get("Requires-Python")
        for d in metadata.distributions()
        if d.metadata.get("Requires-Python")
    }
    assert len(pins & wants.keys()) > 100
    refused = {name for name in pins & wants.keys() if not SpecifierSet(wants[name]).contains(oldest)}
    assert not refused
