"""Ablations from finished runs: which runs make a curve, what its points are, and what the paper's words come to."""

import math
import re
from dataclasses import replace
from statistics import fmean, variance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import finished, sweep
from scipy import stats

from workbench.reports import ablations, ablations_claims, claims
from workbench.reports.ablations import ABLATIONS, BETA, PRIOR_WEIGHT, SUBSPACE_SIZE, curves, means, series
from workbench.reports.ablations_claims import CLAIMS, Dip, Furthest, Trend, findings
from workbench.reports.claims_list import ANY, EQUAL, GREATER, STREET
from workbench.reports.contrasts import value
from workbench.runs import collected

SIZES = (0, 2, 4, 8)


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("sized"), "style_dim", SIZES)


def points(frame, panel: str, line: str, x: float) -> list[float]:
    chosen = frame[(frame["panel"] == panel) & (frame["line"] == line) & (frame["x"] == x)]
    return chosen.sort_values("seed")["value"].tolist()


# Curves


def test_points_are_the_runs_own_numbers(sized):
    frame = curves(sized, SUBSPACE_SIZE)
    fours = [run.metrics for run in sized if run.config.style_dim == 4]
    probes = [m["linear_probe"]["dynamic_prior"]["M,S"] for m in fours]
    assert points(frame, "Representation", "M,S", 4) == probes
    into = [fmean(m["coherence"]["dynamic_prior"]["S"][given] for given in ("M", "T", "M,T")) for m in fours]
    assert points(frame, "Coherence", "→ S", 4) == pytest.approx(into), "what was given itself is left out"
    assert points(frame, "Coherence", "random", 4) == [m["random_coherence"]["all_agree"] for m in fours]
    good = [m["quality"]["conditional"]["dynamic_prior"]["M"] for m in fours]
    mean = [fmean(row[given]["average_precision"] for given in ("S", "T", "S,T")) for row in good]
    assert points(frame, "Quality of images", "→ M", 4) == pytest.approx(mean)
    random = [m["quality"]["random"]["S"]["average_precision"] for m in fours]
    assert points(frame, "Quality of images", "random → S", 4) == random
    assert points(frame, "Class in the styles", "T", 4) == [m["style_probe"]["T"] for m in fours]
    assert points(frame, "Class in the styles", "T", 0) == [], "there is no style"
    assert frame.groupby("panel", sort=False)["line"].nunique().tolist() == [7, 4, 4, 3]


def test_other_ablations_have_a_panel_of_their_own(tmp_path):
    for ablation, panel, section in ((PRIOR_WEIGHT, "Aggregate posterior", "marginal_kl"), (BETA, "Rate", "rate")):
        runs = sweep(tmp_path, ablation.field, (0.5, 0.25), seeds=(0,))
        frame = curves(runs, ablation)
        assert points(frame, panel, "M,S,T", 0.5) == [runs[0].metrics[section]["dynamic_prior"]["M,S,T"]]
        assert [*dict.fromkeys(frame["x"])] == [0.25, 0.5], "in order"


def test_another_posterior_can_be_read(tmp_path):
    probes = {"dynamic_prior": {"M": 0.9}, "mixture": {"M": 0.7}}
    runs = [finished(tmp_path, metrics=lambda found: found | {"linear_probe": probes})]
    assert points(curves(runs, BETA), "Representation", "M", 5) == [0.9]
    assert points(curves(runs, BETA, posterior="mixture"), "Representation", "M", 5) == [0.7]


def test_the_weight_of_the_prior_that_is_not_given_is_its_share(tmp_path):
    runs = [finished(tmp_path / str(x), prior_weight=x) for x in (None, 0.25, 0.5)]
    frame = curves(runs, PRIOR_WEIGHT)
    assert {*frame["x"]} == {0.25, 0.5} and len(points(frame, "Representation", "M", 0.25)) == 1, "one configuration"
    two = finished(tmp_path / "two", data="mnist-text", letters="MT")
    assert PRIOR_WEIGHT.setting(two) == pytest.approx(1 / 3)


def test_subsets_of_many_modalities_are_averaged_by_their_size(tmp_path):
    run = finished(tmp_path, letters="ABCDE", data="five")
    frame, probes = curves([run], BETA), run.metrics["linear_probe"]["dynamic_prior"]
    lines = frame[frame["panel"] == "Representation"]["line"]
    assert lines.tolist() == [f"{n} of 5" for n in range(1, 6)]
    pairs = [x for subset, x in probes.items() if len(subset) == 3]
    assert len(pairs) == 10 and points(frame, "Representation", "2 of 5", 5) == pytest.approx([fmean(pairs)])
    assert PRIOR_WEIGHT.setting(run) == pytest.approx(1 / 6)


def test_summary_is_mean_and_error_over_seeds(sized):
    table = ablations.summary(curves([*sized, sized[0]], SUBSPACE_SIZE))
    found = points(curves(sized, SUBSPACE_SIZE), "Coherence", "→ T", 8)
    (row,) = table.query("panel == 'Coherence' and line == '→ T' and x == 8").itertuples()
    line = [points(curves(sized, SUBSPACE_SIZE), "Coherence", "→ T", size) for size in SIZES]
    spread = math.sqrt(fmean(variance(values) for values in line))  # three seeds at each size: two degrees of freedom
    half = stats.t.ppf(0.975, 2 * len(SIZES)) * spread / math.sqrt(3)
    assert (row.mean, row.half) == pytest.approx((fmean(found), half))
    assert (table["seeds"] == 3).all(), "a run given twice counts once"
    wide = means(curves(sized, SUBSPACE_SIZE), "Coherence")
    assert [*wide.columns] == ["→ M", "→ S", "→ T", "random"] and [*wide.index] == [*SIZES]
    assert wide.loc[8, "→ T"] == row.mean
    assert ablations.summary(curves(sized[:1], SUBSPACE_SIZE))["half"].isna().all()


def test_sections_that_runs_lack_leave_no_rows(tmp_path):
    old = sweep(tmp_path, "beta", (1.0, 5.0), seeds=(0,))
    for run in old:
        run.write("metrics.json", {name: run.metrics[name] for name in ("linear_probe", "coherence")})
    frame = curves(old, BETA)
    assert [*frame["panel"].unique()] == ["Representation", "Coherence"] and "random" not in {*frame["line"]}
    assert {f.verdict for f in findings(old, BETA) if f.claim.table == "quality"} == {"not tested"}


# Which runs


def test_runs_come_from_folders_or_collected_files(sized, tmp_path):
    folder = sized[0].folder.parent
    assert {run.folder for run in ablations.load(SUBSPACE_SIZE, folder)} == {run.folder for run in sized}
    collected.write(sized, tmp_path / "sweep.json")
    again = ablations.load(SUBSPACE_SIZE, str(tmp_path / "sweep.json"))
    assert curves(again, SUBSPACE_SIZE).equals(curves(sized, SUBSPACE_SIZE))
    assert findings(again, SUBSPACE_SIZE)[0].difference == findings(sized, SUBSPACE_SIZE)[0].difference


def test_the_reference_is_read_by_default(sized, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    collected.write(sized[:2], tmp_path / "outputs" / "reference" / "subspace_size.json")
    assert len(ablations.load(SUBSPACE_SIZE)) == 2


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_without_runs_the_command_that_makes_them_is_named(ablation, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    command = re.escape(f"make them with `workbench sweep notebooks/sweeps/{ablation.name}.toml`")
    where = rf"in outputs/reference/{ablation.name}\.json"
    with pytest.raises(ValueError, match=f"^no finished run .* {where}: {command}$"):
        ablations.load(ablation)
    with pytest.raises(ValueError, match=rf"in outputs/mine: {command}$"):
        ablations.load(ablation, tmp_path / "outputs" / "mine")
    for function in (curves, findings):
        with pytest.raises(ValueError, match=command):
            function([], ablation)


def test_runs_that_differ_in_more_are_refused(tmp_path, sized):
    other = finished(tmp_path / "other", style_dim=2, beta=2.5)
    with pytest.raises(ValueError, match=r"differ in more than style_dim: beta 5.0 and 2.5; give those of one setting"):
        curves([*sized, other], SUBSPACE_SIZE)
    elsewhere = finished(tmp_path / "elsewhere", data="uci-plain-text")
    with pytest.raises(ValueError, match="data mnist-plain-text and uci-plain-text"):
        findings([*sized, elsewhere], SUBSPACE_SIZE)
    shared = finished(tmp_path / "shared", beta_style=1.0)
    assert len(curves([sized[3], shared], SUBSPACE_SIZE)), "without subspaces the weight of styles is of no account"


def test_runs_that_are_an_ablation_are_known(sized, tmp_path):
    assert series(sized, SUBSPACE_SIZE) == {"": sized}
    assert series(sized[:6], SUBSPACE_SIZE) == series(sized, BETA) == series([], BETA) == {}, "two values are no curve"
    other = finished(tmp_path / "other", style_dim=4, beta=2.5)
    assert series([*sized, other], SUBSPACE_SIZE) == {"": sized}


def test_several_curves_are_named_after_what_sets_them_apart(sized, tmp_path):
    first = sweep(tmp_path, "style_dim", SIZES[1:], seeds=(0,), content_first=0.75)
    found = series([*sized, *first], SUBSPACE_SIZE)
    shared = [run for run in sized if not run.config.style_dim]
    assert found == {"content_first 0.0": sized, "content_first 0.75": [*shared, *first]}, "a shared space is in both"
    claims = ablations_claims.all_findings([*sized, *first])
    named = [replace(f, claim=replace(f.claim, name=f"{f.claim.name}, content_first 0.75"))
           for f in findings(found["content_first 0.75"], SUBSPACE_SIZE)]  # fmt: skip
    assert [f.row() for f in claims[len(named) :]] == [f.row() for f in named] and len(claims) == 2 * len(named)


# Claims


def test_claims_are_well_formed():
    found = [claim for group in CLAIMS.values() for claim in group]
    assert len({claim.name for claim in found}) == len({claim.statement for claim in found}) == len(found) >= 15
    for claim in found:
        assert claim.table in claims.METRICS and claim.kind in (GREATER, EQUAL) and "|" not in claim.statement
        assert re.fullmatch(r"(Figure [356], )?section (4\.2|C\.2\.[256])(, as a (guess|question))?", claim.where)
        assert (claim.kind == EQUAL) == isinstance(claim.compare, Furthest)
    assert {name for name in CLAIMS} == {*ABLATIONS}


def numbers_of(values: dict[float, tuple[float, float]]) -> dict[str, dict[str, float]]:
    return {f"{x:g}": dict(zip("ab", pair, strict=True)) for x, pair in values.items()}


SETTINGS = st.dictionaries(st.integers(0, 30).map(float), st.tuples(*[st.floats(-1, 1)] * 2), min_size=2, max_size=7)


@settings(max_examples=50)
@given(SETTINGS)
def test_a_trend_is_the_straight_line_of_least_squares(values):
    numbers = numbers_of(values)
    x, y = np.array([*values]), np.array([fmean(pair) for pair in values.values()])
    slope = np.polyfit(x, y, 1)[0]
    for sign in (1, -1):
        change = value(Trend(sign)(numbers, ANY), numbers)
        assert change == pytest.approx(sign * slope * (x.max() - x.min()), abs=1e-6)


@given(SETTINGS)
def test_the_furthest_setting_is_found(values):
    numbers, reference = numbers_of(values), next(iter(values))
    levels = {x: fmean(pair) for x, pair in values.items()}
    gap = value(Furthest(reference)(numbers, ANY), numbers)
    others = [levels[x] - levels[reference] for x in values if x != reference]
    assert abs(gap) == pytest.approx(max(map(abs, others)), abs=1e-8)
    assert min(abs(gap - other) for other in others) < 1e-8


def test_a_dip_is_seen_against_its_neighbours():
    levels = {0.1: 9.0, 0.3: 0.8, 0.36: 0.5, 0.44: 0.3, 0.5: 0.6, 0.9: 9.0}
    numbers = numbers_of({x: (y, y) for x, y in levels.items()})
    assert value(Dip(0.35, 0.45)(numbers, ANY), numbers) == pytest.approx((0.8 + 0.6) / 2 - (0.5 + 0.3) / 2)
    for without in ({"0.36", "0.44"}, {"0.1", "0.3"}, {"0.5", "0.9"}):
        assert Dip(0.35, 0.45)({k: row for k, row in numbers.items() if k not in without}, ANY) == {}


def test_comparisons_without_their_settings_or_columns_are_empty():
    numbers = numbers_of({0.0: (1.0, 2.0), 4.0: (3.0, 4.0)})
    assert Furthest(5.0)(numbers, ANY) == Trend(above=0.0)(numbers, ANY) == Trend()(numbers, STREET) == {}
    assert Trend()({"0": {"a": 1.0}, "4": {"b": 1.0}}, ANY) == {}, "no column that both have"


def verdicts(runs, ablation) -> dict[str, claims.Finding]:
    return {found.claim.name: found for found in findings(runs, ablation)}


def test_verdicts_on_a_sweep_that_does_as_the_paper_says(sized):
    found = verdicts(sized, SUBSPACE_SIZE)
    assert {f.verdict for f in found.values()} == {"supported"}
    assert found["size-coherence"].difference == pytest.approx(0.25 * 6 / 16, abs=0.02), "by the sweep's own slope"
    assert found["size-quality"].difference == pytest.approx(0.35 * 8 / 16, abs=0.02)
    assert found["size-leak"].seeds == 3 and found["size-leak"].error < 0.02 < found["size-leak"].effect
    assert found["size-probe"].notes[0].startswith("furthest: style_dim ")


def test_verdicts_on_a_sweep_that_does_not(tmp_path):
    beta = verdicts(sweep(tmp_path / "beta", "beta", (1.0, 5.0, 50.0), noise=0.003), BETA)
    names = ("probe", "coherence", "random-coherence", "quality", "random-quality")
    expected = {f"beta-{name}": "not supported" for name in names}
    expected["beta-random-quality"] = "undecided"  # 0.042, not surely outside 0.04
    assert {name: f.verdict for name, f in beta.items()} == expected
    assert {f.notes for f in beta.values()} == {("furthest: beta 50",)}
    weight = verdicts(sweep(tmp_path / "weight", "prior_weight", (0.1, 0.25, 0.4, 0.55), noise=0.001), PRIOR_WEIGHT)
    expected = dict.fromkeys(("weight-probe", "weight-quality", "weight-random-quality"), "supported")
    expected |= dict.fromkeys(("weight-dip", "weight-random-dip", "weight-random-trend"), "undecided")
    assert {name: f.verdict for name, f in weight.items()} == expected


def test_a_dip_in_runs_is_found(tmp_path):
    runs = sweep(tmp_path, "prior_weight", (0.25, 0.4, 0.5), noise=0.001)
    for run in runs:
        if run.config.prior_weight == 0.4:
            ((fusion, found), *_) = run.metrics["coherence"].items()
            less = {fusion: {t: {s: x - 0.2 for s, x in row.items()} for t, row in found.items()}}
            run.write("metrics.json", run.metrics | {"coherence": less})
    dip = verdicts(runs, PRIOR_WEIGHT)["weight-dip"]
    assert dip.verdict == "supported" and dip.difference == pytest.approx(0.2, abs=0.01)


def test_what_cannot_be_tested_says_why_and_unequal_steps_are_said(tmp_path):
    found = verdicts(sweep(tmp_path, "prior_weight", (0.25, 0.5), seeds=(0,)), PRIOR_WEIGHT)
    assert found["weight-probe"].tested and "one seed" in found["weight-probe"].notes
    (words,) = found["weight-dip"].notes
    assert words == "not enough values of prior_weight (0.25, 0.5) with a modality generated from others"
    assert "unequal" not in str(found)
    runs = [finished(tmp_path / str(x), style_dim=x, steps=4380 * (1 + bool(x))) for x in (0, 4)]
    assert verdicts(runs, SUBSPACE_SIZE)["size-quality"].notes[:2] == ("one seed", "unequal steps: 4,380, 8,760")


def test_findings_are_shown_without_a_difference_of_the_paper(sized):
    heading, *rows = ablations_claims.table(findings(sized, SUBSPACE_SIZE))
    assert heading == ablations_claims.HEADING and all(len(row) == len(heading) for row in rows)
    assert rows[1][1] == "Figure 5, section C.2.5" and rows[1][2].startswith("+0.0") and rows[1][-1] == "supported"
    assert "nan" not in str(rows) and math.isnan(findings(sized, SUBSPACE_SIZE)[0].paper)


def test_every_ablation_has_its_figure_field_command_and_the_papers_choice(tmp_path):
    places = ["Figure 5, section C.2.5", "Figure 6, section C.2.6", "Figure 3, section C.2.2"]
    assert [a.where for a in ABLATIONS.values()] == places
    assert all(a.command == f"workbench sweep notebooks/sweeps/{name}.toml" for name, a in ABLATIONS.items())
    run = finished(tmp_path, style_dim=4)  # of the paper's preset
    assert all(a.papers == a.setting(run) for a in ABLATIONS.values())
