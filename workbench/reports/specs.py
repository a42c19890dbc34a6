"""The table of tables: which of the paper's each one is, how its cells are read from metrics.json, the paper's cells.

To add a table, add a line to `SPECS`. Those of attributes, Table 5 among them, stand in
`workbench.reports.tables_attributes`.
"""

from workbench.reports import published
from workbench.reports.tables_attributes import ATTRIBUTE_SPECS
from workbench.reports.tables_readers import (
    Metrics,
    Numbers,
    Spec,
    by_class,
    by_inception,
    coherence,
    coherence_note,
    columns_of,
    features_note,
    fid_note,
    given_of,
    likelihood,
    likelihood_note,
    path_of,
    predictive,
    probe_note,
    quality,
    quality_note,
    random_note,
    reader,
    subset_of,
    target_of,
)

__all__ = ["SPECS", "Metrics", "Numbers", "Spec"]

_COHERENCE_ROWS = {
    key: {published.RANDOM: published.RANDOM_COHERENCE[key]} | row
    for key, row in columns_of(path_of, published.COHERENCE).items()
}
_RANDOM_ROWS = {key: {"agreement pattern": x} for key, x in published.RANDOM_COHERENCE.items()}
_QUALITY_ROWS = columns_of(path_of, published.QUALITY)

SPECS = {
    spec.name: spec
    for spec in (
        *ATTRIBUTE_SPECS,
        Spec(
            "linear_probe",
            "accuracy of a linear probe on 256 items",
            by_class(reader("linear_probe", subset_of)),
            "Tables 1 and 14",
            published.LINEAR_PROBE,
            error=by_class(reader("linear_probe", subset_of, "error")),
            note=probe_note,
        ),
        Spec(
            "linear_probe_full",
            "accuracy of a linear probe on all training items",
            by_class(reader("linear_probe_full", subset_of)),
        ),
        Spec(
            "rate",
            "rate: divergence (KL) of an item's posterior from the prior in nats",
            reader("rate", subset_of),
            note=lambda metrics: "Of a mixture: the mean of its components'.",
            digits=1,
        ),
        Spec(
            "marginal_kl",
            "divergence (KL) of the aggregate posterior from the prior in nats",
            reader("marginal_kl", subset_of),
            note=lambda metrics: "By mean and covariance of all items' posteriors together: a lower bound.",
            digits=1,
            higher_is_better=False,
        ),
        Spec(
            "style_probe",
            "accuracy of a linear probe on each modality's style",
            by_class(reader("style_probe", target_of)),
            sparse=True,
        ),
        Spec(
            "coherence",
            "coherence of generated samples, given → generated",
            by_class(coherence),
            "Tables 2 and 15",
            _COHERENCE_ROWS,
            note=coherence_note,
            unjudged=(published.RANDOM,),
        ),
        Spec(
            "random_coherence",
            "coherence of random samples by two counts",
            by_class(reader("random_coherence", target_of)),
            paper=_RANDOM_ROWS,
            note=random_note,
            unjudged=("agreement pattern",),
        ),
        Spec(
            "quality",
            "average precision of generated samples, given → generated",
            quality("average_precision"),
            "Table 3",
            _QUALITY_ROWS,
            note=quality_note,
            comparable=by_inception,
        ),
        Spec("f_8", "F_8 of generated samples (weights recall)", quality("f_8"), note=features_note),
        Spec("f_1_8", "F_1/8 of generated samples (weights precision)", quality("f_1_8"), note=features_note),
        Spec(
            "fid",
            "Fréchet distance (FID) of generated samples (lower is better)",
            quality("fid"),
            note=fid_note,
            digits=1,
            higher_is_better=False,
        ),
        Spec(
            "log_likelihood",
            "test log-likelihoods in nats per item",
            likelihood("value"),
            "Tables 4 and 16",
            columns_of(given_of, published.LOG_LIKELIHOOD),
            error=likelihood("error"),
            note=likelihood_note,
            digits=0,
            comparable=lambda metrics: False,  # the paper's estimator mixed items
        ),
        Spec(
            "predictive",
            "predictive log-likelihoods given one modality, given → predicted, in nats per item",
            predictive,
            digits=1,
        ),
    )
}
