"""Tables, claims, pages and tidy numbers of runs on faces, alone and beside runs on digits."""

import math

import pytest
from made_runs import finished, on_faces

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.plotting.attributes import GENERATED, attribute_rows
from workbench.reports import claims, layout, published, results, tables

METHODS = ("mmjsd", "mmvae", "mvae")


# ------------------------------------------------------------------------------------------------------- tables


def lines(table) -> list[list[str]]:
    return [[*line.heads[:2], *line.cells] for line in table.lines()]


def test_table_5_beside_the_papers(tmp_path):
    table = tables.table("attributes", [on_faces(tmp_path)])
    assert [*table.ours.columns] == ["I", "T", "I,T", "T → I", "I → T"]
    assert lines(table) == [
        ["mmJSD (MS)", "dynamic prior", "0.40", "0.45", "0.50", "0.35", "0.32"],
        ["mmJSD (MS)", "mixture", "0.41", "0.46", "0.51", "0.35", "0.32"],
        ["mmJSD (MS), paper (bimodal CelebA, 100 epochs)", "", "0.48", "0.59", "0.57", "0.42", "0.32"],
    ]
    assert "7,000 training and 1,000 test items; the paper's rows are bimodal CelebA, so compare" in table.caption
    assert "NOT real ones" in table.caption and "Judges' own on test items: I 0.800, T 0.900" in table.caption
    assert "Knowing nothing reaches 0.20, the mean base rate" in table.caption
    table.to_latex(tmp_path / "table.tex")
    assert "Table 5" in (tmp_path / "table.tex").read_text() and "▲ 0.50" not in table.markdown()
    assert {*table.verdicts().iloc[0]} == {""}, "drawn faces are not judged by the paper's digits"


def test_every_method_of_table_5_has_the_papers_numbers(tmp_path):
    runs = [on_faces(tmp_path / name, name) for name in METHODS]
    table = tables.table("attributes", runs)
    for key, printed in published.PRINTED[5].items():
        (label,) = [x for x in table.paper_labels if x.replace("mmJSD", "mmjsd").lower().startswith(key[:-3])]
        assert table.paper.loc[label].bfill().iloc[0][["I", "T", "I,T", "I → T", "T → I"]].tolist() == [*printed]


def test_a_part_of_celeba_is_not_celeba(tmp_path):
    part, whole = (on_faces(tmp_path / str(n), data="celeba", train_items=n) for n in (7000, published.CELEBA.items))
    assert "compare orderings" in tables.table("attributes", [part]).caption
    assert {*tables.table("attributes", [part]).verdicts().iloc[0]} == {""}
    table = tables.table("attributes", [whole])
    assert [*table.verdicts().iloc[0]] == ["worse", "worse", "worse", "worse", "within error"]
    assert "compare orderings" not in table.caption and "NOT real" not in table.caption
    assert [*table.paper_labels.values()] == ["mmJSD (MS), paper (100 epochs)"]


def test_tables_of_one_kind_of_labels_leave_out_the_other(tmp_path):
    faces, digits = on_faces(tmp_path / "faces"), finished(tmp_path / "digits")
    of_faces = {table.spec.name for table in tables.all_tables([faces])}
    of_digits = {table.spec.name for table in tables.all_tables([digits])}
    assert of_faces == {name for name in tables.SPECS if name.startswith("attributes")}
    assert not of_faces & of_digits and {"linear_probe", "coherence", "random_coherence"} <= of_digits


def test_words_and_agreement_are_shown(tmp_path):
    run = on_faces(tmp_path)
    words = tables.table("attributes_written", [run]).ours.iloc[0]
    assert words["I → T, recall"] == 0.125 and "I → T, precision" not in words, "nothing was written"
    agreement = tables.table("attributes_agreement", [run]).ours.iloc[0]
    assert dict(agreement) == {"all agree": 0.0, "attributes agree": 0.75, "by chance": 0.625}
    assert layout.headline(run) == "probe 0.50, coherence 0.33, random 0.75"
    rows = attribute_rows(run.metrics, GENERATED)
    assert [*rows] == ["T → I", "I → T"], "what was given is left out"
    assert all(math.isnan(found[0]) for found in rows.values())


# ------------------------------------------------------------------------------------------- numbers and claims


def test_every_number_of_every_attribute_is_in_the_tidy_table(tmp_path):
    run = on_faces(tmp_path)
    frame = results.frame([run])
    assert not frame.duplicated(["run", "step", "metric", "posterior", "given", "target"]).any()
    smiling, place = frame[frame["metric"].str.endswith(".Smiling")], ATTRIBUTES.index("Smiling")
    by_attribute = run.metrics["by_attribute"]
    made = smiling.query("metric == 'coherence.Smiling' and posterior == 'mixture' and given == 'I' and target == 'T'")
    assert made["value"].item() == by_attribute["coherence"]["mixture"]["T"]["I"][place]
    judged = smiling.query("metric == 'classifier_accuracy.Smiling' and target == 'T'")
    assert judged["value"].item() == by_attribute["judges"]["T"][place]
    assert smiling.query("metric == 'base_rate.Smiling'")["value"].item() == run.metrics["base_rate"][place]
    assert len(smiling) == 2 * 2 * 3 + 2 * 2 * 3 + 2 + 1
    assert frame.query(f"metric == 'linear_probe.{ATTRIBUTES[0]}'")["value"].isna().all()


def test_claims_about_attributes_are_put_to_runs_on_faces(tmp_path):
    shifts = {"mmjsd": 0.1, "mmvae": 0.0, "mvae": -0.1}
    runs = [on_faces(tmp_path / f"{name}-{s}", name, shift, seed=s) for name, shift in shifts.items() for s in (0, 1)]
    found = {finding.claim.name: finding for finding in claims.findings(runs)}
    assert found.keys() == {"attributes-probe", "attributes-joint-probe", "attributes-coherence"}
    assert {finding.verdict for finding in found.values()} == {claims.SUPPORTED}
    joint = found["attributes-joint-probe"]
    assert joint.difference == pytest.approx(0.1, abs=1e-6) and joint.paper == pytest.approx(0.57 - 0.44)
    assert all(finding.paper_verdict == claims.SUPPORTED for finding in found.values())
    assert found["attributes-probe"].error == pytest.approx(math.sqrt(2 * 3) * 0.004 / 3 / math.sqrt(2))


def test_faces_and_digits_share_a_report(tmp_path):
    runs = [on_faces(tmp_path / name, name) for name in METHODS]
    runs += [finished(tmp_path / f"digits-{name}", objective=name) for name in METHODS]
    text = tables.markdown(runs)
    assert text.index("## faces") < text.index("**Table 5") < text.index("## mnist-plain-text")
    assert "NOT real faces" in text and text.index("Tables 1 and 14") > text.index("## mnist-plain-text")
    told = claims.markdown(runs)
    assert "those of bimodal CelebA" in told and "those of MNIST-SVHN-Text" in told and "Side by side" not in told
