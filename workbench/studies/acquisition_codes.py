"""Codes of items that lack modalities, and classes told from them: what files named `acquisition...` share."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.data.dataset import MultimodalDataset
from workbench.distributions import Diagonal, Gaussian, Mixture
from workbench.fusion import fuse
from workbench.metrics.encode import encode_rows
from workbench.model import MultimodalVAE, Posteriors
from workbench.studies.subset_information import check_classes, probe

STRENGTHS = (1.0, 0.1, 0.01, 0.001)  # inverse penalties of regressions
FOLDS = 5  # of the training items, in choosing the penalty or an order


class Classifier:
    """p(class | code), by a logistic regression for every set of modalities, learnt when the set first occurs.

    Each is learnt from the codes of all training items that have the set: what few modalities leave open is then in its
    probabilities, for which one regression for all sets, learnt from codes of many, is too sure. Their penalty is the
    one of STRENGTHS with the least cross-validated log-loss on codes of all that items have: of few items probabilities
    would else be too sure as well.
    """

    def __init__(self, model: MultimodalVAE, train: MultimodalDataset, fusion: str = "mixture") -> None:
        """ValueError on data without classes."""
        check_classes(train)
        self.posteriors, labels = encoded(model, train)
        self.fusion, self.train = fusion, train.name
        self.classes, self.labels, counts = labels.unique(return_inverse=True, return_counts=True)
        self.shares = counts.double() / counts.sum()
        self._probes: dict[tuple[bool, ...], Any] = {}
        codes = code_of(posterior(self.posteriors, fusion)).double().numpy()
        self.strength = max(STRENGTHS, key=lambda strength: self._held_out(codes, strength))

    def probe(self) -> Any:
        """Make a regression that has not yet learnt."""
        return probe(self.strength)

    def _held_out(self, codes: np.ndarray, strength: float) -> float:
        from sklearn.model_selection import cross_val_score

        return cross_val_score(probe(strength), codes, self.labels.numpy(), cv=FOLDS, scoring="neg_log_loss").mean()

    def __call__(self, codes: Float[Tensor, "n content"], present: Bool[Tensor, "M n"]) -> Float[Tensor, "n classes"]:
        """Probabilities of the classes; their shares among the training items where nothing is there."""
        p = self.shares.repeat(len(codes), 1)
        for there in present.unique(dim=1).T:
            if there.any():
                rows = (present == there.unsqueeze(1)).all(0)
                p[rows] = torch.from_numpy(self._probe(there).predict_proba(codes[rows].double().numpy()))
        return p

    def learnt_from(self, there: Bool[Tensor, "M"]) -> tuple[np.ndarray, np.ndarray, Bool[Tensor, "n"]]:
        """Codes and classes of the training items that have these modalities, and which items they are.

        ValueError where a class has none.
        """
        having = self.posteriors.present[there].all(0)
        q = rows_of(self.posteriors, having)
        found = code_of(posterior(replace(q, present=there.unsqueeze(1).expand_as(q.present)), self.fusion))
        if len(self.labels[having].unique()) < len(self.classes):
            raise ValueError(
                f"{self.train} has a class of which no training item has these modalities together "
                f"({', '.join(str(m) for m in there.nonzero().flatten().tolist())} by place): leave one of them out"
            )
        return found.double().numpy(), self.labels[having].numpy(), having

    def _probe(self, there: Bool[Tensor, "M"]) -> Any:
        key = tuple(there.tolist())
        if key not in self._probes:
            self._probes[key] = self.probe().fit(*self.learnt_from(there)[:2])
        return self._probes[key]


def posterior(q: Posteriors, fusion: str) -> Diagonal | Mixture:
    """q(c | what each item has); the dynamic prior of items with one modality is that one's own posterior."""
    found = fuse(fusion, q.content, q.present)
    if fusion != "dynamic_prior":
        return found
    alone, own = (q.present.sum(0) == 1).unsqueeze(1), fuse("product_alone", q.content, q.present)
    return Gaussian(own.mean.where(alone, found.mean), own.logvar.where(alone, found.logvar))


def code_of(found: Diagonal | Mixture) -> Float[Tensor, "n content"]:
    """The mean of a posterior."""
    return found.mean() if isinstance(found, Mixture) else found.mean


def encoded(model: MultimodalVAE, data: MultimodalDataset) -> tuple[Posteriors, Tensor]:
    """Posteriors and labels of all items of a data set, each once."""
    found = encode_rows(model, data, data.first_repeat(), torch.Generator().manual_seed(0))

    def joined(name: str) -> Diagonal:
        parts = [getattr(q, name) for q, _ in found]
        return model.family(torch.cat([x.mean for x in parts], 1), torch.cat([x.logvar for x in parts], 1))

    present, labels = torch.cat([q.present for q, _ in found], 1), torch.cat([labels for _, labels in found])
    return Posteriors(joined("content"), joined("style"), present), labels


def rows_of(q: Posteriors, rows: Tensor) -> Posteriors:
    """Posteriors of some items, by their numbers or a mask."""
    return Posteriors(q.content[:, rows], q.style[:, rows], q.present[:, rows])
