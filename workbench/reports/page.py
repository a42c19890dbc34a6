"""What the notebook of a report shows beside tables: pictures with their content in words, runs with their links."""

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure

from workbench.plotting.shown import Described, size_shown
from workbench.reports.layout import Rows
from workbench.reports.results import names, varying_fields
from workbench.runs.naming import label, steps_taken
from workbench.runs.run import Run

FILES = {"executed notebook": "run.ipynb", "its page": "run.html"}
FILES |= {name: name for name in ("metrics.json", "history.csv")}


def sheet(rows: Rows, caption: str = "") -> HTML:
    """Show rows, the first the heading, as a table; whatever names the rows hold is text."""
    styler = pd.DataFrame(rows[1:], columns=rows[0]).style.hide(axis="index").set_caption(escape(caption))
    return HTML(styler.format(escape="html").format_index(escape="html", axis=1).to_html(exclude_styles=True))


def show(picture: Any, alt: str, caption: str) -> None:
    """Show a Figure or an Image with a caption and, for those who cannot see it, a text with what it shows.

    An Image of a file that leads out of its folder by a link is left out: a page embeds nothing else of a disk.
    """
    file = Path(getattr(picture, "filename", None) or ".")
    if not file.resolve().is_relative_to(file.parent.resolve()):
        display(HTML(f"<p><i>left out: {escape(str(file))} is a link that leads elsewhere</i></p>"))
        return
    if isinstance(picture, Figure):
        display(Described(picture, alt))
    else:
        display(picture, metadata={"image/png": {"alt": alt, **size_shown(file)}})
    display(HTML(f"<p><i>{escape(caption)}</i></p>"))


def run_list(runs: Sequence[Run]) -> HTML:
    """List runs with what tells them apart, their origin, and links from the working directory to their files."""
    varying = varying_fields(runs)
    return HTML(f"<ul>{''.join(_entry(*named, varying) for named in zip(names(runs), runs, strict=True))}</ul>")


def _entry(name: str, run: Run, varying: Sequence[str]) -> str:
    config, stored = run.config, run.read("config.json")
    facts = [label(run), config.data, f"seed {config.seed}", f"{steps_taken(run):,} steps"]
    facts += [f"{field} {getattr(config, field)}" for field in varying]
    made = f"trained {_origin(stored)}; evaluated {_origin(run.metrics.get('evaluated_with') or {})}"
    command = f"<br><code>{escape(stored['command'])}</code>" if stored.get("command") else ""
    files = [link(run.folder / file, what) for what, file in FILES.items() if (run.folder / file).is_file()]
    head = f"{link(run.folder, name)}: {escape(', '.join(facts))}"
    return f"<li>{head}<br>{escape(made)}{command}<br>{', '.join(files)}</li>"


def _origin(origin: Mapping[str, Any]) -> str:
    """Day, commit, machine and version of torch, as far as they are known."""
    words = {"date": "{}", "commit": "at commit {}", "machine": "on {}", "gpu": "with {}", "torch": "torch {}"}
    return ", ".join(form.format(origin[name]) for name, form in words.items() if origin.get(name)) or "unknown"


def link(target: Path, words: str) -> str:
    """Make HTML that leads from the working directory to a file: relative, but for another drive of Windows."""
    target, here = target.resolve(), Path.cwd()
    near = Path(os.path.relpath(target, here)).as_posix() if target.anchor == here.anchor else ""
    url = urllib.parse.quote(near + "/" * target.is_dir()) if near else target.as_uri()
    return f'<a href="{url}">{escape(words)}</a>'
