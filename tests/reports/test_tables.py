"""Tables beside the paper's: which runs make a row, what a cell holds, how it compares, and how it is written."""

import csv
import math
import re
import sys

import pandas as pd
import pytest
from made_runs import OTHER, finished, several
from own_runs import shell

from workbench import reports
from workbench.fusion import subsets
from workbench.reports import published, tables

OF_CLASSES = [name for name in tables.SPECS if not name.startswith("attributes")]


def shown(table) -> list[dict[str, str]]:
    """Rows as a reader sees them."""
    columns = ["method", "posterior", "steps", "seeds", *table.ours.columns]
    return [dict(zip(columns, line.heads + line.cells, strict=True)) for line in table.lines()]


def of(name, folder, *changes):
    """A table of one run, or of one for each of some settings."""
    return tables.table(name, several(folder, *(changes or [{}])))


def test_seeds_make_one_row_with_an_error(tmp_path):
    table = of("linear_probe", tmp_path, *({"seed": seed, "shift": 0.03 * seed} for seed in range(3)))
    row = ("mmJSD", "dynamic_prior", 4380)
    assert [*table.ours.index] == [row, ("mmJSD", "mixture", 4380)]
    assert table.ours.loc[row, "M"] == pytest.approx(0.53) and (table.seeds == 3).to_numpy().all()
    assert table.halves.loc[row, "M"] == pytest.approx(4.302653 * 0.03 / math.sqrt(3))
    ours, mixture, paper = shown(table)
    assert [ours[x] for x in ("M", "seeds", "steps", "posterior")] == ["0.53 ± 0.07", "3", "4,380", "dynamic prior"]
    assert (
        mixture["M"] == "0.63 ± 0.07"
        and paper["M"] == "0.97"
        and "mean ± half of a 95 % interval by Student's t (of two seeds 12.7 standard errors" in table.caption
    )


def test_one_seed_has_no_error_and_errors_that_would_round_to_zero_get_a_decimal_more(tmp_path):
    table = of("linear_probe", tmp_path)
    assert table.halves.isna().to_numpy().all() and (table.seeds == 1).to_numpy().all()
    assert "±" not in table.markdown() and shown(table)[0]["seeds"] == "1" and "several draws" in table.caption
    table = of("linear_probe", tmp_path / "two", {}, {"seed": 1, "shift": 1 / 5000})
    assert shown(table)[0]["M"] == "0.50 ± 0.001"


def test_styles_that_were_held_back_are_said(tmp_path):
    shares = ({"style_dim": 4}, {"style_dim": 4, "content_first": 0.5}, {"objective": "mmvae", "content_first": 0.5})
    words = "betas of styles held higher at first (`content_first`, share of the steps): mmJSD (MS) 0.5."
    assert words in of("linear_probe", tmp_path, *shares).caption
    assert "content_first" not in of("linear_probe", tmp_path / "plain", *shares[::2]).caption


def test_rows_are_told_apart_by_data_steps_and_settings(tmp_path):
    settings = ({}, {"beta": 1.0}, {"seed": 1}, {"steps": 8760}, {"style_dim": 4}, {"objective": "mmvae"})
    rows = shown(of("linear_probe", tmp_path, *settings))
    expected = {("MMVAE", "4,380"): "1", ("mmJSD", "8,760"): "1", ("mmJSD, beta 1.0", "4,380"): "1"}
    expected |= {("mmJSD, beta 5.0", "4,380"): "2", ("mmJSD (MS)", "4,380"): "1"}
    assert {(row["method"], row["steps"]): row["seeds"] for row in rows if row["posterior"]} == expected
    assert [row["method"].partition(",")[0] for row in rows][::3] == ["MMVAE", "mmJSD", "mmJSD", "mmJSD (MS)"]


def test_settings_are_ordered_as_numbers_and_a_run_that_is_given_twice_counts_once(tmp_path):
    table = of("linear_probe", tmp_path, *({"objective": "mmvae", "beta": beta} for beta in (10.0, 2.5, 5.0)))
    assert [key[0] for key in table.ours.index] == ["MMVAE, beta 2.5", "MMVAE, beta 5.0", "MMVAE, beta 10.0"]
    assert (of("linear_probe", tmp_path / "twice", {}, {"device": "cpu"}).seeds == 1).to_numpy().all()
    names = [row["method"] for row in shown(of("linear_probe", tmp_path / "steps", {}, {"steps": 8760}))]
    assert names == ["mmJSD"] * 4 + ["mmJSD, paper (MNIST-SVHN-Text, 50 epochs)"], "the paper's once, below its method"


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "mmJSD, paper (MNIST-SVHN-Text, 50 epochs)"),
        ({"style_dim": 4}, "mmJSD (MS), paper (MNIST-SVHN-Text, 100 epochs)"),
        ({"data": published.DATA}, "mmJSD, paper (50 epochs)"),
        ({"objective": "mmvae_dreg"}, "MMVAE (I=30), paper (MNIST-SVHN-Text, 30 epochs)"),
        ({"dynamic_prior": "arithmetic"}, None),
        ({"objective": "mmvae_iwae"}, None),
    ],
)
def test_the_papers_row_names_its_data_and_epochs(tmp_path, changes, label):
    table = of("linear_probe", tmp_path, changes)
    assert [row["method"] for row in shown(table) if not row["seeds"]] == ([label] if label else [])
    differs = label is not None and "data" not in changes
    assert ("compare orderings, not digits" in table.caption) == differs
    assert ("NOT real" in table.caption) == ("data" not in changes)


def test_only_the_posterior_of_the_paper_is_compared(tmp_path):
    table = of("coherence", tmp_path)
    dynamic, mixture = table.paper.iloc[0], table.paper.iloc[1]
    assert dynamic["random"] == 0.60 and dynamic["S,T → M"] == 0.95 and mixture.isna().all()
    assert {*table.verdicts().iloc[1]} == {""}
    assert "Judges' own accuracy: M 0.981, S 1.000, T 1.000" in table.caption


@pytest.mark.parametrize(
    ("values", "draws", "verdict"),
    [
        ([0.984], None, "within error"),  # half a unit of 0.98
        ([0.986], None, "better"),
        ([0.974], None, "worse"),
        ([0.990], 0.006, "within error"),
        ([0.960], 0.006, "worse"),
        ([0.93, 0.934], 0.006, "worse"),  # 12.7 x 0.002 below 0.98
        ([0.90, 0.94], 0.006, "within error"),
        ([0.92, 0.98], 0.006, "within error"),
        ([0.984, 0.984], 0.0, "within error"),  # seeds that agree know no more than the paper's digits
        ([None], 0.006, ""),
    ],
)
def test_verdicts(tmp_path, values, draws, verdict):
    def alone(value):
        error = {} if draws is None else {"mixture": {"M,S,T": draws}}
        return lambda found: found | {"linear_probe": {"mixture": {"M,S,T": value}}, "linear_probe_error": error}

    settings = [{"seed": i, "metrics": alone(x)} for i, x in enumerate(values)]
    table = of("linear_probe", tmp_path, *({"data": published.DATA} | x for x in settings))
    assert table.verdicts().to_numpy().tolist() == ([[verdict]] if verdict else [[]])
    table = of("linear_probe", tmp_path / "elsewhere", *settings)
    assert {*table.verdicts().to_numpy().ravel()} <= {""}, "digits on other data are not judged"
    assert "compare orderings, not digits" in table.caption or not verdict


def test_less_is_better_for_distances_and_nothing_for_the_pattern(tmp_path):
    runs = several(tmp_path, {"objective": "mmvae"})
    fid, coherence, random = (tables.table(name, runs) for name in ("fid", "coherence", "random_coherence"))
    assert fid.paper.isna().to_numpy().all() and not fid.spec.higher_is_better and shown(fid)[0]["S → M"] == "3.1"
    assert coherence.verdicts().loc[("MMVAE", "mixture", 4380), "random"] == ""
    assert shown(random)[1]["agreement pattern"] == "0.54"


def test_a_run_without_a_section_has_blank_cells(tmp_path):
    old = finished(tmp_path / "old", "mmvae", metrics=lambda found: {"classifier_accuracy": {"M": 0.98}})
    new = finished(tmp_path / "new", style_dim=4)
    for name in OF_CLASSES:
        alone, both = tables.table(name, [old]), tables.table(name, [old, new])
        assert alone.ours.empty and "MMVAE" in alone.markdown() and "nan" not in alone.styled().to_html().lower()
        blank = [row for row in shown(both) if row["method"] == "MMVAE"]
        assert len(blank) == (0 if name == "style_probe" else 1) and {*both.seeds.iloc[-1]} == {1}, name
        assert all(value == "" for row in blank for key, value in row.items() if key not in ("method", "steps"))
    assert tables.all_tables([old]) == []


def test_an_estimate_whose_weights_are_too_heavy_is_marked(tmp_path):
    """By its k-hat, 0.75 here; the second run's is 0.65. Beside it stands the estimate by the paper's protocol."""
    table = of("evidence", tmp_path, {}, {"objective": "mmvae", "shift": 0.1})
    trusted, doubted = sorted(shown(table), key=lambda row: row["ln p(X) ≥"].endswith("†"))
    shown_of = ("K = 12", "K = 12: effective", "ln p(X) ≥", "effective draws", "k-hat", "items above 0.7", "error")
    assert [doubted[x] for x in shown_of] == ["-1960.40", "2.00", "-1880.25 †", "6.50", "0.75", "0.60", "0.06"]
    assert (doubted["ten times the draws"], doubted["annealing"]) == ("0.50", "0.75")
    assert (trusted["ln p(X) ≥"], trusted["k-hat"]) == ("-1880.15", "0.65")
    assert "100 draws for each of 500 items" in table.caption and "annealing, on 100;" in table.caption
    assert "†" in table.markdown() and "†" in table.styled().to_html()
    table.to_latex(tmp_path / "table.tex")
    assert r"$\dagger$" in (tmp_path / "table.tex").read_text() and r"$\geq$" in (tmp_path / "table.tex").read_text()


def test_a_seed_without_a_section_is_not_counted(tmp_path):
    old = {"seed": 2, "metrics": lambda found: {"linear_probe": found["linear_probe"]}}
    runs = several(tmp_path, {}, {"seed": 1}, old)
    assert shown(tables.table("linear_probe", runs))[0]["seeds"] == "3"
    assert shown(tables.table("log_likelihood", runs))[0]["seeds"] == "2"
    (tmp_path / "run-0" / "history.csv").unlink()  # which may be missing
    assert shown(tables.table("linear_probe", runs[:1]))[0]["steps"] == "4,380"


@pytest.mark.parametrize("letters", ["ABCD", "IT", "AT"])
def test_other_modalities_have_their_own_columns(tmp_path, letters):
    run = finished(tmp_path, style_dim=4, letters=letters)
    names = [",".join(subset) for subset in subsets(letters)]
    probe = tables.table("linear_probe", [run])
    assert [*probe.ours.columns] == names and probe.paper.isna().to_numpy().all()
    assert "paper" not in probe.markdown()  # the T of other data is another text
    found = tables.table("log_likelihood", [run])
    assert [*found.ours.columns] == ["X", *(f"X|{name}" for name in names[:-1])]
    paths = [(target, name) for target in letters for name in names if target not in name]
    assert len(tables.table("coherence", [run]).ours.columns) == 1 + len(paths)


def test_the_paper_joins_in_columns_that_both_have_and_styles_are_shown_where_there_are_any(tmp_path):
    table = of("linear_probe", tmp_path / "two", {"letters": "MS", "data": "mnist-plain"})
    assert shown(table)[-1]["M,S"] == "0.93" and [*table.ours.columns] == ["M", "S", "M,S"]
    (row,) = shown(of("style_probe", tmp_path, {}, {"style_dim": 4}))
    assert (row["method"], row["M"]) == ("mmJSD (MS)", "0.11")


def test_quality_has_the_papers_decimals_and_says_what_was_measured(tmp_path):
    runs = several(tmp_path, {"objective": "mmvae"})
    table = tables.table("quality", runs)
    ours, paper = shown(table)
    order = ["S → M", "T → M", "S,T → M", "random → M", "M → S", "T → S", "M,T → S", "random → S"]
    assert [*table.ours.columns] == order
    assert (paper["M → S"], paper["S → M"], ours["random → M"], ours["S → M"]) == ("0.005", "0.22", "0.004", "0.31")
    assert "M judge of M (128 features), S judge of S (128 features)" in table.caption
    assert "0.72, not 1" in table.caption and "10,000 images" in table.caption and "Inception" in table.caption
    assert [shown(tables.table(name, runs))[0]["S → M"] for name in ("f_8", "f_1_8")] == ["0.90", "0.80"]


def test_half_a_unit_is_finer_where_the_paper_has_three_decimals(tmp_path):
    def precision(value, features="Inception pool3 (pytorch-fid)"):
        cell = {"S": {"M": {"average_precision": value}}}
        quality = {"features": {"S": features}, "random": {}, "conditional": {"mixture": cell}}
        return lambda found: found | {"quality": quality}

    verdicts = []
    for value in (0.0054, 0.0056, 0.0044):
        run = finished(tmp_path / str(value), "mmvae", data=published.DATA, metrics=precision(value))
        verdicts += tables.table("quality", [run]).verdicts().to_numpy().ravel().tolist()
    assert verdicts == ["within error", "better", "worse"]
    run = finished(
        tmp_path / "judge", "mmvae", data=published.DATA, metrics=precision(0.0044, "judge of svhn (128 features)")
    )
    assert tables.table("quality", [run]).verdicts().to_numpy().tolist() == [[""]], "of other features: not compared"


def test_likelihoods_are_whole_nats_with_the_joint_first(tmp_path):
    table = of("log_likelihood", tmp_path, {"objective": "mmvae_dreg"})
    ours, paper = shown(table)
    assert [*table.ours.columns] == ["X", "X|M", "X|S", "X|T", "X|M,S", "X|M,T", "X|S,T"]
    assert (ours["X"], ours["X|M"], paper["X"], paper["X|M"]) == ("-1960", "-1900", "-1891", "")
    assert "K = 12 samples" in table.caption and "10,000 test items" in table.caption
    assert (table.within == 3).to_numpy().all()
    assert {*table.verdicts().to_numpy().ravel()} == {""}, "the paper's estimator is another"
    ours = of("predictive", tmp_path / "told").ours
    assert [*ours.columns] == [f"{given} → {target}" for target in "MST" for given in "MST"], "itself, too"
    assert ours["S → T"].tolist() == [-1910.4] * 2


def test_csv_is_one_row_per_number(tmp_path):
    table = of("linear_probe", tmp_path, {}, {"seed": 1, "shift": 1 / 30})
    table.to_csv(tmp_path / "out" / "probe.csv")
    rows = list(csv.DictReader((tmp_path / "out" / "probe.csv").read_text().splitlines()))
    assert len(rows) == 2 * 7 and [*rows[0]][:4] == ["table", "data", "method", "posterior"]
    first = rows[0]
    assert [first[x] for x in ("table", "data", "column", "steps")] == ["linear_probe", OTHER, "M", "4380"]
    assert float(first["mean"]) == table.ours.iloc[0, 0] and float(first["half_interval"]) == table.halves.iloc[0, 0]
    assert (first["seeds"], first["paper"], rows[7]["posterior"], rows[7]["paper"]) == ("2", "0.97", "mixture", "")


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Runs of two methods and settings, with two seeds."""
    styled = [{"seed": seed, "shift": seed / 30, "style_dim": 4, "beta": 1.0 + seed} for seed in range(2)]
    shared = [{"objective": "mmvae", "seed": seed, "shift": seed / 30} for seed in range(2)]
    return several(tmp_path_factory.mktemp("varied"), *styled, *shared)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_latex_is_whole(tmp_path, name, varied):
    table = tables.table(name, varied)
    table.to_latex(tmp_path / "table.tex")
    text = (tmp_path / "table.tex").read_text()
    assert text.isascii() and text.count("{") == text.count("}") and text.count("$") % 2 == 0
    assert all(text.count(rule) == 1 for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\label{tab:"))
    body = text.partition("\\toprule")[2].partition("\\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    spans = [line.count("&") + 3 * line.count("\\multicolumn{4}") + 1 for line in rows]
    assert {*spans} == {text.partition("\\begin{tabular}{")[2].index("}")}
    assert not re.search(r"(?<!\\)[%#_^~|<>]", body) and len(rows) == len([*table.lines()]) + 1
    caption = text.partition("\\caption{")[2].partition("\\label")[0]
    assert not re.search(r"(?<!\\)[%#_&^~|<>]", caption)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear_probe", ["0.52 $\\pm$ 0.21"]),
        ("coherence", ["S,T $\\to$ M"]),
        ("log_likelihood", ["X$\\mid$M,S", "& $-$1960 $\\pm$ 0 &", "& $-$1916 &"]),
    ],
)
def test_latex_spells_errors_arrows_and_minus_signs(tmp_path, name, expected, varied):
    tables.table(name, varied[2:]).to_latex(tmp_path / "table.tex")
    assert all(words in (tmp_path / "table.tex").read_text() for words in expected)


def test_styled_table_is_coloured_and_readable(tmp_path):
    settings = ({}, {"seed": 1, "shift": 0.9}, {"objective": "mvae", "metrics": lambda found: {}})
    runs = several(tmp_path, *({"data": published.DATA} | x for x in settings))
    for table in tables.all_tables(runs):
        page = table.styled().to_html()
        assert not re.search(r">\s*(nan|None|<NA>)\s*<", page) and page == table.styled().to_html()
        for style in re.findall(r"background-color: #\w+[^}\"]*", page):
            assert re.search(r"; color: #\w+", style.replace("\n  ", "; ").replace(";;", ";"))
    page = tables.table("linear_probe", runs).styled().to_html()
    verdicts = tables.table("linear_probe", runs).verdicts().to_numpy().ravel()
    assert {"within error"} <= {*verdicts}
    assert all(f"{verdict}</span>" in page for verdict in ("better", "worse", "within error"))
    assert "Beside the paper" not in tables.table("fid", runs).styled().to_html()
    assert "Beside the paper" not in of("linear_probe", tmp_path / "elsewhere").styled().to_html()


def test_markdown_has_every_table_of_every_data_set(tmp_path):
    runs = several(tmp_path, {"style_dim": 4}, {"data": "uci-plain-text"})
    text = tables.markdown(runs)
    assert re.findall("^## .*", text, re.MULTILINE) == ["## mnist-plain-text", "## uci-plain-text"]
    assert text.count("NOT real house numbers") == 2 and "8x8 UCI digits" in text
    for spec in map(tables.SPECS.get, OF_CLASSES):
        assert text.count(f"**{spec.heading}**") == (1 if spec.sparse else 2)
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_everything_is_written(tmp_path):
    files = tables.write(several(tmp_path, {"style_dim": 4}), tmp_path / "out")
    expected = {f"{OTHER}/{name}{end}" for name in OF_CLASSES for end in (".csv", ".tex")}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == expected
    assert all(path.stat().st_size for path in files) and {*(tmp_path / "out" / OTHER).iterdir()} == {*files}


def test_every_table_of_the_paper_has_its_numbers_and_wrong_questions_are_refused(tmp_path):
    text = " ".join(spec.numbers for spec in tables.SPECS.values())
    assert {int(number) for number in re.findall(r"\d+", text)} == {1, 2, 3, 4, 5, 14, 15, 16}
    assert len({spec.heading for spec in tables.SPECS.values()}) == len(tables.SPECS)
    runs = several(tmp_path, {}, {"data": "uci-plain-text"})
    with pytest.raises(ValueError, match=r"unknown table 'probe': choose one of .*, linear_probe, "):
        tables.table("probe", runs)
    with pytest.raises(ValueError, match="runs on mnist-plain-text, uci-plain-text do not share a table"):
        tables.table("linear_probe", runs)
    with pytest.raises(ValueError, match="no run to tabulate"):
        tables.table("linear_probe", [])


def test_report_prints_and_writes_the_tables(tmp_path, monkeypatch, capsys):
    finished(tmp_path / "runs" / "a")
    options = ("--out", tmp_path / "all.json", "--tables", tmp_path / "tables")
    assert not shell(monkeypatch, "report", tmp_path / "runs", *options)
    printed = capsys.readouterr().out
    assert "| mmJSD | dynamic prior | 4,380 | 1 | 0.50 |" in printed and f"Written: {tmp_path / 'all.json'}" in printed
    assert (tmp_path / "tables" / OTHER / "quality.tex").is_file()
    assert len(pd.read_csv(tmp_path / "tables" / OTHER / "coherence.csv")) == 20


def test_report_without_pandas_still_collects_and_names_the_cure(tmp_path, monkeypatch):
    finished(tmp_path / "runs" / "a")
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "workbench.reports.tables")  # as in a process that has imported nothing yet
    monkeypatch.delattr(reports, "tables")
    assert shell(monkeypatch, "report", tmp_path / "runs", "--out", tmp_path / "all.json") == (
        "workbench: tables need pandas: install it with `pip install -e '.[notebooks]'`"
    )
    assert (tmp_path / "all.json").is_file()
