"""Latents of a data set as a table: what a trained model makes of every item, one row each, for other programs.

    label, or label_NAME                      class or attributes by name, of a labelled data set
    present_labs, ...                         which modalities the item has
    content_mean_0, content_logvar_0, ...     the content's posterior given what is there
    labs_style_mean_0, labs_style_logvar_0    the style's posterior of each given modality, NaN where it is absent

The table of a mixture holds the mean and the variance of the whole mixture, not those of a component.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench import paths
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.own.raw import is_pandas
from workbench.distributions import Diagonal, Mixture
from workbench.metrics.encode import at_a_time
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.runs.run import Run

if TYPE_CHECKING:
    import pandas

Columns = dict[str, np.ndarray]


class Reading(NamedTuple):
    """How a posterior is read off a model: given what, fused how."""

    given: Sequence[str]
    fusion: str
    prior_weight: float | None


def latents(
    run_or_model: Run | MultimodalVAE,
    data: Any,
    given: Sequence[str] | None = None,
    fusion: str | None = None,
) -> "pandas.DataFrame":
    """The latents of each item of a MultimodalDataset, or of raw arrays by the name of their modality, as a DataFrame.

    `given` holds names or letters (None: all); `fusion` is one of `fusion.FUSIONS` (None: the run's method's own, as
    its evaluation has it; a mixture for a model alone). An index of frames is kept; of a built-in data set each paired
    item is there once. Content is NaN where an item has none of what is given. Raises ValueError on data that the model
    was not made for, and where pandas is missing.
    """
    pandas = _pandas()
    model = run_or_model.model if isinstance(run_or_model, Run) else run_or_model
    reading = _reading(run_or_model, model, given, fusion)
    if isinstance(data, MultimodalDataset):
        check_encodings(model, data)
        batches, index, labels = _batches(data), None, data
    elif isinstance(data, Mapping):
        index = next((raw.index for raw in data.values() if is_pandas(raw)), None)
        batches, labels = model.batch_of(data).split(at_a_time([m.shape for m in model.modalities])), None
    else:
        raise ValueError(f"{type(data).__name__} holds no items: give a MultimodalDataset or arrays by name")
    parts = [_columns(model, batch, reading, labels) for batch in batches]
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pandas.DataFrame(table, index=index)


def check_encodings(model: MultimodalVAE, data: MultimodalDataset) -> None:
    """ValueError on a data set with other modalities than a model's, or values in other units."""
    if data.modalities != model.names:
        raise ValueError(f"the modalities of the data are {', '.join(data.modalities)}, of the model {model.names}")
    for modality, encoding in zip(model.modalities, data.encodings, strict=True):
        if modality.encoding not in (None, encoding):
            raise ValueError(
                f"{modality.name!r} of {data.name} was fitted to other data than the model's: give the arrays instead, "
                "as in {name: array}"
            )


def _reading(
    source: Run | MultimodalVAE, model: MultimodalVAE, given: Sequence[str] | None, fusion: str | None
) -> Reading:
    places = sorted({model.place(name) for name in model.names if given is None} | {*map(model.place, given or ())})
    if not places:
        raise ValueError(f"nothing is given: name some of {', '.join(model.names)}")
    names = [model.names[m] for m in places]
    if not isinstance(source, Run):
        return Reading(names, fusion or "mixture", None)
    config = source.config
    if fusion is None:
        fusion = METHODS[config.objective].inference[0]
        # as in the evaluation: the prior in it serves to relate several
        fusion = "mixture" if fusion == "dynamic_prior" and len(names) == 1 else fusion
    return Reading(names, fusion, config.prior_weight)


def _batches(data: MultimodalDataset) -> Iterator[Batch]:
    """Each paired item once; what storages draw, such as the places of words, is the same every time."""
    generator = torch.Generator(data.pairs.device).manual_seed(0)
    return (data.batch(rows, generator) for rows in data.first_repeat().split(at_a_time(data.shapes)))


@torch.no_grad()
def _columns(model: MultimodalVAE, batch: Batch, reading: Reading, data: MultimodalDataset | None) -> Columns:
    """The table's columns of a batch."""
    batch = batch.to(next(model.parameters()).device)
    q = model.encode(batch)
    some = (batch.present & model.mask(reading.given, batch.present)).any(0)
    columns = _label_columns(data, batch.labels) if data is not None and data.labelled else {}
    columns |= {f"present_{name}": there.cpu().numpy() for name, there in zip(model.names, batch.present, strict=True)}
    mean, logvar = moments(model.infer(q, reading.given, reading.fusion, reading.prior_weight))
    columns |= _numbered("content", mean, logvar, some)
    for name in reading.given:
        m = model.place(name)
        columns |= _numbered(f"{name}_style", q.style.mean[m], q.style.logvar[m], batch.present[m])
    return columns


def moments(posterior: Diagonal | Mixture) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
    """Mean and logarithm of the variance of a posterior, of a mixture those of the whole."""
    if isinstance(posterior, Diagonal):
        return posterior.mean, posterior.logvar
    mean, weights = posterior.mean(), posterior.weights.unsqueeze(-1)
    spread = (posterior.components.mean - mean) ** 2 + posterior.components.logvar.exp()
    return mean, (weights * spread).sum(0).log()


def _numbered(name: str, mean: Tensor, logvar: Tensor, there: Tensor) -> Columns:
    """Columns of each dimension's mean, then of each one's log-variance; NaN where there is nothing."""
    columns = {}
    for what, values in (("mean", mean), ("logvar", logvar)):
        told = values.masked_fill(~there.unsqueeze(1), torch.nan).cpu().numpy()
        columns |= {f"{name}_{what}_{k}": told[:, k] for k in range(told.shape[1])}
    return columns


def _label_columns(data: MultimodalDataset, labels: Tensor) -> Columns:
    labels = labels.cpu().numpy()
    if labels.ndim == 1:
        return {"label": np.array(data.classes)[labels] if data.classes else labels}
    names = data.classes or (ATTRIBUTES if labels.shape[1] == len(ATTRIBUTES) else range(labels.shape[1]))
    return {f"label_{name}": labels[:, k] for k, name in enumerate(names)}


def write(table: "pandas.DataFrame", path: str | Path) -> Path:
    """Write a table as CSV or parquet, by the path's ending, whole or not at all.

    Raises ValueError on another ending, and on parquet where pyarrow is missing.
    """
    path = Path(path).expanduser()
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path} is neither .csv nor .parquet: choose one of these endings")
    if path.suffix == ".parquet":
        _pyarrow()
    with paths.replacing(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index_label=table.index.name or "item")
        else:
            table.to_parquet(temporary, engine="pyarrow")
    return path


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ValueError("a table of latents needs pandas: pip install 'workbench[notebooks]'") from None
    return pandas


def _pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ValueError("parquet needs pyarrow: pip install pyarrow, or write .csv") from None
