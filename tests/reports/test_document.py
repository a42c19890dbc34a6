"""Documents made from templates: tables where a line asks for them, and the committed one is up to date."""

import json
import re
from pathlib import Path

import pytest
from made_runs import finished, sweep

from workbench.reports import claims, document, layout, tables
from workbench.reports.ablations import BETA
from workbench.reports.ablations_claims import findings
from workbench.reports.ablations_claims import table as verdicts
from workbench.runs import collected


def joint(accuracy: float):
    """metrics.json with a probe and no error inside the run."""
    values = {"M": 0.9, "S": 0.8, "M,S": accuracy}
    return {"linear_probe": {"any": values}, "linear_probe_error": {"any": dict.fromkeys(values, 0.0)}}


REFERENCE = Path(__file__).resolve().parents[2] / "outputs" / "reference"


def test_the_committed_results_are_those_of_the_committed_runs(tmp_path):
    for path in (*REFERENCE.glob("*.json"), REFERENCE / "results.in.md"):
        (tmp_path / path.name).symlink_to(path)
    made = document.write(tmp_path / "results.in.md")
    same = made.read_text("utf-8") == (REFERENCE / "results.md").read_text("utf-8")
    assert same, "run: workbench document outputs/reference/results.in.md"


def test_lines_give_way_to_what_they_ask_for(tmp_path):
    runs = [finished(tmp_path / name, name) for name in ("mmjsd", "mmvae")]
    collected.write(runs, tmp_path / "runs.json")
    swept = sweep(tmp_path / "sweep", "beta", (1.0, 5.0, 20.0), seeds=(0,))
    collected.write(swept, tmp_path / "beta.json")
    (tmp_path / "all.in.md").write_text(
        "# Prose\n\n<!-- origins: runs.json -->\nmore <!-- tables: runs.json -->\n\n"
        "<!-- tables: runs.json rate fid -->\n<!-- claims: runs.json beta=5.0 -->\n"
        "<!-- tables: runs.json objective=mmvae coherence -->\n\n<!-- ablation: beta.json -->\n"
    )
    text = document.write(tmp_path / "all.in.md").read_text()
    rate, fid = (tables.table(name, runs).markdown() for name in ("rate", "fid"))
    found = claims.findings(runs)
    on_claims = layout.markdown(claims.side_by_side({"mnist-plain-text": found}))
    on_claims += f"\n\n* `mnist-plain-text`: {claims.by_chance(found)}"
    alone = tables.table("coherence", runs[1:]).markdown()
    curve = f"{layout.markdown(verdicts(findings(swept, BETA)))}\n\n{claims.by_chance(findings(swept, BETA))}"
    assert text.partition("\n\n")[2] == (
        f"# Prose\n\n{layout.markdown(layout.origins(runs))}\nmore <!-- tables: runs.json -->\n\n{rate}\n\n{fid}\n"
        f"{on_claims}\n{alone}\n\n**One curve**\n\n{curve}\n"
    )
    assert text.startswith("<!-- Made by `workbench document all.in.md`: change that file")


def test_verdicts_that_are_others_than_before_are_listed_and_other_runs_tell_how_far_seeds_are_apart(tmp_path):
    at = {"mmjsd": 0.98, "mmvae": 0.90}
    for seed in (0, 1):
        runs = [
            finished(tmp_path / f"{key}-{seed}", key, seed, metrics=lambda _, x=x, s=seed: joint(x + s / 1000))
            for key, x in at.items()
        ]
        collected.write(runs, tmp_path / f"{seed}.json")
    alone, told = "claims: 0.json", "claims: 0.json spread=1.json"
    before = {"joint-probe": "supported", "random-quality": "supported"}
    lines = {line: {"mnist-plain-text": before} for line in (alone, told)}
    (tmp_path / "before.json").write_text(json.dumps({"lines": lines}))
    (tmp_path / "all.in.md").write_text(f"<!-- changed: before.json -->\n<!-- {told} -->\n")
    text = document.write(tmp_path / "all.in.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| claims, ")]
    gone = "| claims, mnist-plain-text | random-quality | supported | not tested |"
    changed = "| claims, mnist-plain-text | joint-probe | supported |"
    assert rows == [f"{changed} undecided |", gone, f"{changed} supported (one seed) |", gone]
    assert "| supported: +0.080 ± 0.004 (one seed) |" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("table: runs.json", "<!-- table: ... --> asks for nothing that there is: write one of headline, origins, "),
        ("tables: runs.json rat", "<!-- tables: ... --> names 'rat': neither a table nor a field of a configuration"),
        ("claims: runs.json bta=5.0", "names 'bta': neither a table nor a field"),
        ("tables: others.json", "no complete run below"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, line, message):
    collected.write([finished(tmp_path / "a")], tmp_path / "runs.json")
    (tmp_path / "all.in.md").write_text(f"<!-- {line} -->\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        document.write(tmp_path / "all.in.md")
    with pytest.raises(ValueError, match=r"all\.md is no template of a document: its name must end in \.in\.md"):
        document.write(tmp_path / "all.md")
    assert not (tmp_path / "all.md").exists()
