"""HTML pages that need no network: one shell for all of them, which carries its style inside."""

import re
from pathlib import Path
from string import Template

from workbench.paths import replacing

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


def stylesheet(*names: str) -> str:
    """Style sheets of this package, one after the other."""
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


def write_page(path: Path, title: str, body: str, style: str) -> None:
    """Write a page; `title` and `body` are HTML, of the title only the text is kept."""
    page = SHELL.substitute(title=re.sub(r"<[^>]+>", "", title), style=style, body=body)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
