"""Notebook 10 in a browser: its explorers, what stands in their tables, and how they are given something.

`explorer` finds one of them on a page. What is read is what a reader sees: notes under pictures, captions, messages.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import browser
import nbformat
from PIL import Image

from workbench.paths import project_root

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

NOTEBOOK = project_root() / "notebooks" / "10_generation.ipynb"
SECONDS = 300  # how long it may take to run
SIZE = {"width": 1280, "height": 1400}  # of the window: every explorer fits into it
MARKS = {  # something that only this explorer has
    "conditional": "button:has-text('styles to zero')",
    "divergences": "img.widget-image",
    "grid": ".grids",
    "latent": ".workbench-map",
    "objectives": 'option:has-text("each method\'s own")',
}

# Sliders and rows of buttons that are not called what stands beside them, or "choice" where nothing does.
MISCALLED = """explorer => [...explorer.querySelectorAll('.widget-slider, .widget-toggle-buttons')].filter(control => {
    const name = (control.querySelector('.noUi-handle') || control).getAttribute('aria-label');
    return name !== (control.querySelector('.widget-label').textContent || 'choice');
}).map(control => control.outerHTML.slice(0, 160))"""

# The right edge of what an explorer shows, of its lines the text alone: the blank page beside it needs no picture.
EDGE = """explorer => Math.max(...[...explorer.querySelectorAll(
    'img, table, svg, canvas, button, select, input, label, .note, .widget-readout')]
    .filter(e => e.checkVisibility()).map(e => {
        const text = document.createRange();
        text.selectNodeContents(e);
        return (e.matches('.note') ? text : e).getBoundingClientRect().right;
    }))"""


# Whether everything is given, as test items and the first word, without styles, to mmJSD.
BEGUN = """explorer => {
    const zero = handle => Number(handle.getAttribute('aria-valuetext')) === 0;
    return [...explorer.querySelectorAll('input[type=checkbox]')].every(box => box.checked)
        && explorer.querySelector('input[type=text][placeholder]')?.value === 'three'
        && [...explorer.querySelectorAll('.noUi-handle')].filter(zero).length === 12
        && explorer.textContent.includes('from M,S,T') && !explorer.textContent.includes('not given');
}"""


def copy_of_notebook(folder: Path, more: Sequence[str]) -> None:
    """The notebook's imports and explorers, and more cells, in a folder; its other cells are compared by nbval."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [cell for n, cell in enumerate(code) if n < 2 or "explorers.explore_" in cell.source]
    notebook.cells += map(nbformat.v4.new_code_cell, more)
    nbformat.write(notebook, folder / NOTEBOOK.name)


def explorer(page: "Page", kind: str) -> "Locator":
    """One of the explorers: a key of MARKS."""
    return page.locator(".workbench-explorer").filter(has=page.locator(MARKS[kind]))


# What is read
def row(explorer: "Locator", name: str) -> "Locator":
    """The row of the explorer's last table whose name begins so."""
    return explorer.locator("table").last.locator("tr").filter(has=explorer.page.locator(f"th:text-matches('^{name}')"))


def judged(row: "Locator") -> list[int]:
    """The likeliest classes in a row, which stand in the notes under what is generated."""
    return [int(note.split()[0]) for note in row.locator(".note").all_inner_texts()]


def absent(explorer: "Locator") -> int:
    """How many modalities are said not to be given."""
    return explorer.get_by_text("not given", exact=True).count()


def pictures(scope: "Locator") -> str:
    """All pictures in an element, as addresses that hold them."""
    return scope.evaluate("e => [...e.querySelectorAll('img')].map(image => image.src).join()")


def captions(explorer: "Locator") -> list[str]:
    """What stands over the explorer's tables."""
    return explorer.locator("caption").all_text_contents()


def nameless(explorer: "Locator") -> list[str]:
    """Pictures and controls without a name, or with another name than what stands beside them."""
    return browser.unnamed(explorer) + explorer.evaluate(MISCALLED)


# What is done
def give(explorer: "Locator", letters: str) -> None:
    """Tick the boxes of these modalities and no others; each explorer calls them a little differently."""
    for box in explorer.get_by_role("checkbox", name=" given").all():
        name = box.evaluate("box => box.closest('.widget-checkbox').textContent")
        box.set_checked(any(f"{letter}:" in name or f"({letter})" in name for letter in letters))


def type_word(explorer: "Locator", word: str) -> None:
    """Type a word into the text field, letter by letter, in place of what stands there."""
    field = explorer.get_by_label("word")
    field.press("ControlOrMeta+a")
    field.press_sequentially(word)


def fresh(explorer: "Locator") -> "Locator":
    """The conditional explorer as it begins, with mmJSD."""
    explorer.get_by_label("model").select_option("mmJSD (MS)")
    give(explorer, "")  # else it may be fresh already, and again only after the test has begun
    browser.until(absent, explorer, (3).__eq__)
    explorer.get_by_role("button", name="start again").click()
    browser.until(lambda e: e.evaluate(BEGUN), explorer, bool)
    return explorer


def draw(canvas: "Locator", *corners: tuple[float, float]) -> None:
    """Draw a line through the corners with the mouse; they are in pixels of the canvas."""
    canvas.scroll_into_view_if_needed()
    box, mouse = canvas.bounding_box(), canvas.page.mouse
    places = [(box["x"] + x, box["y"] + y) for x, y in corners]
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=10)
    mouse.up()


def photograph(explorer: "Locator", name: str) -> Path:
    """A picture of an explorer without the blank to its right, in 256 colours: small enough for a README."""
    page = explorer.page
    page.mouse.move(0, 0)  # away from what answers to the mouse
    page.evaluate("document.activeElement.blur()")
    explorer.scroll_into_view_if_needed()
    box = explorer.bounding_box()
    width = min(explorer.evaluate(EDGE) - box["x"] + 4, box["width"])
    path = browser.SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, clip={**box, "width": width})
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return path
