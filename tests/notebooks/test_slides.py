"""Slides of notebooks: what is on them, in which order, whole on a screen, without code and without a network."""

import re

import pytest
from browser import chromium, watched
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.notebooks import find
from workbench.notebooks.__main__ import main
from workbench.notebooks.slides import DECKS, WORDS, deck, write

STREAM = [new_output("stream", text="holds: True\n")]


def tagged(make, source, *tags, **more):
    return make(source, metadata={"tags": list(tags)}, **more)


def of(*cells) -> list[tuple[str, str]]:
    """Type and source of what is on the slides of a notebook."""
    made = deck(new_notebook(cells=list(cells)))
    return [(cell.metadata.slideshow.slide_type, cell.source) for cell in made.cells]


def test_tags_say_what_is_on_a_slide():
    shown = of(
        tagged(new_markdown_cell, "# One\n\nTwo", "slide"),
        new_markdown_cell("not shown"),
        tagged(new_code_cell, "f()", "nbval-ignore-output", "subslide", outputs=STREAM),
        tagged(new_markdown_cell, "Three\n\n## Four\n\nFive", "same-slide"),
    )
    assert shown == [("slide", "# One\n\nTwo"), ("subslide", "f()"), ("-", "Three"), ("slide", "## Four\n\nFive")]
    with pytest.raises(ValueError, match="no cell has one of the tags slide, subslide, same-slide"):
        of(new_markdown_cell("x"))


def test_exercises_are_left_out_and_long_texts_go_on_below():
    words = "word " * (WORDS - 20)
    items = [f"- {letter * 3} {'item ' * 60}".strip() for letter in "abc"]
    text = f"## A\n\n{words}\n\n{words}\n\nof which:\n{chr(10).join(items)}\n\n## Exercises\n\n1. No."
    kinds, pages = zip(*of(tagged(new_markdown_cell, text, "slide")), strict=True)
    assert kinds == ("slide", *["subslide"] * (len(pages) - 1)) and pages[0].startswith("## A\n\nword")
    assert "".join("".join(pages).split()) == "".join(text.partition("## Exercises")[0].split())
    assert all(len(page.split()) <= WORDS or ":\n- aaa" in page for page in pages)
    assert not any(page.endswith(":") for page in pages)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    assert main(["slides", str(folder), "reveal"]) == 0
    return sorted(folder.iterdir())


def test_the_decks_have_no_code_and_ask_the_network_for_nothing_but_reveal(written, tmp_path):
    assert [path.name for path in written] == [f"{name}.slides.html" for name in DECKS]
    for path in written:
        page = path.read_text()
        assert page.count("<section") > 20
        asked = re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:)([^"'\s>]+)""", page)
        assert {x for x in asked if ".ipynb" not in x and ".html" not in x and ".md" not in x} == {
            "reveal/dist/reveal.css", "reveal/dist/reveal.js", "reveal/dist/theme/simple.css",
        }  # fmt: skip
        assert not re.search(
            r"^\s*(import|from) \w+", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL), re.M
        )
    (usual,) = write(find(["00"]), tmp_path)
    assert "https://unpkg.com/reveal.js@4" in usual.read_text()


@pytest.mark.slow
def test_every_slide_is_whole_on_a_screen(written):
    """Without reveal.js, which has to come from the network: they stand below each other."""
    with chromium() as browser:
        for path in written:
            for width, height in ((1280, 800), (390, 844)):
                with watched(browser, width, height) as (page, _):
                    page.goto(path.as_uri())
                    page.wait_for_selector(".alone .slides")
                    assert page.evaluate("document.documentElement.scrollWidth") <= width
                    slides = page.locator(".slides > section > section")
                    heights = slides.evaluate_all("all => all.map(x => x.getBoundingClientRect().height)")
                    assert len(heights) > 15 and sum(x > 1.05 * height for x in heights) <= (width < 500) * 8
                    assert page.locator(".jp-CodeMirrorEditor, .jp-InputArea-editor").count() == 0
                    assert min(page.locator("img").evaluate_all("all => all.map(x => x.naturalWidth)")) > 100
