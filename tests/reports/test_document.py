"""Documents made from templates: tables where a line asks for them, and the committed one is up to date."""

import re
from pathlib import Path

import pytest
from made_runs import finished, sweep

from workbench.reports import claims, document, layout, tables
from workbench.reports.ablations import BETA
from workbench.reports.ablations_claims import findings
from workbench.reports.ablations_claims import table as verdicts
from workbench.runs import collected

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
    on_claims = layout.markdown(claims.side_by_side({"mnist-plain-text": claims.findings(runs)}))
    alone = tables.table("coherence", runs[1:]).markdown()
    curve = layout.markdown(verdicts(findings(swept, BETA)))
    assert text.partition("\n\n")[2] == (
        f"# Prose\n\n{layout.markdown(layout.origins(runs))}\nmore <!-- tables: runs.json -->\n\n{rate}\n\n{fid}\n"
        f"{on_claims}\n{alone}\n\n**One curve**\n\n{curve}\n"
    )
    assert text.startswith("<!-- Made by `workbench document all.in.md`: change that file")


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
