"""The documents: every link leads somewhere, the README stays short, and what it prints as code runs."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
import typer.main

from workbench import Config, cli, evaluation
from workbench.data import dataset
from workbench.notebooks import kernels, parameters, series
from workbench.runs.run import Run
from workbench.sweeps import run as sweeps
from workbench.training import loop

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in ("", "data", "notebooks", "outputs/reference")
    for page in (ROOT / folder).glob("*.md")
    if not page.name.endswith(".in.md")  # what another page is made of
)
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
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


def test_the_readme_asks_what_the_notebooks_ask():
    """In its table of them; the index of pages takes the questions from their metadata."""
    found = {
        path: json.loads(path.read_text())["metadata"]["workbench"] for path in sorted(ROOT.glob("notebooks/[0-9]*"))
    }
    asked = re.findall(r"^\| `(\d\d_\w+)` \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert asked == [(path.stem, marks["question"]) for path, marks in found.items()]


def test_the_readmes_results_are_those_of_the_reference_runs():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if re.search(r"\| -?[\d.]+ \(", line)]
    assert len(rows) == 5 and {*rows} <= {*(ROOT / "outputs/reference/results.md").read_text().splitlines()}


def test_the_readmes_choice_of_a_method_is_that_of_the_results():
    (table,) = re.findall(r"^\| what for .*?\n\n", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(table.strip().splitlines()) >= 5 and table in (ROOT / "outputs/reference/results.md").read_text()


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


# ------------------------------------------------------------------------------------------------------------- commands

# What stands for something else in a command: a folder, a file, a name; "..." for what is left out.
STANDS_FOR = {"OBJECTIVE": "mmjsd", "...": "outputs"}
OF_AN_OLDER_VERSION = "--rounds 3 --steps 2"  # as performance.md says beside it


def commands() -> Iterator[str]:
    """Every command line that starts with `workbench` in documents and in the text of notebooks, on one line."""
    texts = [page.read_text() for page in PAGES if page.name != "CHANGELOG.md"]
    for notebook in sorted(ROOT.glob("notebooks/**/*.ipynb")):
        cells = json.loads(notebook.read_text())["cells"]
        texts += ["\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")]
    for text in texts:
        for block in FENCED.findall(text):
            yield from re.findall(r"^workbench .*", re.sub(r"\\\n\s*", "", block), re.MULTILINE)
        inline = re.findall(r"`(workbench [^`]+)`", FENCED.sub("", text).replace("\n", " "))
        # neither the mere name of a command nor that of an option
        yield from (x for x in inline if len(x.split()) > 2 and (x.endswith(" --claims") or x.split()[-1][:2] != "--"))


@pytest.mark.parametrize("line", sorted({line for line in commands() if OF_AN_OLDER_VERSION not in line}))
def test_every_command_in_the_documents_is_one(line, tmp_path, monkeypatch):
    """All options are there; what is executed, swept or trained is found, with parameters that it has, of their type.

    Nothing is executed: where it would begin it is noted down.
    """
    words = [STANDS_FOR.get(word, word.replace("OBJECTIVE", "mmjsd")) for word in shlex.split(line, comments=True)[1:]]
    begun = []
    monkeypatch.setattr(kernels, "warm_up", lambda notebook: None)
    monkeypatch.setattr(series, "run", lambda paths, out, given, *_, **__: begun.append(distribute(paths, given)) or [])
    distribute = parameters.distribute
    queued = series.State("queued")
    monkeypatch.setattr(sweeps, "complete", lambda plan, *_, **__: begun.append(plan) or [queued] * len(plan.jobs))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # whose floats are not whole numbers
    for module, name in ((evaluation, "train_and_evaluate"), (loop, "fit")):
        monkeypatch.setattr(module, name, lambda config, out, *_, **__: begun.append(config) or Run(out or tmp_path))
    if words[0] in ("run", "sweep", "train") and "--dry-run" not in words and "--help" not in words:
        monkeypatch.setattr(sys, "argv", ["workbench", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code and begun, ended.value.code
        return
    group = typer.main.get_command(cli.app)
    context = group.make_context("workbench", words, resilient_parsing="--help" in words)
    while hasattr(group, "resolve_command") and "--help" not in words:
        name, group, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        context = group.make_context(name, rest, parent=context)
