"""The documents: every link leads somewhere, the README stays short, and what it prints as code runs."""

import re
from pathlib import Path

import pytest
import torch

from workbench import Config
from workbench.data import dataset

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in ("", "data", "notebooks", "outputs/reference")
    for page in (ROOT / folder).glob("*.md")
    if not page.name.endswith(".in.md")  # what another page is made of
)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
README_BYTES = 12_288


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"https?://|mailto:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name}: {link} is not there"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link} names no heading"


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


def test_the_readmes_results_are_those_of_the_reference_runs():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if re.search(r"\| -?[\d.]+ \(", line)]
    assert len(rows) == 5 and {*rows} <= {*(ROOT / "outputs/reference/results.md").read_text().splitlines()}


def test_paths_in_the_documents_are_there():
    """Files and folders of the project that are named in code type or commands."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # tells of files that were
            continue
        text = page.read_text()
        for path in re.findall(r"\b((?:workbench|tests|notebooks)/[\w/.]*\.(?:py|ipynb|toml|md))", text):
            assert (ROOT / path).exists() or "NN_" in path, f"{page.name} names {path}"
        for module in re.findall(r"\b(workbench(?:\.[a-z_]+)+)\b", text):
            parts = module.split(".")
            assert any(ROOT.joinpath(*parts[:n]).with_suffix(".py").exists() or ROOT.joinpath(*parts[:n]).is_dir()
                       for n in (len(parts), len(parts) - 1) if n > 1), f"{page.name} names {module}"  # fmt: skip


def test_the_readmes_code_runs(root_with_judges, monkeypatch):
    (code,) = re.findall(r"<!-- tested: in code -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    make = Config.make

    def small(preset, **changes):
        return make(preset, **changes, steps=2, batch_size=8, device="cpu", repeats=1)

    monkeypatch.setattr(Config, "make", small)
    names: dict = {}
    exec(code, names)
    assert names["handwriting"].shape == (8, 1, 28, 28) and names["street"].shape == (8, 3, 32, 32)
    assert isinstance(names["batch"], dataset.Batch) and torch.isfinite(names["handwriting"]).all()
