"""How steps are taken: by a rule that can be read, kept with the run."""

import pytest
import torch
from helpers import interrupted

from workbench import device
from workbench.config import Config
from workbench.data.load import load_dataset
from workbench.training import step
from workbench.training.loop import fit
from workbench.training.processes import SINGLE, Processes
from workbench.training.step import Speed, can_compile, speed_for

CONFIG = Config(data="uci-text", repeats=2, batch_size=8, steps=4, device="cpu", precision="auto")
MANY = step.WORTH_COMPILING // CONFIG.batch_size
FEW = MANY - 1
INTEL, OLD, ARM = "flags : fpu avx2 avx512_bf16", "flags : fpu avx2", "Features : asimd bf16 i8mm"


@pytest.fixture
def here(monkeypatch, tmp_path):
    """What kind of machine this is: its processor, and whether torch.compile works."""

    def make(cpuinfo: str, compiles: bool) -> None:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nmodel name : Zuse Z3\n{cpuinfo}\n\nprocessor : 1\n")
        monkeypatch.setattr(device, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: cpuinfo != OLD)
        monkeypatch.setattr(step, "can_compile", lambda device: compiles)

    return make


@pytest.mark.parametrize(
    ("place", "cpuinfo", "compiles", "steps", "expected"),
    [
        ("cpu", INTEL, True, FEW, Speed("bfloat16")),
        ("cpu", INTEL, True, MANY, Speed("bfloat16", True)),
        ("cpu", INTEL, False, MANY, Speed("bfloat16")),
        ("cpu", OLD, True, FEW, Speed("float32")),
        ("cpu", OLD, True, MANY, Speed("float32", True)),
        ("cpu", OLD, False, MANY, Speed("float32")),
        ("cpu", ARM, True, FEW, Speed("bfloat16")),
        ("cpu", "", True, FEW, Speed("float32")),
        ("cuda", INTEL, True, FEW, Speed("bfloat16")),
        ("cuda", INTEL, True, MANY, Speed("bfloat16", True)),
        ("cuda", OLD, True, MANY, Speed("float32", True)),  # a GPU without bfloat16
        ("mps", INTEL, False, MANY, Speed("float32")),
    ],
)
def test_the_rule_where_nothing_is_pinned(place, cpuinfo, compiles, steps, expected, here):
    here(cpuinfo, compiles)
    assert speed_for(CONFIG, torch.device(place), steps) == expected
    for precision in ("float32", "bfloat16"):
        pinned = CONFIG.replace(precision=precision)
        assert speed_for(pinned, torch.device(place), steps) == Speed(precision, expected.compiled)
    assert speed_for(CONFIG.replace(compiled="on"), torch.device(place), steps) == expected._replace(compiled=True)
    assert speed_for(CONFIG.replace(compiled="off"), torch.device(place), steps) == expected._replace(compiled=False)


def test_draws_of_importance_samples_count_and_gradients_that_are_averaged_are_not_compiled(here):
    here(INTEL, True)
    cpu, sampled = torch.device("cpu"), CONFIG.replace(objective="mmvae_dreg", importance_samples=30)
    assert not speed_for(sampled, cpu, MANY // 30).compiled and speed_for(sampled, cpu, MANY // 30 + 1).compiled
    assert not speed_for(CONFIG, cpu, MANY, Processes(0, 2)).compiled and speed_for(CONFIG, cpu, MANY, SINGLE).compiled
    assert speed_for(CONFIG.replace(compiled="on"), cpu, 1, Processes(0, 2)).compiled


def test_presets_are_compiled_at_the_scale_of_the_paper_alone(here):
    here(INTEL, True)
    for preset, steps in (("quick", 2000), ("reduced", 1000), ("paper", 50 * 4380)):
        config = Config.make(preset)
        assert config.total_steps(4380) == steps
        assert speed_for(config, torch.device("cpu"), steps).compiled == (preset == "paper")


def test_the_processor_has_a_name(here):
    here(INTEL, True)
    assert device.processor() == "Zuse Z3"


def test_a_run_goes_on_as_it_began_and_says_so(tiny_root, here):
    """A run whose precision was chosen takes the very steps of one whose precision was pinned."""
    here(INTEL, True)
    data, config = load_dataset(CONFIG.data, "train", repeats=CONFIG.repeats), CONFIG.replace(checkpoint_every=2)
    folder = interrupted(3, config, tiny_root / "run", data)
    here(OLD, True)
    run = fit(config, folder, data, progress=False)
    assert run.read("config.json")["speed"] == {
        "precision": "bfloat16",
        "compiled": False,
        "threads": torch.get_num_threads(),
    }
    assert run.config.precision == "auto" and run.precision == "bfloat16"
    pinned = fit(config.replace(precision="bfloat16"), tiny_root / "pinned", data, progress=False)
    assert run.history() == pinned.history()


def test_where_nothing_can_be_compiled_training_goes_on_and_says_why(monkeypatch):
    def refuse(*rest, **options):
        raise RuntimeError("no working C++ compiler was found\nand much more")

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.warns(UserWarning, match="does not work here: no working C[+][+] compiler was found$"):
        assert speed_for(CONFIG, torch.device("cpu"), MANY) == speed_for(CONFIG, torch.device("cpu"), FEW)
    with pytest.warns(UserWarning, match="steps are taken without torch.compile"):
        assert not can_compile(torch.device("cpu"))
