"""Latents of a data set as a table: what a trained model makes of every item, one row each, for other programs.

    label, or label_NAME                      class or attributes by name, of a labelled data set
    present_labs, ...                         which modalities the item has
    content_mean_0, content_logvar_0, ...     the content's posterior given what is there
    labs_style_mean_0, labs_style_logvar_0    the style's posterior of each given modality, NaN where it is absent

The table of a mixture holds the mean and the variance of the whole mixture, not those of a component.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench import files
from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.own.foreign import is_pandas
from workbench.distributions import Diagonal, Mixture
from workbench.fusion import relating
from workbench.metrics.encode import at_a_time
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.runs.run import Run

if TYPE_CHECKING:
    import pandas


def latents(
    run_or_model: Run | MultimodalVAE, data: Any, given: str | Sequence[str] | None = None, fusion: str | None = None
) -> "pandas.DataFrame":
    """Return the latents of each item of a MultimodalDataset, or of raw arrays by the name of their modality.

    `given` holds names or letters (None: all); `fusion` is one of `fusion.FUSIONS` (None: the run's method's own, as
    its evaluation has it; a mixture for a model alone). An index of frames is kept; of a built-in data set each paired
    item is there once. Content is NaN where an item has none of what is given. Raises ValueError on data that the model
    was not made for, and where pandas is missing.
    """
    try:
        import pandas
    except ImportError:
        raise ValueError("a table of latents needs pandas: pip install 'workbench[notebooks]'") from None
    model, config = run_or_model, None
    if isinstance(run_or_model, Run):
        model, config = run_or_model.model, run_or_model.config
    given = sorted(model.called.places(given))
    if not given:
        raise ValueError(f"nothing is given: name some of {', '.join(model.names)}")
    if fusion is None:
        fusion = relating(METHODS[config.objective].inference[0], given) if config else "mixture"
    batches, labels, index = _batches(model, data)
    prior_weight = config.prior_weight if config else None
    parts = [labels(batch) | _columns(model, batch, given, fusion, prior_weight) for batch in batches]
    return pandas.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, index=index)


def _batches(model: MultimodalVAE, data: Any) -> tuple[Iterable[Batch], Callable[[Batch], dict[str, Any]], Any]:
    """Each item once, in batches; what gives the columns of their labels; the index of their frames.

    What storages draw, such as the places of words, is the same every time.
    """
    if isinstance(data, MultimodalDataset):
        check_encodings(model, data)
        generator = torch.Generator(data.pairs.device).manual_seed(0)
        rows = data.first_repeat().split(at_a_time(data.shapes))
        return (data.batch(chunk, generator) for chunk in rows), partial(_labels, data), None
    if not isinstance(data, Mapping):
        raise ValueError(f"{type(data).__name__} holds no items: give a MultimodalDataset or arrays by name")
    index = next((raw.index for raw in data.values() if is_pandas(raw)), None)
    return model.batch_of(data).split(at_a_time([m.shape for m in model.modalities])), lambda _: {}, index


def check_encodings(model: MultimodalVAE, data: MultimodalDataset) -> None:
    """Raise ValueError on a data set with other modalities than a model's, or values in other units."""
    if data.modalities != model.names:
        raise ValueError(f"the modalities of the data are {', '.join(data.modalities)}, of the model {model.names}")
    for modality, encoding in zip(model.modalities, data.encodings, strict=True):
        if modality.encoding not in (None, encoding):
            raise ValueError(
                f"{modality.name!r} of {data.name} was fitted to other data than the model's: give the arrays instead, "
                "as in {name: array}"
            )


@torch.no_grad()
def _columns(
    model: MultimodalVAE, batch: Batch, given: Sequence[int], fusion: str, prior_weight: float | None
) -> dict[str, np.ndarray]:
    """The columns of a batch, but for labels; mean and log-variance are NaN where there is nothing."""
    q = model.encode(batch.to(next(model.parameters()).device))
    columns = {f"present_{name}": has.cpu().numpy() for name, has in zip(model.names, q.present, strict=True)}
    some = (q.present & model.mask(given, q.present)).any(0)
    posteriors = [("content", *moments(model.infer(q, given, fusion, prior_weight)), some)]
    posteriors += [(f"{model.names[m]}_style", q.style.mean[m], q.style.logvar[m], q.present[m]) for m in given]
    for name, *both, present in posteriors:
        for what, values in zip(("mean", "logvar"), both, strict=True):
            values = values.masked_fill(~present.unsqueeze(1), torch.nan).cpu().numpy()
            columns |= {f"{name}_{what}_{k}": column for k, column in enumerate(values.T)}
    return columns


def moments(posterior: Diagonal | Mixture) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
    """Return mean and logarithm of the variance of a posterior, of a mixture those of the whole."""
    if isinstance(posterior, Diagonal):
        return posterior.mean, posterior.logvar
    mean, weights = posterior.mean(), posterior.weights.unsqueeze(-1)
    spread = (posterior.components.mean - mean) ** 2 + posterior.components.logvar.exp()
    return mean, (weights * spread).sum(0).log()


def _labels(data: MultimodalDataset, batch: Batch) -> dict[str, Any]:
    labels = batch.labels.cpu().numpy()
    if not data.labelled:
        return {}
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
    with files.replacing(path) as temporary:
        if path.suffix == ".csv":
            names = table.index.names
            alone = names == [None]
            labels = ["item" if alone else f"item_{k}" if name is None else name for k, name in enumerate(names)]
            table.to_csv(temporary, index_label=labels)
            return path
        try:
            table.to_parquet(temporary, engine="pyarrow")
        except ImportError:
            raise ValueError("parquet needs pyarrow: pip install pyarrow, or write .csv") from None
    return path
