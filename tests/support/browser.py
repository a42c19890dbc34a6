"""Notebooks in a real JupyterLab and a real Voila, and a real Chromium that touches them by mouse and keys.

`lab` and `voila` start the servers, and `watched` opens a page that collects every error. The rest are functions of a
page or of a locator: they wait until something is so, never for a given time.
"""

import base64
import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from servers import SECONDS, Server, lab, voila

from workbench.studies.doctor import BROWSERS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["lab", "voila"]  # from here, too: a test of a browser imports one module

Value = TypeVar("Value")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "outputs" / "screenshots"

# Console errors that say nothing about a notebook: part of their text or address, and why they are ignored.
NOISE = {"cdn.jsdelivr.net/npm/@fortawesome": "Voila's page asks for icons from the network, which tests do without"}
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # the same errors with a network as without
OUTPUTS = 'script[type="application/vnd.voila.cell-output+json"]'

# Images without a text, and controls that a screen reader can only call "slider" or "edit". Hidden ones do not count.
UNNAMED = """scope => {
    const texts = elements => [...elements].map(e => e.textContent).join(' ');
    const referred = e => texts((e.getAttribute('aria-labelledby') || '').split(/\\s+/)
        .map(id => id && document.getElementById(id)).filter(Boolean));
    const own = e => e.matches('button, [role=button], [role=tab], [role=checkbox], canvas') ? e.textContent : '';
    const name = e => [e.getAttribute('aria-label'), referred(e), texts(e.labels || []), e.getAttribute('title'),
        e.getAttribute('alt'), e.matches('[type=submit], [type=button]') ? e.value : '', own(e)].join('').trim();
    const decoration = e => e.tagName === 'IMG' && e.getAttribute('alt') === '';
    return [...scope.querySelectorAll(`img, canvas, [role=img], input, select, textarea, button, [contenteditable=true],
            [role=slider], [role=button], [role=checkbox], [role=tab], [role=combobox], [role=textbox]`)]
        .filter(e => e.checkVisibility() && e.type !== 'hidden' && !decoration(e) && !name(e))
        .map(e => e.outerHTML.slice(0, 160));
}"""


# axe-core's own sense: moderate and minor findings are advice.
GRAVE = {"serious", "critical"}


# Browser
@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """The installed Chromium without a window; skips the test where it or playwright is missing."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("There is no Chromium to look at notebooks with: on Debian and Ubuntu, apt-get install chromium.")
    reason = "playwright is missing, which steers the browser: pip install playwright."
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", OFFLINE]
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def watched(browser: "Browser", width: int = 1280, height: int = 1000) -> Iterator[tuple["Page", list[str]]]:
    """A new page, and the list to which its uncaught and console errors are added as they happen (but for `NOISE`)."""
    errors: list[str] = []

    def note(text: str, address: str) -> None:
        if not any(noise in f"{text} {address}" for noise in NOISE):
            errors.append(f"{text} ({address})")

    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(1000 * SECONDS)
    page.on("pageerror", lambda error: note(str(error), page.url))
    page.on("console", lambda line: note(line.text, line.location["url"]) if line.type == "error" else None)
    try:
        yield page, errors
    finally:
        page.close()


def open_in_lab(page: "Page", server: Server, name: str) -> None:
    """Open the notebook `name` of the server's folder, and wait for its kernel."""
    page.goto(f"{server.url}/lab/tree/{name}?reset&token={server.token}")  # reset: without another test's tabs
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")


def run_all(page: "Page", seconds: float = SECONDS) -> None:
    """Run all cells of the notebook that is open in Lab; an error output raises AssertionError with its text."""
    page.evaluate("""() => { window.finished = false;
        window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.finished = true; }); }""")
    page.wait_for_function("window.finished", timeout=1000 * seconds)
    errors = page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
        .flatMap(cell => cell.model.type === 'code' ? cell.model.outputs.toJSON() : [])
        .filter(output => output.output_type === 'error').map(output => `${output.ename}: ${output.evalue}`)""")
    assert not errors, f"cells failed: {errors}"


def open_in_voila(page: "Page", server: Server, seconds: float = SECONDS) -> None:
    """Open the page of a Voila, which runs all cells; one that fails raises AssertionError with the server's log."""
    page.goto(server.url, timeout=1000 * seconds)
    page.wait_for_function(f"document.querySelectorAll('{OUTPUTS}').length === 0")  # each is replaced by what it shows
    # Voila hides what cells write to stderr, but shows in its place that they failed
    failed = page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
    assert not failed, f"{failed}\n{server.log.read_text(errors='replace')}"


# Controls and what they change
def slider(page: "Page", description: str) -> "Locator":
    """The ipywidgets slider with this description; its handle and its number are `.noUi-handle`, `.widget-readout`."""
    label = page.locator(".widget-label").get_by_text(description, exact=True)
    return page.locator(".widget-slider").filter(has=label)


def drag(handle: "Locator", right: float, down: float = 0) -> None:
    """Drag a handle with the mouse by so many pixels."""
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = handle.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + right, y + down, steps=10)
    mouse.up()


def press(control: "Locator", *keys: str) -> None:
    """Focus a control and press keys, such as "ArrowRight" or "Space"."""
    control.focus()
    for key in keys:
        control.page.keyboard.press(key)


def picture(image: "Locator") -> bytes:
    """The bytes of the picture that an <img> shows: its address changes also where the picture does not."""
    return base64.b64decode(
        image.evaluate("""async image => {
            const blob = await (await fetch(image.src)).blob(), reader = new FileReader();
            await new Promise(done => { reader.onload = done; reader.readAsDataURL(blob); });
            return reader.result.split(',')[1]; }""")
    )


def content(widget: "Locator") -> str:
    """The innerHTML of an element."""
    return widget.inner_html()


def text(element: "Locator") -> str:
    """The text that an element shows."""
    return element.inner_text()


def until_changed(
    read: Callable[["Locator"], Value], element: "Locator", before: Value, seconds: float = SECONDS
) -> Value:
    """Wait until `read(element)`, with `picture` or `content` for example, is no longer `before`; its new value."""
    return until(read, element, lambda now: now != before, seconds)


def until(
    read: Callable[["Locator"], Value], element: "Locator", wanted: Callable[[Value], bool], seconds: float = SECONDS
) -> Value:
    """Wait until `read(element)` is as wanted; its new value."""
    deadline = time.monotonic() + seconds
    while not wanted(now := read(element)):
        assert time.monotonic() < deadline, f"{element} has not changed as it should for {seconds} s: {str(now)[:400]}"
        element.page.wait_for_timeout(50)
    return now


def unnamed(scope: "Locator") -> list[str]:
    """Beginnings of the HTML of the images without alternative text and the controls without an accessible name."""
    return scope.evaluate(UNNAMED)


def barriers(page: "Page") -> list[str]:
    """What keeps somebody from using the page, as axe-core finds it: rule, and the HTML that breaks it."""
    sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = sync_playwright.Axe().run(page).response["violations"]
    return [f"{r['id']}: {node['html'][:160]}" for r in found if r["impact"] in GRAVE for node in r["nodes"]]
