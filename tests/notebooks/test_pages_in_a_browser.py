"""Pages of `workbench run` in a real browser: for keys and screen readers, light and dark, narrow and wide."""

import shutil

import browser
import pytest

from workbench.notebooks.pages import write_pages
from workbench.paths import project_root

pytestmark = pytest.mark.slow
NOTEBOOKS = project_root() / "notebooks"
SHOWN = ("00_start_here", "06_comparison", "10_generation")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name in SHOWN:
        shutil.copy(NOTEBOOKS / f"{name}.ipynb", folder)
    write_pages(folder, [NOTEBOOKS / "reading_group.md", NOTEBOOKS / "trouble.md"])
    return sorted(folder.glob("*.html"))


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as opened:
        yield opened


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_nothing_bars_anybody_and_nothing_hangs_over(scheme, width, pages, chromium):
    assert len(pages) == len(SHOWN) + 3
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in pages:
        page.goto(path.as_uri())
        assert browser.barriers(page) == [], path.name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
    page.close()


def test_barriers_are_found(chromium):
    page = chromium.new_page()
    page.set_content(
        "<html lang=en><title>t</title><main><h1>t</h1><p style='color: #bbb'>pale</p><img src='x'></main>"
    )
    assert {barrier.partition(":")[0] for barrier in browser.barriers(page)} == {"color-contrast", "image-alt"}
    page.close()
