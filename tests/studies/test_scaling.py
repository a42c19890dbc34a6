"""Costs of a step, qualities of finished runs, and their pictures, each against something counted otherwise."""

import json
import math
from itertools import pairwise

import pytest
import torch
from helpers import tiny_batch, tiny_model
from made_runs import finished

from workbench.config import Config
from workbench.data.synthetic import polydigits_images
from workbench.inference import evaluated_subsets
from workbench.losses import Loss
from workbench.objectives import METHODS
from workbench.runs.run import Run, find_runs
from workbench.studies import scaling
from workbench.studies.scaling import Cost, Gain, Quality, cost, costs, gains, qualities, write_costs
from workbench.theory import anatomy

CONFIG = Config(device="cpu")


@pytest.fixture
def few_digits(tmp_path, monkeypatch):
    """A project of its own with small splits."""
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.setattr(polydigits_images, "PER_CLASS", {"train": 4, "test": 4})


# --------------------------------------------------------------------------------------------------------------- memory


def test_memory_of_a_step_is_the_most_that_is_alive_at_once():
    model, batch = tiny_model(2), tiny_batch(2)
    first = next(model.parameters())

    def objective(*_) -> Loss:
        ten = torch.zeros(10, 1000, dtype=torch.float64)  # 80,000 bytes
        view = ten[3:].t()  # shares them
        del ten
        assert view.shape == (1000, 7)
        del view
        five = torch.zeros(5, 1000, dtype=torch.float64)  # 40,000 more, but only after those above are freed
        five.add_(1)  # nothing new
        return Loss((first * 0).sum() + five.sum() * 0, {})

    small = 1000  # scalars and gradients of a few weights
    assert 80_000 <= anatomy.step_memory(model, objective, batch, CONFIG) <= 80_000 + small
    assert torch.zeros(1).sum() == 0, "nothing is watched any more"


@pytest.mark.parametrize("name", ["mmjsd", "mvae", "mopoe"])
def test_memory_agrees_with_torchs_profiler(name, few_digits, monkeypatch):
    config = Config(data="polydigits-3", objective=name, batch_size=8, repeats=1, device="cpu")
    peaks = []

    def profiled(model, objective, batch, config) -> int:
        generator = torch.Generator().manual_seed(config.seed)
        parameters = list(model.parameters())
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            found = torch.autograd.grad(objective(model, batch, config, generator).total, parameters, allow_unused=True)
            found[0].sum().item()
        live = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                live += event.nbytes()
                peaks.append(live)
        return anatomy.step_memory(model, objective, batch, config)

    monkeypatch.setattr(scaling, "step_memory", profiled)
    found = cost(config, rounds=1).peak_bytes
    assert found <= max(peaks) <= 1.3 * found, "the profiler also sees what operations need inside and free again"


# ---------------------------------------------------------------------------------------------------------------- costs


def test_costs_of_polydigits_leave_out_what_a_method_cannot_take(few_digits):
    rows = costs(["mmvae", "mopoe"], [2, 11], rounds=1, batch_size=4, repeats=1, device="cpu", latent_dim=3)
    assert [(row.method, row.modalities) for row in rows] == [("MMVAE", 2), ("MMVAE", 11), ("MoPoE", 2)]
    two, eleven = rows[:2]
    assert eleven.parameters == two.parameters / 2 * 11 and two.batch_size == 4
    assert 4 < eleven.peak_bytes / two.peak_bytes < 7, "in proportion to the modalities"
    assert all(row.seconds > 0 for row in rows)
    with pytest.raises(ValueError, match="mopoe"):
        cost(Config(data="polydigits-11", objective="mopoe", batch_size=4, repeats=1, device="cpu"))
    with pytest.raises(ValueError, match="nonsense"):
        costs(["nonsense"], [2])


# ------------------------------------------------------------------------------------------------------------ qualities


def judged(folder, objective: str, count: int, seed: int) -> Run:
    """A run folder whose probes are 0.1 times the size of a subset, and whose coherences 0.1 times it plus 0.01 m."""
    letters = [chr(ord("A") + m) for m in range(count)]
    names = [",".join(subset) for subset in evaluated_subsets(letters)]
    sizes = {name: name.count(",") + 1 for name in names}
    first, *others = METHODS[objective].inference
    coherence = {x: {name: 0.1 * sizes[name] + 0.01 * m for name in names} for m, x in enumerate(letters)}
    metrics = {
        "linear_probe_full": {first: {name: 0.1 * sizes[name] for name in names}} | {fusion: {} for fusion in others},
        "linear_probe": {first: dict.fromkeys(names, 0.0)},
        "coherence": {first: coherence} | {fusion: {} for fusion in others},
    }
    place = folder / f"{objective}-{count}-{seed}"
    return finished(place, objective, seed, data=f"polydigits-{count}", metrics=lambda found: metrics)


def test_gains_and_qualities_are_means_over_subsets_of_a_size(tmp_path):
    run = judged(tmp_path, "mmjsd", 5, seed=3)
    rows = gains([run])
    assert [row[:4] for row in rows] == [("mmJSD", 5, 3, k) for k in range(1, 6)]
    assert [row.probe for row in rows] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert math.isnan(rows[-1].coherence)
    # every modality is missing from as many singles, and from one of the leave-one-outs: 0.01 (0 + .. + 4) / 5
    assert rows[0].coherence == pytest.approx(0.1 + 0.02) and rows[3].coherence == pytest.approx(0.4 + 0.02)
    missing = [s for s in map(set, evaluated_subsets(range(5))) if len(s) == 2]
    places = [m for subset in missing for m in range(5) if m not in subset]
    assert rows[1].coherence == pytest.approx(0.2 + 0.01 * sum(places) / len(places))
    (found,) = qualities([run])
    assert found == Quality("mmJSD", 5, 3, *(pytest.approx(x) for x in (0.5, 0.12, 0.42)))


def test_what_is_read_from_other_runs(tmp_path):
    for objective, count in (("mvae", 2), ("mopoe", 3)):
        judged(tmp_path, objective, count, seed=0)
    found = qualities(find_runs(tmp_path))
    assert [(row.method, row.modalities) for row in found] == [("MoPoE", 3), ("MVAE", 2)]
    assert found[1].coherence_single == found[1].coherence_rest == pytest.approx(0.1 + 0.005)
    few = judged(tmp_path, "mmvae", 2, seed=0)
    few.write("metrics.json", {name: x for name, x in few.metrics.items() if name != "linear_probe_full"})
    assert qualities([few])[0].joint_probe == 0.0, "of the probe on few items"
    few.write("metrics.json", {"linear_probe": few.metrics["linear_probe"]})
    with pytest.raises(ValueError, match="mmvae-2-0 was evaluated without"):
        gains([few])


# ------------------------------------------------------------------------------------------------------------- pictures


COSTS = [Cost(name, m, 0.01 * m, 2_000_000 * m, 5, 64) for name in ("MVAE", "mmJSD") for m in (2, 4)]
QUALITIES = [
    Quality(name, m, seed, 0.8 + 0.1 * seed, 0.3, 0.5) for name in ("mmJSD", "MoPoE") for m in (2, 4) for seed in (0, 1)
]


def lines(ax) -> dict:
    """What is drawn: x and y of each container, by label or place."""
    return {c.get_label() + str(i): [*zip(*c.lines[0].get_data(), strict=True)] for i, c in enumerate(ax.containers)}


def test_scaling_draws_every_number_with_one_look_for_each_method():
    figure = scaling.plot_scaling(COSTS, QUALITIES)
    seconds, memory, probe, coherence = figure.axes
    assert lines(seconds) == {f"{name}{i}": [(2, 20.0), (4, 40.0)] for i, name in enumerate(("MVAE", "mmJSD"))}
    assert lines(memory)["mmJSD1"] == [(2, 4.0), (4, 8.0)]
    assert lines(probe)["MoPoE0"] == [(2, pytest.approx(0.85)), (4, pytest.approx(0.85))]
    (bars,) = probe.containers[0].lines[2]
    ends = [0.85 - 4.302653 * 0.05, 0.85 + 4.302653 * 0.05]  # two points of two seeds each: 2 degrees of freedom
    assert bars.get_segments()[0][:, 1].tolist() == pytest.approx(ends)
    assert [y for _, y in next(iter(lines(coherence).values()))] == [0.5, 0.5]
    styles = [container.lines[0].get_linestyle() for container in coherence.containers]
    assert styles == ["-", "-", ":", ":"]
    drawn = [container.lines[0] for ax in figure.axes for container in ax.containers]
    looks = {(line.get_color(), line.get_marker()) for line in drawn}
    assert len(looks) == len({colour for colour, _ in looks}) == 3, "one colour, one marker, a method"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["MVAE", "mmJSD", "MoPoE"]
    assert sorted(tick.get_text() for tick in seconds.get_xticklabels()) == ["2", "4"]
    figure.canvas.draw()
    assert not scaling.plot_scaling(COSTS, []).axes[2].containers, "either kind of rows will do"
    assert not scaling.plot_scaling([], QUALITIES).axes[0].containers
    with pytest.raises(ValueError, match="nothing to draw"):
        scaling.plot_scaling([], [])


def test_labels_of_many_modalities_do_not_touch():
    rows = [Gain("mmJSD", 16, 0, k, 0.5, 0.5) for k in range(1, 17)]
    figure = scaling.plot_information_gain(rows)
    figure.canvas.draw()
    for ax in figure.axes:
        boxes = [tick.get_window_extent() for tick in ax.get_xticklabels()]
        places = sorted((box.x0, box.x1) for box in boxes)
        assert len(places) == 8 and all(one[1] + 3 < other[0] for one, other in pairwise(places))


def test_information_gain_is_drawn_over_the_number_given():
    rows = [Gain("mmJSD", 3, 0, k, 0.2 * k, 0.1 * k if k < 3 else math.nan) for k in (1, 2, 3)]
    probe, coherence = scaling.plot_information_gain(rows).axes
    assert lines(probe) == {"mmJSD0": [(1, 0.2), (2, 0.4), (3, pytest.approx(0.6))]}
    assert lines(coherence) == {"mmJSD0": [(1, 0.1), (2, 0.2)]}
    assert probe.get_xlabel() == "given modalities of 3"
    with pytest.raises(ValueError, match="2, 3 modalities"):
        scaling.plot_information_gain([*rows, Gain("mmJSD", 2, 0, 1, 0.5, 0.5)])
    with pytest.raises(ValueError, match="nothing to draw"):
        scaling.plot_information_gain([])


def test_costs_are_kept_with_the_machine(tmp_path):
    rows = [Cost("mmJSD", 2, 0.02, 10_000, 500, 64), Cost("MoPoE", 8, 0.1, 80_000, 2000, 64)]
    write_costs(rows, tmp_path / "costs.json")
    kept = json.loads((tmp_path / "costs.json").read_text())
    assert [Cost(**row) for row in kept["costs"]] == rows
    assert "machine" in kept["measured_with"] and len(list(tmp_path.iterdir())) == 1
