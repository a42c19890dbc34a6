"""The bench: what it counts and writes down, with clocks that are set by hand, and what another library computes."""

import json
import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch

from workbench.cli import main
from workbench.config import Config
from workbench.distributions import Gaussian
from workbench.objectives import METHODS
from workbench.studies import speed, speed_against, speed_plots, speed_profile, speed_results
from workbench.studies.speed import Candidate, Limits, Timing, best_of_rounds, speeds, sweeps, variants
from workbench.studies.speed_against import Comparison, against, configurations
from workbench.studies.speed_profile import PARTS, REST, profiles
from workbench.studies.speed_results import Results, Wanted, measure, read, tables, write
from workbench.training.loop import Trainer
from workbench.training.step import Speed

BASE = Config(data="uci-text", batch_size=8, repeats=2, device="cpu", importance_samples=2, compiled="off")
SHORT = Timing(rounds=1, steps=1)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Worker:
    """Something to be timed: its n-th step takes the n-th of some seconds, then the last."""

    def __init__(self, name: str, clock: Clock, log: list[str], *seconds: float) -> None:
        self.name, self.clock, self.log, self.seconds = name, clock, log, list(seconds)

    def step(self) -> None:
        """Take a step."""
        self.log.append(self.name)
        self.clock.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]

    def contender(self) -> Candidate:
        return Candidate(self.step, lambda: None)


# --------------------------------------------------------------------------------------------------------------- rounds


def test_rounds_alternate_and_the_best_counts():
    clock, log = Clock(), []
    one = Worker("a", clock, log, 1.0, 5.0, 5.0, 2.0, 4.0, 9.0, 9.0)
    other = Worker("b", clock, log, 1.0, 8.0, 8.0, 7.0, 7.0, 6.0, 7.0)
    found = best_of_rounds([one.contender(), other.contender()], Timing(rounds=3, seconds=2.0, clock=clock))
    assert "".join(log) == "ab" + "aabb" * 3, "a step of each to know how long it takes, then turns"
    assert found == [3.0, 6.5], "means of the rounds are 5, 3, 9 and 8, 7, 6.5"


def test_the_time_of_a_round_is_its_steps_and_the_waiting():
    clock = Clock()

    def wait() -> None:
        clock.now = max(clock.now, ends)

    def step() -> None:  # returns at once, while the device is at work for a second
        nonlocal ends
        ends = max(ends, clock.now) + 1.0

    ends = 0.0
    assert best_of_rounds([Candidate(step, wait)], Timing(rounds=2, steps=3, clock=clock)) == [1.0]


@pytest.mark.parametrize(("together", "quick"), [(False, 5), (True, 2)])
def test_slow_steps_have_fewer_rounds(together, quick):
    clock, log = Clock(), []
    workers = [Worker("quick", clock, log, 1.0), Worker("slow", clock, log, 6.0)]
    best_of_rounds([x.contender() for x in workers], Timing(rounds=5, seconds=1.0, clock=clock), together)
    assert Counter(log) == {"quick": 1 + quick, "slow": 1 + 2}


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"seconds": 0.0}, {"steps": -1}])
def test_nothing_is_measured_in_no_time(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Timing(**wrong)


# --------------------------------------------------------------------------------------------------------------- speeds


def test_rows_are_complete_and_consistent(tiny_root):
    configs = variants(BASE, [])
    assert len(configs) == len({config.key() for config in configs}) == len(METHODS) * 2 * 2
    before, configs = sorted(tiny_root.rglob("*")), configs[::3]  # of every kind some
    rows = speeds(configs, SHORT)
    assert sorted(tiny_root.rglob("*")) == before, "nothing is left behind"
    for config, row in zip(configs, rows, strict=True):
        assert row[1:6] == (config.objective, "uci-text", config.style_dim, config.precision, 8)
        assert (row.modalities, row.device) == (2, "cpu")
        assert row.samples == (2 if config.objective in ("mmvae_iwae", "mmvae_dreg") else 1)
        assert row.items_per_second == pytest.approx(8 * row.steps_per_second) and row.steps_per_second > 0
        assert row.first_step > 0


def test_memory_holds_weights_gradients_and_adams_two_moments(tiny_root):
    with speed.Bench(SHORT) as measured:
        trainer = measured.trainer(BASE)
        weights = sum(x.nbytes for x in trainer.model.parameters())
        peaks = [measured.peak(BASE.replace(batch_size=batch)) for batch in (8, 16, 24)]
    assert 4 * weights < peaks[0] < 1.05 * 4 * weights
    small, large = (b - a for a, b in pairwise(peaks))
    assert small > 0 and large == pytest.approx(small, rel=0.2), "activations grow with the batch"


def test_steps_are_those_of_a_trainer(tiny_root, monkeypatch):
    log, take = [], Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self: log.append(self.config.objective) or take(self))
    speeds([BASE.replace(objective=name) for name in ("mvae", "mmjsd")], Timing(rounds=2, steps=2))
    first, memory, rest = ["mvae", "mmjsd"], ["mvae"] * 3 + ["mmjsd"] * 3, ["mvae"] * 2 + ["mmjsd"] * 2
    once, round_ = ["mvae", "mmjsd"], ["mvae"] * 2 + ["mmjsd"] * 2
    assert log == first + memory + rest + once + round_ * 2


def test_time_to_the_first_step_begins_before_the_trainer(tiny_root, monkeypatch):
    clock, take, make = Clock(), Trainer.step, Trainer.__init__

    def timed(function, seconds):
        def called(*args):
            clock.now += seconds
            return function(*args)

        return called

    monkeypatch.setattr(Trainer, "__init__", timed(make, 2.0))
    monkeypatch.setattr(Trainer, "step", timed(take, 0.25))
    (row,) = speeds([BASE], Timing(rounds=1, steps=4, clock=clock))
    assert clock.now == 2 * 2.0 + 0.25 * (3 + 3 + 1 + 4), "twice made: for its time and for its memory"
    assert row.first_step == 2.25 and row.steps_per_second == 4.0 and row.items_per_second == 32.0


def test_slow_steps_are_not_repeated_to_be_warm(tiny_root):
    clock = Clock()
    with speed.Bench(Timing(seconds=1.0, clock=clock)) as measured:
        trainer, taken = measured.trainer(BASE), []
        step = trainer.step

        def slow():
            clock.now += 1.5
            taken.append(clock.now)
            return step()

        trainer.step = slow
        assert measured.warm(trainer) is trainer and len(taken) == 2


def test_nonsense_is_not_timed(tiny_root):
    with pytest.raises(speed.TrainingDiverged, match="mmJSD"):
        speeds([BASE.replace(beta=1e38, learning_rate=1e30)], SHORT)


def test_fixed_settings_are_not_varied():
    configs = variants(BASE.replace(style_dim=3, precision="bfloat16"), ["mmjsd"], ["style_dim", "precision"])
    assert [(config.style_dim, config.precision) for config in configs] == [(3, "bfloat16")]


# -------------------------------------------------------------------------------------------------------------- scaling


def test_sweeps_end_at_their_limits_and_at_what_methods_can_take():
    found = sweeps(BASE, [], Limits(batch=200, modalities=16, samples=5))
    assert [*found] == ["batch_size", "modalities", "samples"]
    assert {(c.objective, c.batch_size) for c in found["batch_size"]} == {
        (name, batch) for name in METHODS if "_" not in name for batch in (64, 128)
    }
    assert {c.data for c in found["modalities"] if c.objective == "mopoe"} == {f"polydigits-{m}" for m in (2, 3, 4, 8)}
    assert {c.data for c in found["modalities"] if c.objective == "mvae"} == {
        f"polydigits-{m}" for m in (2, 3, 4, 8, 16)
    }
    assert {(c.objective, c.importance_samples) for c in found["samples"]} == {
        (name, k) for name in ("mmvae_iwae", "mmvae_dreg") for k in (1, 2, 5)
    }
    assert [*sweeps(BASE, ["mmjsd"], Limits(batch=64, modalities=1))] == ["batch_size"], "empty sweeps are left out"


# ------------------------------------------------------------------------------------------------------------- profiles


def test_parts_add_up_to_the_step(tiny_root):
    rows = profiles(BASE.replace(precision="bfloat16"), ["mmjsd", "mmvae_dreg"], Timing(rounds=2, steps=2))
    assert [(row.label, row.precision) for row in rows] == [("before", "float32"), ("after", "bfloat16")] * 2
    for row in rows:
        assert [*row.parts] == [*PARTS] and all(seconds > 0 for seconds in row.parts.values())
        assert sum(row.parts.values()) + row.rest == pytest.approx(row.clocked)
        assert 0 < row.rest < 0.2 * row.clocked
    assert [row.label for row in profiles(BASE, ["mvae"], SHORT)] == ["after"], "before would be the same"


def test_every_part_is_charged_what_it_takes(tiny_root, monkeypatch):
    clock = Clock()

    def slower(of, name, seconds):
        function = getattr(of, name)

        def called(*args, **kwargs):
            clock.now += seconds
            return function(*args, **kwargs)

        monkeypatch.setattr(of, name, called)

    with speed.Bench(Timing(clock=clock)) as measured:
        trainer = measured.trainer(BASE.replace(objective="mmvae_iwae"))
        slower(type(trainer.batches), "__next__", 1.0)
        slower(trainer.model.encoders[0], "forward", 10.0)
        slower(Gaussian, "log_prob", 100.0)  # of draws, styles among them, under their posteriors and the prior
        slower(trainer.model.decoders[1], "forward", 1000.0)
        slower(type(trainer.model.modalities[0].likelihood), "log_prob", 1e4)
        slower(torch.Tensor, "backward", 1e5)
        slower(trainer.optimizer, "zero_grad", 1e6)
        slower(trainer.optimizer, "step", 1e7)
        before = {name: dict(vars(of)) for name, of in (("trainer", trainer), ("model", trainer.model))}
        found = speed_profile._clocked(trainer, 2, clock)
    assert found.pop("fuse") % 100 == 0
    assert found == {
        "gather": 1.0,
        "encode": 10.0,
        "decode": 2 * (1000.0 + 1e4),  # of all draws, and once more of those that count
        "backward": 1e5,
        "optimiser": 1.1e7,
        REST: 0.0,
    }
    assert vars(trainer.model) == before["model"], "all clocks are gone"
    assert vars(trainer) == before["trainer"] | {"done": 2}


# -------------------------------------------------------------------------------------------------------------- results


def made_results() -> Results:
    """Results as if they had been measured."""
    row = speed.StepCost("mmJSD", "mmjsd", "uci-text", 0, "float32", 64, 3, 1, 12.5, 800.0, 34_000_000, 0.4, "cpu")
    rows = [row._replace(style_dim=style, precision=kind) for style in (0, 4) for kind in ("float32", "bfloat16")]
    ratio = Comparison("MVAE", "mvae", "MVAE, k=0", "uci-text", "float32", 64, 3, 1, 0.1, 0.25, 2.5, "cpu")
    parts = dict.fromkeys(PARTS, 0.01)
    part = speed_profile.Profile("after", "mmJSD", "mmjsd", "float32", 64, "cpu", 0.07, 0.08, parts, 0.02)
    scaling = {"batch_size": [row, row._replace(batch_size=128, items_per_second=1200.0)]}
    return Results("workbench bench", {"rounds": 2}, speed_results.provenance(), rows, scaling, [ratio], [part])


def test_results_survive_their_file(tmp_path):
    results = made_results()
    write(results, tmp_path / "bench.json")
    assert read(tmp_path / "bench.json") == results
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert {"machine", "date", "commit", "gpu"} <= kept["measured_with"].keys() and len(list(tmp_path.iterdir())) == 1


def test_tables_show_every_row():
    text = tables(made_results())
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert ["mmJSD", "bfloat16", "64", "3", "1", "12.5", "800", "34.0", "0.400", "cpu"] in lines
    assert ["MVAE", "MVAE, k=0", "64", "float32", "100", "250", "2.50", "cpu"] in lines
    assert ["gather", "10.0", "12%"] in lines and ["not attributed", "20.0", "25%"] in lines
    assert "triples/s" in text and "items/s" not in text
    assert all(set(cell) <= set("-:") and len(cell) >= 3 for line in lines for cell in line if cell[:1] == "-")


@pytest.mark.parametrize(("value", "shown"), [(0.4, "0.400"), (99.96, "100"), (1234.5, "1,234"), (12.34, "12.3")])
def test_three_significant_digits(value, shown):
    assert speed_results.significant(value) == shown


def test_measuring_is_what_is_wanted(tiny_root):
    wanted = Wanted(BASE, ["mvae"], ["style_dim", "precision"], True, None, True, True, Limits(64, 1))

    results = measure(wanted, SHORT, "typed")
    assert [row.method for row in results.speeds] == ["MVAE"] and results.command == "typed"
    assert [row.batch_size for row in results.scaling["batch_size"]] == [64]
    assert [row.method for row in results.profiles] == ["MVAE"] and not results.comparisons
    assert results.settings["batch_size"] == 8 and results.settings["rounds"] == 1


# ------------------------------------------------------------------------------------------------------------- pictures


def test_pictures_show_every_row(tmp_path):
    results = made_results()
    written = speed_plots.draw(results, tmp_path / "bench.png")
    assert [path.name for path in written] == [f"bench-{x}.png" for x in ("speed", "against", "scaling", "profile")]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    shared, styled = speed_plots.speeds(results.speeds).axes
    for ax in (shared, styled):
        assert [bar.get_width() for bars in ax.containers for bar in bars] == [12.5, 12.5]
    (ratios,) = speed_plots.comparisons(results.comparisons).axes
    assert ratios.containers[0][0].get_width() == 2.5
    (shares,) = speed_plots.profiles(results.profiles).axes
    ends = [bar.get_x() + bar.get_width() for bars in shares.containers for bar in bars]
    assert ends[-1] == pytest.approx(1) and ends == sorted(ends)
    time, memory = speed_plots.scaling(results.scaling).axes
    assert time.containers[0].lines[0].get_xdata().tolist() == [64, 128]
    assert memory.containers[0].lines[0].get_ydata().tolist() == [34.0, 34.0]


def test_one_kind_has_the_name_it_was_given(tmp_path):
    results = Results("", {}, {}, made_results().speeds, {}, [], [])
    assert speed_plots.draw(results, tmp_path / "bench.svg") == [tmp_path / "bench.svg"]
    assert "<svg" in (tmp_path / "bench.svg").read_text()
    with pytest.raises(ValueError, match="nothing to draw"):
        speed_plots.draw(Results("", {}, {}, [], {}, [], []), tmp_path / "none.png")


# -------------------------------------------------------------------------------------------------------------- command


SETTINGS = (
    "-p",
    "data=uci-text",
    "-p",
    "repeats=2",
    "-p",
    "device=cpu",
    "--batch",
    "8",
    "--rounds",
    "1",
    "--steps",
    "1",
)


def test_the_command_prints_and_keeps(tiny_root, monkeypatch, capsys):
    out, figure = tiny_root / "bench.json", tiny_root / "bench.png"
    arguments = ["bench", "-o", "mmjsd", "-p", "style_dim=0", *SETTINGS, "--out", str(out), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", ["workbench", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    printed, results = capsys.readouterr().out, read(out)
    assert [(row.method, row.precision) for row in results.speeds] == [("mmJSD", "float32"), ("mmJSD", "bfloat16")]
    assert (
        printed.endswith(f"Written: {out}\nWritten: {figure}\n")
        and speed_results.speed_table(results.speeds) in printed
    )
    assert results.command.startswith("workbench bench -o mmjsd -p style_dim=0") and figure.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "elbo"), "unknown objective 'elbo': choose one of mvae"),
        (("-o", "elbo", "--profile"), "unknown objective 'elbo': choose one of mvae"),
        (("-o", "elbo", "--scaling"), "unknown objective 'elbo': choose one of mvae"),
        (("--against", "pythae"), "unknown comparison 'pythae': choose multivae"),
        (("--rounds", "0"), "rounds 0 is too few"),
        (("-p", "betta=1"), "did you mean 'beta'?"),
    ],
    ids=lambda x: "-".join(x).replace("--", "") if isinstance(x, tuple) else "",
)
def test_errors_are_one_line(arguments, message, tiny_root, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["workbench", "bench", *SETTINGS, *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code.startswith("workbench: ") and message in stop.value.code and "\n" not in stop.value.code


def test_without_multivae_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "multivae", None)
    with pytest.raises(ValueError, match=r"needs multivae: install .*\[oracle\]"):
        against("multivae")


# ----------------------------------------------------------------------------------------------------- against multivae


def test_what_is_compared():
    names = ("mvae", "mmvae", "mmvae_iwae", "mmvae_dreg", "mopoe")
    assert [(c.objective, c.importance_samples) for c in configurations(BASE) if c.objective != "mvae"] == [
        ("mmvae", 2),
        ("mmvae_iwae", 1),
        ("mmvae_dreg", 30),
        ("mopoe", 2),
    ]
    assert tuple(c.objective for c in configurations(BASE)) == names
    assert {c.importance_samples for c in configurations(BASE, fixed=["importance_samples"])} == {2}
    assert [c.objective for c in configurations(BASE, ["mmjsd", "mopoe"])] == ["mopoe"]
    for changes, objectives, message in (
        ({}, ["mmjsd"], "multivae has no mmjsd: compare some of mvae"),
        ({"style_dim": 4}, [], "style_dim 4"),
        ({"dynamic_prior": "none", "objective": "mmjsd"}, [], "without a dynamic prior"),
        ({}, ["elbo"], "unknown objective"),
    ):
        with pytest.raises(ValueError, match=message):
            configurations(BASE.replace(**changes), objectives)


@pytest.fixture
def without_noise(monkeypatch):
    """Draws of both libraries are means."""
    pytest.importorskip("multivae", reason="multivae is not installed: pip install -e '.[oracle]'")
    monkeypatch.setattr(Gaussian, "_noise", lambda self, generator: torch.zeros_like(self.mean))

    def rsample(self, sample_shape=()):
        return self.mean.expand(self._extended_shape(sample_shape))

    monkeypatch.setattr(torch.distributions.Normal, "rsample", rsample)


@pytest.mark.parametrize("name", [*speed_against.THEIRS])
def test_the_other_side_computes_the_same_losses(name, tiny_root, without_noise):
    """Over three steps: networks, batches, loss, gradient and optimiser are the same.

    Their value of DReG is sum_k w_k ln w_k, whose w_k, from ln w_k of tens of thousands in float32, do not quite add up
    to one. With more digits it is compared in test_oracle_multivae.
    """
    config = BASE.replace(objective=name, batch_size=21, data="uci-plain-text")
    with speed.Bench(SHORT) as measured:
        trainer = measured.trainer(config)
        theirs = speed_against.Theirs(config, measured.data(config), torch.device("cpu"))
        for _ in range(3):
            ours, other = trainer.step().total.item(), theirs.step().item()
            other = other / 21 if name in ("mmvae_iwae", "mmvae_dreg") else other  # theirs add up over the batch
            assert other == pytest.approx(ours, rel=1e-3 if name == "mmvae_dreg" else 1e-4)


def test_ratios_are_of_the_best_rounds(tiny_root, without_noise, monkeypatch):
    clock, take, their = Clock(), Trainer.step, speed_against.Theirs.step

    def timed(function, seconds):
        def called(self):
            clock.now += seconds(self)
            return function(self)

        return called

    monkeypatch.setattr(Trainer, "step", timed(take, lambda self: 2.0 if self.config.precision == "float32" else 1.0))
    monkeypatch.setattr(speed_against.Theirs, "step", timed(their, lambda self: 5.0))
    ours = (Speed(), Speed("bfloat16"))
    rows = against("multivae")(configurations(BASE, ["mvae", "mmvae"]), Timing(rounds=2, steps=2, clock=clock), ours)
    assert [(row.precision, row.our_seconds, row.their_seconds, row.ratio) for row in rows] == [
        ("float32", 2.0, 5.0, 2.5),
        ("bfloat16", 1.0, 5.0, 5.0),
    ] * 3
    assert [row.theirs for row in rows[::2]] == ["MVAE, k=0", "MoPoE, single subsets", "MMVAE, IWAE, K=1"]
    assert (rows[0].batch_size, rows[0].modalities, rows[0].samples) == (8, 2, 1)
