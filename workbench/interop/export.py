"""A trained model as files that run without this package: encoders and decoders as programs of `torch.export`.

    model.json             names, shapes, units, encodings, how posteriors are fused, versions
    0_labs_encoder.pt2     values [batch, ...] -> mean, logvar [batch, content]; style_mean, style_logvar [batch, style]
    0_labs_decoder.pt2     code [batch, style + content], the style first -> mean of the likelihood [batch, ...]

Tables of numbers go in and come out as float64 in the units of their users: the standardisation and the reading of NaN,
a missing entry, are inside. Images are float32 in [0, 1], channels first; text and categories are int64 tokens, whose
characters or levels stand in model.json. A row of only NaN, or of only negative tokens, is an item that lacks the
modality, and what the encoder says of it is to be ignored. The batch may have any size from one on.

    encode = torch.export.load("exported/0_labs_encoder.pt2").module()
    mean, logvar, style_mean, style_logvar = encode(torch.from_numpy(table))

Loading needs torch alone, of the version in model.json: torch does not promise that later ones read its files (where
they do not, the run is exported again). Weights are stored as plain bytes, but `torch.export.load` unpickles whatever
a file says is a pickle: load only files from those whom you trust.
ONNX is left out: torch's exporter to it needs the packages onnx and onnxscript, and no installation of this one has
them. `torch.onnx.export(torch.export.load(file))` makes one of the other where they are there.

Posteriors are fused by hand, as FORMULAS says, from the means and variances exp(logvar) of what is given. In numpy, the
dynamic prior of mmJSD from `mean` and `logvar` [M, batch, content] and `present` [M, batch], True or False:

    weights = present * (1 - prior_weight) / len(present)
    total = weights.sum(0) + prior_weight
    precisions = weights[..., None] / total[:, None] * np.exp(-logvar)
    precision = prior_weight / total[:, None] + precisions.sum(0)
    fused_mean, fused_logvar = (precisions * mean).sum(0) / precision, -np.log(precision)
"""

import copy
import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import workbench
from workbench import likelihoods
from workbench.config import Config
from workbench.data.alphabet import ALPHABET
from workbench.data.own.encodings import Text
from workbench.data.own.tables import Table, Vector
from workbench.modality import Modality
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.runs.run import Run

NAME, FORMAT = "model.json", "workbench model, exported"
FORMULAS = {
    "product": "p(c) = N(0, 1) is one more expert: precision = 1 + sum_m 1 / var_m, mean = sum_m (mean_m / var_m) / "
    "precision",
    "product_alone": "precision = sum_m 1 / var_m, mean = sum_m (mean_m / var_m) / precision",
    "dynamic_prior": "weights w_0 = prior_weight of p(c) = N(0, 1), w_m = (1 - prior_weight) / M of each that is given "
    "divided by their sum: precision = w_0 + sum_m w_m / var_m, mean = sum_m (w_m mean_m / var_m) / precision",
    "mixture": "the posteriors of all that are given, equally weighted",
    "mixture_of_products": "product_alone of every non-empty subset of what is given, equally weighted",
}
# What goes into an encoder, and what comes out of a decoder, by the kind of the encoding.
UNITS = {
    "image": ("pixels in [0, 1], channels first", "pixels in [0, 1], channels first"),
    "vector": ("numbers as they were given, NaN where missing", "numbers as they were given"),
    "binary": ("0 and 1, NaN where missing", "probabilities of 1"),
    "counts": ("counts, NaN where missing", "expected counts"),
    "categories": ("places in the levels of each column, -1 where missing", "probabilities of the levels"),
    "text": ("places in the alphabet, filled to the length", "probabilities of the characters"),
}
OWN_UNITS = ("values of the encoding", "mean of the likelihood")


class Encoder(nn.Module):
    """A modality's encoder with its heads, and the standardisation of tables."""

    def __init__(self, model: MultimodalVAE, m: int) -> None:
        super().__init__()
        self.encoder, self.heads = model.encoders[m], model.heads[m]
        self.units = Units(model.modalities[m])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and log-variance of the content, and of the style."""
        missing = x.isnan() if x.is_floating_point() else x < 0
        lacking = missing.flatten(1).all(1).view(-1, *[1] * (x.dim() - 1))
        if x.is_floating_point():
            x = self.units.standardised(x).float()
        content, style = self.heads(self.encoder(torch.where(lacking, torch.zeros_like(x), x)))
        return content.mean, content.logvar, style.mean, style.logvar


class Decoder(nn.Module):
    """A modality's decoder and the mean of its likelihood, for tables in the units of their users."""

    def __init__(self, model: MultimodalVAE, m: int) -> None:
        super().__init__()
        self.decoder = model.decoders[m]
        self.likelihood = model.modalities[m].likelihood
        self.units = Units(model.modalities[m])

    def forward(self, code: Float[Tensor, "batch code"]) -> Tensor:
        """The mean of p(x | code)."""
        return self.units.original(self.likelihood.mean(self.decoder(code)))


class Units(nn.Module):
    """The units of a modality's users: those of tables are float64, and of vectors not standardised."""

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        encoding = modality.encoding
        self.table = isinstance(encoding, Table)
        self.vector = isinstance(encoding, Vector)
        if self.vector:
            self.register_buffer("mean", torch.tensor(encoding.mean, dtype=torch.float64))
            self.register_buffer("scale", torch.tensor(encoding.scale, dtype=torch.float64))

    def standardised(self, x: Tensor) -> Tensor:
        """Values of the encoding, of numbers as users have them."""
        return (x - self.mean) / self.scale if self.vector else x

    def original(self, x: Tensor) -> Tensor:
        """Numbers as users have them, of values of the encoding."""
        x = x.double() if self.table else x
        return x * self.scale + self.mean if self.vector else x


def export(run_or_model: Run | MultimodalVAE, folder: str | Path) -> Path:
    """Write encoders, decoders and model.json to a folder, all of them or none; returns the folder.

    An earlier export in the folder is replaced. Raises ValueError on a folder that holds anything else, and on networks
    that torch.export cannot trace. A model alone does not know its objective: model.json then names no fusion.
    """
    folder, model = Path(folder).expanduser(), run_or_model
    run = model if isinstance(model, Run) else None
    _check_free(folder)
    model = copy.deepcopy(run.model if run else model).cpu().float().to(memory_format=torch.contiguous_format).eval()
    with _replacing_folder(folder) as made:
        told = _told(model, run)
        for m, entry in enumerate(told["modalities"]):
            values = _example(model.modalities[m])
            code = torch.zeros(2, model.style_dim + model.content_dim)
            _save(Encoder(model, m), values, made / entry["encoder"]["file"], f"encoder of {entry['name']!r}")
            _save(Decoder(model, m), code, made / entry["decoder"]["file"], f"decoder of {entry['name']!r}")
        (made / NAME).write_text(json.dumps(told, indent=1) + "\n")
    return folder


def _example(modality: Modality) -> Tensor:
    """Two items of zeros as an exported encoder takes them."""
    values = modality.item.zeros
    values = values.double() if isinstance(modality.encoding, Table) else values
    return values.repeat(2, *[1] * (values.dim() - 1))


@torch.no_grad()
def _save(network: nn.Module, example: Tensor, path: Path, told: str) -> None:
    batch = torch.export.Dim("batch", min=1)
    try:
        program = torch.export.export(network.eval(), (example,), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever the tracing of somebody's own network may raise
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"the {told} cannot be exported, torch.export says: {reason}") from error
    torch.export.save(program, path)


def _told(model: MultimodalVAE, run: Run | None) -> dict[str, Any]:
    """What model.json holds."""
    versions = {"workbench": workbench.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return {
        "format": FORMAT,
        "versions": versions,
        "content_dim": model.content_dim,
        "style_dim": model.style_dim,
        "code": ["style", "content"],
        "posterior": model.family.__name__.lower(),
        "prior": "mean 0, variance 1, of content and styles",
        "fusion": _fusion(run.config, len(model.modalities)) if run else None,
        "run": run.read("config.json") if run else None,
        "modalities": [_modality(modality, m, model) for m, modality in enumerate(model.modalities)],
    }


def _fusion(config: Config, count: int) -> dict[str, Any]:
    """Posteriors of subsets of the method, its own first, with their formulas."""
    weight = 1 / (count + 1) if config.prior_weight is None else config.prior_weight
    inference = {fusion: FORMULAS[fusion] for fusion in METHODS[config.objective].inference}
    return {"objective": config.objective, "inference": inference, "prior_weight": weight}


def _modality(modality: Modality, m: int, model: MultimodalVAE) -> dict[str, Any]:
    encoding = modality.encoding
    file = f"{m}_{re.sub(r'[^A-Za-z0-9-]+', '_', modality.name)}"
    values, means = UNITS.get(encoding.kind, OWN_UNITS) if encoding else OWN_UNITS
    dtype = str(_example(modality).dtype).removeprefix("torch.")
    code = model.style_dim + model.content_dim
    outputs = ["mean", "logvar", "style_mean", "style_logvar"]
    return {
        "name": modality.name,
        "letter": modality.letter,
        "encoding": encoding.to_json() if encoding else None,
        "alphabet": ALPHABET if isinstance(encoding, Text) else None,
        "likelihood": likelihoods.name_of(modality.likelihood),
        "encoder": {
            "file": f"{file}_encoder.pt2",
            "input": {"shape": ["batch", *modality.shape], "dtype": dtype, "units": values},
            "outputs": outputs,
        },
        "decoder": {
            "file": f"{file}_decoder.pt2",
            "input": {"shape": ["batch", code], "dtype": "float32", "units": "style, then content"},
            "output": means,
        },
    }


def _check_free(folder: Path) -> None:
    """ValueError where there is something in a folder's place that no export left there."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    kept = folder / NAME
    if not (kept.is_file() and f'"{FORMAT}"' in kept.read_text()):
        raise ValueError(f"{folder} holds something else than an exported model: choose another folder")


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `folder` when the block ends well, and vanishes if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        if folder.exists():
            os.replace(folder, Path(scratch) / "before")
        os.replace(made, folder)
