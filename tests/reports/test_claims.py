"""The paper's ordinal claims: what its own tables say to them, and what made-up runs must lead to."""

import math
import re
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import ITEMS, OTHER, finished, in_memory, papers_metrics
from own_runs import shell
from scipy.stats import ttest_ind

from workbench.config import Config
from workbench.reports import claims, claims_list, layout, published
from workbench.reports.claims import CLAIMS, RULE, findings
from workbench.reports.claims_list import EQUAL, GREATER, JOINT, NOT_BELOW, SEVERAL, SINGLE, STREET, Claim
from workbench.reports.contrasts import Above, BeyondParts, parts, value
from workbench.reports.specs import SPECS
from workbench.reports.verdicts import ACCURACY, METRICS, NATS, PRECISION
from workbench.runs import collected
from workbench.runs.naming import spelt
from workbench.runs.run import Run, find_runs

BY_NAME = {claim.name: claim for claim in CLAIMS}
PARTS = BeyondParts(("a",))
NO_SPREAD = "no seeds tell its spread"


def settings_of(key: str) -> dict[str, Any]:
    """The settings of one of the paper's methods, all at 4,380 steps."""
    name, _, suffix = key.partition("-")
    objective = "mmvae_dreg" if suffix == "i30" else name
    return {"objective": objective, "style_dim": 4 if suffix == "ms" else 0, "data": OTHER, "steps": 4380}


def made(key: str, metrics: dict[str, Any], seed: int = 0, history: Any = None, **changes: Any) -> Run:
    return in_memory(Config.make("paper", seed=seed, **settings_of(key) | changes), metrics, history)


def probe(values: dict[str, float | None], error: float | None = None) -> dict[str, Any]:
    """metrics.json with one probe's accuracies, and the same standard error for all."""
    errors = {} if error is None else {"linear_probe_error": {"any": dict.fromkeys(values, error)}}
    return {"test_items": ITEMS, "linear_probe": {"any": values}, **errors}


def joint(accuracy: float, error: float | None = 0.002) -> dict[str, Any]:
    return probe({"M": 0.9, "S": 0.8, "M,S": accuracy}, error)


def papers_runs() -> list[Run]:
    return [made(key, papers_metrics(key)) for key in published.METHODS]


def one(runs: list[Run], name: str = "joint-probe", **options: Any) -> claims.Finding:
    """The finding of one claim."""
    (found,) = findings(runs, [BY_NAME[name]], **options)
    return found


def duel(ours: list[float], theirs: list[float], error: float | None = 0.002, shift: int = 0) -> claims.Finding:
    """mmJSD's joint probes against MMVAE's, for each seed one; `shift` moves the seeds of MMVAE."""
    runs = [made("mmjsd", joint(x, error), seed) for seed, x in enumerate(ours)]
    return one(runs + [made("mmvae", joint(x, error), seed + shift) for seed, x in enumerate(theirs)])


# The list, and the paper's own numbers


def test_claims_are_well_formed():
    assert len(BY_NAME) == len(CLAIMS) == len({claim.statement for claim in CLAIMS}) >= 40
    for claim in CLAIMS:
        assert claim.table in METRICS and claim.kind in (GREATER, EQUAL, NOT_BELOW)
        assert set(claim.methods) <= set(published.METHODS) and "|" not in claim.statement
        assert re.fullmatch(r"Table (1|2|3|4|14|15|16)(, section (4\.2|C\.2\.4|C\.2\.5))?", claim.where)
        numbers = {key: SPECS[claim.table].paper[key] for key in claim.methods}
        columns = {column for _, column in claim.contrast(numbers)}
        several = len(columns) > 1 and claim.name not in ("joint-probe", "joint-probe-ms")
        assert several == ("mean over" in claim.statement), claim.name

    assert [*map(spelt, published.METHODS[2:4])] == ["MMVAE (I=30)", "mmJSD"] and spelt("mvae-ms") == "MVAE (MS)"


BY_HAND = {
    "joint-probe": 0.98 - 0.93,
    "joint-probe-ms": 0.99 - 0.92,
    "several-probe": (0.93 + 0.99 + 0.92 + 0.98 - 0.89 - 0.97 - 0.90 - 0.93) / 4,
    "gain-probe": (0.93 + 0.99 + 0.92 + 0.98) / 4 - (0.895 + 0.98 + 0.905 + 2.78 / 3) / 4,
    "average-probe": (0.89 + 0.97 + 0.90 + 0.93 - 0.885 - 0.975 - 0.90 - 0.92) / 4,
    "single-probe-mvae": (0.96 + 0.81 + 0.99 - 0.85 - 0.20 - 0.58) / 3,
    "single-probe-mmjsd": 0.02 / 3,
    "subspaces-probe": (0.01 + 0.03 + 0 + 0.01 - 0.01 + 0.02 + 0.01) / 7,
    "several-coherence": (0.95 + 0.48 + 0.92 - 0.91 - 0.31 - 0.90) / 3,
    "gain-coherence": (0.95 + 0.48 + 0.92 - 0.905 - 0.365 - 0.90) / 3,
    "average-coherence-ms": (0.86 + 0.90 + 0.76 - 0.87 - 0.905 - 0.76) / 3,
    "single-coherence-mvae": (0.82 + 0.99 + 0.32 + 0.30 + 0.96 + 0.83 - 0.17 - 0.14 - 0.37 - 0.30 - 0.20 - 0.12) / 6,
    "subspaces-street-mmvae": (0.88 + 0.93 + 0.90 - 0.32 - 0.30 - 0.31) / 3,
    "subspaces-street-mmjsd": (0.89 + 0.93 + 0.92 - 0.37 - 0.36 - 0.48) / 3,
    "subspaces-quality-mmvae": (0.62 + 0.63 + 0.63 + 0.21 + 0.20 + 0.20 - 0.22 - 0.09 - 0.18 - 0.017) / 6,
    "subspaces-quality-mvae": (0.60 + 0.59 + 0.50 + 0.30 + 0.33 + 0.17 - 0.62 - 0.62 - 0.58 - 0.33 - 0.34 - 0.22) / 6,
    "subspaces-random-quality-mmjsd": (0.30 + 0.17 - 0.15 - 0.09) / 2,
    "quality-mvae": (3.66 - 1.127) / 8,
    "random-quality": (0.35 + 0.27 - 0.15 - 0.09) / 2,
    "likelihood-mmjsd": -1961 + 1916,
    "likelihood-mmjsd-ms": -1900 + 1893,
    "likelihood-mvae": -1864 + 1916,
    "importance-probe": (0.04 + 0.14 + 0 + 0.09 + 0.01 + 0.07 + 0.07) / 7,
    "importance-coherence": (6.34 - 7.23) / 9,
    "importance-street": (0.76 + 0.68 + 0.72 - 0.93) / 3,
    "importance-likelihood": -1891 + 1916,
    "subspaces-likelihood-mmjsd": -1900 + 1961,
    "subspaces-as-importance": -1893 + 1891,
}


def test_the_papers_differences_by_hand_and_what_its_tables_do_not_bear_out():
    """Of its own claims: all but that subspaces improve every method's images, and two of a shared space."""
    found = {f.claim.name: f for f in findings(papers_runs())}
    assert {name: found[name].paper for name in BY_HAND} == pytest.approx(BY_HAND, abs=1e-8)
    denied = [name for name, f in found.items() if f.paper_verdict != "supported"]
    assert denied == ["subspaces-quality-mvae", "likelihood-mmjsd", "importance-coherence"]
    assert all(f.paper_verdict in ("supported", "not supported") for f in found.values())
    for name, f in found.items():  # our metrics are read as the paper's tables are
        assert f.tested and (f.seeds, f.freedom, f.verdict) == (1, 0, "undecided"), name
        assert f.notes[0] == "one seed" and any(note.startswith(NO_SPREAD) for note in f.notes), name
        assert f.difference == pytest.approx(f.paper, abs=1e-8), name
        assert f.error >= 0 and math.isnan(f.effect) and f.data == OTHER


# Contrasts


def test_the_nearest_rival_counts_and_columns_that_one_method_lacks_are_left_out():
    numbers = {"a": {"M": 0.9, "S": 0.4}, "b": {"M": 0.5}, "c": {"M": 0.7}}
    assert Above(("a",), ("b", "c"))(numbers, SINGLE) == {("a", "M"): 1, ("c", "M"): -1}
    assert Above(("a", "c"), ("b",))(numbers, SINGLE) == {("c", "M"): 1, ("b", "M"): -1}
    assert PARTS({"a": {"M": 0.9, "M,S": 0.8}}, SEVERAL) == {}


def test_several_inputs_are_compared_with_their_own_parts():
    row = {"S → M": 0.2, "T → M": 0.4, "S,T → M": 0.9, "M → S": 0.1}
    assert parts("S,T → M") == ["S → M", "T → M"] and parts("M,S,T") == ["M", "S", "T"]
    assert value(PARTS({"a": row}, SEVERAL), {"a": row}) == pytest.approx(0.6)
    assert STREET.of([*row]) == ["M → S"] and JOINT.of(["M", "S", "T", "M,S", "M,S,T"]) == ["M,S,T"]


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_a_mean_of_its_parts_gains_nothing(singles):
    """Exact averages of single inputs, as a mixture of experts gives them, differ by zero from the mean."""
    row = dict(zip("ABCDEFG", singles, strict=True))
    for given_ in ("A,B", "C,D,E", "A,F,G", "A,B,C,D,E,F,G"):
        row[given_] = sum(row[letter] for letter in given_.split(",")) / len(given_.split(","))
    assert value(PARTS({"a": row}, SEVERAL), {"a": row}) == pytest.approx(0, abs=2e-9)


# Verdicts


def test_the_rule_names_its_margins_and_made_up_runs_support_contradict_and_leave_undecided():
    margins = [x for metric in (ACCURACY, PRECISION, NATS) for x in (metric.margin, metric.equality)]
    assert all(f"{margin:g}" in RULE for margin in margins)
    assert RULE.startswith("A claim is about a difference.") and "\n" not in RULE
    assert duel([0.98, 0.97, 0.99], [0.93, 0.92, 0.94]).verdict == "supported"
    assert duel([0.93, 0.92, 0.94], [0.98, 0.97, 0.99]).verdict == "not supported"
    assert duel([0.98, 0.90, 0.99], [0.93, 0.97, 0.92]).verdict == "undecided"
    assert duel([0.985, 0.985, 0.985], [0.98, 0.98, 0.98]).verdict == "undecided"  # of no account


accuracies = st.floats(0.2, 0.99).map(lambda x: round(x, 3))


@settings(max_examples=25)
@given(st.lists(st.tuples(accuracies, accuracies), min_size=1, max_size=5), st.sampled_from([0, 7]))
def test_swapping_the_methods_turns_the_verdict_round(pairs, shift):
    ours, theirs = map(list, zip(*pairs, strict=True))
    one_way, other_way = duel(ours, theirs, shift=shift), duel(theirs, ours, shift=shift)
    assert other_way.difference == pytest.approx(-one_way.difference, abs=1e-8)
    assert other_way.error == pytest.approx(one_way.error)
    turned = {"supported": "not supported", "not supported": "supported", "undecided": "undecided"}
    assert other_way.verdict == turned[one_way.verdict]


@settings(max_examples=20)
@given(accuracies, st.floats(-0.1, 0.1), st.floats(0.001, 0.05), st.integers(2, 6))
def test_seeds_that_agree_shrink_the_error(theirs, difference, error, seeds):
    found = [duel([theirs + difference] * n, [theirs] * n, error) for n in (1, seeds, seeds + 1)]
    assert found[2].error < found[1].error <= found[0].error
    assert found[2].difference == pytest.approx(found[0].difference, abs=1e-8)
    assert found[2].error == pytest.approx(error * math.sqrt(2 / (seeds + 1)))


@settings(max_examples=25)
@given(*2 * [st.lists(accuracies, min_size=2, max_size=6, unique=True)], st.sampled_from([0, 7]))
def test_two_methods_are_compared_by_welchs_test(ours, theirs, shift):
    found = duel(ours, theirs, error=0.0, shift=shift)
    oracle = ttest_ind(ours, theirs, equal_var=False)
    assert found.freedom == pytest.approx(oracle.df) and found.p == pytest.approx(oracle.pvalue, rel=1e-4, abs=1e-9)
    low, high = oracle.confidence_interval(0.95)
    assert (found.difference - found.half, found.difference + found.half) == pytest.approx((low, high), abs=1e-8)
    assert found.seeds == min(len(ours), len(theirs))


# Errors and seeds


def test_one_seed_alone_has_the_errors_inside_its_runs_and_decides_nothing():
    found = duel([0.98], [0.93], error=0.003)
    assert found.error == pytest.approx(0.003 * math.sqrt(2))
    assert found.notes == ("one seed", f"{NO_SPREAD}: 0.0042 inside the runs")
    assert math.isnan(found.effect) and math.isnan(found.half) and math.isnan(found.p) and found.verdict == "undecided"
    assert found.row()[3:6] == ["+0.050", "", "1 (0)"]
    runs = [made("mmjsd", probe({"M": 0.9, "S": 0.8, "M,S": 0.95}, 0.004))]
    assert one(runs, "gain-probe").error == pytest.approx(0.004 * math.sqrt(1 + 1 / 4 + 1 / 4))


def several(key: str, values: list[float], **changes: Any) -> list[Run]:
    return [made(key, joint(x, 0.0), seed, **changes) for seed, x in enumerate(values)]


def test_one_seed_has_the_spread_of_its_method_elsewhere_and_is_a_class_of_its_own():
    runs = [*several("mmjsd", [0.98]), *several("mmvae", [0.9])]
    told = [*several("mmjsd", [0.5, 0.52], data="text"), *several("mmvae", [0.4, 0.44], data="text")]
    found = one(runs, spread=told)
    assert found.error == pytest.approx(math.hypot(0.02, 0.04) / math.sqrt(2)) and found.seeds == 1
    assert found.freedom == pytest.approx((0.02**2 + 0.04**2) ** 2 / (0.02**4 + 0.04**4))
    assert found.notes == ("one seed", "spread of text") and found.verdict == "undecided"
    near = one(runs, spread=[*several("mmjsd", [0.5, 0.501, 0.502], data="text"), *told[2:]])
    assert near.error > 0.02 and one([*runs, *several("mmvae", [0.9, 0.91])[1:]], spread=told).notes == ("one seed",)
    sure = [*several("mmjsd", [0.5, 0.501], data="text"), *several("mmvae", [0.4, 0.401], data="text")]
    assert one(runs, spread=sure).verdict == "supported (one seed)"
    assert one(runs, spread=sure).row()[-1] == "supported (one seed; spread of text)"


def test_a_method_has_the_spread_of_its_runs_with_and_without_subspaces_one_without_seeds_that_of_all():
    ours, styled, theirs = [0.98, 0.96], [0.97, 0.91], [0.90, 0.91]
    runs = [*several("mmjsd", ours), *several("mmjsd-ms", styled), *several("mmvae", theirs), *several("mvae", [0.5])]
    found = one(runs)
    pool = (0.02**2 / 2 + 0.06**2 / 2) / 2
    assert found.error == pytest.approx(math.sqrt((pool + 0.01**2 / 2) / 2)) and found.seeds == 2
    assert found.freedom == pytest.approx((pool + 0.01**2 / 2) ** 2 / (pool**2 / 2 + (0.01**2 / 2) ** 2))
    beside = one(runs, "subspaces-probe")
    assert beside.freedom == 2, "both methods have the same estimate of their spread"
    every = claims.Claim("x", "", "linear_probe", JOINT, Above(("mmjsd",), ("mvae",)), "")
    (alone,) = findings(runs, [every])
    whole = (0.02**2 / 2 + 0.06**2 / 2 + 0.01**2 / 2) / 3
    assert alone.seeds == 1 and alone.error == pytest.approx(math.sqrt(pool / 2 + whole))


def test_every_rival_must_be_passed_also_one_further_away_whose_seeds_are_further_apart():
    ours, near = several("mmjsd", [0.98, 0.981]), several("mmvae", [0.95, 0.951])
    claim = Claim("x", "", "linear_probe", JOINT, Above(("mmjsd",), ("mmvae", "mvae")), "")
    (sure,) = findings([*ours, *near, *several("mvae", [0.92, 0.921])], [claim])
    (found,) = findings([*ours, *near, *several("mvae", [0.95, 0.85])], [claim])
    assert sure.verdict == "supported" and sure.notes == ()
    assert found.difference == sure.difference == pytest.approx(0.03) and found.verdict == "undecided"
    assert found.notes[0].startswith("undecided between mmJSD and MVAE: +0.0805 ± ") and found.p > 0.05
    (alone,) = findings([*ours, *near, *several("mvae", [0.5])], [claim])
    assert (alone.verdict, alone.seeds) == ("supported (one seed)", 1), "the rival further away has one"


def test_runs_that_differ_in_more_than_the_seed_tell_nothing_of_the_spread():
    runs = [*several("mmjsd", [0.98]), made("mmjsd-ms", joint(0.5, 0.0)), *several("mmvae", [0.9])]
    told = [made("mmjsd", joint(0.2, 0.0), 1, beta=1.0), made("mmvae", joint(0.2, 0.0), 1, steps=9)]
    assert one(runs, spread=told).freedom == 0 and one(runs, spread=runs).freedom == 0


def test_without_an_error_of_its_own_an_accuracy_has_that_of_a_share():
    found = duel([0.98], [0.93], error=None)
    assert found.error == pytest.approx(math.sqrt((0.98 * 0.02 + 0.93 * 0.07) / ITEMS))
    runs = [made(key, papers_metrics(key) | {"test_items": None}) for key in ("mmvae", "mmjsd")]
    random = one(runs, "random-quality")
    shares = (0.35 * 0.65, 0.27 * 0.73, 0.15 * 0.85, 0.09 * 0.91)
    assert random.error == pytest.approx(math.sqrt(sum(shares) / 4 / ITEMS))
    unknown = one(runs, "gain-coherence")
    assert math.isnan(unknown.error) and unknown.verdict == "undecided" and "±" not in unknown.row()[3]


def likelihoods(nats: float, seed: int, key: str, gained: float | None = None) -> Run:
    """A run whose estimate by fitted proposals, where it has one, is 100 nats above that by the paper's protocol."""
    metrics = papers_metrics(key, error=3.0)
    metrics["log_likelihood"]["X"] = {"mixture": {"M,S,T": {"nats": nats + seed, "standard_error": 0.01}}}
    if gained is not None:
        metrics |= {"evidence": {"nats": nats + seed + 100, "gain": gained}, "evidence_error": {"nats": 0.01}}
    return made(key, metrics, seed)


BIASED = "bias unknown: at K = 12 it differs by up to 7 nats between methods"


@pytest.mark.parametrize(
    ("gains", "verdict", "note"),
    [
        ((None, None), "supported", BIASED),
        ((None, 4.0), "supported", BIASED),  # of one kind, or they are not comparable
        ((3.0, 19.0), "supported", None),
        ((3.0, 21.0), "undecided", "ten times the draws add up to 21.0 nats"),
    ],
)
def test_log_likelihoods_are_compared_beyond_what_more_draws_add(gains, verdict, note):
    claim = Claim("new", "Table 4", "log_likelihood", claims_list.WHOLE, Above(("mmjsd",), ("mmvae",)), "")
    runs = [likelihoods(-2000.0, seed, "mmjsd", gains[0]) for seed in (0, 1)]
    (found,) = findings(runs + [likelihoods(-2020.0, seed, "mmvae", gains[1]) for seed in (0, 1)], [claim])
    assert found.difference == 20 and found.freedom == 2 and found.error == pytest.approx(math.sqrt(0.5))
    assert (found.verdict, found.notes) == (verdict, (note,) if note else ())
    assert found.row()[3] == "+20.0 ± 3.0 nats"


def test_the_better_estimate_of_ln_p_is_compared_where_all_runs_have_it():
    claim = Claim("new", "Table 4", "log_likelihood", claims_list.WHOLE, Above(("mmjsd",), ("mmvae",)), "")
    ours = [likelihoods(-2000.0, seed, "mmjsd", 1.0) for seed in (0, 1)]
    theirs = [likelihoods(-2000.0, seed, "mmvae", 1.0) for seed in (0, 1)]
    for run in theirs:
        run.metrics["evidence"]["nats"] -= 50.0  # the paper's protocol sees no difference
    (found,) = findings([*ours, *theirs], [claim])
    assert found.difference == 50 and found.verdict == "supported"


def test_seeds_tell_more_than_the_errors_inside_runs_or_less():
    found = duel([0.98, 0.96], [0.90, 0.90], error=0.001)
    assert found.error == pytest.approx(math.hypot(0.02 / 2, 0.001 / math.sqrt(2))) and found.seeds == 2
    assert found.effect == pytest.approx(0.07 / (0.02 / math.sqrt(2))) and found.notes == ()
    assert found.row()[3:6] == ["+0.070 ± 0.124", "+4.9", "2 (1)"], "two seeds: 12.7 standard errors, nearly all of one"
    assert duel([0.98, 0.98], [0.90, 0.90], error=0.01).error == pytest.approx(0.01)


def test_methods_have_means_over_seeds_of_their_own():
    found = duel([0.98, 0.96, 0.94], [0.90, 0.92, 0.91], error=0.0, shift=5)
    assert found.difference == pytest.approx(0.05) and found.notes == ()
    assert found.error == pytest.approx(math.sqrt((0.02**2 + 0.01**2) / 3))
    assert found.effect == pytest.approx(0.05 / math.hypot(0.02, 0.01))
    alone = duel([0.98, 0.96, 0.94], [0.90], error=0.002, shift=5)
    assert alone.seeds == 1 and alone.notes == ("one seed",)
    assert duel([0.98, 0.96, 0.94, 0.92], [0.90, 0.90, 0.90]).difference == pytest.approx(0.05)


def test_a_run_that_is_given_twice_counts_once():
    runs = [made("mmjsd", joint(0.98)), made("mmjsd", joint(0.98), device="cpu"), made("mmvae", joint(0.9))]
    assert one(runs).seeds == 1 and one(runs, spread=runs).freedom == 0


# What keeps a claim from being tested, and what must be said of it


@pytest.mark.parametrize(
    ("name", "keys", "missing"),
    [
        ("joint-probe", ["mmjsd"], "no run of MMVAE"),
        ("single-probe-mvae-ms", ["mvae-ms"], "no run of MMVAE (MS), mmJSD (MS)"),
        ("importance-street", ["mmvae", "mmvae-ms"], "no run of MMVAE (I=30)"),
        ("quality-mvae", ["mvae", "mmvae"], "no run of mmJSD"),
    ],
)
def test_runs_that_are_missing_are_named(name, keys, missing):
    found = one([made(key, papers_metrics(key)) for key in keys], name)
    assert (found.verdict, found.notes, found.seeds) == ("not tested", (missing,), 0) and math.isnan(found.difference)
    assert found.row()[3:] == ["", "", "", f"not tested ({missing})"] and found.row()[2]


@pytest.mark.parametrize("metrics", [{}, {"linear_probe": {}, "quality": None, "log_likelihood": {"X": {}}}])
def test_sections_that_are_missing_are_named(metrics):
    for found in findings([made(key, metrics) for key in published.METHODS]):
        section = found.claim.table.replace("_", " ")
        assert not found.tested and found.notes[0].startswith(f"no {section} of "), found.claim.name


@pytest.mark.parametrize(
    ("letters", "name", "missing"),
    [
        ("MT", "subspaces-street-mmvae", "these runs have no street numbers (S) generated from others"),
        ("MS", "gain-coherence", "these runs have no input of several modalities"),
        ("M", "joint-probe", "these runs have no joint posterior of several modalities"),
    ],
)
def test_modalities_that_are_missing_are_named(letters, name, missing):
    def of_these(row):
        return {given: x for given, x in row.items() if set(given.split(",")) <= set(letters)}

    def kept(metrics):
        coherence = metrics["coherence"]["dynamic_prior"]
        coherence = {target: of_these(row) for target, row in coherence.items() if target in letters}
        probes = of_these(metrics["linear_probe"]["dynamic_prior"])
        return metrics | {"coherence": {"mixture": coherence}, "linear_probe": {"mixture": probes}}

    found = one([made(key, kept(papers_metrics(key))) for key in published.METHODS], name)
    assert (found.verdict, found.notes) == ("not tested", (missing,))


def test_other_modalities_are_compared_as_well_at_the_posterior_of_the_paper():
    runs = [made("mmjsd", papers_metrics("mmjsd")), made("mmvae", probe({"M": 0.9, "M,S,T": 0.5}))]
    assert one(runs).difference == pytest.approx(0.98 - 0.5)
    row = {"A": 0.5, "B": 0.7, "A,B": 0.8}
    found = one([made("mmjsd", probe(row), data="text"), made("mmvae", probe(row | {"A,B": 0.6}), data="text")])
    assert found.difference == pytest.approx(0.2) and found.data == "text"


def test_seeds_without_a_section_are_left_out():
    runs = [made("mmjsd", joint(0.98)), made("mmjsd", {}, 1), *(made("mmvae", joint(0.9), seed) for seed in (0, 1))]
    assert one(runs).seeds == 1 and one(runs).tested
    holey = [made("mmjsd", probe({"M": None, "S": 0.8, "M,S": 0.9})), made("mmvae", joint(0.8))]
    assert one(holey, "joint-probe").difference == pytest.approx(0.1)


def test_settings_of_one_method_are_not_averaged():
    runs = [made("mmjsd", joint(0.98), beta=beta) for beta in (1.0, 5.0)] + [made("mmvae", joint(0.9))]
    assert one(runs).notes == ("runs of mmJSD with beta 1.0 and 5.0: give those of one setting",)
    runs = [made("mmjsd", joint(0.98), steps=steps) for steps in (4380, 8760)] + [made("mmvae", joint(0.9))]
    assert one(runs).notes == ("runs of mmJSD with steps 4,380 and 8,760: give those of one setting",)
    assert one(runs).verdict == "not tested"


def test_comparisons_at_unequal_steps_are_flagged():
    runs = [made("mmjsd", joint(0.98), steps=8760), made("mmvae", joint(0.9), beta=1.0)]
    unequal = ("unequal steps: mmJSD 8,760, MMVAE 4,380", "unequal beta: mmJSD 5.0, MMVAE 1.0")
    assert one(runs).notes[:-1] == ("one seed", *unequal) and "unequal steps" in one(runs).row()[-1]
    run = made("mmjsd", joint(0.98), history={"step": [50.0, 100.0], "total": [2.0, 1.0]})
    assert "unequal steps: mmJSD 100, MMVAE 4,380" in one([run, made("mmvae", joint(0.9))]).notes, "steps taken count"


def test_what_only_subspaces_have_makes_no_comparison_unequal():
    runs = [made("mmjsd", papers_metrics("mmjsd")), made("mmjsd-ms", papers_metrics("mmjsd-ms"), content_first=0.6)]
    assert not any(note.startswith("unequal") for note in one(runs, "subspaces-street-mmjsd").notes)
    runs = [made(f"{key}-ms", joint(x), content_first=x) for key, x in (("mmjsd", 0.9), ("mmvae", 0.5))]
    assert "unequal content_first: mmJSD (MS) 0.9, MMVAE (MS) 0.5" in one(runs, "joint-probe-ms").notes


def test_collected_runs_are_as_good_as_folders(tmp_path):
    for key in ("mmjsd", "mmvae"):
        finished(tmp_path / key, **settings_of(key), metrics=lambda found, key=key: papers_metrics(key))
    runs = [*find_runs(tmp_path)]
    collected.write(runs, tmp_path / "all.json")
    again = findings(collected.read(tmp_path / "all.json"))
    assert [f.row() for f in again] == [f.row() for f in findings(runs)]


def test_wrong_questions_are_refused():
    runs = [made("mmjsd", joint(0.9)), made("mmvae", joint(0.9), data="uci-plain-text")]
    with pytest.raises(ValueError, match="runs on mnist-plain-text, uci-plain-text do not share a comparison"):
        findings(runs)
    with pytest.raises(ValueError, match="there is no run to test claims on"):
        findings([])


# As tables


def test_rows_of_the_table():
    rows = claims.table(findings(papers_runs()))
    assert len(rows) == len(CLAIMS) + 1 and {len(row) for row in rows} == {7}
    shown = {row[0]: row[2:] for row in rows}
    joint_probe = ["+0.050", "+0.050", "", "1 (0)", f"undecided (one seed; {NO_SPREAD}: 0 inside the runs)"]
    assert shown[BY_NAME["joint-probe"].statement] == joint_probe
    assert shown[BY_NAME["likelihood-mmjsd"].statement][0] == "-45.0 nats (not supported)"
    assert len({line.count("|") for line in layout.markdown(rows).splitlines()}) == 1
    nothing = duel([0.9], [0.90001])
    assert nothing.row()[3] == "+0.000"  # no minus before a zero


def test_markdown_has_a_section_for_each_data_set():
    runs = [*papers_runs(), made("mmjsd", joint(0.9), data="uci-plain-text")]
    text = claims.markdown(runs)
    assert text.startswith(RULE) and "those of MNIST-SVHN-Text" in text
    headings = ["Claims on mnist-plain-text", "Claims on uci-plain-text", "Side by side"]
    assert re.findall("^## (.*)", text, re.MULTILINE) == headings
    assert text.count("NOT real house numbers") == 2 and text.count("| A linear probe") == 6
    assert "Side by side" not in claims.markdown(papers_runs())


def test_data_sets_side_by_side_leave_out_what_neither_tests():
    few = [run for run in papers_runs() if run.config.objective != "mmvae_dreg"]
    found = {"all": findings(papers_runs()), "few": findings(few)}
    heading, *rows = claims.side_by_side(found)
    assert heading[4:] == ["all", "few"] and len(rows) == len(CLAIMS)
    cells = {row[0]: row[1:] for row in rows}
    ours, claim = f"undecided: +0.050 (one seed, {NO_SPREAD})", BY_NAME["joint-probe"]
    assert cells[claim.name] == [claim.statement, claim.where, "+0.050", ours, ours]
    assert cells["importance-likelihood"][4] == "not tested"
    longer = [made("mmjsd", joint(0.98)), made("mmvae", joint(0.9), steps=9, batch_size=64)]
    (_, row) = claims.side_by_side({"any": findings(longer, [claim])})
    assert row[4].endswith(f"(one seed, unequal scale, {NO_SPREAD})")
    assert len(claims.side_by_side({"few": found["few"]})) - 1 == sum(f.tested for f in found["few"]) < len(CLAIMS)


def test_report_prints_claims_on_request(tmp_path, monkeypatch, capsys):
    for (key, accuracy), seed in product((("mmjsd", 0.98), ("mmvae", 0.9)), (0, 1)):
        metrics = joint(accuracy, 0.004)
        finished(tmp_path / f"{key}-{seed}", key, seed, metrics=lambda found, metrics=metrics: metrics)
    for options in ([], ["--claims"]):
        assert not shell(monkeypatch, "report", tmp_path, *options)
        printed = capsys.readouterr().out
        assert ("## Claims on mnist-plain-text" in printed) == bool(options)
        assert ("| +0.050 | +0.080 ± 0.017 |  | 2 (2) | supported |" in printed) == bool(options)
        assert ("If there were nothing to find, 0." in printed) == bool(options)


def test_a_new_claim_is_one_line():
    claim = Claim("new", "Table 1", "linear_probe", SINGLE, Above(("mmjsd",), ("mvae",)), "mmJSD beats MVAE")
    (found,) = findings(papers_runs(), [claim])
    assert found.difference == found.paper == pytest.approx((0.97 + 0.82 + 0.99 - 0.85 - 0.20 - 0.58) / 3)
