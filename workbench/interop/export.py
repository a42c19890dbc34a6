"""A trained model as files that run without this package: encoders and decoders as programs of `torch.export`.

    model.json             names, shapes, encodings, how posteriors are fused, versions
    0_labs_encoder.pt2     values [batch, ...] -> mean, logvar [batch, content]; style_mean, style_logvar [batch, style]
    0_labs_decoder.pt2     code [batch, style + content], the style first -> mean of the likelihood [batch, ...]

Tables of numbers go in and come out as float64 in the units of their users: the standardisation and the reading of NaN,
a missing entry, are inside. Images are float32 in [0, 1], channels first; text and categories are int64 tokens, places
in the alphabet or the levels of model.json, whose probabilities come out. A row of only NaN, or of only negative
tokens, is an item that lacks the modality: what the encoder says of it is to be ignored. A batch has any size from one.

    encode = torch.export.load("exported/0_labs_encoder.pt2").module()
    mean, logvar, style_mean, style_logvar = encode(torch.from_numpy(table))

Loading needs torch alone, of the version in model.json: torch does not promise that later ones read its files (where
they do not, the run is exported again). Weights are stored as plain bytes, but `torch.export.load` unpickles whatever
a file says is a pickle: load only files from those whom you trust. ONNX is left out: torch's exporter to it needs the
packages onnx and onnxscript. `torch.onnx.export(torch.export.load(file))` makes one of the other where they are there.

Posteriors are fused by hand. With w [M, batch], zero for what an item lacks, and w_0 [batch] of p(c) = N(0, 1), both as
WEIGHTS has them, `mean` and `logvar` [M, batch, content] become

    precisions = w[..., None] * np.exp(-logvar)
    precision = w_0[:, None] + precisions.sum(0)
    fused_mean, fused_variance = (precisions * mean).sum(0) / precision, 1 / precision
"""

import copy
import io
import platform
import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import workbench
from workbench import likelihoods
from workbench.data.alphabet import ALPHABET
from workbench.data.own.encodings import Text
from workbench.data.own.tables import Table, Vector
from workbench.files import replacing_folder, write_bytes, write_json
from workbench.modality import Modality
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.runs.run import Run

NAME, FORMAT = "model.json", "workbench model, exported"
WEIGHTS = {
    "product": "w_0 = w_m = 1",
    "product_alone": "w_0 = 0, w_m = 1",
    "dynamic_prior": "w_0 = prior_weight, w_m = (1 - prior_weight) / M, divided by their sum",
    "mixture": "of what is given each alone, equally weighted",
    "mixture_of_products": "product_alone of every non-empty subset of what is given, equally weighted",
    "wasserstein": "mean and standard deviation averaged over what is given",
    "mixture_of_wasserstein": "wasserstein of every non-empty subset of what is given, equally weighted",
    "holder": "(sum_m q_m^(1/2) / M)^2 of what is given, normalised: each q_m, and 2 (q_i q_j)^(1/2) of every pair",
    "hellinger": "the Gaussian with mean and variances of holder",
}
OUTPUTS = ["mean", "logvar", "style_mean", "style_logvar"]


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
            x = ((x - self.units.mean) / self.units.scale).float()
        content, style = self.heads(self.encoder(torch.where(lacking, torch.zeros_like(x), x)))
        return content.mean, content.logvar, style.mean, style.logvar


class Decoder(nn.Module):
    """A modality's decoder and the mean of its likelihood, for tables in the units of their users."""

    def __init__(self, model: MultimodalVAE, m: int) -> None:
        super().__init__()
        self.decoder, self.likelihood = model.decoders[m], model.modalities[m].likelihood
        self.units = Units(model.modalities[m])

    def forward(self, code: Float[Tensor, "batch code"]) -> Tensor:
        """The mean of p(x | code)."""
        mean = self.likelihood.mean(self.decoder(code))
        return mean.to(self.units.dtype) * self.units.scale + self.units.mean


class Units(nn.Module):
    """The units of a modality's users: tables are float64, vectors not standardised."""

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        encoding = modality.encoding
        mean, scale = (encoding.mean, encoding.scale) if isinstance(encoding, Vector) else (0.0, 1.0)
        self.dtype = torch.float64 if isinstance(encoding, Table) else torch.float32
        self.register_buffer("mean", torch.tensor(mean, dtype=self.dtype))
        self.register_buffer("scale", torch.tensor(scale, dtype=self.dtype))


def export(run_or_model: Run | MultimodalVAE, folder: str | Path) -> Path:
    """Write encoders, decoders and model.json to a folder, all of them or none; returns the folder.

    An earlier export in the folder is replaced. Raises ValueError on a folder that holds anything else, and on networks
    that torch.export cannot trace. A model alone does not know its objective: model.json then names no fusion.
    """
    folder, model = Path(folder).expanduser(), run_or_model
    run = model if isinstance(model, Run) else None
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not free and not ((folder / NAME).is_file() and f'"{FORMAT}"' in (folder / NAME).read_text(encoding="utf-8")):
        raise ValueError(f"{folder} holds something else than an exported model: choose another folder")
    model = copy.deepcopy(run.model if run else model).cpu().float().to(memory_format=torch.contiguous_format).eval()
    with replacing_folder(folder) as made:
        content = _described(model, run)
        for m, entry in enumerate(content["modalities"]):
            code = torch.zeros(2, model.style_dim + model.content_dim)
            values = _example(model.modalities[m])
            for kind, network, example in (("encoder", Encoder, values), ("decoder", Decoder, code)):
                _save(network(model, m), example, made / entry[kind]["file"], f"{kind} of {entry['name']!r}")
        write_json(made / NAME, content)
    return folder


def _example(modality: Modality) -> Tensor:
    """Two items of zeros as an exported encoder takes them."""
    values = modality.item.zeros
    values = values.double() if isinstance(modality.encoding, Table) else values
    return values.repeat(2, *[1] * (values.dim() - 1))


@torch.no_grad()
def _save(network: nn.Module, example: Tensor, path: Path, name: str) -> None:
    batch = torch.export.Dim("batch", min=1)
    try:
        program = torch.export.export(network.eval(), (example,), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever the tracing of somebody's own network may raise
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"the {name} cannot be exported, torch.export says: {reason}") from error
    stream = io.BytesIO()  # a full disk would end the interpreter in the middle of torch's own writing
    torch.export.save(program, stream)
    write_bytes(path, stream.getvalue())


def _described(model: MultimodalVAE, run: Run | None) -> dict[str, Any]:
    """What model.json holds; of the posteriors of subsets the method's own comes first."""
    versions = {"workbench": workbench.__version__, "torch": torch.__version__, "python": platform.python_version()}
    fusion = None
    if run:
        weight = run.config.prior_weight
        weight = 1 / (len(model.modalities) + 1) if weight is None else weight
        inference = {fusion: WEIGHTS[fusion] for fusion in METHODS[run.config.objective].inference}
        fusion = {"objective": run.config.objective, "inference": inference, "prior_weight": weight}
    return {
        "format": FORMAT,
        "versions": versions,
        "content_dim": model.content_dim,
        "style_dim": model.style_dim,
        "posterior": model.family.__name__.lower(),
        "fusion": fusion,
        "run": run.read("config.json") if run else None,
        "modalities": [_modality(modality, m, model) for m, modality in enumerate(model.modalities)],
    }


def _modality(modality: Modality, m: int, model: MultimodalVAE) -> dict[str, Any]:
    encoding, code = modality.encoding, model.style_dim + model.content_dim
    file = f"{m}_{re.sub(r'[^A-Za-z0-9-]+', '_', modality.name)}"
    values = {"shape": ["batch", *modality.shape], "dtype": str(_example(modality).dtype).removeprefix("torch.")}
    return {
        "name": modality.name,
        "letter": modality.letter,
        "encoding": encoding.to_json() if encoding else None,
        "alphabet": ALPHABET if isinstance(encoding, Text) else None,
        "likelihood": likelihoods.name_of(modality.likelihood),
        "encoder": {"file": f"{file}_encoder.pt2", "input": values, "outputs": OUTPUTS},
        "decoder": {"file": f"{file}_decoder.pt2", "input": {"shape": ["batch", code], "dtype": "float32"}},
    }
