"""How good it is to measure what a model advises: against chance and fixed orders, expected against realised gains.

Complete items begin with one modality each, and the others are revealed one by one, with their real values. What is
known of the class is log2 p(class | code of what is known), in bits, by `acquisition_codes.Classifier`.

    python -m workbench.studies.acquisition_policy mfeat --objective mmjsd --objective mopoe --out FILE
"""

import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.images import SPLITS
from workbench.data.load import load_dataset
from workbench.files import write_json
from workbench.model import Posteriors
from workbench.objectives import METHODS
from workbench.runs.versions import provenance
from workbench.studies.acquisition import DRAWS, Acquisition
from workbench.studies.acquisition_codes import FOLDS, Classifier, code_of, encoded, posterior, rows_of
from workbench.training.loop import fit

MOST = 7  # modalities of which all orders, and all subsets, are tried
WAYS = ("chosen", "random", "fixed")


class Predictions(NamedTuple):
    """Gains of single modalities that items lacked at some step, expected and realised, in bits: arrays `[k]`."""

    item: np.ndarray
    step: np.ndarray
    modality: np.ndarray  # place
    expected: np.ndarray
    error: np.ndarray
    realised: np.ndarray


class Played(NamedTuple):
    """What is known of the class after 0 .. M - 1 further measurements, in bits `[M, n]`, by each of WAYS.

    `random` is the exact mean over all orders; `fixed` follows `order`, of all orders the best for the training items.
    `beaten` is the share of all fixed orders whose mean over items and steps is below that of the chosen.
    """

    bits: dict[str, np.ndarray]
    order: tuple[str, ...]
    beaten: float
    predictions: Predictions

    def ahead(self, of: str) -> np.ndarray:
        """How much more is known by choosing than `of` another way: `[M - 2, n]`, the first choice to the last."""
        return (self.bits["chosen"] - self.bits[of])[1:-1]


class Line(NamedTuple):
    """Realised gains over expected ones by least squares: (estimate, low, high) at 95 %.

    `curve` has, of bins of the expected ones, mean expected and realised gain in bits, the standard error of the latter
    and the number of predictions.
    """

    slope: tuple[float, float, float]
    intercept: tuple[float, float, float]
    curve: list[tuple[float, float, float, int]]


def play(
    asked: Acquisition, test: MultimodalDataset, generator: torch.Generator | None = None, seed: int = 0
) -> Played:
    """Reveal the modalities of complete test items in the order that is chosen for each, and in others.

    Every item begins with a modality drawn by `seed`, the same for all ways. `asked.classifier` is a `Classifier`.
    Raises ValueError on too few or too many modalities.
    """
    q, labels = encoded(asked.model, test)
    whole = q.present.all(0)
    q, truth = rows_of(q, whole), torch.searchsorted(asked.classifier.classes, labels[whole]).numpy()
    count, items = q.present.shape
    if not 3 <= count <= MOST:
        raise ValueError(f"{count} modalities: orders are compared for 3 to {MOST}")
    bits = _bits_of_subsets(asked.classifier, q, truth)
    start = np.random.default_rng(seed).permutation(np.arange(items) % count)
    state = torch.nn.functional.one_hot(torch.from_numpy(start), count).T.bool().contiguous()
    chosen, rows = [_at(bits, state)], []
    for step in range(count - 1):
        gains = asked.expected_gain(replace(q, present=state), generator)
        rows.append(_predictions(bits, state, gains.bits, gains.errors, step))
        state[torch.from_numpy(gains.best()), torch.arange(items)] = True
        chosen.append(_at(bits, state))
    order = best_order(_means_in_training(asked.classifier))
    orders = [_follow(bits, start, one) for one in permutations(range(count))]
    beaten = np.mean([x.mean() < np.mean(chosen) for x in orders])
    found = dict(zip(WAYS, (np.stack(chosen), _random(bits, start, count), _follow(bits, start, order)), strict=True))
    predictions = Predictions(*(np.concatenate(x) for x in zip(*rows, strict=True)))
    return Played(found, tuple(asked.model.names[m] for m in order), float(beaten), predictions)


def _masks(count: int) -> Bool[Tensor, "S M"]:
    """All sets of modalities, the empty one first: set number s has modality m where bit m of s is one."""
    return (torch.arange(2**count).unsqueeze(1) >> torch.arange(count)) % 2 == 1


def _bits_of_subsets(classifier: Classifier, q: Posteriors, truth: Int[np.ndarray, "n"]) -> Float[np.ndarray, "S n"]:
    """log2 p(class | each set)."""
    found = [np.log2(classifier.shares.numpy())[truth]]
    for there in _masks(len(q.present))[1:]:
        present = there.unsqueeze(1).expand_as(q.present)
        p = classifier(code_of(posterior(replace(q, present=present), classifier.fusion)), present).numpy()
        found.append(_log2(p, truth))
    return np.stack(found)


def _log2(p: Float[np.ndarray, "n classes"], truth: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    return np.log2(np.maximum(p[np.arange(len(truth)), truth], 1e-12))


def _means_in_training(classifier: Classifier) -> Float[np.ndarray, "S"]:
    """The mean of the same over complete training items, each by a regression that was learnt without it."""
    from sklearn.model_selection import cross_val_predict

    whole, means = classifier.posteriors.present.all(0), [0.0]
    for there in _masks(len(classifier.posteriors.present))[1:]:
        codes, labels, having = classifier.learnt_from(there)
        p = cross_val_predict(classifier.probe(), codes, labels, cv=FOLDS, method="predict_proba")
        means.append(_log2(p, labels)[whole[having].numpy()].mean())
    return np.array(means)


def best_order(means: Float[np.ndarray, "S"]) -> tuple[int, ...]:
    """The order of all modalities with the greatest mean over what an item may begin with and over its steps.

    `means[s]` is what is known by set s, whose modality m is bit m of s.
    """
    count = len(means).bit_length() - 1
    each = np.arange(count)
    return max(
        permutations(range(count)), key=lambda order: _follow(means[:, None].repeat(count, 1), each, order).mean()
    )


def _follow(bits: Float[np.ndarray, "S n"], start: Int[np.ndarray, "n"], order: Sequence[int]) -> np.ndarray:
    """What is known of each item after 0 .. M - 1 measurements of an order, in which its first one is passed over."""
    rank = np.argsort(order)
    places = np.arange(len(start))
    found = [bits[1 << start, places]]
    for k in range(1, len(order)):
        # the first k of the order, or k + 1 where the start is among them
        end = np.where(rank[start] < k, k + 1, k)
        sets = np.cumsum([0, *(1 << m for m in order)])[end] | (1 << start)
        found.append(bits[sets, places])
    return np.stack(found)


def _random(bits: Float[np.ndarray, "S n"], start: Int[np.ndarray, "n"], count: int) -> np.ndarray:
    """The mean over all orders: over all sets of each size that have the start."""
    masks, found = _masks(count).numpy(), np.empty((count, len(start)))
    for m in range(count):
        for k in range(count):
            sets = masks[:, m] & (masks.sum(1) == k + 1)
            found[k, start == m] = bits[sets][:, start == m].mean(0)
    return found


def _at(bits: Float[np.ndarray, "S n"], state: Bool[Tensor, "M n"]) -> Float[np.ndarray, "n"]:
    sets = (state.long() << torch.arange(len(state)).unsqueeze(1)).sum(0).numpy()
    return bits[sets, np.arange(len(sets))]


def _predictions(
    bits: np.ndarray, state: Bool[Tensor, "M n"], expected: np.ndarray, errors: np.ndarray, step: int
) -> Predictions:
    with_each = [state | torch.eye(len(state), dtype=torch.bool)[:, m : m + 1] for m in range(len(state))]
    realised = np.stack([_at(bits, x) - _at(bits, state) for x in with_each], 1)
    item, modality = np.nonzero(~state.T.numpy())
    where = item, modality
    return Predictions(item, np.full(len(item), step), modality, expected[where], errors[where], realised[where])


def calibration(found: Predictions, bins: int = 8, draws: int = 2000, seed: int = 0) -> Line:
    """Compare realised gains with expected ones; intervals by the bootstrap over items, each with all its predictions.

    A slope of one and an intercept of zero is what gains in the long run that were promised.
    """
    x, y, items = found.expected, found.realised, np.unique(found.item, return_inverse=True)[1]
    sums = np.stack([np.bincount(items, part) for part in (np.ones_like(x), x, y, x * y, x * x)])  # [5, items]
    size = sums.shape[1]
    counts = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), draws)
    lines = _least_squares(sums @ counts.T)
    ends = np.quantile(lines, [0.025, 0.975], axis=1)
    intercept, slope = (tuple(map(float, x)) for x in np.vstack([_least_squares(sums.sum(1)), ends]).T)
    curve = []
    for rows in np.array_split(np.argsort(x), bins):
        each = y[rows]
        curve.append((float(x[rows].mean()), float(each.mean()), float(stats.sem(each)), len(rows)))
    return Line(slope, intercept, curve)


def _least_squares(sums: np.ndarray) -> np.ndarray:
    n, x, y, xy, xx = sums
    slope = (n * xy - x * y) / (n * xx - x * x)
    return np.stack([(y - slope * x) / n, slope])


def interval(differences: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Mean of paired differences over items, and half of its 95 % interval by Student's t."""
    return float(differences.mean()), float(stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1))


def measure(config: Config, draws: int = DRAWS) -> dict[str, Any]:
    """Train a configuration on its data, split by its seed, and play on the test items by its method's posterior."""
    train, test = (load_dataset(config.data, part, config.data_root or None, seed=config.seed) for part in SPLITS)
    with tempfile.TemporaryDirectory() as folder:
        model = fit(config, Path(folder) / "run", train, progress=False).model.eval()
    fusion, generator = METHODS[config.objective].inference[0], torch.Generator().manual_seed(config.seed)
    asked = Acquisition(model, Classifier(model, train, fusion), fusion=fusion, draws=draws)
    played = play(asked, test, generator, config.seed)
    ahead = {way: played.ahead(way) for way in WAYS[1:]}
    how = {"data": config.data, "method": METHODS[config.objective].label, "posterior": fusion, "seed": config.seed}
    sizes = {"steps": config.steps, "latent_dim": config.latent_dim, "items": played.bits["chosen"].shape[1]}
    return {
        **how | sizes | {"strength": asked.classifier.strength, "draws": draws},
        "bits after 0 to M - 1 further measurements": {way: x.mean(1).tolist() for way, x in played.bits.items()},
        "first choice ahead of": {way: interval(x[0]) for way, x in ahead.items()},
        "ahead of, mean over steps": {way: interval(x.mean(0)) for way, x in ahead.items()},
        **{"best fixed order": played.order, "fixed orders beaten": played.beaten},
        "calibration": calibration(played.predictions)._asdict(),
    }


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets with classes and three modalities or more.")],
    objective: Annotated[list[str] | None, typer.Option("--objective", "-o", help="One of several.")] = None,
    steps: Annotated[int, typer.Option(help="Of each training.")] = 2000,
    splits: Annotated[int, typer.Option(help="Seeds, each with a split and a training of its own.")] = 1,
    draws: Annotated[int, typer.Option(help="Of what is missing, for each item.")] = DRAWS,
    out: Annotated[Path | None, typer.Option(help="Also add everything to this JSON file.")] = None,
) -> None:
    """Train, let the model choose what to measure of test items, and compare with chance and the best fixed order."""
    command = shlex.join(["python", "-m", "workbench.studies.acquisition_policy", *sys.argv[1:]])
    made_by = {"command": command, "measured_with": provenance(), "device": "cpu"}
    rows = json.loads(out.read_text()) if out and out.exists() else []
    for name in data:
        for method in objective or ["mmjsd"]:
            for seed in range(splits):
                config = Config.make("quick", data=name, objective=method, steps=steps, seed=seed, device="cpu")
                rows.append(row := made_by | measure(config, draws))
                print({key: value for key, value in row.items() if key not in (*made_by, "calibration")})
                print("calibration:", row["calibration"]["slope"], row["calibration"]["intercept"], flush=True)
                if out:
                    write_json(out, rows)


if __name__ == "__main__":
    typer.run(main)
