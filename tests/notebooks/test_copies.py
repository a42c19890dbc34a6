"""Copies of notebooks to work in: what is fresh, what a person keeps, and that nothing committed changes."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.notebooks.__main__ import main
from workbench.notebooks.copies import make

VIEW = new_output("display_data", {"text/plain": "VBox(children=(IntSlider(value=0),))"})
NUMBER = new_output("display_data", {"text/plain": "42"})


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    cells = [new_markdown_cell("# One"), new_code_cell("explore()", outputs=[VIEW, NUMBER])]
    notebook = new_notebook(cells=cells, metadata={"workbench": {"question": "What *is* it?"}})
    nbformat.write(notebook, folder / "00_one.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Solved")]), folder / "solutions" / "00_one.ipynb")
    (folder / "trouble.md").write_text("# Trouble")
    return folder


def change(path: Path, source: str) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = source
    nbformat.write(notebook, path)


def test_copies_follow_their_sources_until_a_person_changes_them(source, tmp_path):
    target = tmp_path / "outputs" / "lab"
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    assert make(source, target) == [target / "00_one.ipynb", target / "solutions" / "00_one.ipynb"]
    assert make(source, target) == [] and {path: path.read_bytes() for path in before} == before
    copy = nbformat.read(target / "00_one.ipynb", as_version=4)
    assert [o.data["text/plain"] for o in copy.cells[1].outputs] == ["42"], "a view without its kernel is no picture"
    # what JupyterLab does by opening it is no change of a person's
    copy.metadata["toc"] = {"numbering": True}
    copy.cells[1].outputs = []
    nbformat.write(copy, target / "00_one.ipynb")
    change(source / "00_one.ipynb", "# Two")
    assert make(source, target) == [target / "00_one.ipynb"]
    assert nbformat.read(target / "00_one.ipynb", as_version=4).cells[0].source == "# Two"
    change(target / "00_one.ipynb", "# Mine")
    assert make(source, target) == [], "the source is as it was"
    change(source / "00_one.ipynb", "# Three")
    assert make(source, target) == [target / "00_one-newer.ipynb"]
    titles = [
        nbformat.read(target / name, as_version=4).cells[0].source for name in ("00_one.ipynb", "00_one-newer.ipynb")
    ]
    assert titles == ["# Mine", "# Three"]
    change(source / "00_one.ipynb", "# Four")
    assert make(source, target) == [target / "00_one-newer.ipynb"], "and still hers"
    assert nbformat.read(target / "00_one.ipynb", as_version=4).cells[0].source == "# Mine"


def test_a_copy_that_is_gone_or_broken_costs_nobody_anything(source, tmp_path):
    target = tmp_path / "lab"
    make(source, target)
    (target / "00_one.ipynb").unlink()
    assert make(source, target) == [target / "00_one.ipynb"]
    (target / "00_one.ipynb").write_text("{")
    change(source / "00_one.ipynb", "# Two")
    assert make(source, target) == [target / "00_one-newer.ipynb"] and (target / "00_one.ipynb").read_text() == "{"
    shutil.rmtree(target)
    assert len(make(source, target)) == 2


def test_the_welcome_asks_every_question_and_leads_to_the_documents(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    assert main(["copy", str(tmp_path / "lab")]) == 0
    assert capsys.readouterr().out.count("Copied: ") == 2
    (cell,) = json.loads((tmp_path / "lab" / "welcome.ipynb").read_text())["cells"]
    text = "".join(cell["source"])
    assert "| [00_one](00_one.ipynb) | What *is* it? |" in text and "[When something goes wrong](trouble.md)" in text
    assert (tmp_path / "lab" / "trouble.md").read_text() == "# Trouble"
