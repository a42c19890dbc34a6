"""How what runs have come to looks: origins and first numbers in words, a table as Markdown, HTML, CSV and LaTeX."""

import html
import math
import re
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.files import replacing, slugs
from workbench.reports.results import at_papers, numbers
from workbench.reports.specs import Spec, crossed
from workbench.runs.naming import label, steps_taken
from workbench.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

Rows = list[list[str]]  # the first is the heading
Key = tuple[str, str, int]  # method, posterior, steps
KEYS = ["method", "posterior", "steps"]
HEADS = [*KEYS, "seeds"]
# Background and text, both given: they must be read on light and on dark pages.
COLOURS = {"better": ("#c6e9c9", "#0b3d17"), "worse": ("#f8c9c5", "#5c0f0a"), "within error": ("#d9d9d9", "#262626")}
CSS = {verdict: f"background-color: {back}; color: {text}" for verdict, (back, text) in COLOURS.items()} | {"": ""}
MARKS = {"better": "▲", "worse": "▼", "within error": "≈"}  # a verdict must not be told by its colour alone
_CHIPS = " ".join(f'<span style="{CSS[v]}; padding: 0 0.4em">{mark} {v}</span>' for v, mark in MARKS.items())
LEGEND = (
    f"Beside the paper's number, where the posterior is the paper's: {_CHIPS} (a 95 % interval over seeds; of one "
    "seed, which knows nothing of others, half a unit of the paper's last digit and the error inside the run)."
)
TEX = {"±": r"$\pm$", "→": r"$\to$", "|": r"$\mid$", "<": "$<$", ">": "$>$", "\\": r"\textbackslash{}"}
TEX |= {"≥": r"$\geq$", "†": r"$\dagger$"}
TEX |= {"é": r"\'e", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


def markdown(rows: Rows, words: int = 2) -> str:
    """Write rows, the first the heading, as a Markdown table; after `words` columns of words come numbers."""
    heading, *body = rows
    lines = [heading, ["---" if i < words else "---:" for i in range(len(heading))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# Runs in words


def origins(runs: Sequence[Run]) -> Rows:
    """Say where numbers come from: a row for each method and data set, with seeds, scale, versions and machines."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        scale = (f"{steps_taken(run):,}", str(run.config.batch_size), run.precision)
        groups.setdefault((run.config.data, label(run), *scale), []).append(run)
    rows = [["data", "method", "steps", "batch", "precision", "seeds", "trained", "evaluated", "machine"]]
    for names, group in groups.items():
        stored = [run.read("config.json") for run in group]
        judged = [run.metrics.get("evaluated_with") or {} for run in group]
        seeds = ", ".join(str(seed) for seed in sorted({run.config.seed for run in group}))
        days = [f"{_several(origins, 'date')} at {_several(origins, 'commit')}" for origins in (stored, judged)]
        rows.append([*names, seeds, *days, _several(stored, "machine")])
    return rows


def _several(stored: Sequence[Mapping[str, Any]], name: str) -> str:
    return ", ".join(sorted({str(origin.get(name) or "unknown") for origin in stored}))


def ceiling(run: Run) -> str:
    """Give the accuracy of a run's judges on real test items: what no coherence can pass but by luck."""
    return ", ".join(f"{letter} {accuracy:.3f}" for letter, accuracy in run.metrics["classifier_accuracy"].items())


def headline(run: Run) -> str:
    """Give a run's first numbers in one line, of the parts that were evaluated: joint probe, coherence.

    Coherence is the mean over all modalities given others, then how often all modalities of random items agree, or on
    how many attributes.
    """
    metrics, parts = run.metrics, []
    if probes := at_papers(metrics, "linear_probe", "linear_probe_full"):
        parts.append(f"probe {max(probes, key=lambda x: x.given.count(',')).value:.2f}")
    if paths := at_papers(metrics, "coherence"):
        shares = [x.value for x in paths if crossed(x)]
        parts += [f"coherence {sum(shares) / len(shares):.2f}"] if shares else []
        random = {x.target: x.value for x in numbers(metrics, "random_coherence")}
        parts.append(f"random {random.get('attributes_agree', random['all_agree']):.2f}")
    return ", ".join(parts)


# Tables


# One row as it is shown, all text, blank where there is no number; heads are method, posterior, steps, seeds.
Line = namedtuple("Line", ("heads", "cells", "verdicts", "ours"))


@dataclass(frozen=True)
class Table:
    """One table on one data set; all frames have rows (method, posterior, steps) and the same columns.

    `ours` holds means over seeds, `halves` half of their 95 % intervals (NaN for one seed), `seeds` counts, `paper`
    the paper's numbers on the rows of the posterior that it shows, `within` the standard error inside a single run.
    """

    spec: Spec
    data: str
    caption: str
    ours: "pd.DataFrame"
    halves: "pd.DataFrame"
    seeds: "pd.DataFrame"
    paper: "pd.DataFrame"
    within: "pd.DataFrame"
    paper_labels: dict[str, str]  # what the paper's row of a method is called
    unjudged: tuple[str, ...] = ()  # columns in which more is neither better nor worse

    def verdicts(self) -> "pd.DataFrame":
        """Judge each cell: better, worse or within error of the paper's number; blank where the paper has none.

        The error is half the 95 % interval over seeds; of one seed, half a unit of the paper's last digit, which it is
        never less than, plus the standard error inside the run.
        """
        import pandas as pd

        frames = (self.ours, self.halves, self.seeds, self.paper, self.within)
        rows = zip(*(frame.to_numpy(float).tolist() for frame in frames), strict=True)
        judged = [[self._verdict(*cell) for cell in zip(self.ours, *row, strict=True)] for row in rows]
        return pd.DataFrame(judged, self.ours.index, self.ours.columns, dtype=object)

    def _verdict(self, column: str, ours: float, error: float, seeds: float, paper: float, within: float) -> str:
        if column in self.unjudged or math.isnan(ours) or math.isnan(paper):
            return ""
        half = 0.5 * 10.0 ** -self._digits(paper)
        error = error if seeds > 1 else half + (0 if math.isnan(within) else within)
        gap = (ours - paper) * (1 if self.spec.higher_is_better else -1)
        return "within error" if abs(gap) <= max(error, half) + 1e-9 else "better" if gap > 0 else "worse"

    def lines(self) -> Iterator[Line]:
        """Give the rows as they are shown: a method's own, then the paper's."""
        verdicts, labels = self.verdicts(), [self.paper_labels.get(method, "") for method, *_ in self.ours.index]
        for i, key in enumerate(self.ours.index):
            cells = [self._cell(*pair) for pair in zip(self.ours.iloc[i], self.halves.iloc[i], strict=True)]
            if self.spec.doubted and self.spec.doubted[1] in self.ours:
                column, by, limit = self.spec.doubted
                cells[self.ours.columns.get_loc(column)] += " †" * bool(self.ours[by].iloc[i] > limit)
            yield Line(self._heads(key, self.seeds.iloc[i]), cells, [*verdicts.iloc[i]], True)
            if labels[i] and labels[i : i + 2].count(labels[i]) == 1:  # the last of its method
                rows = [j for j, name in enumerate(labels) if name == labels[i]]
                cells = [self._cell(value) for value in self.paper.iloc[rows].bfill().iloc[0]]
                yield Line([labels[i], "", "", ""], cells, [""] * len(cells), False)

    def markdown(self) -> str:
        """Write heading, caption and table."""
        rows = [[*HEADS, *self.ours.columns], *([*line.heads, *line.cells] for line in self.lines())]
        table = markdown([[cell.replace("|", "\\|") for cell in row] for row in rows])
        return f"**{self.spec.heading}**\n\n{self.caption}\n\n{table}"

    def styled(self) -> "Styler":
        """Make HTML of the table, its verdicts marked and coloured: green is better than the paper, red worse."""
        import pandas as pd

        lines = [*self.lines()]
        marked = [[f"{MARKS[v]} {c}" if v else c for c, v in zip(x.cells, x.verdicts, strict=True)] for x in lines]
        rows = [x.heads + cells for x, cells in zip(lines, marked, strict=True)]
        frame = pd.DataFrame(rows, columns=[*HEADS, *self.ours.columns])
        css = pd.DataFrame([[""] * len(HEADS) + [CSS[v] for v in x.verdicts] for x in lines], columns=frame.columns)
        css = css.where(pd.Series([x.ours for x in lines]), "font-style: italic; opacity: 0.85")
        styler = frame.style.apply(lambda _: css, axis=None).hide(axis="index").format(escape="html")
        styler = styler.format_index(escape="html", axis=1)
        legend = f"<br>{LEGEND}" if any(any(x.verdicts) for x in lines) else ""
        caption = f"<b>{html.escape(self.spec.heading)}</b><br>{html.escape(self.caption)}{legend}"
        layout = [
            {"selector": "caption", "props": "caption-side: top; text-align: left; max-width: 70em"},
            {"selector": "td, th", "props": "text-align: right; padding: 0.25em 0.45em"},
            {"selector": "th", "props": "white-space: nowrap"},  # numbers may break before their errors: wide tables
            {"selector": ".col0", "props": "text-align: left; min-width: 8em"},
            {"selector": ".col1", "props": "text-align: left"},
        ]
        name = re.sub(r"[^\w-]", "-", f"{self.spec.name}-{self.data}")
        return styler.set_caption(caption).set_table_styles(layout).set_uuid(name)

    def to_csv(self, path: Path) -> None:
        """Write one row per number, unrounded, the paper's number beside it."""
        import pandas as pd

        frames = {"mean": self.ours, "half_interval": self.halves, "seeds": self.seeds, "paper": self.paper}
        long = pd.concat({name: frame.stack(future_stack=True) for name, frame in frames.items()}, axis=1)
        long = long.rename_axis([*KEYS, "column"])[lambda rows: rows["seeds"] > 0].reset_index()
        long.insert(0, "table", self.spec.name)
        long.insert(1, "data", self.data)
        with replacing(path) as temporary:
            long.to_csv(temporary, index=False)

    def to_latex(self, path: Path) -> None:
        """Write a `table` for plain LaTeX with the package booktabs."""
        names, rows = [*HEADS, *self.ours.columns], []
        for line in self.lines():
            wide = f"\\multicolumn{{{len(HEADS)}}}{{l}}{{{_tex(line.heads[0])}}}"  # of a row of the paper's
            rows.append(" & ".join([*(map(_tex, line.heads) if line.ours else [wide]), *map(_tex, line.cells)]))
        lines = [
            "% Needs \\usepackage{booktabs}.",
            "\\begin{table}",
            "\\centering\\small\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{_tex(self.spec.heading)}. {_tex(self.caption)}}}",
            f"\\label{{tab:{slugs([self.data])[self.data]}-{self.spec.name.replace('_', '-')}}}",
            f"\\begin{{tabular}}{{ll{'r' * (len(names) - 2)}}}",
            "\\toprule",
            " & ".join(map(_tex, names)) + " \\\\",
            "\\midrule",
            *(f"{row} \\\\" for row in rows),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        with replacing(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _digits(self, value: float) -> int:
        """Decimals as in the paper, whose Table 3 gives small numbers one more."""
        return self.spec.digits + (0 < abs(value) < 10.0**-self.spec.digits)

    def _cell(self, mean: float, error: float = math.nan) -> str:
        if math.isnan(mean):
            return ""
        more = 0 < error < 0.5 * 10.0**-self.spec.digits  # would be shown as zero
        after = "" if math.isnan(error) else f" ± {error:.{self.spec.digits + more}f}"
        return f"{mean:.{self._digits(mean)}f}{after}"

    def _heads(self, key: Key, seeds: "pd.Series") -> list[str]:
        counts = sorted({int(n) for n in seeds if n})
        shown = f"{counts[0]}-{counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
        return [key[0], key[1].replace("_", " "), f"{key[2]:,}" if key[2] else "", shown]


def _tex(text: str) -> str:
    """Text for LaTeX; a leading hyphen before a digit is a minus sign."""
    escaped = "".join(TEX.get(character, character) for character in text)
    return "$-$" + escaped[1:] if text[:1] == "-" and text[1:2].isdigit() else escaped
