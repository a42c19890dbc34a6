"""Steps taken fast: compiled, in parts and in another layout they are the steps of the plain loop."""

import json
import subprocess
import sys
from pathlib import Path

import helpers
import pytest
import torch
from helpers import marked, tiny_batch, tiny_model

from workbench import importance
from workbench.config import Config
from workbench.objectives import METHODS
from workbench.training.step import Speed, Step, as_default


def gradients(model) -> list[torch.Tensor]:
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    return found


def test_the_default_generator_stands_in_for_another():
    torch.manual_seed(5)
    ours, same, before = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3), torch.get_rng_state()
    with as_default(ours):
        drawn = torch.randn(7)
    assert torch.equal(drawn, torch.randn(7, generator=same))
    assert torch.equal(ours.get_state(), same.get_state())
    assert torch.equal(torch.get_rng_state(), before)


def test_it_gives_the_default_generator_back_after_an_error():
    torch.manual_seed(5)
    before, ours = torch.get_rng_state(), torch.Generator().manual_seed(3)
    with pytest.raises(ZeroDivisionError), as_default(ours):
        torch.randn(2)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("objective", METHODS)
@pytest.mark.parametrize("style", [0, 2])
def test_a_step_is_the_objective_and_its_gradient(objective, style):
    model, batch = tiny_model(3, 2, style, objective=objective), tiny_batch(3, 6)
    config = Config(objective=objective, importance_samples=3)
    loss = Step(model, objective, Speed())(batch, config, torch.Generator().manual_seed(1))
    found = gradients(model)
    expected = METHODS[objective].objective(model, batch, config, torch.Generator().manual_seed(1))
    expected.total.backward()
    assert torch.equal(loss.total, expected.total.detach()) and not loss.total.requires_grad
    assert loss.terms.keys() == expected.terms.keys()
    assert all(torch.equal(one, other) for one, other in zip(found, gradients(model), strict=True))


@pytest.mark.parametrize("objective", ["mmvae_iwae", "mmvae_dreg"])
def test_parts_of_a_batch_add_up_to_its_gradient(objective, monkeypatch):
    """Without noise, for with it every part draws its own: the same values and gradients, with equal parts of two."""
    monkeypatch.setattr("workbench.distributions.Gaussian._noise", lambda self, generator: torch.zeros_like(self.mean))
    model, batch = tiny_model(3, 2, 2), tiny_batch(3, 6)
    config, generator = Config(objective=objective, importance_samples=3), torch.Generator()
    whole = Step(model, objective, Speed())(batch, config, generator)
    expected = gradients(model)
    monkeypatch.setattr(importance, "CHUNK", 2 * 9)
    parts = Step(model, objective, Speed())(batch, config, generator)
    for name, value in whole.terms.items():
        assert torch.allclose(parts.terms[name], value, rtol=1e-12)
    for one, other in zip(gradients(model), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("batch", "draws", "items"),
    [(256, 90, 32), (32, 90, 32), (250, 90, 25), (7, 4096, 1), (7, 10_000, 1), (64, 64, 64)],
)
def test_items_at_a_time_are_the_largest_divisor_that_fits(batch, draws, items):
    assert importance.items_at_a_time(batch, draws, torch.device("cpu")) == items


COMPILED = """
import json, sys, torch
from helpers import rows_of, spoiled, tiny_batch, tiny_model
from workbench.config import Config
from workbench.objectives import METHODS
from workbench.training.step import Speed, Step, can_compile

whole, (backend, *objectives) = torch.compile, sys.argv[1:]
if backend != "inductor":
    torch.compile = lambda function, dynamic=None, options=None: whole(function, dynamic=dynamic, backend=backend)
assert can_compile(torch.device("cpu"))
found = {}
for objective in objectives:
    model, batch = tiny_model(2, 2, 2), tiny_batch(2, 8, missing=True)
    batch = spoiled(rows_of(batch, batch.present.any(0)))
    config, both = Config(objective=objective, importance_samples=3), []
    for compiled in (False, True):
        step, generator = Step(model, objective, Speed("float32", compiled)), torch.Generator().manual_seed(1)
        losses = [step(batch, config, generator).total.item() for _ in range(2)]
        flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        both.append((losses, flat, torch.randn(3, generator=generator)))
        model.zero_grad(set_to_none=True)
    (plain, gradient, after), (losses, other, later) = both
    difference = (gradient - other).norm().item() / gradient.norm().item()
    found[objective] = [plain, losses, difference, torch.equal(after, later)]
print(json.dumps(found))
"""


@pytest.mark.parametrize("chosen", [["eager", "mmjsd"], marked(["inductor", "mmjsd", "mmvae_dreg"], True)])
def test_compiled_objectives_draw_the_same_noise_and_have_the_same_gradient(chosen):
    """In a process of its own, for the type checks of the tests cannot be compiled. What items lack is NaN.

    Traced alone, and also made into C++, which takes most of the time.
    """
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, *chosen],
        cwd=Path(helpers.__file__).parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for plain, losses, difference, in_step in json.loads(done.stdout.splitlines()[-1]).values():
        assert losses == pytest.approx(plain, rel=1e-9) and plain[0] != plain[1]
        assert difference < 1e-9 and in_step
