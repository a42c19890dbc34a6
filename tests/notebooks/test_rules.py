"""Every committed notebook keeps the rules, and every rule can fail."""

import base64
import io
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from workbench.notebooks import find
from workbench.notebooks.__main__ import main
from workbench.notebooks.copies import make
from workbench.notebooks.pages import write_pages
from workbench.notebooks.rules import problems, scrub

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
COMMITTED = sorted(FOLDER.glob("*.ipynb")) + sorted(FOLDER.glob("solutions/*.ipynb"))
VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "8f2"}}


def test_there_are_notebooks():
    assert find(), "no numbered notebooks"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(FOLDER)))
def test_committed_notebook_keeps_the_rules_and_is_scrubbed(path, tmp_path):
    assert problems(path) == []
    clean = tmp_path / path.name
    clean.write_bytes(path.read_bytes())
    assert not scrub(clean), f"run: python -m workbench.notebooks scrub {path.relative_to(FOLDER.parent)}"


def test_every_lesson_leads_to_the_glossary_in_copies_and_pages(tmp_path):
    make(FOLDER, tmp_path / "lab")
    for path in find():
        shutil.copy(path, tmp_path)
    write_pages(tmp_path, [FOLDER / "reading_group.md"])
    for path in find():
        for place in (path, tmp_path / "lab" / path.name):
            first = nbformat.read(place, as_version=4).cells[0].source
            (file, heading) = re.search(r"\[glossary\]\(([\w.]+)#(\w+)\)", first).groups()
            assert f"\n## {heading}\n" in (place.parent / file).read_text()
        file, place = re.search(
            r'href="([\w.]+)#(\w+)">glossary<', (tmp_path / f"{path.stem}.html").read_text()
        ).groups()
        assert f'<h2 id="{place}">' in (tmp_path / file).read_text()


def code(source, text="3\n", tags=()):
    cell = new_code_cell(source, metadata={"tags": list(tags)} if tags else {})
    cell.outputs = [new_output("stream", name="stdout", text=text)] if text else []
    return cell


def numbered(*cells):
    """A notebook of these cells, executed in order."""
    for count, cell in enumerate([c for c in cells if c.cell_type == "code"], start=1):
        cell.execution_count = count
    return new_notebook(cells=list(cells))


def good(more=0):
    """A notebook that keeps every rule, or has too many cells."""
    return numbered(
        new_markdown_cell("# Title\n\n" + "word " * 1200),
        new_markdown_cell("## Exercises\n\n1. Try."),
        code("beta: float = 5.0  # weight of the divergence", "", ["parameters"]),
        *(code("print(1 + 2)") for _ in range(16 + more)),
    )


def problems_of(notebook, folder, solutions=True):
    path = folder / "04_some.ipynb"
    nbformat.write(notebook, path)
    if solutions:
        (folder / "solutions").mkdir()
        (folder / "solutions" / path.name).touch()
    return problems(path)


def shows(**data):
    return [new_output("display_data", {kind.replace("_", "/"): content for kind, content in data.items()})]


def figure(said):
    """An output with a picture of 6 x 3 pixels, and what its metadata say."""
    file = io.BytesIO()
    Image.new("L", (6, 3)).save(file, format="png")
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": "x"}
    return [new_output("display_data", data, metadata={"image/png": said})]


SHOWN = {"alt": "Two lines that fall and meet", "width": 4, "height": 2, "points": 9.0}
PARAMETERS = {"tags": ["parameters"]}
SHORT, FIGURE = "# Title\n\n" + "word " * 900 + "$x + y$ " * 400, "<Figure size 1x1 with 1 Axes>"
ERROR = [new_output("error", ename="KeyError", evalue="'x'", traceback=["KeyError"])]
# Which cells are given which contents, and what is said about them; cell 0 is prose, 2 the parameters, the rest code.
BREAKING = [
    ([5], {"execution_count": None}, "not executed"),
    ([5], {"execution_count": 40}, "in order"),
    ([5], {"outputs": ERROR}, "KeyError"),
    ([5], {"outputs": shows(text_plain="saved to '/home/ada/run'")}, "/home/ada/run"),
    ([2], {"metadata": {}}, "0 cells tagged"),
    ([5], {"metadata": PARAMETERS}, "2 cells tagged"),
    ([2], {"source": "beta: float = 2 * 2.5  # weight"}, "literals"),
    ([2], {"source": "beta: float = 5.0"}, "no comment"),
    ([2], {"source": "root = None  # folder"}, "no type"),
    (range(3, 19), {"source": "x = 1\n" * 9}, "median"),
    ([5], {"source": "def f():\n" + "    x = 1\n" * 11}, "f has 12 lines"),
    ([5], {"source": "x = = 1"}, "not Python"),
    ([0], {"source": SHORT}, "903 words"),
    ([0], {"source": "word " * 2600}, "words of prose"),
    (range(3, 13), {"metadata": {"tags": ["nbval-ignore-output"]}}, "only 6 cells"),
    (range(3, 13), {"outputs": shows(text_plain=FIGURE)}, "only 6 cells"),
    ([5], {"outputs": figure({})}, "no alternative text of its own"),
    ([5], {"outputs": figure(SHOWN | {"alt": "The losses"})}, "no alternative text of its own"),
    ([5], {"outputs": figure(SHOWN) + figure(SHOWN)}, "no alternative text of its own"),
    ([5], {"outputs": figure(SHOWN | {"width": 6})}, "144 pixels to the inch"),
    ([5], {"outputs": figure(SHOWN | {"points": 7.0})}, "text of 7.0 points"),
    ([5], {"source": "draw();\n"}, "ends in ';'"),
    ([1], {"source": "## The end"}, "no exercises"),
    ([5], {"outputs": shows(text_plain="x", text_html="A" * 1_500_000)}, "bytes"),
]


@pytest.mark.parametrize(("cells", "contents", "said"), BREAKING, ids=[said for *_, said in BREAKING])
def test_each_rule_can_fail(cells, contents, said, tmp_path):
    notebook = good()
    for cell in cells:
        notebook.cells[cell] |= nbformat.from_dict(contents)
    found = problems_of(notebook, tmp_path)
    assert len(found) == 1 and said in found[0], found


def test_a_figure_and_its_words_are_one_line(tmp_path):
    notebook = good()
    for cell in notebook.cells[3:]:
        cell.source = (
            'x = 1\ndisplay(Described(\n    draw(x),\n    "what",\n    "it",\n    "shows",\n    "in",\n    "words",\n))'
        )
    assert problems_of(notebook, tmp_path) == []


@pytest.mark.parametrize("more", [-4, 20])
def test_missing_solutions_and_few_or_many_cells_are_problems(more, tmp_path):
    (missing,) = problems_of(good(), tmp_path, solutions=False)
    assert "solutions/04_some.ipynb" in missing
    assert problems_of(good(), tmp_path) == []
    (found,) = problems_of(good(more), tmp_path, solutions=False)
    assert f"{17 + more} code cells" in found


def test_a_notebook_without_a_number_is_a_tool_and_no_lesson(tmp_path):
    notebook, path = good(), tmp_path / "report.ipynb"
    del notebook.cells[-12:], notebook.cells[1]
    nbformat.write(notebook, path)
    assert problems(path) == []
    notebook.cells[1].metadata = {}
    nbformat.write(notebook, path)
    (found,) = problems(path)
    assert "0 cells tagged" in found


def test_solutions_need_only_run(tmp_path):
    folder = tmp_path / "solutions"
    folder.mkdir()
    notebook = numbered(code("print(3)"))
    assert problems_of(notebook, folder, solutions=False) == []
    notebook.cells[0].outputs = ERROR
    assert len(problems_of(notebook, folder, solutions=False)) == 1


@pytest.mark.parametrize(
    "harmless", ["https://example.org/home/ada", "data/tmp/x", "1/tmp", "a rate of 3 /s", "~/work/x", "outputs/quick"]
)
def test_relative_paths_and_addresses_are_no_machine_paths_and_magics_no_syntax_errors(harmless, tmp_path):
    notebook = good()
    notebook.cells[5].outputs[0].text = harmless
    notebook.cells[6].source = "%matplotlib inline\n!ls\nprint?\nx = 1"
    assert problems_of(notebook, tmp_path) == []


def dirty():
    notebook = good()
    notebook.metadata = {
        "kernelspec": {"name": "venv", "display_name": "my venv", "language": "python"},
        "language_info": {"name": "python", "version": "3.11.7", "codemirror_mode": {"name": "ipython"}},
        "papermill": {"duration": 3.2, "output_path": "/tmp/x"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
    }
    cell = notebook.cells[4]
    cell.metadata = {"execution": {"iopub.busy": "now"}, "papermill": {"duration": 1}, "scrolled": True, "tags": ["a"]}
    view = {**VIEW, "text/plain": "HBox()"}
    cell.outputs.append(new_output("display_data", view, metadata={"needs_background": "light"}))
    return notebook


def test_scrub_removes_what_is_volatile_and_keeps_the_rest(tmp_path):
    path = tmp_path / "04_some.ipynb"
    nbformat.write(dirty(), path)
    assert scrub(path)
    text = path.read_text()
    for volatile in ("papermill", "3.11.7", "my venv", "iopub", "scrolled", "8f2", "needs_background", "/tmp/x"):
        assert volatile not in text
    after, before = nbformat.read(path, as_version=4), dirty()
    for kept in ("source", "execution_count"):
        assert [c.get(kept) for c in after.cells] == [c.get(kept) for c in before.cells]
    assert after.cells[4].outputs[0] == before.cells[4].outputs[0]
    assert after.cells[4].outputs[1].data == {"text/plain": "HBox()"} and after.cells[4].metadata == {"tags": ["a"]}
    texts = "mmJSD:   0%|          | 0/2000 [00:00<?, ?step/s]", "IntSlider(value=3)"
    before.cells[4].outputs = [new_output("display_data", {"text/plain": text, **VIEW}) for text in texts]
    nbformat.write(before, path)
    assert scrub(path)
    kept = nbformat.read(path, as_version=4).cells[4].outputs
    assert [output.data for output in kept] == [{"text/plain": "IntSlider(value=3)"}], "no progress bar"


def test_scrub_is_stable(tmp_path):
    """Twice is once, and two notebooks that differ only in volatile things become the same file."""
    first, second = tmp_path / "a.ipynb", tmp_path / "b.ipynb"
    nbformat.write(dirty(), first)
    nbformat.write(good(), second)  # other cell ids, another kernel
    assert scrub(first) and not scrub(first)
    same = nbformat.read(second, as_version=4)
    same.cells[4] = dirty().cells[4]
    nbformat.write(same, second)
    scrub(second)
    assert first.read_bytes() == second.read_bytes()


def test_command_line_says_what_it_did(tmp_path, capsys):
    path = tmp_path / "04_some.ipynb"
    nbformat.write(dirty(), path)
    assert [main(["scrub", str(path)]), main(["scrub", str(path)])] == [1, 0]
    assert capsys.readouterr().out == f"scrubbed {path}\n"
    assert main(["check", str(path)]) == 1
    assert "solutions/04_some.ipynb" in capsys.readouterr().out
    assert main(["polish", str(path)]) == 2


def test_explorers_stand_before_what_computes_for_long():
    """A kernel does one thing at a time: sliders would wait for every cell below them that runs."""
    sources = [cell.source for cell in nbformat.read(FOLDER / "10_generation.ipynb", as_version=4).cells]
    explorers = [i for i, source in enumerate(sources) if source.startswith("explorers.explore_")]
    assert len(explorers) == 4 and max(explorers) < next(i for i, x in enumerate(sources) if "coherence(model, " in x)
