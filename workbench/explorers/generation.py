"""What a model makes of one item, as an explorer asks for it: any modalities given, any posterior, styles by hand.

Nothing here knows of widgets. An item is a dictionary from a modality's letter to one value without a batch dimension:
an image `[C, H, W]` in [0, 1] or tokens `[length]`. Modalities that it lacks are not given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.data.dataset import Batch
from workbench.distributions import Diagonal, stratified_choice
from workbench.explorers.models import ExploredModel
from workbench.explorers.subjects import Kind
from workbench.fusion import mixture_weights
from workbench.inference import subset_posterior
from workbench.metrics.samplers import Codes, Samplers, at_temperature, fit_samplers, samplers_of
from workbench.model import Posteriors
from workbench.objectives import METHODS
from workbench.runs.shipped import embedded

POSTERIORS = {"mixture": "mixture", "dynamic prior": "dynamic_prior", "product": "product"}  # as shown: in `fusion`
SAMPLED = {"p(c)": "prior", "training items": "exemplar", "a mixture of Gaussians": "gmm", "a flow": "flow"}
SHIPPED_ITEMS = 2000  # that samplers are fitted to of a model that comes with the project, so that nobody waits long
REACH = 2.0  # standard deviations of p(s) between which the effect of a style is measured
CONTENTS = 64  # draws from p(c) that it is a mean over
MANY = 8  # style dimensions from which it is a mean over a few only, and styles are drawn rather than set one by one
FEW = 8
Item = Mapping[str, Tensor]


def own_posterior(explored: ExploredModel) -> str:
    """Return the fusion that a model's method infers with, the paper's first: one of `fusion.FUSIONS`."""
    return METHODS[explored.config.objective].inference[0]


@dataclass(frozen=True)
class GenerationSettings:
    """How to generate."""

    fusion: str = "mixture"  # one of `fusion.FUSIONS`
    temperature: float = 1.0  # of the content: 0 is the posterior's mean, 1 its own spread
    styles: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by letter; others are at the prior's mean
    draws: int = 6
    seed: int = 0
    style_seed: int | None = None  # of a style from p(s) for each draw and modality, in place of `styles`
    sampler: str = "prior"  # what contents and random styles are drawn from where nothing is given


@dataclass(frozen=True)
class Generated:
    """Draws of every modality, by letter, and what the judges say: probabilities of classes or attributes."""

    values: dict[str, Tensor]  # [draws, ...]: pixels, or probabilities of characters
    opinions: dict[str, Float[Tensor, "draws K"]]
    origins: list[str]  # for each draw, whose posterior its content came from: letters, or "p(c)"


@torch.no_grad()
def generate(explored: ExploredModel, item: Item, settings: GenerationSettings) -> Generated:
    """Generate all modalities, given some: `settings.draws` contents from the item's posterior, decoded with styles.

    Nothing given means the sampler. ValueError for a modality, a fusion or a sampler that there is not.
    """
    if settings.sampler != "prior" and not item:
        codes = random_codes(explored, settings.sampler, settings.draws, settings.seed, settings.temperature)
        origins = [settings.sampler] * settings.draws
        return decode(explored, codes.content, settings.styles, origins, settings.style_seed, settings.sampler)
    q, origins = posterior(explored, item, settings.fusion, settings.draws)
    content = at_temperature(q, settings.temperature, torch.Generator().manual_seed(settings.seed))
    return decode(explored, content, settings.styles, origins, settings.style_seed)


def from_prior(explored: ExploredModel, *shape: int, seed: int = 0) -> Tensor:
    """Draw codes from the prior, contents or styles, in the shape given."""
    return explored.model.prior(torch.zeros(shape)).rsample(torch.Generator().manual_seed(seed))


@lru_cache(maxsize=8)
def samplers(explored: ExploredModel) -> Samplers:
    """What random codes of a model are drawn from: a run's own, kept in its folder.

    Of a model that comes with the project they are fitted to training items of its test items' data.
    """
    if explored.run:
        return samplers_of(explored.run)
    return fit_samplers(explored.model, embedded(explored.data.name, "train"), explored.config, items=SHIPPED_ITEMS)


def random_codes(explored: ExploredModel, sampler: str, count: int, seed: int = 0, temperature: float = 1.0) -> Codes:
    """Draw contents and styles of random items; from the prior, each kind with the noise of the seed."""
    if sampler != "prior":
        return samplers(explored)[sampler].draw(count, torch.Generator().manual_seed(seed), temperature)
    shapes = (count, explored.model.content_dim), (len(explored.letters), count, explored.model.style_dim)
    return Codes(*(temperature * from_prior(explored, *shape, seed=seed) for shape in shapes))


@torch.no_grad()
def decode(
    explored: ExploredModel,
    content: Float[Tensor, "draws content"],
    styles: Mapping[str, Sequence[float]],
    origins: Sequence[str] = (),
    style_seed: int | None = None,
    sampler: str = "prior",
) -> Generated:
    """Decode contents into every modality with one style each, and judge them; with a seed, each in a random style."""
    style = content.new_zeros(len(explored.letters), len(content), explored.model.style_dim)
    if style_seed is not None:
        style = random_codes(explored, sampler, len(content), style_seed).style
    for letter, values in styles.items():
        style[explored.index(letter)] = torch.tensor(values, dtype=style.dtype)
    values = explored.model.generate(content, style)
    opinions = [explored.subject.opinions(j.network(x)) for j, x in zip(explored.judges, values, strict=True)]
    by_letter = (dict(zip(explored.letters, each, strict=True)) for each in (values, opinions))
    return Generated(*by_letter, list(origins))


@torch.no_grad()
def posterior(explored: ExploredModel, item: Item, fusion: str, draws: int = 1) -> tuple[Diagonal, list[str]]:
    """Return the distribution that each draw's content comes from `[draws, content]`, and whose posterior that is.

    The draws of a mixture are split among its components evenly, in the order of the modalities.
    """
    given = [m for m, letter in enumerate(explored.letters) if letter in item]
    encoded = encode(explored, item, draws)
    if not given:
        return explored.model.prior(encoded.content.mean[0]), ["p(c)"] * draws
    q = subset_posterior(explored.model, encoded, given, fusion, explored.config.prior_weight)
    if fusion != "mixture":
        return q, [explored.model.called.title(given)] * draws
    return q, [explored.letters[m] for m in stratified_choice(mixture_weights(encoded.present)).tolist()]


def encode(explored: ExploredModel, item: Item, copies: int = 1) -> Posteriors:
    """Encode one item, `copies` times; posteriors of modalities that are not given are marked absent."""
    return encode_items(explored, [item] * copies)


@torch.no_grad()
def encode_items(explored: ExploredModel, items: Sequence[Item]) -> Posteriors:
    """Encode several items, each of which may lack other modalities."""
    for letter in {letter for item in items for letter in item}:
        explored.index(letter)  # an unknown one is refused
    values = []
    for letter, shape in zip(explored.letters, explored.data.shapes, strict=True):
        nothing = torch.zeros(shape, dtype=torch.float if len(shape) == 3 else torch.long)  # an image, or text
        values.append(torch.stack([item.get(letter, nothing) for item in items]))
    present = torch.tensor([[letter in item for item in items] for letter in explored.letters])
    return explored.model.encode(Batch(tuple(values), present, torch.zeros(len(items), dtype=torch.long)))


@torch.no_grad()
def style_effects(explored: ExploredModel, letter: str) -> list[float]:
    """Measure how much each style dimension of a modality changes what is generated, in its order.

    The mean absolute change of a pixel, or of a character's probability, between REACH standard deviations below and
    above the prior's mean, other styles at the mean: a mean over CONTENTS draws from p(c), always the same ones, or
    over FEW where there are more than MANY dimensions.
    """
    m, model = explored.index(letter), explored.model
    contents = FEW if model.style_dim > MANY else CONTENTS
    content = from_prior(explored, contents, model.content_dim)
    effects = []
    for dim in range(model.style_dim):
        style = content.new_zeros(contents, model.style_dim)
        style[:, dim] = REACH
        high, low = (model.modalities[m].likelihood.mean(model.decode_one(m, content, s)) for s in (style, -style))
        effects.append((high - low).abs().mean().item())
    return effects


def test_row(explored: ExploredModel, kind: Kind, number: int = 0) -> int:
    """Return the row of the `number`-th test item of a kind; beyond the last they begin again.

    ValueError when there is no such item.
    """
    rows = explored.subject.rows(explored.data.labels, kind)
    if len(rows) == 0:
        raise ValueError(f"none of the {len(explored.data.labels)} test items of {explored.data.name} is {kind!r}")
    return int(rows[number % len(rows)])


def test_item(explored: ExploredModel, kind: Kind, number: int = 0) -> dict[str, Tensor]:
    """Return the `number`-th test item of a kind, class or attribute, in all modalities; errors as `test_row`'s."""
    row = torch.tensor([test_row(explored, kind, number)])
    values = explored.data.batch(row, torch.Generator().manual_seed(number)).values
    return {letter: x[0] for letter, x in zip(explored.letters, values, strict=True)}
