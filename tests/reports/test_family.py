"""The sweep of the family: its frame, means, what the figures show, what is lacking, and the decision table."""

import math
from itertools import product
from statistics import fmean, stdev

import pytest
from made_runs import SCORES, finished

from workbench.objectives import METHODS
from workbench.reports import family
from workbench.reports.ablations import load
from workbench.sweeps import plan

DIAL = [{"dynamic_prior": "arithmetic"}, {"dynamic_prior": "wasserstein"}]
DIAL += [{"dynamic_prior": "power", "power": a} for a in (0.25, 0.5, 0.75)]


def level(probe: float, coherence: float, quality: float, fid: float = 100.0):
    """Metrics in which every subset and path has the same number."""

    def made(found):
        fusions, letters = [*found["linear_probe"]], [*found["classifier_accuracy"]]
        names = [*found["linear_probe"][fusions[0]]]
        scores = dict(zip(SCORES, (quality, 0.9, 0.8, fid), strict=True))
        paths = {t: {s: coherence if t not in s else 1.0 for s in names} for t in letters}
        images = {t: {s: scores if t not in s else dict.fromkeys(SCORES, 0.9) for s in names} for t in "MS"}
        return found | {
            "linear_probe": {f: {s: probe if "," in s else probe - 0.1 for s in names} for f in fusions},
            "coherence": dict.fromkeys(fusions, paths),
            "quality": found["quality"] | {"conditional": dict.fromkeys(fusions, images)},
        }

    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("family"), {}
    at = {"mmjsd": (0.99, 0.97, 0.5), "mvae": (0.97, 0.3, 0.61), "mopoe": (0.985, 0.945, 0.6), "dmvae": (0.9, 0.6, 0.4)}
    for (objective, x), seed, style_dim in product(at.items(), (0, 1), (0, 4)):
        noisy = [value + 0.01 * seed for value in x]
        place = folder / f"{objective}-{seed}-{style_dim}"
        made[place] = finished(place, objective, seed, metrics=level(*noisy), style_dim=style_dim, steps=2000)
    for n, choice in enumerate(DIAL):
        made[n] = finished(folder / f"dial-{n}", metrics=level(0.9 + n / 100, 0.8, 0.5), steps=2000, **choice)
    return [*made.values()]


@pytest.fixture(scope="module")
def means(runs):
    return family.summary(family.scores(runs))


def test_every_method_has_a_source_and_the_table_is_in_the_order_of_years():
    heading, *rows = family.methods()
    assert {*family.SOURCES} == {*METHODS} and len(rows) == len(METHODS)
    years = [int(row[0]) for row in rows]
    assert years == sorted(years) and years[0] == 2018 and years[-1] == 2026
    assert {len(row) for row in rows} == {len(heading)}
    assert {row[1] for row in rows} == {method.label for method in METHODS.values()}
    assert all(row[2] and "_" not in row[3] + row[6] for row in rows)
    assert [row[4] for row in rows if row[1] == "MMVAE"] == [r"(1/M) sum_m KL(q_m \|\| p)"], "escaped for Markdown"


def test_kinds_follow_the_joint_posterior():
    kinds = {name: family.kind(name) for name in METHODS}
    assert {n for n, k in kinds.items() if k == family.PRODUCT} == {"mvae", "mvtcae", "crmvae", "dmvae", "masked_bound"}
    assert kinds["mmjsd"] == kinds["mmvae_plus"] == family.MIXTURE
    assert {kinds[name] for name in ("mopoe", "hellinger", "holder", "wasserstein")} == {family.BETWEEN}


def test_places_and_names_on_the_dial(runs):
    found = {family.name(run.config): family.place(run.config) for run in runs}
    assert found == {
        "mmJSD": 0.0, "mmJSD (a = 0.25)": 0.25, "mmJSD (a = 0.5)": 0.5, "mmJSD (a = 0.75)": 0.75, "mmJSD (a = 1)": 1.0,
        "mmJSD (barycenter)": family.BARYCENTER, "MVAE": None, "MoPoE": None, "DMVAE": None,
    }  # fmt: skip


def test_scores_are_means_over_the_columns_that_a_measure_is_about(tmp_path):
    run = finished(tmp_path / "run", "mmjsd", style_dim=4)
    found = {row.measure: row.value for row in family.scores([run, run]).itertuples()}
    metrics = run.metrics
    coherence, probes = metrics["coherence"]["dynamic_prior"], metrics["linear_probe"]["dynamic_prior"]
    quality = metrics["quality"]["conditional"]["dynamic_prior"]
    crossed = [x for t, row in coherence.items() for s, x in row.items() if t not in s.split(",")]
    images = [x for t, row in quality.items() for s, x in row.items() if t not in s.split(",")]
    assert found == pytest.approx(
        {
            "coherence": fmean(crossed),
            "joint": probes["M,S,T"],
            "single": fmean(probes[letter] for letter in "MST"),
            "quality": fmean(x["average_precision"] for x in images),
            "fid": fmean(x["fid"] for x in images),
        }
    )


def test_means_and_errors_over_seeds(runs, means):
    (row,) = means.query("method == 'MVAE' and space == 'shared space' and measure == 'coherence'").to_dict("records")
    values = [0.3, 0.31]
    assert (row["mean"], row["half"], row["seeds"]) == pytest.approx((0.305, 12.7062 * stdev(values) / 2**0.5, 2))
    (one,) = means.query("method == 'mmJSD (a = 0.5)' and measure == 'joint'").to_dict("records")
    assert one["seeds"] == 1 and math.isnan(one["half"])


def test_the_figures_get_a_panel_for_each_space_and_measure_and_the_dial_apart(means):
    panels = family.against_coherence(means, ("quality", "fid"))
    assert [*panels] == [
        f"{space}: {what}"
        for space in ("shared space", "subspaces (MS)")
        for what in ("average precision of images", "Fréchet distance of images")
    ]
    first = panels["shared space: average precision of images"]
    assert {*first} == {"mmJSD", "MVAE", "MoPoE", "DMVAE"} and first["MVAE"][1][0] == pytest.approx(0.615)
    lines = family.along_the_dial(means, ("joint", "coherence"))
    shared, styled = lines["linear probe, joint"].values()
    assert {*shared} == {0.0, 0.25, 0.5, 0.75, 1.0, family.BARYCENTER} and {*styled} == {0.0}
    assert shared[1.0] == pytest.approx((0.9, math.nan), nan_ok=True)


def test_measures_and_methods_that_are_not_there_are_left_out(tmp_path):
    def without(found):
        return {key: x for key, x in found.items() if key != "quality"}

    few = family.summary(family.scores([finished(tmp_path / "run", "mvae", metrics=without)]))
    assert family.against_coherence(few, ("quality",)) == {} and family.along_the_dial(few, ("joint",)) == {}
    assert family.choices(few, {"mvae": 6.0})[1:] == [
        ["one modality from others", "MVAE (0.42)"], ["one code of all", "MVAE (0.56)"],
        ["a code of one modality", "MVAE (0.51)"], ["a short step", "MVAE (6 decodings)"],
    ]  # fmt: skip


def test_the_decision_table_names_the_best_and_those_within_error(means):
    table = family.choices(means, {"mmjsd": 3.0, "mopoe": 3.0, "mvae": 6.0})
    heading, *rows = table
    assert heading == ["what for", "shared space", "subspaces (MS)"]
    cells = {row[0]: row[1:] for row in rows}
    # two seeds 0.01 apart, four times: a deviation of 0.0071, 2.78 times that (4 degrees of freedom) of a difference,
    # 0.0196: the joint probe's 0.005 and the quality's 0.01 are within it, coherence's 0.025 is not
    assert cells["one modality from others"] == ["mmJSD (0.98)", "mmJSD (0.98)"]
    assert cells["one code of all"] == ["mmJSD, MoPoE (0.99)"] * 2
    assert cells["images from other modalities"] == ["MVAE, MoPoE (0.61)"] * 2
    assert cells["a short step"] == ["mmJSD, MoPoE (3 decodings)"] * 2


def test_long_cells_are_cut():
    assert family._few(["a", "b"], "1") == "a, b (1)"
    assert family._few([*"abcdef"], "1") == "a, b, c, d, and 2 more (1)"


def test_what_is_lacking_is_said(runs):
    planned = [run.config for run in runs]
    assert family.lacking(runs, planned) == f"{len(planned)} of {len(planned)} planned runs are there"
    kept = [run for run in runs if run.config.objective != "mopoe" and (run.config.seed or run.config.style_dim)]
    assert family.lacking(kept, [config.replace(steps=10) for config in planned]).splitlines() == [
        f"{len(kept)} of {len(planned)} planned runs are there",
        "not there, mnist-plain-text, shared space: mmJSD (seed 0), MVAE (seed 0), MoPoE, DMVAE (seed 0), "
        "mmJSD (a = 1), mmJSD (barycenter), mmJSD (a = 0.25), mmJSD (a = 0.5), mmJSD (a = 0.75)",
        "not there, mnist-plain-text, subspaces (MS): MoPoE",
    ]


def test_the_sweep_has_the_whole_dial_and_every_method_but_one():
    jobs = plan.read(family.FAMILY.reference.parents[2] / "notebooks" / "sweeps" / "family.toml", "reduced").jobs
    assert {*METHODS} - {job.config.objective for job in jobs} == {"mmvae_dreg"}
    assert {family.place(job.config) for job in jobs} == {None, 0.0, 0.25, 0.5, 0.75, 1.0, family.BARYCENTER}


def test_without_runs_the_command_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"make them with `workbench sweep notebooks/sweeps/family.toml`"):
        load(family.FAMILY, tmp_path)
