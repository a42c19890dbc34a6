"""Slides of notebooks: `make slides` writes those of 00, 02 and 10, without code, from what is stored in them.

Cells are on slides by their tags: `slide` begins one, `subslide` one below it, `same-slide` stays on it; all others
are left out. A heading of a tagged cell begins a slide, what is too long goes on below, and exercises are left out.
nbconvert makes the pages; reveal.js, which moves from slide to slide, comes from the network, or from a folder that is
named. Where there is none the same slides stand below each other, a screen each.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from workbench.files import replacing
from workbench.notebooks.markdown import to_html
from workbench.notebooks.pages import static

KINDS = {"slide": "slide", "subslide": "subslide", "same-slide": "-"}  # tags, and what nbconvert calls them
DECKS = ("00_start_here", "02_theory_of_the_bound", "10_generation")
WORDS = 130  # on a slide
TEMPLATE = """{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}<meta name="viewport" content="width=device-width, initial-scale=1">{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block notebook_css -%}{%- endblock -%}
{%- block html_head_css -%}{%- endblock -%}
{%- block footer_js -%}
<style>{{ resources.style }}</style>
<script src="{{ resources.reveal.url_prefix }}/dist/reveal.js"></script>
<script>
const size = {width: 1120, height: 720, margin: 0.03, center: false};
if (window.Reveal) Reveal.initialize({hash: true, slideNumber: "c/t", ...size});
else document.documentElement.classList.add("alone");
</script>
{%- endblock -%}
"""


class _Exporter(SlidesExporter):
    """nbconvert's slides with formulas as MathML, in the style of the pages."""

    raw_template = TEMPLATE

    def markdown2html(self, source: str) -> str:
        return to_html(source, self.notebook_folder)


def write(notebooks: Sequence[Path], folder: Path, reveal: str = "") -> list[Path]:
    """Write FOLDER/NAME.slides.html of each notebook; `reveal` is the address of a copy of reveal.js, from FOLDER."""
    return [_write(path, folder / f"{path.stem}.slides.html", reveal) for path in notebooks]


def _write(path: Path, target: Path, reveal: str) -> Path:
    exporter = _Exporter(exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.notebook_folder = str(path.resolve().parent)
    if reveal:
        exporter.reveal_url_prefix = reveal
    style = "".join((Path(__file__).with_name(name)).read_text(encoding="utf-8") for name in ("page.css", "slides.css"))
    shown = deck(nbformat.read(path, as_version=4))
    shown.metadata["title"] = path.stem
    page, _ = exporter.from_notebook_node(shown, {"style": style})
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def deck(notebook: NotebookNode) -> NotebookNode:
    """Make a notebook of the cells that are on slides; ValueError where no cell is tagged."""
    cells = [piece for cell in notebook.cells for piece in _pieces(cell)]
    if not cells:
        raise ValueError(f"no cell has one of the tags {', '.join(KINDS)}")
    return static(nbformat.from_dict({**notebook, "cells": cells}))


def _pieces(cell: NotebookNode) -> Iterator[NotebookNode]:
    kind = next((KINDS[tag] for tag in cell.metadata.get("tags", ()) if tag in KINDS), None)
    if kind and cell.cell_type == "code":
        yield _on(cell, kind)
    elif kind:
        told = re.split(r"^#+ +exercises?\b", cell.source, maxsplit=1, flags=re.IGNORECASE | re.MULTILINE)[0]
        for part in filter(str.strip, re.split(r"^(?=#{1,2} )", told, flags=re.MULTILINE)):
            kind = "slide" if part.startswith("#") else kind
            for page in _pages(part):
                yield _on(new_markdown_cell(page), kind)
                kind = "subslide"


def _on(cell: NotebookNode, kind: str) -> NotebookNode:
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def _pages(source: str) -> Iterator[str]:
    """Cut a text between its paragraphs and items, so that no part has more words than a slide holds, if that can be.

    Neither a heading nor the beginning of a sentence stands alone.
    """
    page, *rest = re.split(r"(\n\s*\n|\n(?=- |\d+\. ))", source.strip())
    for gap, block in zip(rest[::2], rest[1::2], strict=True):
        if len(f"{page} {block}".split()) > WORDS and not re.search(r"(^|\n)#.*$|[:,]$", page):
            yield page
            page = block
        else:
            page += gap + block
    yield page
