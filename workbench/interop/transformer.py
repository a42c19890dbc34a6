"""A transformer of scikit-learn around a model of vectors: groups of columns are modalities, codes are features.

    model = MultimodalTransformer({"mean": range(10), "error": range(10, 20), "worst": range(20, 30)}, random_state=0)
    make_pipeline(model, LogisticRegression()).fit(X, y)

It takes scikit-learn 1.6 or newer.
"""

import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from workbench.config import Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.data.own.foreign import as_array
from workbench.data.own.raw import warn
from workbench.fusion import relating
from workbench.interop.latents import moments
from workbench.objectives import METHODS, method
from workbench.training.loop import fit

ITEMS = 10_000  # encoded or decoded at a time
# arguments that are fields of the configuration
FIELDS = ("objective", "latent_dim", "style_dim", "steps", "batch_size", "beta", "learning_rate", "device")


class MultimodalTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A multimodal VAE of tables: `transform` gives the means of content posteriors, `inverse_transform` data of codes.

    `groups` are the modalities: the columns of each, by name or place, every column in one of them (None: a single
    modality). NaN is a missing entry; a row without any entry of a group lacks that modality, one without any entry at
    all is not trained on and gets the prior's mean, zeros. `latent_dim` are the dimensions of content and a group's own
    style together. Groups are standardised, have a normal likelihood and count alike whatever their sizes, as
    everywhere in this package. `steps` of Adam are taken on batches of `batch_size` rows, or on all where there are
    fewer; other arguments are those of `workbench.config.Config`. The same `random_state` gives the same codes.

    After fit: `model_` (a MultimodalVAE in double precision on the CPU), `groups_` (places of the columns), `history_`
    (loss and terms over the steps), `n_features_in_` and, of frames, `feature_names_in_`. No files are left.
    """

    def __init__(
        self,
        groups=None,
        objective="mmjsd",
        latent_dim=10,
        style_dim=0,
        steps=1000,
        batch_size=32,
        beta=1.0,
        learning_rate=1e-3,
        random_state=None,
        device="cpu",
    ) -> None:
        # of no types: scikit-learn wants everything taken here, and judged by fit
        self.groups, self.objective, self.random_state, self.device = groups, objective, random_state, device
        self.latent_dim, self.style_dim, self.beta = latent_dim, style_dim, beta
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate

    def fit(self, X: Any, y: Any = None) -> "MultimodalTransformer":
        """Train on a table `[n, columns]`; `y` is ignored. Raises ValueError on what cannot be trained."""
        X = validate_data(self, _unmasked(X), dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        self.groups_ = self._places(X)
        X = X[~np.isnan(X).all(1)]
        arrays = {name: X[:, places] for name, places in self.groups_.items()}
        kinds = dict.fromkeys(arrays, "vector")
        train, _ = MultimodalDataset.from_arrays(arrays, split=np.zeros(len(X), dtype=bool), kinds=kinds)
        config = self._config(train)
        method(config.objective, len(arrays))
        with TemporaryDirectory(prefix="workbench-") as folder:
            run = fit(config, Path(folder) / "run", data=train, progress=False)
            # in double precision a row's code does not depend on the rows beside it
            self.model_, self.history_ = run.model.double(), run.history()
        self._n_features_out = config.content_dim
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Means of the content posteriors `[n, content]` given what each row has."""
        check_is_fitted(self)
        X = validate_data(self, _unmasked(X), dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return np.concatenate([self._encoded(X[k : k + ITEMS]) for k in range(0, len(X), ITEMS)])

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The likelihoods' means `[n, columns]` of codes `[n, content]` and styles of zero, in the data's units."""
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64)
        if codes.shape[1] != self.model_.content_dim:
            raise ValueError(f"codes have {codes.shape[1]} dimensions where the content has {self.model_.content_dim}")
        return np.concatenate([self._decoded(codes[k : k + ITEMS]) for k in range(0, len(codes), ITEMS)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _config(self, train: MultimodalDataset) -> Config:
        """The configuration of a training; ValueError on what cannot be one."""
        given = {name: getattr(self, name) for name in FIELDS}
        given = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        config = Config(data=train.name, seed=seed, compiled="off", checkpoint_every=sys.maxsize, **given)
        return config.replace(batch_size=min(config.batch_size, len(train)))

    def _places(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """The places of each group's columns; ValueError unless every column is in one group and has an entry."""
        names = [*getattr(self, "feature_names_in_", range(X.shape[1]))]
        shown = [f"column {name!r}" for name in names]
        if len(empty := np.flatnonzero(np.isnan(X).all(0))):
            raise ValueError(f"{shown[empty[0]]} holds no entry, only NaN: leave it out")
        if self.groups is None:
            return {"table": np.arange(len(names))}
        if not isinstance(self.groups, Mapping) or not all(map(_is_list, self.groups.values())):
            raise ValueError("groups must be lists of columns by name, as in {'blood': ['na', 'k']}")
        places = {name: [_place(column, names) for column in columns] for name, columns in self.groups.items()}
        if empty := [name for name, columns in places.items() if not columns]:
            raise ValueError(f"the group {empty[0]!r} has no columns: leave it out")
        times = np.bincount(np.concatenate([*places.values(), []]).astype(int), minlength=len(names))
        if len(wrong := np.flatnonzero(times != 1)):
            number = "several groups" if times[wrong[0]] else "no group"
            raise ValueError(f"{shown[wrong[0]]} is in {number}: put every column into one")
        return {name: np.array(columns) for name, columns in places.items()}

    @torch.no_grad()
    def _encoded(self, X: np.ndarray) -> np.ndarray:
        """Codes of some rows."""
        model = self.model_
        pairs = zip(model.modalities, self.groups_.values(), strict=True)
        values, present = zip(*(m.encoding.values(X[:, places]) for m, places in pairs), strict=True)
        for modality, read in zip(model.modalities, values, strict=True):
            warn(modality.name, modality.encoding.remark(read))
        labels = torch.zeros(len(X), dtype=torch.long)
        batch = Batch(tuple(x.double() for x in values), torch.stack(present), labels)
        fusion = relating(METHODS[self.objective].inference[0], model.names)
        return moments(model.infer(batch, fusion=fusion))[0].numpy()

    @torch.no_grad()
    def _decoded(self, codes: np.ndarray) -> np.ndarray:
        """Rows of some codes."""
        model, content = self.model_, torch.tensor(codes)
        means = model.generate(content, content.new_zeros(len(model.modalities), len(codes), model.style_dim))
        rows = np.empty((len(codes), self.n_features_in_))
        for modality, places, mean in zip(model.modalities, self.groups_.values(), means, strict=True):
            rows[:, places] = modality.encoding.original(mean)
        return rows


def _unmasked(X: Any) -> Any:
    """NaN for what is masked, which scikit-learn would read."""
    return as_array(X) if isinstance(X, np.ma.MaskedArray) else X


def _is_list(columns: Any) -> bool:
    """Whether columns are given in an order; a string is one name, a set has no order."""
    return np.iterable(columns) and not isinstance(columns, str | bytes | Set)


def _place(column: Any, names: Sequence[Any]) -> int:
    """Where a column stands, by its name or its place."""
    if isinstance(column, str) and column in names:
        return names.index(column)
    count, named = len(names), isinstance(names[0], str)
    a_place = isinstance(column, int | np.integer) and not isinstance(column, bool)
    if not (a_place and -count <= column < count):
        columns = f"columns are {', '.join(names)}" if named else f"columns are 0 to {count - 1}, and have no names"
        raise ValueError(f"groups names the column {column!r}, which X does not have: its {columns}")
    return int(column) % count
