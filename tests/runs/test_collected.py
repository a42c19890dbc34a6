"""Names of finished runs, and their numbers as one file, there and back: every number is the run's own."""

import json

import pytest
from made_runs import finished

from workbench.reports import published, tables
from workbench.runs import collected, label
from workbench.runs.naming import paper_key


def written(run, path) -> dict:
    collected.write([run], path)
    (entry,) = json.loads(path.read_text())["runs"]
    return entry


@pytest.mark.parametrize(("steps", "kept"), [(range(50, 2001, 50), range(50, 2001, 50)),
                                             (range(1, 1001), range(20, 1001, 20))])  # fmt: skip
def test_written_numbers_carry_their_origin_and_a_history_thinned_to_its_end(tmp_path, steps, kept):
    run = finished(tmp_path / "run", "mmvae")
    (run.folder / "history.csv").write_text("step,total\n" + "\n".join(f"{n},{n / 7:.4f}" for n in steps))
    entry = written(run, tmp_path / "out" / "reference.json")
    assert entry["method"] == "MMVAE" and entry["metrics"] == run.metrics
    assert {"config", "key", "code", "commit", "machine", "torch"} <= set(entry)
    assert entry["history"]["step"] == [float(n) for n in kept]


def test_pictures_are_left_out_of_collected_numbers(tmp_path):
    run = finished(tmp_path / "run")
    metrics = run.metrics
    run.write("metrics.json", metrics | {"confusion": {"M": [[9, 1]]}, "over_steps": [metrics | {"confusion": [[1]]}]})
    assert written(run, tmp_path / "reference.json")["metrics"] == metrics | {"over_steps": [metrics]}
    assert "confusion" in run.metrics  # the run itself keeps them


def test_collected_runs_come_back(tmp_path):
    """From the file alone: the same configuration, metrics, name and tables, but no weights."""
    run = finished(tmp_path / "run", style_dim=4)
    collected.write([run], tmp_path / "reference.json")
    (again,) = collected.read(tmp_path / "reference.json")
    assert again.config == run.config and again.metrics == run.metrics and label(again) == label(run)
    assert again.history() == run.history() and again.complete and not again.trained
    assert all(again.read(name) == run.read(name) for name in ("config.json", "metrics.json"))
    assert tables.markdown([again]) == tables.markdown([run])
    with pytest.raises(FileNotFoundError, match="has not finished its training"):
        _ = again.model


def test_a_file_grows_by_what_has_ended_since(tmp_path):
    first, second = finished(tmp_path / "a"), finished(tmp_path / "b", seed=1)
    path = tmp_path / "reference.json"
    collected.write([first], path)
    again = finished(tmp_path / "c", shift=0.01)
    collected.write([*collected.read(path), second, again], path)
    assert [run.config.seed for run in collected.read(path)] == [0, 1]
    assert collected.read(path)[0].metrics == again.metrics != first.metrics


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"runs": 3}'])
def test_another_file_is_refused(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other.json holds no runs: give a file that `workbench report --out` wrote"):
        collected.read(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("settings", "name", "key", "published_there"),
    [
        ({"objective": "mvae"}, "MVAE", "mvae", True),
        ({"objective": "mmvae"}, "MMVAE", "mmvae", True),
        ({"objective": "mmjsd"}, "mmJSD", "mmjsd", True),
        ({"dynamic_prior": "none", "style_dim": 4}, "mmJSD (MS, dynamic prior: none)", "mmjsd-ms-none", False),
        ({"objective": "mmvae_dreg", "importance_samples": 30}, "MMVAE (I=30)", "mmvae-i30", True),
        ({"objective": "mmvae_dreg", "importance_samples": 10}, "MMVAE (I=10)", "mmvae-i10", False),
        ({"objective": "mmvae_dreg", "style_dim": 4}, "MMVAE (I=30, MS)", "mmvae-i30-ms", False),
        ({"objective": "mmvae_iwae"}, "MMVAE (I=30, IWAE)", "mmvae_iwae-i30", False),
        ({"objective": "mmvae_iwae", "style_dim": 4}, "MMVAE (I=30, IWAE, MS)", "mmvae_iwae-i30-ms", False),
        ({"objective": "mmvae_dreg", "posterior": "laplace"}, "MMVAE (I=30, Laplace)", "mmvae-i30-laplace", False),
        (
            {"objective": "mmvae_plus", "importance_samples": 1, "style_dim": 4},
            "MMVAE+ (I=1, MS)",
            "mmvae_plus-i1-ms",
            0,
        ),
        ({"dynamic_prior": "power", "power": 0.25}, "mmJSD (dynamic prior: power 0.25)", "mmjsd-power 0.25", False),
        ({"objective": "mvae", "mvae_unimodal": "authors"}, "MVAE (unimodal ELBOs: authors)", "mvae-authors", False),
        ({"self_content": "stopped", "style_dim": 4}, "mmJSD (MS, self-content stopped)", "mmjsd-ms-stopped", False),
    ],
)
def test_runs_are_named_as_the_paper_names_its_methods(tmp_path, settings, name, key, published_there):
    run = finished(tmp_path, **settings)
    assert (label(run), paper_key(run)) == (name, key)
    assert (key in published.LINEAR_PROBE) == published_there
