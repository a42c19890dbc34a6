"""What later papers claim: claims that runs of the family's sweep can test, and verdicts of made-up numbers."""

import math
from pathlib import Path

import pytest
from made_runs import OTHER, in_memory, papers_metrics

from workbench.config import Config
from workbench.reports import ablations_claims, claims, document
from workbench.reports.claims_later import CLAIMS, COLUMNS, PUBLISHED, beside
from workbench.reports.claims_list import EQUAL, GREATER, NOT_BELOW
from workbench.runs import collected
from workbench.runs.naming import key_of, spelt
from workbench.sweeps.plan import read

SWEEP = Path(__file__).resolve().parents[2] / "notebooks" / "sweeps" / "family.toml"


def made(objective, metrics, seed=0, **changes):
    return in_memory(Config.make("paper", objective=objective, data=OTHER, steps=2000, seed=seed, **changes), metrics)


def test_the_claims_are_well_formed_and_the_sweep_has_the_methods_that_they_need():
    jobs = read(SWEEP, "reduced").jobs
    asked = {key_of(job.config) for job in jobs if job.config.data == OTHER}
    assert len({claim.name for claim in CLAIMS}) == len({claim.statement for claim in CLAIMS}) == len(CLAIMS) >= 40
    for claim in CLAIMS:
        assert claim.table in claims.METRICS and claim.kind in (GREATER, EQUAL, NOT_BELOW)
        assert {*claim.methods} <= asked, claim.name
        assert spelt(claim.methods[0]) and "|" not in claim.statement
    assert {*PUBLISHED} <= asked and all(len(row) == len(COLUMNS) for row in PUBLISHED.values())


@pytest.mark.parametrize(("ours", "verdict"), [(0.3, "supported"), (0.6, "not supported")])
def test_the_class_in_styles_decides_the_claim_about_them(ours, verdict):
    def styled(share):
        return {"test_items": 10_000, "style_probe": dict.fromkeys("MST", share)}

    runs = [made("mmvae", styled(0.45), seed, style_dim=4) for seed in (0, 1)]
    plus = {"style_dim": 4, "importance_samples": 1}
    runs += [made("mmvae_plus", styled(ours), seed, **plus) for seed in (0, 1)]
    found = {finding.claim.name: finding for finding in claims.findings(runs, CLAIMS)}
    finding = found["plus-styles"]
    assert finding.verdict == verdict and math.isclose(finding.difference, 0.45 - ours) and math.isnan(finding.paper)
    assert finding.papers == "" and not found["plus-coherence"].tested


def test_ours_stand_beside_theirs_and_a_document_takes_both(tmp_path):
    runs = [made(key, papers_metrics(key)) for key in ("mvae", "mmvae", "mmjsd")]
    head, *rows = beside(runs)
    assert head[1:] == [f"{column}, ours (theirs)" for column in COLUMNS] and len(rows) == len(PUBLISHED)
    row = {name: cells for name, *cells in rows}
    assert row["mmJSD"][0] == "0.74 (0.74)" and row["mmJSD"][1] == "0.20 (0.02)"
    assert row["mmJSD"][2:] == ["0.93 (0.94)", "0.95 (0.93)", "0.98 (0.94)"] and row["MoPoE"][0] == "– (0.79)"
    collected.write(runs, tmp_path / "runs.json")
    (tmp_path / "all.in.md").write_text("<!-- beside: runs.json -->\n<!-- family: runs.json -->\n")
    text = document.write(tmp_path / "all.in.md").read_text()
    assert "| mmJSD | 0.74 (0.74) |" in text and "paper's difference" not in text
    tested = [f for f in claims.findings(runs, CLAIMS) if f.tested]
    assert tested and all(f.claim.statement in text for f in tested)
    assert text.count("\n| ") >= len(tested) and ablations_claims.HEADING[0] in text
