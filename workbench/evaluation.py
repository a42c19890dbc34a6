"""One call for every number of a trained model: rates, probes, coherence, quality, log-likelihoods of subsets.

Posteriors of subsets are the method's own, the paper's first (`Method.inference`), the subsets those of
`evaluated_subsets`; see `workbench.inference`.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, SupportsIndex

from workbench.config import Config, whole
from workbench.data.dataset import MultimodalDataset
from workbench.data.images import SPLITS
from workbench.data.sources import TABLE_SETS
from workbench.device import memory_told, usual_torch
from workbench.metrics.evaluator import Evaluator
from workbench.runs import versions
from workbench.runs.run import Run, run_folder, unless_current
from workbench.training.loop import fit
from workbench.training.processes import joined

PARTS = ("latent", "probe", "full_probe", "coherence", "quality", "likelihood")
# further parts, for those who ask: `parts=[*PARTS, "samplers"]`
ASKED = ("samplers", "clustering", "evidence", "annealed")
ITEMS = 10_000  # test items: the paper's 10,000 triples are one pass over the pairs
SNAPSHOT_PARTS = ("latent", "probe", "coherence")
SNAPSHOT_ITEMS = 2000  # test items a snapshot is judged on
NEEDS_LABELS = ("probe", "full_probe", "coherence", "clustering")
JUDGES = "judges, classifiers of the package's own data"
NEEDS_JUDGES = ("coherence", "quality")  # classifiers, which the package has for its own data alone
IMPORTANCE_SAMPLES = 12
CHANCE_MARGIN = 0.15  # a probe below chance plus this says that a modality has not woken up
BASE_MARGIN = 0.05  # the same of mean average precision, above the mean base rate of the attributes


def train_and_evaluate(
    config: Config,
    folder: Path | None = None,
    command: str | None = None,
    progress: bool = True,
    parts: Sequence[str] | None = None,
    limit: int | None = None,
) -> Run:
    """The finished run of a configuration: read back when it is there and current, else trained and evaluated.

    `parts` of the evaluation are wanted (None: all), on at least `limit` test items (None: the paper's 10,000). What
    another version of the code trained or began to is set aside and made again, so that no run mixes two programs
    (`fit` goes on with it all the same); an interrupted run of this version goes on from its checkpoint, and one that
    other judges evaluated, or these in too few parts or on too few items, is evaluated again. One that another process
    is making is waited for. Processes that torchrun started train together; the main one evaluates.
    """
    run = Run(folder or run_folder(config))
    parts = check_parts(parts_by_default(config.data) if parts is None else parts)
    making = unless_current(run, config, parts, limit or ITEMS)
    with joined() as processes, processes.main_only(making) as left:
        if left:
            run = fit(config, run.folder, progress=progress, command=command)
            processes.on_main(lambda: evaluate_into(run, progress, *left))
    return run


def parts_by_default(data: str) -> tuple[str, ...]:
    """Parts that are evaluated where none are asked for: all of a data set by its name, but tables have no judges."""
    return tuple(part for part in PARTS if data not in TABLE_SETS or part not in NEEDS_JUDGES)


def check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """Parts in the order in which they are evaluated, a string being one of them; ValueError on an unknown one."""
    parts, known = [parts] if isinstance(parts, str) else parts, (*PARTS, *ASKED)
    if unknown := sorted(set(parts) - set(known)):
        raise ValueError(f"unknown part {unknown[0]!r} of an evaluation: choose some of {', '.join(known)}")
    return tuple(part for part in known if part in parts)


def parts_of(
    run: Run, parts: Sequence[str] | None, data: tuple[MultimodalDataset, MultimodalDataset] | None
) -> tuple[str, ...]:
    """The parts to evaluate, None for all that the data allows; ValueError on data that is not the run's, and on parts
    that are asked for and need labels or judges that are not there.
    """
    if data is None:
        chosen = check_parts(parts_by_default(run.config.data) if parts is None else parts)
        judged = set(NEEDS_JUDGES) if run.config.data in TABLE_SETS else set()
        return _refuse(run, chosen, dict.fromkeys(judged, JUDGES))
    data = (data,) if isinstance(data, MultimodalDataset) else data
    if others := [split.name for split in data if split.name != run.config.data]:
        raise ValueError(f"the run in {run.folder} was trained on {run.config.data!r}, but {others[0]!r} is given")
    if (parts_given := [split.split for split in data]) != [*SPLITS]:
        raise ValueError(f"data is ({', '.join(parts_given)}) of {run.config.data}: give its parts as (train, test)")
    if not len(data[1]):
        raise ValueError(f"the test part of {run.config.data} has no items: give one that has some")
    missing = {part: "labels" for part in NEEDS_LABELS if not data[0].labelled}
    missing |= {part: JUDGES for part in NEEDS_JUDGES if data[0].own}
    if data[1].present is not None and not data[1].present.all(1).any():
        missing |= dict.fromkeys(("likelihood", "evidence", "annealed"), "test items with all modalities")
    chosen = check_parts([part for part in PARTS if part not in missing] if parts is None else parts)
    return _refuse(run, chosen, missing)


def _refuse(run: Run, chosen: tuple[str, ...], missing: dict[str, str]) -> tuple[str, ...]:
    """The parts that were chosen; ValueError on one that needs what is missing."""
    if part := next((part for part in chosen if part in missing), None):
        raise ValueError(f"the part {part!r} needs {missing[part]}, which {run.config.data} lacks: leave it out")
    return chosen


def evaluate_into(
    run: Run,
    progress: bool = True,
    parts: Sequence[str] | None = None,
    limit: int | None = ITEMS,
    data: tuple[MultimodalDataset, MultimodalDataset] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate a trained run and its snapshots and complete the run folder with metrics.json; returns the metrics.

    `parts`, `limit`, `data` and `options` are those of `evaluate`; the first two are kept with the metrics. Snapshots
    are judged in part and on fewer test items, their step beside them under `over_steps`. Where another process may
    write into the folder, it is called inside `sole_writer`.
    """
    parts = parts_of(run, parts, data)
    metrics = evaluate(run, progress=progress, parts=parts, limit=limit, data=data, **options)
    brief: dict[str, Any] = {"limit": min(limit or SNAPSHOT_ITEMS, SNAPSHOT_ITEMS), "progress": progress}
    brief |= {"device": options.get("device"), "data": data}
    brief["parts"] = [part for part in SNAPSHOT_PARTS if part in parts]
    metrics["over_steps"] = [{"step": n} | evaluate(run, path, **brief) for n, path in run.snapshots().items()]
    how = versions.provenance() | {"parts": [*parts], "limit": limit}
    run.write("metrics.json", metrics | {"evaluated_with": how})
    return metrics


@usual_torch()
@memory_told()
def evaluate(
    run: Run,
    weights: Path | None = None,
    limit: int | None = ITEMS,
    seed: SupportsIndex = 0,
    progress: bool = True,
    parts: Sequence[str] | None = None,
    samples: int = IMPORTANCE_SAMPLES,
    inception: Path | None = None,
    data: tuple[MultimodalDataset, MultimodalDataset] | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Every number of a trained run, or of one of its snapshots; JSON values, accuracies in [0, 1].

    Where labels are attributes, the mean over them of their average precisions takes the place of an accuracy under the
    same key; `score` says so, `base_rate` what knowing nothing reaches, and `by_attribute` holds each attribute's own.
    `limit` bounds the test items (None: all), `samples` are the draws of the paper's log-likelihoods, `inception` is
    where the weights of Inception are (None: features of the judges). `data` is (train, test) of a run on arrays of
    one's own. Without `parts`, PARTS are evaluated but for those that need labels or judges which the data lacks; those
    in ASKED are further ones. `device` is where
    all of it is worked out (None: the configuration's; auto: the fastest here). ValueError on an unknown part, one that
    the data does not allow, or a device that is not there.
    """
    parts = parts_of(run, parts, data)
    for name, count in {"samples": samples, "limit": 1 if limit is None else limit}.items():
        if whole(name, count) < 1:
            raise ValueError(f"{name} {count} leaves nothing to evaluate: choose 1 or more")
    seed, device = whole("seed", seed), None if device is None else str(device)
    with Evaluator.of(run, weights, limit, seed, progress, parts, data, device) as evaluator:
        metrics: dict[str, Any] = {"data": evaluator.config.data, "test_items": len(evaluator.labels)}
        if "latent" in parts:
            metrics |= evaluator.latents()
        if "probe" in parts:
            metrics |= evaluator.probes()
        if "full_probe" in parts:
            metrics |= evaluator.full_probes()
        if {"coherence", "quality"} & set(parts):
            metrics |= evaluator.generations(inception, "quality" in parts)
        if "likelihood" in parts:
            metrics |= evaluator.likelihoods(samples)
        if "samplers" in parts:
            metrics |= evaluator.samplers(run, weights, inception)
        if "clustering" in parts:
            metrics |= evaluator.clusters()
        if {"evidence", "annealed"} & set(parts):
            metrics |= evaluator.evidence("annealed" in parts)
        return metrics | evaluator.about | {"seconds": evaluator.seconds}


def collapsed_modalities(metrics: dict[str, Any], classes: int = 10) -> list[str]:
    """Letters of the modalities whose probe is still at chance: their encoders have learnt nothing of the labels.

    The full probe tells, else the one on few items; ValueError where neither was evaluated.
    """
    tables = metrics.get("linear_probe_full") or metrics.get("linear_probe")
    if not tables:
        raise ValueError("no probe was evaluated: ask for the part 'probe' or 'full_probe'")
    rates = [rate for rate in metrics.get("base_rate", ()) if rate > 0]  # of attributes that some test item has
    floor = fmean(rates) + BASE_MARGIN if rates else 1 / classes + CHANCE_MARGIN
    probes = next(iter(tables.values()))
    return [name for name, x in probes.items() if "," not in name and x < floor]
