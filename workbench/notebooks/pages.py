"""Executed notebooks as pages to look at: one HTML file each and an index, readable without a network.

Images are embedded, formulas become MathML (which browsers draw by themselves: no MathJax to download), widgets
become their last state as plain HTML, and the style, which each page carries inside, is page.css.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from workbench.files import replacing
from workbench.notebooks.markdown import mathml, to_html, within
from workbench.notebooks.rules import WIDGET_VIEW

ERROR_MARKER = "papermill-error-cell-tag"
ABBREVIATIONS = ("Eq", "eq", "Eqs", "Fig", "Def", "Tab", "Sec", "vs", "al", "cf", r"e\.g", r"i\.e")
NO_END = "".join(rf"(?<!\b{word}\.)" for word in ABBREVIATIONS)
SCROLLS = re.compile(r'<div class="(?:formula|output_html|output_markdown)[^>"]*"|<table(?=>)')  # by arrow keys, too
SHELL = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
$body
</body>
</html>
""")


# A view without code needs no script: it is what the page's style makes of `#nocode` in its address.
NOCODE = '<span id="nocode"></span>'
VIEWS = '<a class="full" href="#nocode">Without code</a><a class="bare" href="#">With code</a>'


class Summary(NamedTuple):
    """What the index shows of an executed notebook; `title`, `sentence` and `settings` are HTML."""

    path: Path
    title: str
    sentence: str
    settings: str
    status: str
    seconds: float | None
    figure: str
    solutions: str = ""  # their page, from where the notebook's is


class _Exporter(HTMLExporter):
    """nbconvert's HTML body with `_Renderer` for Markdown."""

    def markdown2html(self, source: str) -> str:  # no template context: attachments are not used in this project
        return to_html(source, self.notebook_folder)


def write_pages(out_dir: Path, documents: Sequence[Path] = (), solutions: Sequence[Path] = ()) -> Path:
    """Write a page beside each executed notebook of `out_dir` and an index of them all; returns the index's path.

    `documents` in Markdown become pages, too, which the index names first, and `solutions` those that the pages of the
    notebooks of the same names link. `#nocode` after the address of a page is a view without code, kept by its links.
    """
    here = [path for path in sorted(Path(out_dir).glob("*.ipynb")) if within(path, Path(out_dir))]
    notebooks = {path: nbformat.read(path, as_version=4) for path in here}
    solved = {
        path.stem: _write_solutions(path, Path(out_dir)) for path in solutions if path.name in {x.name for x in here}
    }
    found = [summary_of(path, notebook) for path, notebook in notebooks.items()]
    summaries = [summary._replace(solutions=solved.get(summary.path.stem, "")) for summary in found]
    steps = zip([None, *summaries], summaries, [*summaries[1:], None], strict=False)
    for (before, summary, after), notebook in zip(steps, notebooks.values(), strict=True):
        more = f' · <a href="{summary.solutions}">Solutions</a>' if summary.solutions else ""
        middle = f"<span>{_kept('index.html', 'All notebooks')}{more} · {VIEWS}</span>"
        links = _step(before, "← {} "), middle, _step(after, " {} →")
        _write(summary.path.with_suffix(".html"), summary.title, NOCODE + _between(links, _cells(notebook)))
    named = [_write_document(path, Path(out_dir)) for path in documents]
    index = Path(out_dir) / "index.html"
    _write(index, "Notebooks", NOCODE + _index_body(summaries, named))
    return index


def _write_document(path: Path, out_dir: Path) -> str:
    """Write the page of a document; returns a link to it, by its title."""
    source = path.read_text(encoding="utf-8")
    title, page = _inline(source.partition("\n")[0].lstrip("# ")), out_dir / f"{path.stem}.html"
    links = "<span></span>", '<a href="index.html">All notebooks</a>', "<span></span>"
    _write(page, title, _between(links, to_html(source, str(path.parent))))
    return f'<a href="{page.name}">{title}</a>'


def _write_solutions(path: Path, out_dir: Path) -> str:
    """Write the page of a notebook of solutions as it is stored; returns its place below `out_dir`."""
    notebook, page = nbformat.read(path, as_version=4), f"solutions/{path.stem}.html"
    back = f'<a href="../{path.stem}.html">← The notebook</a>', '<a href="../index.html">All notebooks</a>'
    shown = _between([*back, "<span></span>"], _cells(notebook, folder=path.parent))
    _write(out_dir / page, summary_of(path, notebook).title, shown)
    return page


def _between(links: Sequence[str], shown: str) -> str:
    """A page's body, between two bars of the same links."""
    above, below = (f'<nav aria-label="notebooks, {place}">{"".join(links)}</nav>' for place in ("above", "below"))
    return f"{above}\n<main>\n{shown}\n</main>\n{below}"


def _kept(page: str, words: str) -> str:
    """Link a page twice, so that the view is kept, with code or without: of these one is seen."""
    return f'<a class="full" href="{page}">{words}</a><a class="bare" href="{page}#nocode">{words}</a>'


def _step(summary: Summary | None, shown: str) -> str:
    return f"<span>{_kept(f'{summary.path.stem}.html', shown.format(summary.title)) if summary else ''}</span>"


def _write(path: Path, title: str, body: str) -> None:
    """Write a page; `title` and `body` are HTML, of the title only the text is kept."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    style += HtmlFormatter(style="default").get_style_defs(".highlight")
    style += f"\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"
    body = SCROLLS.sub(r'\g<0> tabindex="0"', body)
    page = SHELL.substitute(title=re.sub(r"<[^>]+>", "", title), style=style, body=body)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def write_result(executed: Path, page: Path) -> None:
    """Write the page of one executed notebook for those who want what it shows: without its code, and alone."""
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or cell.outputs]
    body = f'<main class="result">\n{_cells(notebook, code=False)}\n</main>'
    _write(page, summary_of(executed, notebook).title, body)


def _cells(notebook: NotebookNode, code: bool = True, folder: Path | None = None) -> str:
    """Its cells as HTML; images are looked up in a folder, or beside the notebook that was executed."""
    exporter = _Exporter(template_name="basic", exclude_input=not code)
    executed = Path(notebook.metadata.get("papermill", {}).get("input_path", "")).resolve()
    exporter.notebook_folder = str(folder or executed.parent)
    return exporter.from_notebook_node(static(notebook))[0]


def static(notebook: NotebookNode) -> NotebookNode:
    """A copy in which nothing needs a kernel, a script or a terminal: plain widgets, formulas and progress."""
    notebook = nbformat.from_dict(notebook)
    widgets = notebook.metadata.pop("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)  # a redrawn line: only its last state
            _make_plain(output.get("data", {}), widgets.get("state", {}))
    return notebook


def _make_plain(data: dict[str, Any], widgets: Mapping[str, Any]) -> None:
    """Replace the representations of one output that need more than a browser."""
    data.pop("application/javascript", None)
    if WIDGET_VIEW in data:
        shown = static_widget(data.pop(WIDGET_VIEW)["model_id"], widgets)
        if shown:
            data["text/html"] = shown
    elif "text/latex" in data and "text/html" not in data:
        data["text/html"] = mathml(data["text/latex"].strip("$ \n"), "block")


# Widgets in their last state, where a live notebook has controls


def static_widget(model_id: str, states: Mapping[str, Any], alt: str = "") -> str:
    """Draw one widget and its children from saved widget state as HTML; '' when there is nothing to show.

    `alt` is what an image shows, where no widget beside it says so (`explorers.controls.named`).

    Boxes, texts, progress bars, images and controls with a description and a value are drawn; other widgets (layouts,
    styles) are not visible by themselves.
    """
    if model_id not in states:
        return ""
    model, state = states[model_id]["model_name"], states[model_id]["state"]
    if "children" in state:
        children = [child.removeprefix("IPY_MODEL_") for child in state["children"]]
        said = (states[child]["state"].get("picture") for child in children if child in states)
        alt = next(filter(None, said), alt)
        inner = "".join(static_widget(child, states, alt) for child in children)
        return f'<div class="widget {"column" if model == "VBoxModel" else "row"}">{inner}</div>' if inner else ""
    if model == "ImageModel":
        return _image(states[model_id], alt)
    if model in ("FloatProgressModel", "IntProgressModel"):
        return f'<progress value="{state.get("value", 0)}" max="{state.get("max", 100)}"></progress>'
    if model in ("HTMLModel", "HTMLMathModel"):
        return f"<span>{state.get('value', '')}</span>"
    return _control(state)


def _image(saved: Mapping[str, Any], alt: str) -> str:
    """The picture of an Image widget, whose bytes are saved beside its state in base64."""
    kind = saved["state"].get("format", "png")
    data = [b["data"] for b in saved.get("buffers", []) if b["path"] == ["value"] and b["encoding"] == "base64"]
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{data[0]}">' if data else ""


def _control(state: Mapping[str, Any]) -> str:
    value, index, labels = state.get("value"), state.get("index"), state.get("_options_labels")
    if value is None and labels and index is not None:
        value = labels[index] if isinstance(index, int) else ", ".join(labels[i] for i in index)
    said = f"{state['description']}: {value}" if state.get("description") else str(value)
    return "" if value is None else f'<span class="control">{escape(said)}</span>'


# The index


def summary_of(path: Path, notebook: NotebookNode) -> Summary:
    """Read an executed notebook's first heading, its question, parameters, status, run time and first figure.

    The question is that of its metadata, else its first sentence.
    """
    prose = [c for c in notebook.cells if c.cell_type == "markdown"]
    written = [cell.source for cell in prose if ERROR_MARKER not in cell.metadata.get("tags", [])]
    heading, _, prose = "\n\n".join(written).partition("\n")
    if not heading.startswith("# "):
        heading, prose = f"# {path.stem}", "\n\n".join(written)
    ran, question = (notebook.metadata.get(name, {}) for name in ("papermill", "workbench"))
    sentence = question.get("question") or _first_sentence(prose)
    settings = ", ".join(f"{name} = {value!r}" for name, value in ran.get("parameters", {}).items())
    return Summary(
        path, _inline(heading[2:]), _inline(sentence), escape(settings),
        _status(notebook), ran.get("duration"), _first_figure(notebook),
    )  # fmt: skip


def _inline(source: str) -> str:
    """One line of Markdown as HTML without its paragraph and without links (it stands inside one)."""
    return re.sub(r"^<p>|</p>$|</?a\b[^>]*>", "", to_html(source.strip()).strip())


def _first_sentence(prose: str) -> str:
    for block in re.split(r"\n\s*\n", prose.strip()):
        if block.strip() and not re.match(r"\s*([#|>!$*<-]|```|\d+\.)", block):
            return re.split(NO_END + r"(?<=[.!?])\s", " ".join(block.split()), maxsplit=1)[0]
    return ""


def _status(notebook: NotebookNode) -> str:
    """'failed' with an error, 'stopped' when cells were left out (an interruption), else 'done'."""
    if notebook.metadata.get("papermill", {}).get("exception"):
        return "failed"
    left = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip() and c.execution_count is None]
    return "stopped" if left else "done"


def _first_figure(notebook: NotebookNode) -> str:
    """The first PNG or JPEG among the outputs as a data URL; '' without one."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = ((kind, data[kind]) for data in outputs for kind in ("image/png", "image/jpeg") if kind in data)
    return next((f"data:{kind};base64,{''.join(figure.split())}" for kind, figure in figures), "")


def _index_body(summaries: list[Summary], named: Sequence[str] = ()) -> str:
    done = sum(summary.status == "done" for summary in summaries)
    seconds = _duration(sum(summary.seconds or 0.0 for summary in summaries))
    totals, cards = f"{done} of {len(summaries)} done, {seconds} in all", "\n".join(map(_card, summaries))
    told = "".join(f'<p class="told">{line}</p>\n' for line in (totals, " · ".join([*named, VIEWS])))
    return f'<main class="index">\n<h1>Notebooks</h1>\n{told}{cards}\n</main>'


def _card(summary: Summary) -> str:
    picture = f'<img src="{summary.figure}" alt="">' if summary.figure else f"<span>{summary.path.stem[:2]}</span>"
    state = "" if summary.status == "done" else f'<b class="{summary.status}">{summary.status}</b> '
    solved = summary.solutions and f'<a href="{summary.solutions}">solutions</a>'
    facts = " · ".join(filter(None, [summary.path.stem, _duration(summary.seconds), summary.settings, solved]))
    return (
        f'<div class="card"><div class="picture">{picture}</div>'
        f"<div><h2>{_kept(f'{summary.path.stem}.html', summary.title)}</h2><p>{summary.sentence}</p>"
        f'<p class="facts">{state}{facts}</p></div></div>'
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
