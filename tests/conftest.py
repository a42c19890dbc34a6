"""Shared fixtures, and how notebooks are compared. Every shape annotation of the package is checked at run time.

Notebooks are compared by nbval in the same pool of processes as the tests: `pytest --nbval notebooks tests`.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("workbench", "beartype.beartype")
# the same examples on every machine, however slow it is
settings.register_profile("repeatable", max_examples=30, deadline=None, derandomize=True)
settings.load_profile("repeatable")


# Notebooks that train for long. `make test` leaves these to `make test-all`, as it does tests marked slow.
SLOW_NOTEBOOKS = {
    *(f"notebooks/{name}" for name in ("04_training", "05_evaluation", "11_celeba", "12_your_own_data", "14_tables")),
    *(f"solutions/{name}" for name in ("05_evaluation", "06_comparison", "07_ablation_subspace_size")),
    *(f"solutions/{name}" for name in ("08_ablation_prior_weight", "09_ablation_beta", "10_generation", "11_celeba")),
    "solutions/12_your_own_data",
    "solutions/14_tables",
}
OUTPUT_SECONDS = 120  # how long nbval waits for an output: its own five seconds are too few on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the cells of notebooks take their time and warn as they like; mark those of slow ones."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.output_timeout = OUTPUT_SECONDS
            item.add_marker(pytest.mark.filterwarnings("default"))
            if f"{item.path.parent.name}/{item.path.stem}" in SLOW_NOTEBOOKS:
                item.add_marker("slow")


@pytest.fixture(autouse=True)
def legible_figures(monkeypatch) -> Iterator[None]:
    """Whatever a test has the package draw has no text below nine points."""
    pyplot, drawn = sys.modules.get("matplotlib.pyplot"), []
    if pyplot:
        subplots = pyplot.subplots
        monkeypatch.setattr(pyplot, "subplots", lambda *a, **k: drawn.append(made := subplots(*a, **k)) or made)
    yield
    for figure, _ in drawn:
        sizes = {x.get_text(): x.get_size() for x in figure.findobj(pyplot.Text) if x.get_text().strip()}
        assert all(size >= 9 for size in sizes.values()), f"text below 9 points: {sizes}"


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets that WORKBENCH_DATA names; skips where there is none."""
    root = os.environ.get("WORKBENCH_DATA")
    if not root:
        pytest.skip("WORKBENCH_DATA is not set: no real data to test on")
    return Path(root)


@pytest.fixture
def tiny_root(tmp_path, monkeypatch) -> Path:
    """A project root whose cache holds a few real digits under the names of the sources `uci` and `plain`."""
    from helpers import fill_cache

    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    fill_cache()
    return tmp_path


@pytest.fixture
def root_with_judges(tiny_root) -> Path:
    """The cache also holds untrained judges, so that an evaluation has nothing to train."""
    from helpers import fill_cache_with_judges

    fill_cache_with_judges("uci-plain-text")
    return tiny_root
