"""Copies of the notebooks to work in: `make lab` opens these, so that nothing that is committed changes by looking.

Opening a notebook in JupyterLab already changes its file. A copy is made afresh when its source has changed, unless a
person has: whose cells are other ones than they were when the copy was made stays, and the new one lies beside it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from workbench.config import digest
from workbench.files import if_sound, read_json, replacing, write_json
from workbench.notebooks.parameters import source_of
from workbench.notebooks.rules import KERNELSPEC

MADE = ".made.json"  # beside the copies: digests by name, of sources and of the copies' cells as they were made
WELCOME = "welcome.ipynb"
NEWER = "{}-newer"  # the name of a new copy beside one that a person has changed
INTRODUCTION = """# Welcome

These are copies for you to change: they lie in `{folder}`, and the project's own stay as they are. *Run*, then
*Run all cells* executes a notebook; sliders move when it has run. A copy that you have not changed follows the project
when that changes; one that you have changed stays, and the new one lies beside it as `NAME-newer`.

"""


def make(source: Path, target: Path) -> list[Path]:
    """Copy the notebooks of a folder, and those in folders below it, to another one; returns those newly written.

    Stored views of widgets, which only a kernel can draw, are left out. A welcome links all of them.
    """
    there = (target / MADE).is_file() and if_sound(lambda: read_json(target / MADE), target / MADE)
    sources, cells = there.values() if there else ({}, {})
    written = []
    for path in sorted(source.rglob("*.ipynb")):
        raw, name = json.loads(path.read_text(encoding="utf-8")), path.relative_to(source).as_posix()
        now, copy = digest(raw), target / name
        if ".ipynb_checkpoints" in name or (copy.is_file() and sources.get(name) == now):
            continue
        while copy.is_file() and _cells(copy) != cells.get(copy.relative_to(target).as_posix(), ""):  # a person's
            copy = copy.with_stem(NEWER.format(copy.stem))
        _write(without_views(nbformat.from_dict(raw)), copy)
        sources[name], cells[copy.relative_to(target).as_posix()] = now, _cells(copy)
        written.append(copy)
    write_json(target / MADE, {"sources": sources, "cells": cells})
    for document in sorted(path for path in source.glob("*.md") if path.stem != "README"):
        with replacing(target / document.name) as temporary:
            temporary.write_bytes(document.read_bytes())
    _write(welcome(sorted(source.glob("[0-9]*.ipynb")), target), target / WELCOME)
    return written


def _cells(path: Path) -> str | None:
    """A digest of the cells' sources; None of what is no notebook any more."""
    try:
        return digest({"cells": [source_of(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]})
    except (ValueError, KeyError):
        return None


def without_views(notebook: NotebookNode) -> NotebookNode:
    """Drop outputs that are the text of a widget alone."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _is_view(output)]
    return notebook


def _is_view(output: NotebookNode) -> bool:
    data = output.get("data", {})
    return [*data] == ["text/plain"] and "".join(data["text/plain"]).startswith(("VBox(", "HBox(", "Tab("))


def welcome(notebooks: Sequence[Path], folder: Path) -> NotebookNode:
    """Make the page that opens first: every notebook with its question."""
    asked = {path: json.loads(path.read_text(encoding="utf-8"))["metadata"].get("workbench", {}) for path in notebooks}
    rows = [f"| [{path.stem}]({path.name}) | {own.get('question', '')} |" for path, own in asked.items()]
    more = "\n\n[Reading group](reading_group.md) · [When something goes wrong](trouble.md)"
    table = "\n".join(["| notebook | what it answers |", "| --- | --- |", *rows]) + more
    cell = new_markdown_cell(INTRODUCTION.format(folder=folder) + table, id="welcome")
    return new_notebook(cells=[cell], metadata={"kernelspec": KERNELSPEC})  # else JupyterLab asks for a kernel


def _write(notebook: NotebookNode, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
