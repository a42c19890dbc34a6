"""Every committed notebook keeps the rules, and every rule can fail."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench import notebooks

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
COMMITTED = sorted(FOLDER.glob("*.ipynb")) + sorted(FOLDER.glob("solutions/*.ipynb"))


def test_there_are_notebooks():
    assert notebooks.find(), "no numbered notebooks"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(FOLDER)))
def test_committed_notebook_keeps_the_rules(path):
    assert notebooks.problems(path) == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(FOLDER)))
def test_committed_notebook_is_scrubbed(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    assert not notebooks.scrub(copy), f"run: python -m workbench.notebooks scrub {path.relative_to(FOLDER.parent)}"


def _code(source, text="3\n", tags=()):
    cell = new_code_cell(source, metadata={"tags": list(tags)} if tags else {})
    cell.outputs = [new_output("stream", name="stdout", text=text)] if text else []
    return cell


def _good():
    """A notebook that keeps every rule."""
    cells = [new_markdown_cell("# Title\n\n" + "word " * 1200), new_markdown_cell("## Exercises\n\n1. Try.")]
    cells.append(_code("beta: float = 5.0  # weight of the divergence", "", ["parameters"]))
    cells += [_code("print(1 + 2)") for _ in range(16)]
    notebook = new_notebook(cells=cells)
    _number(notebook)
    return notebook


def _number(notebook):
    for count, cell in enumerate([c for c in notebook.cells if c.cell_type == "code"], start=1):
        cell.execution_count = count


def _problems(notebook, folder, solutions=True):
    path = folder / "04_some.ipynb"
    nbformat.write(notebook, path)
    if solutions:
        (folder / "solutions").mkdir()
        (folder / "solutions" / path.name).touch()
    return notebooks.problems(path)


def test_a_good_notebook_has_no_problems(tmp_path):
    assert _problems(_good(), tmp_path) == []


def _unexecuted(n):
    n.cells[5].execution_count = None


def _out_of_order(n):
    n.cells[5].execution_count = 40


def _stored_error(n):
    n.cells[5].outputs = [new_output("error", ename="KeyError", evalue="'x'", traceback=["KeyError"])]


def _machine_path(n):
    n.cells[5].outputs = [new_output("display_data", {"text/plain": "saved to '/home/ada/run'"})]


def _no_parameters(n):
    n.cells[2].metadata = {}


def _two_parameter_cells(n):
    n.cells[5].metadata = {"tags": ["parameters"]}


def _derived_parameter(n):
    n.cells[2].source = "beta: float = 2 * 2.5  # weight"


def _uncommented_parameter(n):
    n.cells[2].source = "beta: float = 5.0"


def _untyped_parameter(n):
    n.cells[2].source = "root = None  # folder"


def _few_cells(n):
    del n.cells[-4:]


def _many_cells(n):
    n.cells += [_code("print(1)") for _ in range(20)]
    _number(n)


def _long_cells(n):
    for cell in n.cells[3:]:
        cell.source = "x = 1\n" * 9


def _long_function(n):
    n.cells[5].source = "def f():\n" + "    x = 1\n" * 11


def _not_python(n):
    n.cells[5].source = "x = = 1"


def _short_prose(n):
    n.cells[0].source = "# Title\n\n" + "word " * 900 + "$x + y$ " * 400


def _long_prose(n):
    n.cells[0].source = "word " * 2600


def _few_compared(n):
    for cell in n.cells[3:13]:
        cell.metadata = {"tags": ["nbval-ignore-output"]}


def _only_pictures(n):
    for cell in n.cells[3:13]:
        cell.outputs = [
            new_output("display_data", {"text/plain": "<Figure size 1x1 with 1 Axes>", "image/png": "aGk="})
        ]


def _semicolon(n):
    n.cells[5].source = "draw();\n"


def _no_exercises(n):
    n.cells[1].source = "## The end"


def _large(n):
    n.cells[5].outputs = [new_output("display_data", {"text/plain": "x", "image/png": "A" * 500_000})]


BREAKING = [
    (_unexecuted, "not executed"),
    (_out_of_order, "in order"),
    (_stored_error, "KeyError"),
    (_machine_path, "/home/ada/run"),
    (_no_parameters, "0 cells tagged"),
    (_two_parameter_cells, "2 cells tagged"),
    (_derived_parameter, "literals"),
    (_uncommented_parameter, "no comment"),
    (_untyped_parameter, "no type"),
    (_few_cells, "13 code cells"),
    (_many_cells, "37 code cells"),
    (_long_cells, "median"),
    (_long_function, "f has 12 lines"),
    (_not_python, "not Python"),
    (_short_prose, "903 words"),
    (_long_prose, "words of prose"),
    (_few_compared, "only 6 cells"),
    (_only_pictures, "only 6 cells"),
    (_semicolon, "ends in ';'"),
    (_no_exercises, "no exercises"),
    (_large, "bytes"),
]


@pytest.mark.parametrize(("spoil", "said"), BREAKING, ids=lambda value: getattr(value, "__name__", None))
def test_each_rule_can_fail(spoil, said, tmp_path):
    notebook = _good()
    spoil(notebook)
    found = _problems(notebook, tmp_path)
    assert len(found) == 1 and said in found[0], found


def test_missing_solutions_are_a_problem(tmp_path):
    (found,) = _problems(_good(), tmp_path, solutions=False)
    assert "solutions/04_some.ipynb" in found


def test_a_notebook_without_a_number_is_a_tool_and_no_lesson(tmp_path):
    notebook = _good()
    del notebook.cells[-12:], notebook.cells[1]
    nbformat.write(notebook, tmp_path / "report.ipynb")
    assert notebooks.problems(tmp_path / "report.ipynb") == []
    notebook = _good()
    _no_parameters(notebook)
    nbformat.write(notebook, tmp_path / "report.ipynb")
    (found,) = notebooks.problems(tmp_path / "report.ipynb")
    assert "0 cells tagged" in found


def test_solutions_need_only_run(tmp_path):
    folder = tmp_path / "solutions"
    folder.mkdir()
    notebook = new_notebook(cells=[_code("print(3)")])
    _number(notebook)
    assert _problems(notebook, folder, solutions=False) == []
    notebook.cells[0].outputs = [new_output("error", ename="KeyError", evalue="", traceback=[])]
    assert len(_problems(notebook, folder, solutions=False)) == 1


@pytest.mark.parametrize(
    "harmless", ["https://example.org/home/ada", "data/tmp/x", "1/tmp", "a rate of 3 /s", "~/work/x", "outputs/quick"]
)
def test_relative_paths_and_addresses_are_no_machine_paths(harmless, tmp_path):
    notebook = _good()
    notebook.cells[5].outputs[0].text = harmless
    assert _problems(notebook, tmp_path) == []


def test_magics_are_no_syntax_errors(tmp_path):
    notebook = _good()
    notebook.cells[5].source = "%matplotlib inline\n!ls\nprint?\nx = 1"
    assert _problems(notebook, tmp_path) == []


def _dirty():
    notebook = _good()
    notebook.metadata = {
        "kernelspec": {"name": "venv", "display_name": "my venv", "language": "python"},
        "language_info": {"name": "python", "version": "3.11.7", "codemirror_mode": {"name": "ipython"}},
        "papermill": {"duration": 3.2, "output_path": "/tmp/x"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
    }
    cell = notebook.cells[4]
    cell.metadata = {"execution": {"iopub.busy": "now"}, "papermill": {"duration": 1}, "scrolled": True, "tags": ["a"]}
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "8f2"}, "text/plain": "HBox()"}
    cell.outputs.append(new_output("display_data", view, metadata={"needs_background": "light"}))
    return notebook


def test_scrub_removes_what_is_volatile_and_keeps_the_rest(tmp_path):
    path = tmp_path / "04_some.ipynb"
    nbformat.write(_dirty(), path)
    assert notebooks.scrub(path)
    text = path.read_text()
    for volatile in ("papermill", "3.11.7", "my venv", "iopub", "scrolled", "8f2", "needs_background", "/tmp/x"):
        assert volatile not in text
    after, before = nbformat.read(path, as_version=4), _dirty()
    assert [c.source for c in after.cells] == [c.source for c in before.cells]
    assert [c.get("execution_count") for c in after.cells] == [c.get("execution_count") for c in before.cells]
    assert after.cells[4].outputs[0] == before.cells[4].outputs[0]
    assert after.cells[4].outputs[1].data == {"text/plain": "HBox()"}
    assert after.cells[4].metadata == {"tags": ["a"]}


def test_scrub_drops_progress_bars(tmp_path):
    notebook, path = _good(), tmp_path / "04_some.ipynb"
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "8f2"}}
    bar = new_output("display_data", {"text/plain": "mmJSD:   0%|          | 0/2000 [00:00<?, ?step/s]", **view})
    slider = new_output("display_data", {"text/plain": "IntSlider(value=3)", **view})
    notebook.cells[4].outputs = [bar, slider]
    nbformat.write(notebook, path)
    assert notebooks.scrub(path)
    kept = nbformat.read(path, as_version=4).cells[4].outputs
    assert [output.data for output in kept] == [{"text/plain": "IntSlider(value=3)"}]


def test_scrub_is_stable(tmp_path):
    """Twice is once, and two notebooks that differ only in volatile things become the same file."""
    first, second = tmp_path / "a.ipynb", tmp_path / "b.ipynb"
    nbformat.write(_dirty(), first)
    nbformat.write(_good(), second)  # other cell ids, another kernel
    assert notebooks.scrub(first) and not notebooks.scrub(first)
    same = nbformat.read(second, as_version=4)
    same.cells[4] = _dirty().cells[4]
    nbformat.write(same, second)
    notebooks.scrub(second)
    assert first.read_bytes() == second.read_bytes()


def test_command_line_says_what_it_did(tmp_path, capsys):
    path = tmp_path / "04_some.ipynb"
    nbformat.write(_dirty(), path)
    assert notebooks.main(["scrub", str(path)]) == 1
    assert notebooks.main(["scrub", str(path)]) == 0
    assert capsys.readouterr().out == f"scrubbed {path}\n"
    assert notebooks.main(["check", str(path)]) == 1
    assert "solutions/04_some.ipynb" in capsys.readouterr().out
    assert notebooks.main(["polish", str(path)]) == 2
