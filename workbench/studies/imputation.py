"""A modality that an item lacks, drawn from a model given those that it has, and how good such draws are.

Several draws of what is missing, instead of one guess, say how sure a guess is (multiple imputation, Rubin 1987). Here
a draw is x ~ p(x | c, s), with the content c ~ q(c | what is given) and the style s ~ p(s).
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.data.own.foreign import as_array
from workbench.data.own.raw import warn
from workbench.distributions import Diagonal, Mixture
from workbench.fusion import relating
from workbench.model import MultimodalVAE

LEVELS = (0.5, 0.8, 0.95)  # shares of the draws that an interval holds
DRAWS = 100
CHUNK = 10_000  # draws that are decoded at a time


@torch.no_grad()
def impute(
    model: MultimodalVAE,
    arrays: Mapping[str, Any],
    target: str,
    draws: int = DRAWS,
    generator: torch.Generator | None = None,
    fusion: str = "mixture",
) -> np.ndarray:
    """Draws of the modality `target` of every item, `[draws, n, *shape]` in its user's units.

    `arrays` are raw ones by name, as `model.infer` takes them, and so is `fusion`; what arrays hold of the target is
    not looked at. The generator is one of the model's device. Raises ValueError on an unknown modality, on items that
    have nothing else, and where there is nothing to draw.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws say nothing: ask for 1 or more")
    place = model.place(target)
    given = {name: raw for name, raw in arrays.items() if model.place(name) != place}
    if not given:
        raise ValueError(f"nothing but {target} is given: name at least one other modality to impute it from")
    if (left := model.unpredicted.get(model.names[place]) or 0) >= 1:
        known = f"of items that were held back in training {left:.0%} of the variance is left"
        warn(target, f"this model imputes it no better than the column means do ({known}): use these, or train another")
    batch = model.batch_of(given)
    content = draw_content(model.infer(batch, None, relating(fusion, given)), draws, generator)
    values = [_draw(model, place, codes, generator) for codes in content.flatten(0, 1).split(CHUNK)]
    drawn = np.asarray(model.modalities[place].encoding.original(torch.cat(values)))
    return drawn.reshape(draws, batch.size, *drawn.shape[1:])


def _draw(
    model: MultimodalVAE, place: int, content: Float[Tensor, "batch content"], generator: torch.Generator | None
) -> Tensor:
    style = model.draw_style(content, generator)[place]
    return model.modalities[place].likelihood.sample(model.decode_one(place, content, style), generator)


@torch.no_grad()
def invent(
    model: MultimodalVAE, content: int | Float[Tensor, "n content"], generator: torch.Generator | None = None
) -> dict[str, Any]:
    """Made-up items, every modality by name in its user's units: s ~ p(s), x ~ p(x | c, s).

    `content` is a number of items, with c ~ p(c), or their contents. Other than `model.generate`, which gives means,
    these are draws: they vary as much as the model says that items do.
    """
    if isinstance(content, Integral):
        weight = next(model.parameters())
        content = model.prior(weight.new_empty((int(content), model.content_dim))).rsample(generator)
    return model.original([_draw(model, place, content, generator) for place in range(len(model.modalities))])


def draw_content(
    posterior: Diagonal | Mixture, draws: int, generator: torch.Generator | None = None
) -> Float[Tensor, "draws batch content"]:
    """Independent draws of every item; of a mixture, each from a component that is drawn by its weight."""
    if isinstance(posterior, Diagonal):
        return posterior.draws(draws, generator)
    chosen = torch.multinomial(posterior.weights.T, draws, replacement=True, generator=generator).T
    each = posterior.components.draws(draws, generator)  # [draws, M, batch, content]
    index = chosen[:, None, :, None].expand(-1, 1, -1, each.shape[-1])
    return each.gather(1, index).squeeze(1)


def intervals(draws: np.ndarray, levels: Sequence[float] = LEVELS) -> np.ndarray:
    """Central intervals of draws `[draws, n, columns]`: `[levels, 2, n, columns]`, lower and upper end.

    Ends lie such that one more draw falls inside with the probability `level`: of D draws the k-th smallest stands at
    k / (D + 1). ValueError on a level outside (0, 1), or too near to 1 for the number of draws.
    """
    count = len(draws)
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"an interval cannot hold a share of {level}: choose one between 0 and 1")
        if (1 - level) / 2 * (count + 1) < 1 - 1e-9:
            needed = math.ceil(2 / (1 - level) - 1 - 1e-9)
            raise ValueError(f"{count} draws are too few for an interval of {level:.0%}: take {needed} or more")
    ends = [[(1 - level) / 2, (1 + level) / 2] for level in levels]
    return np.stack([np.quantile(draws, pair, axis=0, method="weibull") for pair in ends])


def coverage(draws: np.ndarray, truth: Any, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """The share of true entries `[n, columns]` that the intervals of the draws hold, by level; NaN is left out."""
    truth = _table(truth, draws.shape[1:])
    ends = zip(levels, intervals(draws, levels), strict=True)
    return {level: float(((a <= truth) & (truth <= b))[~np.isnan(truth)].mean()) for level, (a, b) in ends}


def quality(draws: np.ndarray, truth: Any, deviations: Any, levels: Sequence[float] = LEVELS) -> dict[str, float]:
    """`rmse` of the draws' mean, their `crps`, what their intervals hold (`held 80 %`) and their widths (`width 80 %`).

    Errors, scores and widths are in standard deviations of the columns.
    """
    numbers = {"rmse": rmse_in_deviations(draws.mean(0), truth, deviations), "crps": crps(draws, truth, deviations)}
    numbers |= {f"held {level:.0%}": share for level, share in coverage(draws, truth, levels).items()}
    ends = zip(levels, intervals(draws, levels), strict=True)
    return numbers | {f"width {level:.0%}": float(((b - a) / np.asarray(deviations)).mean()) for level, (a, b) in ends}


def crps(draws: np.ndarray, truth: Any, deviations: Any) -> float:
    """Continuous ranked probability score of draws `[draws, n, columns]` in standard deviations: less is better.

    E|X - x| - E|X - X'| / 2 over the draws, without the bias of few of them (the "fair" score of Ferro 2014), so that
    methods with other numbers of draws can be compared. Of a single guess, it is the mean absolute error.
    """
    truth, count = _table(truth, draws.shape[1:]), len(draws)
    ordered, ranks = np.sort(draws, axis=0), 2 * np.arange(count) - count + 1
    spread = np.tensordot(ranks, ordered, 1) / max(1, count * (count - 1))  # half the mean difference of two draws
    score = np.abs(draws - truth).mean(0) - spread
    return float(np.nanmean(score / np.asarray(deviations, dtype=float)))


def pinball(draws: np.ndarray, truth: Any, deviations: Any, level: float) -> float:
    """Mean loss of the draws' quantile at a level in (0, 1), in standard deviations (Koenker and Bassett 1978)."""
    if not 0 < level < 1:
        raise ValueError(f"a quantile has no level of {level}: choose one between 0 and 1")
    error = _table(truth, draws.shape[1:]) - np.quantile(draws, level, axis=0, method="weibull")
    return float(np.nanmean(np.maximum(level * error, (level - 1) * error) / np.asarray(deviations, dtype=float)))


def rmse_in_deviations(predicted: Any, truth: Any, deviations: Any) -> float:
    """Root of the mean squared error of entries `[n, columns]`, each in standard deviations of its column.

    Guessing every column's mean scores about 1. Entries whose truth is NaN are left out.
    """
    truth = _table(truth, np.shape(predicted))
    errors = (np.asarray(predicted, dtype=float) - truth) / np.asarray(deviations, dtype=float)
    return float(np.sqrt(np.nanmean(errors**2)))


def _table(truth: Any, shape: tuple[int, ...]) -> np.ndarray:
    truth = np.asarray(as_array(truth), dtype=float)  # what is masked is NaN
    if truth.shape != tuple(shape):
        raise ValueError(f"the truth has shape {truth.shape}, what was imputed {tuple(shape)}: give the same items")
    if np.isnan(truth).all():
        raise ValueError("no entry of the truth is known, all are NaN: there is nothing to compare with")
    return truth
