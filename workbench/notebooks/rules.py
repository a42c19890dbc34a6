"""The rules of committed notebooks: `problems` finds what breaks them, `scrub` removes what changes by itself."""

import ast
import io
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import nbformat
from nbformat import NotebookNode

from workbench.files import replacing
from workbench.notebooks.parameters import declared_in, without_magics

CODE_CELLS = (15, 30)
WORDS = (1000, 2500)
MEDIAN_LINES = 8
DEF_LINES = 10
COMPARED_CELLS = 8
MAX_BYTES = 1_500_000
SHOWN = re.compile(r"^(?:display\()?(?:plotting\.)?Described\(\n.*?^\)+", re.MULTILINE | re.DOTALL)
PICTURES = ("image/png", "image/jpeg")
ALT_WORDS = 6  # at least: a title is shorter than what is to be seen
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
MACHINE_PATH = re.compile(
    r"(?<![\w.~/-])(?:/(?:home|root|tmp|work|Users|var|private|mnt|opt|usr|srv|data|workspace)/[\w.]|[A-Z]:\\\w)"
)
OWN_METADATA = ("after", "question")  # which notebooks leave what this one reads; what it asks, for the index
KEPT_CELL_METADATA = ("tags", "jupyter")
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PROGRESS_BAR = re.compile(r"\d%\|.*\[.*\]")  # tqdm's text form


def problems(path: Path) -> list[str]:
    """List what keeps a notebook from being committed, one sentence each; empty when all rules hold.

    A notebook in a folder called `solutions` must only be executed, in order and without errors, and be portable. One
    without a number is a tool and no lesson: besides, it declares its parameters and keeps functions short.
    """
    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    rules: list[Callable[[NotebookNode], Iterator[str]]] = [_executed, _no_errors, _no_machine_paths, _figures]
    lesson = path.parent.name != "solutions" and path.name[0].isdecimal()
    if path.parent.name != "solutions":
        rules += [_parameters, _short_functions]
    if lesson:
        rules += [_cell_counts, _prose, _compared, _exercises]
    broken = [problem for rule in rules for problem in rule(notebook)]
    if (size := path.stat().st_size) >= MAX_BYTES:
        broken.append(f"the file has {size:,} bytes: keep it under {MAX_BYTES:,}")
    if lesson and not (path.parent / "solutions" / path.name).is_file():
        broken.append(f"its exercises have no solutions: write solutions/{path.name}")
    return broken


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _markdown(notebook: NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _executed(notebook: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for cell in _code(notebook)]
    if None in counts:
        yield f"{counts.count(None)} code cells are not executed (or empty): restart the kernel and run all cells"
    elif counts != list(range(1, len(counts) + 1)):
        yield "the code cells were not executed in order 1..n: restart the kernel and run all cells"


def _no_errors(notebook: NotebookNode) -> Iterator[str]:
    for cell in _code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell [{cell.execution_count}] holds an error: {output.ename}"


def _no_machine_paths(notebook: NotebookNode) -> Iterator[str]:
    for cell in _code(notebook):
        text = "\n".join(map(text_of, cell.outputs))
        if match := MACHINE_PATH.search(text):
            shown = text[match.start() :].split()[0]
            yield f"the output of cell [{cell.execution_count}] holds a path of one machine: {shown}"


def _figures(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with stored pictures: no text that says what each shows, few pixels, small letters."""
    from workbench.plotting.shown import SHARP, SMALLEST, size_shown  # takes seconds: scrubbing needs none of it

    seen: set[str] = set()
    for cell in _code(notebook):
        where = f"the figure of cell [{cell.execution_count}]"
        shown = ((x, kind) for x in cell.outputs for kind in PICTURES if kind in x.get("data", {}))
        for output, kind in shown:
            said = output.metadata.get(kind, {})
            alt, points = said.get("alt", ""), said.get("points", SMALLEST)
            if len(alt.split()) < ALT_WORDS or alt in seen:
                yield f"{where} has no alternative text of its own: show it as plotting.Described(figure, words)"
            if alt and size_shown(io.BytesIO(b64decode(output.data[kind])))["width"] != said.get("width"):
                yield f"{where} has not {SHARP} pixels to the inch at the size shown: show it as plotting.Described"
            if points < SMALLEST:
                yield f"{where} has text of {points:.1f} points at the size shown: at least {SMALLEST:g}"
            seen.add(alt)


def text_of(output: NotebookNode) -> str:
    """Join all text of an output: stream, traceback, and every textual representation of a display."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join(output.traceback)
    shown = [text for kind, text in output.data.items() if not kind.startswith(("image/p", "image/j"))]
    return "\n".join(text for text in shown if isinstance(text, str))


def _parameters(notebook: NotebookNode) -> Iterator[str]:
    try:
        declared = declared_in(_code(notebook), "the notebook")
    except ValueError as error:
        yield str(error)
        return
    for name, parameter in declared.items():
        if not parameter.comment:
            yield f"parameter {name!r} has no comment on its line"
        if parameter.type == "None":
            yield f"parameter {name!r} has no type: annotate it, such as {name}: int | None = None"


def _cell_counts(notebook: NotebookNode) -> Iterator[str]:
    sources = [SHOWN.sub("shown", cell.source) for cell in _code(notebook)]  # a figure and its words are one line
    lines, (low, high) = [len(source.splitlines()) for source in sources], CODE_CELLS
    if not low <= len(lines) <= high:
        yield f"{len(lines)} code cells: keep them between {low} and {high}"
    if lines and median(lines) > MEDIAN_LINES:
        yield f"the median code cell has {median(lines):g} lines: at most {MEDIAN_LINES}"


def _short_functions(notebook: NotebookNode) -> Iterator[str]:
    for cell in _code(notebook):
        try:
            tree = ast.parse(without_magics(cell.source))
        except SyntaxError as error:
            yield f"cell [{cell.execution_count}] is not Python: {error.msg}"
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                length = node.end_lineno - node.lineno + 1
                if length > DEF_LINES:
                    yield f"{node.name} has {length} lines: move it to the package (at most {DEF_LINES} lines here)"


def _prose(notebook: NotebookNode) -> Iterator[str]:
    text = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)", " ", _markdown(notebook), flags=re.DOTALL)
    count, (low, high) = len(re.findall(r"[^\W\d_][\w'’-]*", text)), WORDS
    if not low <= count <= high:
        yield f"{count} words of prose: keep them between {low:,} and {high:,}"


def _compared(notebook: NotebookNode) -> Iterator[str]:
    cells = [cell for cell in _code(notebook) if not UNCOMPARED_TAGS & {*cell.metadata.get("tags", [])}]
    cells = [cell for cell in cells if not re.search(r"#\s*NBVAL_(IGNORE_OUTPUT|SKIP)", cell.source)]
    count = sum(map(_is_compared, cells))
    if count < COMPARED_CELLS:
        yield f"nbval compares only {count} cells with textual output: at least {COMPARED_CELLS}"
    for cell in cells:
        if cell.source.rstrip().endswith(";"):  # nbval runs cells without history
            yield f"cell [{cell.execution_count}] ends in ';', which nbval ignores: assign to _ or call plt.show()"


def _is_compared(cell: NotebookNode) -> bool:
    """Whether nbval can fail on the cell: its outputs are more than pictures."""
    texts = [text_of(output).strip() for output in cell.outputs if output.output_type != "error"]
    return any(text and not re.fullmatch(r"<Figure size .*>", text) for text in texts)


def _exercises(notebook: NotebookNode) -> Iterator[str]:
    if not re.search(r"^#+ .*exercise", _markdown(notebook), flags=re.IGNORECASE | re.MULTILINE):
        yield "it has no exercises: end with a heading 'Exercises' and two or three of them"


def scrub(path: Path) -> bool:
    """Rewrite a notebook without volatile metadata; outputs and execution counts stay. True if the file changed.

    Removed: timing, papermill's and editors' metadata, versions, widget state and views (they name models of a kernel
    that is gone; their text stays, but for progress bars). Cell ids become their positions, so that the same cells
    give the same file.
    """
    path = Path(path)
    before = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(before, as_version=4)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    own = {name: x for name, x in notebook.metadata.get("workbench", {}).items() if name in OWN_METADATA}
    kept = {"kernelspec": KERNELSPEC, "language_info": LANGUAGE} | ({"workbench": own} if own else {})
    notebook.metadata = nbformat.from_dict(kept)
    for number, cell in enumerate(notebook.cells, start=1):
        _scrub_cell(cell, f"cell-{number:02d}")
    after = nbformat.writes(notebook).rstrip("\n") + "\n"
    if after == before:
        return False
    with replacing(path) as temporary:
        temporary.write_text(after, encoding="utf-8")
    return True


def _is_progress(output: NotebookNode) -> bool:
    """Whether an output is the view of a progress bar: without its widget only a stale "0%" would be left."""
    data = output.get("data", {})
    return WIDGET_VIEW in data and PROGRESS_BAR.search(data.get("text/plain", "")) is not None


def _scrub_cell(cell: NotebookNode, name: str) -> None:
    cell.id = name
    cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in KEPT_CELL_METADATA if cell.metadata.get(k)})
    if "outputs" in cell:
        cell.outputs = [output for output in cell.outputs if not _is_progress(output)]
    for output in cell.get("outputs", []):
        if "metadata" in output:
            output.metadata = nbformat.from_dict({k: v for k, v in output.metadata.items() if k.startswith("image/")})
        if WIDGET_VIEW in output.get("data", {}) and len(output.data) > 1:
            del output.data[WIDGET_VIEW]
