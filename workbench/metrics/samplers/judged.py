"""What samplers are worth: agreement, quality and variety of what is decoded from their codes, and whether they copy.

A copy lies nearer to a training item than any new item does. So distances of random items to the nearest training item
are set beside those of test items (Meehan et al. 2020): `nearer` is the share of pairs of a random and a test item in
which the random one is the nearer, 1/2 where they are alike. It is told of contents, each against one draw of the
training items', and of images by what judges see in them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import mannwhitneyu
from torch import Tensor

from workbench.metrics.features import FeatureSet
from workbench.metrics.generation import JudgedSet, Judges, judge_drawn
from workbench.metrics.quality import frechet_error
from workbench.metrics.samplers.draws import Sampler
from workbench.metrics.samplers.fitted import SAMPLERS, Samplers
from workbench.metrics.scores import Score
from workbench.model import MultimodalVAE

AT_A_TIME = 1000  # points whose distances to all others are held at once
ALL = "all"  # the modalities together, where one of them could stand
Table = dict[str, dict[str, dict[str, float]]]  # sampler -> ALL, "content" or a modality's letter -> measure


class Nearness:
    """Distances to the nearest of some training items, compared with those of test items."""

    def __init__(self, train: Float[Tensor, "n d"], test: Float[Tensor, "k d"]) -> None:
        self.train = train
        self.of_test = self.distances(test)

    def distances(self, points: Float[Tensor, "k d"]) -> Float[Tensor, "k"]:
        """Euclidean distance of each point to the nearest training item."""
        return torch.cat([torch.cdist(part, self.train).amin(1) for part in points.split(AT_A_TIME)]).cpu()

    def scores(self, points: Float[Tensor, "k d"]) -> dict[str, float]:
        """Medians of both kinds of distances, and the share of pairs in which the test item is the farther."""
        found = self.distances(points)
        below = 1 - mannwhitneyu(found.numpy(), self.of_test.numpy()).statistic / (len(found) * len(self.of_test))
        medians = {"nearest": found.median().item(), "nearest_of_test": self.of_test.median().item()}
        return medians | {"nearer": float(below)}


def judge_samplers(
    model: MultimodalVAE,
    samplers: Samplers,
    test_contents: Float[Tensor, "k content"],
    panel: Judges | None,
    train_images: Mapping[str, FeatureSet],
    score: Score,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Table, Table]:
    """Numbers of every sampler, from as many random items as there are test items, and standard errors of some.

    `test_contents` are a draw from each test item's posterior. Without a `panel` of judges, which a user's own data has
    none of, what is said is of codes alone. `train_images` are those that the samplers were fitted to.
    """
    contents = Nearness(samplers.exemplar.once().content, test_contents)
    images = {x: Nearness(of.features, panel.real[x].features) for x, of in train_images.items()} if panel else {}
    found: Table = {}
    errors: Table = {}
    for name in SAMPLERS:
        sampler, items = samplers[name], len(test_contents)
        drawn = sampler.draw(items, torch.Generator().manual_seed(seed)).content
        found[name], errors[name] = {"content": contents.scores(drawn)}, {}
        for space, nats in samplers.held_out.get(name, {}).items():
            found[name].setdefault(space, {})["held_out" if space == "content" else "style_held_out"] = nats
        if panel:
            look = judge_drawn(model, panel, items, _decoded(model, sampler, seed))
            _add(found[name], _of_items(look, images, score))
            errors[name] = _errors(look, found[name])
        tick()
    return found, errors


def _decoded(model: MultimodalVAE, sampler: Sampler, seed: int) -> Callable[[int], tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return lambda count: model.generate(*sampler.draw(count, generator))


def _of_items(look: JudgedSet, images: Mapping[str, Nearness], score: Score) -> dict[str, dict[str, float]]:
    judged = look.judged
    found: dict[str, dict[str, float]] = {ALL: score.agreement([*judged.values()])}
    _add(found, {letter: {"variety": score.variety(x)} for letter, x in judged.items()})
    _add(found, look.quality())
    return _add(found, {letter: near.scores(look.images[letter].features) for letter, near in images.items()})


def _errors(look: JudgedSet, found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Standard errors over other draws, of the shares that agree and of Fréchet distances."""
    items = len(next(iter(look.judged.values())))
    errors = {ALL: {name: math.sqrt(x * (1 - x) / items) for name, x in found[ALL].items() if name == "all_agree"}}
    return errors | {
        letter: {"fid": frechet_error(look.panel.real[letter].statistics, of)} for letter, of in look.images.items()
    }


def _add(table: dict[str, dict[str, float]], more: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    for key, row in more.items():
        table.setdefault(key, {}).update(row)
    return table
