"""Markdown as HTML that needs no network: images inside, formulas as MathML, links leading to pages of notebooks."""

import re
import unicodedata
from contextlib import suppress
from html import escape, unescape
from pathlib import Path
from typing import Any

import latex2mathml.exceptions
from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

BAD_TEX = tuple(c for c in vars(latex2mathml.exceptions).values() if isinstance(c, type))

LONG = 40  # characters of TeX


class _Renderer(IPythonRenderer):
    """Markdown with formulas as MathML, and links to other notebooks leading to their pages."""

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """A heading by whose words links can lead to it, as in JupyterLab."""
        return super().heading(text, level, id=re.sub(r"<[^>]+>", "", text).replace(" ", "-"), **attributes)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def inline_math(self, body: str) -> str:
        formula = mathml(body, "inline")  # a long one may be wider than a telephone: it scrolls, by keys, too
        return f'<span class="long" tabindex="0">{formula}</span>' if len(body) > LONG else formula

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def inline_html(self, html: str) -> str:
        """Embed the images of HTML, but leave single tags alone: the embedding would close them."""
        return super().inline_html(html) if "<img" in html else html

    def block_html(self, html: str) -> str:
        return super().block_html(html) if "<img" in html else html

    def _src_to_base64(self, src: str) -> str | None:
        """Embed a picture that lies below the folder of the notebook; what leads elsewhere stays a link."""
        folder = Path(self.path)
        return super()._src_to_base64(src) if within(folder / src, folder) else None

    def link(self, text: str, url: str, title: str | None = None) -> str:
        pages = r"^(?:\./)?((?:\.\./|solutions/)?\w+)\.(?:ipynb|md)(?=#|$)"
        return super().link(text, re.sub(pages, r"\1.html", url), title)


def to_html(source: str, folder: str = "") -> str:
    """Markdown to HTML; images are looked up in `folder` and embedded."""
    renderer = _Renderer(escape=False, embed_images=bool(folder), path=folder, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


def within(path: Path, folder: Path) -> bool:
    """Whether a file that somebody names, maybe through links, lies in a folder."""
    return path.resolve().is_relative_to(folder.resolve())


def mathml(tex: str, display: str) -> str:
    """Convert a formula to MathML; what the converter does not understand is shown as TeX."""
    source = re.sub(r"\\(begin|end)\{(align|gather)ed\}", r"\\\1{\2*}", tex.strip())
    source = re.sub(r"\\tag\*?\{([^}]*)\}", r"\\qquad (\1)", source)
    try:
        formula = re.sub(r' mathvariant="([a-z-]+)">([^<]+)<', _letters, convert(source, display=display))
        functions = r"(<mi>(?:log|ln|exp|max|min|sup|inf)</mi>)(?=<m(?!o))"
        formula = re.sub(functions, r'\1<mspace width="0.167em" />', formula)
    except BAD_TEX:
        return f'<code class="tex {display}">{escape(tex)}</code>'
    return f'<div class="formula">{formula}</div>' if display == "block" else formula


def _letters(styled: re.Match[str]) -> str:
    """Letters of a mathematical alphabet (bold, script, ...) as the characters that Unicode has for them.

    Browsers know no `mathvariant` but 'normal'.
    """
    variant, letters = styled.groups()
    return styled.group() if variant == "normal" else f">{''.join(_letter(x, variant) for x in unescape(letters))}<"


def _letter(letter: str, variant: str) -> str:
    name = re.sub(r"^(?:LATIN|GREEK) | LETTER", "", unicodedata.name(letter, ""))
    alphabet = variant.replace("bold-", "bold ").replace("-italic", " italic").upper()
    for candidate in (f"MATHEMATICAL {alphabet} {name}", f"{alphabet} {name}"):
        with suppress(KeyError):  # this alphabet lacks the letter under this name
            return unicodedata.lookup(candidate)
    return letter
