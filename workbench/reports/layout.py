"""How a table of ours beside the paper's looks: Markdown, coloured HTML, CSV and LaTeX of one `Table`."""

import html
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pandas.io.formats.style import Styler

from workbench.paths import replacing
from workbench.reports import report

KEYS = ["method", "posterior", "steps"]
HEADS = [*KEYS, "seeds"]
# Background and text, both given: they must be read on light and on dark pages.
COLOURS = {"better": ("#c6e9c9", "#0b3d17"), "worse": ("#f8c9c5", "#5c0f0a"), "within error": ("#d9d9d9", "#262626")}
MARKS = {"better": "▲", "worse": "▼", "within error": "≈"}  # a verdict must not be told by its colour alone
TEX = {"±": r"$\pm$", "→": r"$\to$", "|": r"$\mid$", "<": "$<$", ">": "$>$", "\\": r"\textbackslash{}"}
TEX |= {"é": r"\'e", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


class Line(NamedTuple):
    """One row as it is shown: everything text, blank where there is no number."""

    heads: list[str]  # method, posterior, steps, seeds
    cells: list[str]
    verdicts: list[str]
    ours: bool


@dataclass(frozen=True)
class Table:
    """One table on one data set; all frames have rows (method, posterior, steps) and the same columns.

    `ours` holds means over seeds, `errors` their standard errors (NaN for one seed), `seeds` counts, `paper` the
    paper's numbers on the rows of the posterior that it shows, `within` the standard error inside a single run.
    """

    name: str  # in file names
    heading: str
    data: str
    caption: str
    ours: pd.DataFrame
    errors: pd.DataFrame
    seeds: pd.DataFrame
    paper: pd.DataFrame
    within: pd.DataFrame
    paper_labels: dict[str, str]  # what the paper's row of a method is called
    digits: int = 2
    higher_is_better: bool = True
    unjudged: tuple[str, ...] = ()  # columns in which more is neither better nor worse

    def verdicts(self) -> pd.DataFrame:
        """Of each cell: better, worse or within error of the paper's number; blank where the paper has none.

        The error is 2 standard errors over seeds; of one seed, half a unit of the paper's last digit, which it is
        never less than, plus the standard error inside the run.
        """
        paper = self.paper.assign(**{column: math.nan for column in self.unjudged if column in self.paper})
        half = paper.map(self._half_unit)
        error = (2 * self.errors).where(self.seeds > 1, half + self.within.fillna(0))
        error = error.where(error > half, half) + 1e-9
        gap = (self.ours - paper) * (1 if self.higher_is_better else -1)
        verdicts = pd.DataFrame("", index=gap.index, columns=gap.columns)
        verdicts = verdicts.mask(gap > error, "better").mask(gap < -error, "worse")
        return verdicts.mask(gap.abs() <= error, "within error")

    def lines(self) -> Iterator[Line]:
        """Rows as they are shown: a method's own, then the paper's."""
        verdicts = self.verdicts()
        labels = [self.paper_labels.get(key[0], "") for key in self.ours.index]
        for i, key in enumerate(self.ours.index):
            cells = [self._cell(*pair) for pair in zip(self.ours.iloc[i], self.errors.iloc[i], strict=True)]
            yield Line(self._heads(key, self.seeds.iloc[i]), cells, [*verdicts.iloc[i]], True)
            if labels[i] and labels[i : i + 2].count(labels[i]) == 1:  # the last of its method
                rows = [j for j, label in enumerate(labels) if label == labels[i]]
                cells = [self._cell(value) for value in self.paper.iloc[rows].bfill().iloc[0]]
                yield Line([labels[i], "", "", ""], cells, [""] * len(cells), False)

    def markdown(self) -> str:
        """Heading, caption and table."""
        rows = [[*HEADS, *self.ours.columns], *([*line.heads, *line.cells] for line in self.lines())]
        table = report.markdown([[cell.replace("|", "\\|") for cell in row] for row in rows])
        return f"**{self.heading}**\n\n{self.caption}\n\n{table}"

    def styled(self) -> Styler:
        """The table as HTML, its verdicts marked and coloured: green is better than the paper's number, red worse."""
        lines = [*self.lines()]
        rows = [[*x.heads, *map(_marked, x.cells, x.verdicts)] for x in lines]
        frame = pd.DataFrame(rows, columns=[*HEADS, *self.ours.columns])
        css = pd.DataFrame([[""] * len(HEADS) + [_css(v) for v in x.verdicts] for x in lines], columns=frame.columns)
        css = css.where(pd.Series([x.ours for x in lines]), "font-style: italic; opacity: 0.85")
        styler = frame.style.apply(lambda _: css, axis=None).hide(axis="index").format(escape="html")
        styler = styler.format_index(escape="html", axis=1)
        legend = f"<br>{LEGEND}" if any(any(x.verdicts) for x in lines) else ""
        caption = f"<b>{html.escape(self.heading)}</b><br>{html.escape(self.caption)}{legend}"
        layout = [
            {"selector": "caption", "props": "caption-side: top; text-align: left; max-width: 70em"},
            {"selector": "td, th", "props": "text-align: right; padding: 0.25em 0.45em"},
            {"selector": "th", "props": "white-space: nowrap"},  # numbers may break before their errors: wide tables
            {"selector": ".col0", "props": "text-align: left; min-width: 8em"},
            {"selector": ".col1", "props": "text-align: left"},
        ]
        name = re.sub(r"[^\w-]", "-", f"{self.name}-{self.data}")
        return styler.set_caption(caption).set_table_styles(layout).set_uuid(name)

    def to_csv(self, path: Path) -> None:
        """Write one row per number, unrounded, the paper's number beside it."""
        frames = (self.ours, self.errors, self.seeds, self.paper)
        rows = [
            [self.name, self.data, *key, column, *(frame.iloc[i, j] for frame in frames)]
            for i, key in enumerate(self.ours.index)
            for j, column in enumerate(self.ours.columns)
            if self.seeds.iloc[i, j]
        ]
        names = ["table", "data", *KEYS, "column", "mean", "standard_error", "seeds", "paper"]
        with replacing(path) as temporary:
            pd.DataFrame(rows, columns=names).to_csv(temporary, index=False)

    def to_latex(self, path: Path) -> None:
        """Write a `table` for plain LaTeX with the package booktabs."""
        names = [*HEADS, *self.ours.columns]
        lines = [
            "% Needs \\usepackage{booktabs}.",
            "\\begin{table}",
            "\\centering\\small\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{_tex(self.heading)}. {_tex(self.caption)}}}",
            f"\\label{{tab:{self.data}-{self.name.replace('_', '-')}}}",
            f"\\begin{{tabular}}{{ll{'r' * (len(names) - 2)}}}",
            "\\toprule",
            " & ".join(map(_tex, names)) + " \\\\",
            "\\midrule",
            *(_tex_line(line) for line in self.lines()),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        with replacing(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n")

    def _digits(self, value: float) -> int:
        """Decimals as in the paper, whose Table 3 gives small numbers one more."""
        return self.digits + (0 < abs(value) < 10.0**-self.digits)

    def _half_unit(self, value: float) -> float:
        return math.nan if pd.isna(value) else 0.5 * 10.0 ** -self._digits(value)

    def _cell(self, mean: float, error: float = math.nan) -> str:
        if pd.isna(mean):
            return ""
        more = 0 < error < 0.5 * 10.0**-self.digits  # would be shown as zero
        after = "" if pd.isna(error) else f" ± {error:.{self.digits + more}f}"
        return f"{mean:.{self._digits(mean)}f}{after}"

    def _heads(self, key: tuple[str, str, int], seeds: pd.Series) -> list[str]:
        counts = sorted({int(n) for n in seeds if n})
        shown = f"{counts[0]}-{counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
        return [key[0], key[1].replace("_", " "), f"{key[2]:,}" if key[2] else "", shown]


def _css(verdict: str) -> str:
    background, text = COLOURS.get(verdict, ("", ""))
    return f"background-color: {background}; color: {text}" if verdict else ""


def _marked(cell: str, verdict: str) -> str:
    return f"{MARKS[verdict]} {cell}" if verdict else cell


_CHIPS = " ".join(f'<span style="{_css(v)}; padding: 0 0.4em">{mark} {v}</span>' for v, mark in MARKS.items())
LEGEND = (
    f"Beside the paper's number, where the posterior is the paper's: {_CHIPS} (2 standard errors over seeds; of one "
    "seed, half a unit of the paper's last digit and the error inside the run)."
)


def _tex(text: str) -> str:
    """Text for LaTeX; a leading hyphen before a digit is a minus sign."""
    escaped = "".join(TEX.get(character, character) for character in text)
    return "$-$" + escaped[1:] if text[:1] == "-" and text[1:2].isdigit() else escaped


def _tex_line(line: Line) -> str:
    heads = [*map(_tex, line.heads)] if line.ours else [f"\\multicolumn{{{len(HEADS)}}}{{l}}{{{_tex(line.heads[0])}}}"]
    return " & ".join([*heads, *map(_tex, line.cells)]) + " \\\\"
