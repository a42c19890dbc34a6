"""The samplers of a trained model, fitted once to codes of its training items and kept in the run folder.

samplers.safetensors holds the posteriors of the items, the mixtures and the flow; its note says what they were fitted
to, and how likely codes of other training items are.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.missing import as_configured
from workbench.data.tensors import below, keep_tensors, read_tensors
from workbench.device import usual_torch
from workbench.distributions import FAMILIES, Diagonal
from workbench.errors import did_you_mean
from workbench.files import CURE, damage
from workbench.metrics.encode import encode_rows, posterior_of
from workbench.metrics.samplers.densities import COMPONENTS, Flow, Gmm
from workbench.metrics.samplers.draws import Densities, Exemplar, Prior, Sampler
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.paths import read_or_made
from workbench.runs.run import Run

SAMPLERS = ("prior", "exemplar", "gmm", "flow")
NAME = "samplers.safetensors"
ITEMS = 10_000  # training items that are encoded
HELD_OUT = 10  # one of so many is not fitted to, but tells how good the fit is
FEWEST = 20  # items
PARAMETERS = attrgetter("mean"), attrgetter("logvar")
Nats = dict[str, dict[str, float]]  # by sampler, and by "content" or the letter of the modality whose style it is


@dataclass(frozen=True, eq=False)
class Samplers:
    """All samplers of a model by name: `samplers["gmm"]`; ValueError on an unknown one."""

    prior: Prior
    exemplar: Exemplar
    gmm: Densities
    flow: Densities
    held_out: Nats  # mean log-density of codes of training items that nothing was fitted to

    def __getitem__(self, name: str) -> Sampler:
        if name not in SAMPLERS:
            raise ValueError(f"unknown sampler {name!r}{did_you_mean(name, SAMPLERS)}")
        return getattr(self, name)


def samplers_of(
    run: Run,
    train: MultimodalDataset | None = None,
    weights: Path | None = None,
    components: int | str = COMPONENTS,
    items: int = ITEMS,
    seed: int = 0,
) -> Samplers:
    """The samplers of a trained run: read from its folder, or fitted to its training data and kept there.

    `train` is the training part of a run on arrays of one's own. `weights` are those of a snapshot, whose samplers are
    not kept; `components` is the number of each mixture's, or "bic". Deterministic in the seed. Raises ValueError or
    DataError, in one sentence, where samplers have to be fitted and the data is not there.
    """
    path, model = weights or run.folder / "model.safetensors", run.model_at(weights) if weights else run.model
    asked = {"weights": f"{zlib.crc32(path.read_bytes()):08x}", "components": components, "items": items, "seed": seed}

    def make() -> Samplers:
        data = run.dataset("train") if train is None else as_configured(train, run.config)
        made = fit_samplers(model, data, run.config, components, items, seed)
        if not weights:
            _keep(run.folder / NAME, made, asked)
        return made

    if weights:
        return make()
    busy = f"waiting: another process is fitting the samplers of {run.folder}"
    return read_or_made(run.folder / NAME, lambda: _read(run.folder / NAME, model, asked), make, busy)


@usual_torch()
def fit_samplers(
    model: MultimodalVAE,
    train: MultimodalDataset,
    config: Config,
    components: int | str = COMPONENTS,
    items: int = ITEMS,
    seed: int = 0,
) -> Samplers:
    """Fit all samplers of a model to items of its training split; contents are inferred as the method does it first.

    ValueError for fewer than FEWEST items.
    """
    fitted, rest = fitted_rows(train, items, seed)
    if len(fitted) + len(rest) < FEWEST:
        few = f"{train.name} has {len(fitted) + len(rest)}"
        raise ValueError(f"samplers need at least {FEWEST} training items, and {few}: give it more")
    exemplar, held = (_exemplar(model, train, rows, config, seed) for rows in (fitted, rest))
    gmm = _densities(exemplar, lambda codes, _: Gmm.fit(codes, components, seed))
    bases = iter([gmm.content, *gmm.styles])
    flow = _densities(exemplar, lambda _, posterior: Flow.fit(next(bases), posterior, seed))
    prior = Prior.of(model)
    return Samplers(prior, exemplar, gmm, flow, _held_out(model, {"gmm": gmm, "flow": flow}, held))


def fitted_rows(
    train: MultimodalDataset, items: int = ITEMS, seed: int = 0
) -> tuple[Int[Tensor, "fitted"], Int[Tensor, "rest"]]:
    """Rows of the training items that samplers are fitted to, in random order, and of those held out."""
    once = train.first_repeat().cpu()
    rows = once[torch.randperm(len(once), generator=torch.Generator().manual_seed(seed))[:items]]
    return rows[len(rows) // HELD_OUT :], rows[: len(rows) // HELD_OUT]


def _exemplar(
    model: MultimodalVAE, train: MultimodalDataset, rows: Int[Tensor, "rows"], config: Config, seed: int
) -> Exemplar:
    """Posteriors of some training items; the style of what an item lacks is the prior's."""
    device = next(model.parameters()).device
    encoded = encode_rows(model, train.to(device), rows.to(device), torch.Generator(device).manual_seed(seed))
    everything, (fusion, *_) = range(len(model.modalities)), METHODS[config.objective].inference
    content = posterior_of(model, encoded, everything, fusion, config.prior_weight)
    present = torch.cat([q.present for q, _ in encoded], dim=1)
    style = [torch.cat([x(q.style) for q, _ in encoded], dim=1) * present.unsqueeze(-1) for x in PARAMETERS]
    found = torch.stack([x(content) for x in PARAMETERS]), torch.stack(style), present
    return Exemplar(*(x.cpu().float() for x in found[:2]), present.cpu(), config.posterior)


def _densities(exemplar: Exemplar, fit: Callable[[Tensor, Diagonal], Gmm | Flow]) -> Densities:
    """Fit a density to the contents, by one draw of each or their posteriors, and one to the styles that items have."""
    codes, styles = exemplar.once(), []
    content = fit(codes.content, exemplar.contents)
    for m, present in enumerate(exemplar.present if exemplar.style.shape[-1] else ()):
        rows = present if present.sum() >= FEWEST else torch.ones_like(present)  # the prior's, of too few
        styles.append(fit(codes.style[m, rows], exemplar.styles[m, rows]))
    return Densities(content, styles, len(exemplar.present))


@torch.no_grad()
def _held_out(model: MultimodalVAE, fitted: dict[str, Densities], held: Exemplar) -> Nats:
    """Mean log-densities of one draw of each held-out item: by the prior, and by what was fitted."""
    content, style = held.once()
    styles = {x: style[m, held.present[m]] for m, x in enumerate(model.letters) if held.style.shape[-1]}
    codes = {"content": content} | {letter: z for letter, z in styles.items() if len(z)}

    def mean_of(densities: dict[str, Any]) -> dict[str, float]:
        return {space: densities[space].log_prob(z).mean().item() for space, z in codes.items()}

    found = {
        "prior": mean_of({space: model.family(torch.zeros_like(z), torch.zeros_like(z)) for space, z in codes.items()})
    }
    for name, one in fitted.items():
        found[name] = mean_of({"content": one.content, **dict(zip(model.letters, one.styles, strict=False))})
    return found


# In a file


def _keep(path: Path, made: Samplers, asked: dict[str, Any]) -> None:
    parts = {"exemplar": made.exemplar, "gmm": made.gmm, "flow": made.flow}
    tensors = {f"{name}.{key}": x for name, part in parts.items() for key, x in part.state_dict().items()}
    keep_tensors(path, tensors, {"asked": json.dumps(asked), "held_out": json.dumps(made.held_out)})


def _read(path: Path, model: MultimodalVAE, asked: dict[str, Any]) -> Samplers | None:
    """What `_keep` wrote; None where it was fitted to other weights or in another way."""
    tensors, note = read_tensors(path)
    with damage(path, CURE, RuntimeError):
        if json.loads(note["asked"]) != asked:
            return None
        family = next(name for name, kind in FAMILIES.items() if kind is model.family)
        exemplar = Exemplar(**below(tensors, "exemplar."), family=family)
        gmm, flow = (_read_densities(below(tensors, f"{name}."), model) for name in ("gmm", "flow"))
        return Samplers(Prior.of(model), exemplar, gmm, flow, json.loads(note["held_out"]))


def _read_densities(tensors: dict[str, Tensor], model: MultimodalVAE) -> Densities:
    spaces = ["content.", *(f"styles.{m}." for m in range(len(model.modalities) if model.style_dim else 0))]
    content, *styles = (_read_density(below(tensors, space)) for space in spaces)
    return Densities(content, styles, len(model.modalities))


def _read_density(tensors: dict[str, Tensor]) -> Gmm | Flow:
    base = below(tensors, "base.")
    if not base:
        return Gmm(**tensors)
    flow = Flow(Gmm(**base))
    flow.load_state_dict(tensors)
    return flow.requires_grad_(False)
