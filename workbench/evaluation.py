"""One call for every number of a trained model: linear probes and coherences of all subsets of its modalities.

Posteriors of subsets: the method's own, the paper's first (`Method.inference`). A single modality's posterior is its
encoder's under mixture and dynamic prior (the subset of one), and includes the prior expert under the product.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.config import Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.distributions import Gaussian, Mixture
from workbench.metrics.classifiers import Classifier, classifiers_of
from workbench.metrics.coherence import agreement_pattern, all_agree, conditional_coherence
from workbench.metrics.representation import PAPER_ITEMS, probe_all
from workbench.model import MultimodalVAE, Posteriors
from workbench.objectives import METHODS
from workbench.runs import Run, code_version, is_current, provenance, run_folder, set_aside
from workbench.training import fit

CHUNK = 1000  # items encoded or generated at a time
MANY_ITEMS = 5000  # training items of the low-variance probe
RANDOM_ITEMS = 10_000  # random generations
SNAPSHOT_ITEMS = 2000  # test items a snapshot is judged on
CHANCE_MARGIN = 0.15  # a probe below chance plus this says that a modality has not woken up


def subsets(letters: Sequence[str]) -> list[tuple[str, ...]]:
    """All non-empty subsets, smaller ones first: M, S, T, M,S, M,T, S,T, M,S,T."""
    return [subset for size in range(1, len(letters) + 1) for subset in combinations(letters, size)]


def subset_posterior(
    model: MultimodalVAE, q: Posteriors, subset: Sequence[str], how: str, prior_weight: float | None = None
) -> Gaussian:
    """The Gaussian that an item's content is drawn from given a subset.

    A mixture means one of its components, the batch split evenly. The dynamic prior of a single modality is its own
    posterior: the prior in it serves to relate several.
    """
    alone = how == "dynamic_prior" and len(subset) == 1
    posterior = model.infer(q, subset, "mixture" if alone else how, prior_weight)
    return posterior.select() if isinstance(posterior, Mixture) else posterior


@torch.no_grad()
def encode_rows(
    model: MultimodalVAE, dataset: MultimodalDataset, rows: Int[Tensor, "n"], generator: torch.Generator
) -> list[tuple[Posteriors, Tensor]]:
    """Posteriors and labels of rows of a data set, in chunks."""
    batches: list[Batch] = [dataset.batch(chunk, generator) for chunk in rows.split(CHUNK)]
    return [(model.encode(batch), batch.labels) for batch in batches]


def codes(
    model: MultimodalVAE, encoded: list[tuple[Posteriors, Tensor]], how: str, prior_weight: float | None = None
) -> dict[str, Tensor]:
    """Means of the content posterior of every subset, by name such as "M,S"."""
    return {
        ",".join(s): torch.cat([subset_posterior(model, q, s, how, prior_weight).mean for q, _ in encoded])
        for s in subsets(model.letters)
    }


def style_codes(model: MultimodalVAE, encoded: list[tuple[Posteriors, Tensor]]) -> dict[str, Tensor]:
    """Means of the style posterior of each modality, by letter; none without styles."""
    if model.style_dim == 0:
        return {}
    return {letter: torch.cat([q.style.mean[m] for q, _ in encoded]) for m, letter in enumerate(model.letters)}


@torch.no_grad()
def conditional_coherences(
    model: MultimodalVAE,
    encoded: list[tuple[Posteriors, Tensor]],
    judges: Sequence[Classifier],
    how: str,
    generator: torch.Generator,
    prior_weight: float | None = None,
) -> dict[str, dict[str, float]]:
    """Coherence of every modality generated from every subset: result[target][given]."""
    labels = torch.cat([y for _, y in encoded])
    result: dict[str, dict[str, float]] = {letter: {} for letter in model.letters}
    for subset in subsets(model.letters):
        parts = []
        for q, _ in encoded:
            generated = model.generate(subset_posterior(model, q, subset, how, prior_weight), generator=generator)
            parts.append(torch.stack([judge.predict(x) for judge, x in zip(judges, generated, strict=True)]))
        for letter, predicted in zip(model.letters, torch.cat(parts, dim=1), strict=True):
            result[letter][",".join(subset)] = conditional_coherence(predicted, labels)
    return result


@torch.no_grad()
def random_coherence(
    model: MultimodalVAE, judges: Sequence[Classifier], generator: torch.Generator, items: int = RANDOM_ITEMS
) -> dict[str, float]:
    """Agreement of randomly generated modalities, by the paper's words and by the reference code's count."""
    parts = []
    for start in range(0, items, CHUNK):
        generated = model.generate(min(CHUNK, items - start), generator=generator)
        parts.append(torch.stack([judge.predict(x) for judge, x in zip(judges, generated, strict=True)]))
    predicted = torch.cat(parts, dim=1)
    return {"all_agree": all_agree(predicted), "agreement_pattern": agreement_pattern(predicted)}


def complete_run(config: Config, folder: Path | None = None, command: str | None = None, progress: bool = True) -> Run:
    """The finished run of a configuration: read back when it is there and current, else trained and evaluated.

    What another version of the code trained or began to is set aside and made again, so that no run mixes two programs
    (`fit` goes on with it all the same); an interrupted run of this version goes on from its checkpoint, and one that
    other judges evaluated is evaluated again.
    """
    run = Run(folder or run_folder(config))
    if is_current(run, config):
        return run
    stored = run.read("config.json") if (run.folder / "config.json").is_file() else {}
    if stored.get("key") == config.key() and stored["code"] != code_version():
        set_aside(run)
    run = fit(config, run.folder, progress=progress, command=command)
    evaluate_into(run, progress)
    return run


def evaluate_into(run: Run, progress: bool = True) -> dict[str, Any]:
    """Evaluate a trained run and its snapshots and complete the run folder with metrics.json; returns the metrics.

    Snapshots are judged on fewer test items, their step beside them under `over_steps`.
    """
    metrics = evaluate(run, progress=progress)
    metrics["over_steps"] = [{"step": n} | evaluate(run, p, SNAPSHOT_ITEMS) for n, p in run.snapshots().items()]
    run.write("metrics.json", metrics | {"evaluated_with": provenance()})
    return metrics


def evaluate(
    run: Run, weights: Path | None = None, limit: int | None = 10_000, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Every number of a trained run, or of one of its snapshots; JSON values, accuracies in [0, 1].

    `limit` bounds the test items (the paper's 10,000 triples are one pass over the pairs). On the CPU.
    """
    config = run.config
    train, test = run.dataset("train"), run.dataset("test")
    model = run.model(weights)
    judges = classifiers_of(train, test, progress)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(train), (MANY_ITEMS,), generator=generator)
    fitted = encode_rows(model, train, rows, generator)
    tested = encode_rows(model, test, test.first_repeat(limit), generator)
    labels = [torch.cat([y for _, y in part]) for part in (fitted, tested)]
    metrics: dict[str, Any] = {
        "data": config.data,
        "test_items": len(labels[1]),
        "classifier_accuracy": {letter: j.accuracy for letter, j in zip(model.letters, judges, strict=True)},
        "linear_probe": {},
        "linear_probe_many": {},
        "coherence": {},
        "style_probe": _probe([style_codes(model, part) for part in (fitted, tested)], labels, MANY_ITEMS),
        "random_coherence": random_coherence(model, judges, generator, RANDOM_ITEMS),
    }
    for how in METHODS[config.objective].inference:
        both = [codes(model, part, how, config.prior_weight) for part in (fitted, tested)]
        metrics["linear_probe"][how] = _probe(both, labels, PAPER_ITEMS)
        metrics["linear_probe_many"][how] = _probe(both, labels, MANY_ITEMS)
        metrics["coherence"][how] = conditional_coherences(model, tested, judges, how, generator, config.prior_weight)
    return metrics


def asleep(metrics: dict[str, Any], classes: int = 10) -> list[str]:
    """Letters of the modalities whose probe is still at chance: their encoders have learnt nothing of the class."""
    probes = next(iter(metrics["linear_probe_many"].values()))
    return [name for name, accuracy in probes.items() if "," not in name and accuracy < 1 / classes + CHANCE_MARGIN]


def _probe(both: list[dict[str, Tensor]], labels: list[Tensor], items: int) -> dict[str, float]:
    return probe_all(both[0], labels[0], both[1], labels[1], items)
