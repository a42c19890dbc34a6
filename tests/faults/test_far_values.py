"""Values far outside of what training showed: named in a warning, or refused, and every number stays finite."""

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import Config, MultimodalDataset, evaluate, fit

N, LAST = 60, 59  # items, the last 15 for testing; the place of the value
PARTS = ["latent", "likelihood"]
RNG = np.random.default_rng(0)
SPLIT, LABELS = np.arange(N) >= 45, np.arange(N) % 3
ARRAYS = {
    "vector": pd.DataFrame(RNG.normal(5, 2, (N, 2)), columns=["na", "k"]),
    "counts": pd.DataFrame(RNG.poisson(3.0, (N, 2)), columns=["er", "k"]).astype(float),
    "binary": pd.DataFrame(RNG.integers(0, 2, (N, 2)), columns=["ill", "k"]).astype(float),
    "categories": pd.DataFrame(RNG.integers(0, 3, (N, 2)), columns=["site", "k"]).astype(float),
    "image": RNG.random((N, 4, 4)),
    "text": pd.Series([f"case {i % 3}" for i in range(N)], dtype=object),
}
READ = {"vector": (1e3, -1e3, 1e6, 1e12, 1e17, -1e17), "counts": (1e3, 1e6, 1e7)}
VALUES = (1e3, -1e3, 1e6, 1e12, 1e17, -1e17, 1e20, 1e300)


def arrays(kind: str | None = None, value: float = 0.0) -> dict:
    """All arrays, with a value in the last row of one."""
    changed = {name: array.copy() for name, array in ARRAYS.items()}
    if kind == "image":
        changed[kind][LAST, 1, 2] = value
    elif kind == "text":
        changed[kind][LAST] = value
    elif kind:
        changed[kind].loc[LAST, "k"] = value
    return changed


def made(raw: dict) -> MultimodalDataset:
    """Both parts of a data set of these arrays."""
    return MultimodalDataset.from_arrays(raw, LABELS, split=SPLIT, name="ward", kinds={name: name for name in raw})


@pytest.fixture(
    scope="module", params=["mmjsd", *(pytest.param(x, marks=pytest.mark.slow) for x in ("mopoe", "mmvae_dreg"))]
)
def trained(request, tmp_path_factory):
    """A run whose encoders lean on what they read, and its data."""
    splits = made({name: ARRAYS[name] for name in READ})
    fields = dict(objective=request.param, steps=100, beta=0.1, latent_dim=6, batch_size=15)
    config = Config(data=splits.train.name, device="cpu", compiled="off", **fields)
    return fit(config, tmp_path_factory.mktemp("run") / "run", splits.train, progress=False), splits


def told(kind: str, value: float) -> str:
    """What is said of a value, as a pattern: column, row, value and factor."""
    column = ARRAYS[kind][~SPLIT]["k"]
    factor = abs(value - column.mean()) / column.std(ddof=0) if kind == "vector" else value / max(column.max(), 1)
    return (
        re.escape(f"{kind}: column 'k' holds {value:g} in row ") + rf"\d+, {re.escape(f'{factor:.3g}')} .*more than 100"
    )


def not_finite(found, path="") -> list[str]:
    if isinstance(found, dict | list):
        pairs = found.items() if isinstance(found, dict) else enumerate(found)
        return [name for key, inner in pairs for name in not_finite(inner, f"{path}.{key}")]
    return [path] if found is None or (isinstance(found, float) and not math.isfinite(found)) else []


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in READ.items() for value in values])
def test_what_is_read_is_named_and_all_numbers_are_finite(kind, value, trained):
    run, splits = trained
    model, raw = run.model, {name: arrays(kind, value)[name] for name in READ}
    with pytest.warns(UserWarning, match=told(kind, value)):
        batch = model.batch_of(raw)
    for given in (None, [kind]):
        posterior = model.infer(batch, given)
        outputs = model.original(model.generate(posterior, generator=torch.Generator().manual_seed(0)))
        assert torch.isfinite(posterior.rsample()).all()
        assert all(np.isfinite(np.asarray(outputs[name])).all() for name in READ)
    with pytest.warns(UserWarning, match=told(kind, value)):
        test = dataclasses.replace(made(raw)[1], name=splits.train.name)
    metrics = evaluate(run, data=(splits.train, test), parts=PARTS, progress=False)
    assert {"rate", "marginal_kl", "log_likelihood"} < metrics.keys()
    assert not_finite({name: x for name, x in metrics.items() if name != "seconds"}) == []


REFUSED = [(kind, value) for kind in ARRAYS for value in VALUES if value not in READ.get(kind, ())]


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(kind, value):
    encoding = dict(zip(ARRAYS, made(arrays())[0].encodings, strict=True))[kind]
    with pytest.raises(ValueError, match=r"column 'k' holds (the level )?-?1|images are uint8 or|item 59 is") as error:
        encoding.values(arrays(kind, value)[kind])
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"^{kind}: "):
        made(arrays(kind, value))


def test_what_a_run_keeps_says_what_it_has_seen_and_older_runs_say_nothing(trained):
    run, _ = trained
    counts = next(m.encoding for m in run.modalities if m.name == "counts")
    assert counts.largest == tuple(ARRAYS["counts"][~SPLIT].max())
    assert dataclasses.replace(counts, largest=()) == counts
    assert dataclasses.replace(counts, largest=()).remark(torch.full((2, 2), 1e6)) is None
