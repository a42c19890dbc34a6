"""One call for every number of a trained model: rates, probes, coherence, quality, log-likelihoods of subsets.

Posteriors of subsets are the method's own, the paper's first (`Method.inference`), the subsets those of
`evaluated_subsets`; see `workbench.inference`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from workbench.config import Config
from workbench.data.dataset import Batch, MultimodalDataset
from workbench.inference import (
    CHUNK,
    EVERY_SUBSET_OF,
    Encoded,
    codes,
    encode_batches,
    encode_rows,
    evaluated_subsets,
    style_codes,
    subset_posteriors,
)
from workbench.metrics.classifiers import classifiers_of
from workbench.metrics.coherence import agreement_pattern, all_agree, conditional_coherence
from workbench.metrics.generation import Panel, judge_conditional, judge_random
from workbench.metrics.latent import marginal_kl, rate
from workbench.metrics.likelihood import Likelihoods, LogEstimate, log_likelihoods, summary
from workbench.metrics.quality import prd_ceiling
from workbench.metrics.representation import DRAWS, PAPER_ITEMS, probe_all, repeated_probe
from workbench.model import MultimodalVAE
from workbench.objectives import METHODS
from workbench.runs import Run, is_current, judges_version, make_way, provenance, run_folder, sole_writer
from workbench.training import fit

PARTS = ("latent", "probe", "full_probe", "coherence", "quality", "likelihood")
ITEMS = 10_000  # test items: the paper's 10,000 triples are one pass over the pairs
SNAPSHOT_PARTS = ("latent", "probe", "coherence")
SNAPSHOT_ITEMS = 2000  # test items a snapshot is judged on
IMPORTANCE_SAMPLES = 12
LIKELIHOOD_ITEMS = 200  # test items whose log-likelihoods are estimated where there are too many modalities for all
CHANCE_MARGIN = 0.15  # a probe below chance plus this says that a modality has not woken up


def complete_run(
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
    is making is waited for.
    """
    run, parts, limit = (
        Run(folder or run_folder(config)),
        check_parts(PARTS if parts is None else parts),
        limit or ITEMS,
    )
    if is_current(run, config, parts, limit):
        return run
    with sole_writer(run.folder):
        if is_current(run, config, parts, limit):  # another process made it while this one waited
            return run
        make_way(run, config)
        run = fit(config, run.folder, progress=progress, command=command)
        evaluate_into(run, progress, **_also(run, parts, limit))
    return run


def check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """Parts in the order in which they are evaluated; ValueError on an unknown one."""
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ValueError(f"unknown part {unknown[0]!r} of an evaluation: choose some of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in parts)


def _also(run: Run, parts: Sequence[str], limit: int) -> dict[str, Any]:
    """Parts and limit that take in what these judges evaluated before: an evaluation only ever gains."""
    found = run.metrics["evaluated_with"] if run.complete else {"judges": None}
    if found["judges"] != judges_version():
        return {"parts": parts, "limit": limit}
    return {
        "parts": check_parts([*parts, *found["parts"]]),
        "limit": None if found["limit"] is None else max(limit, found["limit"]),
    }


def evaluate_into(
    run: Run, progress: bool = True, parts: Sequence[str] = PARTS, limit: int | None = ITEMS, **options: Any
) -> dict[str, Any]:
    """Evaluate a trained run and its snapshots and complete the run folder with metrics.json; returns the metrics.

    `parts`, `limit` and `options` are those of `evaluate`; the first two are kept with the metrics. Snapshots are
    judged in part and on fewer test items, their step beside them under `over_steps`.
    """
    with sole_writer(run.folder):
        metrics = evaluate(run, progress=progress, parts=parts, limit=limit, **options)
        brief = {"limit": min(limit or SNAPSHOT_ITEMS, SNAPSHOT_ITEMS), "progress": progress}
        brief["parts"] = [part for part in SNAPSHOT_PARTS if part in parts]
        metrics["over_steps"] = [{"step": n} | evaluate(run, path, **brief) for n, path in run.snapshots().items()]
        run.write("metrics.json", metrics | {"evaluated_with": provenance() | {"parts": [*parts], "limit": limit}})
    return metrics


def evaluate(
    run: Run,
    weights: Path | None = None,
    limit: int | None = ITEMS,
    seed: int = 0,
    progress: bool = True,
    parts: Sequence[str] = PARTS,
    samples: int = IMPORTANCE_SAMPLES,
    inception: Path | None = None,
) -> dict[str, Any]:
    """Every number of a trained run, or of one of its snapshots; JSON values, accuracies in [0, 1]. On the CPU.

    `limit` bounds the test items (None: all), `samples` are the draws behind every log-likelihood, `inception` is
    where the weights of Inception are (None: features of the judges). ValueError on an unknown part.
    """
    parts = check_parts(parts)
    with Trial.of(run, weights, limit, seed, progress, parts) as trial:
        metrics: dict[str, Any] = {"data": trial.config.data, "test_items": len(trial.labels)}
        if "latent" in parts:
            metrics |= trial.latents()
        if "probe" in parts:
            metrics |= trial.probes()
        if "full_probe" in parts:
            metrics |= trial.full_probes()
        if {"coherence", "quality"} & set(parts):
            metrics |= trial.generations(inception, "quality" in parts)
        if "likelihood" in parts:
            metrics |= trial.likelihoods(samples)
        return metrics | {"seconds": trial.seconds}


@dataclass
class Trial:
    """A model under evaluation: its data, posteriors and noise, a bar that moves, and what each part took."""

    config: Config
    model: MultimodalVAE
    train: MultimodalDataset
    test: MultimodalDataset
    tests: list[Batch]
    tested: Encoded
    generator: torch.Generator
    bar: tqdm
    progress: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def of(
        cls, run: Run, weights: Path | None, limit: int | None, seed: int, progress: bool, parts: Sequence[str]
    ) -> Iterator["Trial"]:
        """A trial of a run's model on its test split."""
        train, test = run.dataset("train"), run.dataset("test")
        # this layout of the images in memory makes the decoders some 20 % faster on a CPU, and changes nothing else
        model = run.model(weights).to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(seed)
        tests = [test.batch(rows, generator) for rows in test.first_repeat(limit).split(CHUNK)]
        hows, subsets = len(METHODS[run.config.objective].inference), len(evaluated_subsets(model.letters))
        generated = hows * subsets * bool({"coherence", "quality"} & set(parts))
        total = (
            hows * ("probe" in parts)
            + hows * ("full_probe" in parts)
            + generated
            + len(_for_likelihoods(tests)) * ("likelihood" in parts)
        )
        with tqdm(total=total, desc="evaluation", disable=not progress) as bar:
            yield cls(run.config, model, train, test, tests, encode_batches(model, tests), generator, bar, progress)

    @property
    def hows(self) -> tuple[str, ...]:
        """The posteriors of subsets to look at."""
        return METHODS[self.config.objective].inference

    @property
    def labels(self) -> Tensor:
        """Classes of the test items."""
        return torch.cat([labels for _, labels in self.tested])

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name a part in the bar and add up its seconds."""
        self.bar.set_description(f"evaluation: {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 1)

    def latents(self) -> dict[str, Any]:
        """Where the posteriors of all subsets lie, each one and in the aggregate."""
        found: dict[str, Any] = {"rate": {}, "marginal_kl": {}}
        with self.part("latent"):
            for how in self.hows:
                posteriors = subset_posteriors(self.model, self.tested, how, self.config.prior_weight)
                same = torch.Generator().manual_seed(self.generator.initial_seed())  # noise for every posterior
                found["rate"][how] = {name: rate(q, same) for name, q in posteriors.items()}
                found["marginal_kl"][how] = {name: marginal_kl(q) for name, q in posteriors.items()}
        return found

    def probes(self) -> dict[str, Any]:
        """The paper's linear probe on few items, many times."""
        found: dict[str, Any] = {"linear_probe": {}, "linear_probe_error": {}}
        rows = torch.randint(len(self.train), (PAPER_ITEMS * DRAWS,), generator=self.generator)
        with self.part("probe"):
            fitted = encode_rows(self.model, self.train, rows, self.generator)
            labels = torch.cat([y for _, y in fitted])
            for how in self.hows:
                same = torch.Generator().manual_seed(self.generator.initial_seed())  # items for every posterior
                seen, new = self._codes(fitted, how), self._codes(self.tested, how)
                few = repeated_probe(seen, labels, new, self.labels, generator=same)
                found["linear_probe"][how], found["linear_probe_error"][how] = few
                self.bar.update()
        return found

    def full_probes(self) -> dict[str, Any]:
        """Linear probes on the content of all training items, and on their styles."""
        found: dict[str, Any] = {"linear_probe_full": {}}
        with self.part("full probe"):
            fitted = encode_rows(self.model, self.train, self.train.first_repeat(), self.generator)
            labels = torch.cat([y for _, y in fitted])
            styles = [style_codes(self.model, part) for part in (fitted, self.tested)]
            found["style_probe"] = probe_all(styles[0], labels, styles[1], self.labels)
            for how in self.hows:
                seen, new = self._codes(fitted, how), self._codes(self.tested, how)
                found["linear_probe_full"][how] = probe_all(seen, labels, new, self.labels)
                self.bar.update()
        return found

    def _codes(self, encoded: Encoded, how: str) -> dict[str, Tensor]:
        return codes(self.model, encoded, how, self.config.prior_weight)

    def generations(self, inception: Path | None, with_quality: bool) -> dict[str, Any]:
        """Coherence, conditional and random, with the classes that were confused, and quality of images."""
        with self.part("judges"):
            judges = classifiers_of(self.train, self.test, self.progress)
            panel = Panel.of(self.model.letters, judges, self.tests, inception)
        confused, conditional = {}, {}
        with self.part("generation"):
            agreed, random = judge_random(self.model, panel, len(self.labels), self.generator, with_quality)
            for how in self.hows:
                confused[how], conditional[how] = judge_conditional(
                    self.model, self.tested, panel, how, self.generator, self.config.prior_weight, with_quality,
                    self.bar.update,
                )  # fmt: skip
        found = {
            "classifier_accuracy": {letter: judge.accuracy for letter, judge in panel.judges.items()},
            "coherence": _each(confused, conditional_coherence),
            "confusion": confused,
            "random_coherence": {"all_agree": all_agree(agreed), "agreement_pattern": agreement_pattern(agreed)},
        }
        if with_quality:
            names = {letter: images.extractor.name for letter, images in panel.real.items()}
            measured = {"features": names, "ceiling": prd_ceiling(), "images": len(self.labels)}
            found["quality"] = measured | {"random": random, "conditional": conditional}
        return found

    def likelihoods(self, samples: int) -> dict[str, Any]:
        """Log-likelihoods given the evaluated subsets: joint, conditional and predictive."""
        weight, parts, tests = self.config.prior_weight, [], _for_likelihoods(self.tests)
        # in the precision of the training: in bfloat16 ln p(X) moves by some 0.1 nats an item, far below its error
        half = torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bfloat16")
        with self.part("likelihood"), half:
            for batch in tests:
                parts.append(log_likelihoods(self.model, batch, self.hows, samples, self.generator, weight))
                self.bar.update()
        items = sum(batch.size for batch in tests)
        tables: dict[str, Any] = {"samples": samples, "items": items, "X": {}, "given": {}, "predictive": {}}
        for how in self.hows:
            found = Likelihoods.joined([part[how] for part in parts])
            tables["X"][how] = _summaries(found.joint)
            tables["given"][how] = {target: _summaries(row) for target, row in found.conditional.items()}
            tables["predictive"][how] = {target: _summaries(row) for target, row in found.predictive.items()}
        return {"log_likelihood": tables}


def _for_likelihoods(tests: list[Batch]) -> list[Batch]:
    """All test items, or few of them where each costs a decoder pass for every draw, subset and modality of many."""
    values, present, labels = tests[0]
    if len(values) <= EVERY_SUBSET_OF:
        return tests
    few = slice(LIKELIHOOD_ITEMS)
    return [Batch(tuple(x[few] for x in values), present[:, few], labels[few])]


def _summaries(row: dict[str, LogEstimate]) -> dict[str, dict[str, float]]:
    return {given: summary(estimate) for given, estimate in row.items()}


def _each(confused: dict[str, dict[str, dict[str, list]]], number: Any) -> dict[str, dict[str, dict[str, float]]]:
    return {
        how: {target: {given: number(counts) for given, counts in row.items()} for target, row in table.items()}
        for how, table in confused.items()
    }


def asleep(metrics: dict[str, Any], classes: int = 10) -> list[str]:
    """Letters of the modalities whose probe is still at chance: their encoders have learnt nothing of the class.

    The full probe tells, else the one on few items; ValueError where neither was evaluated.
    """
    tables = metrics.get("linear_probe_full") or metrics.get("linear_probe")
    if not tables:
        raise ValueError("no probe was evaluated: ask for the part 'probe' or 'full_probe'")
    probes = next(iter(tables.values()))
    return [name for name, accuracy in probes.items() if "," not in name and accuracy < 1 / classes + CHANCE_MARGIN]
