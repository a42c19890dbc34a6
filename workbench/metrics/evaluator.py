"""A trained model under evaluation: each part is a method that returns its sections of metrics.json.

What depends on the kind of labels, one class or many attributes, is in `workbench.metrics.scores`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.data.images import Labels
from workbench.data.missing import as_configured
from workbench.device import autocast, pick_device
from workbench.inference import EVERY_SUBSET_OF, Parts, components, evaluated_places
from workbench.metrics import encode
from workbench.metrics.clustering import clustering
from workbench.metrics.encode import Encoded, Items
from workbench.metrics.evidence import estimates
from workbench.metrics.fast_layers import fuse_for_inference
from workbench.metrics.features import kept_reference
from workbench.metrics.generation import Found, Judges, judge_conditional, judge_random
from workbench.metrics.judges import CPU, Classifier, classifiers_of
from workbench.metrics.latent import marginal_kl, rate
from workbench.metrics.likelihood import Likelihoods, log_likelihoods, summary
from workbench.metrics.quality import prd_ceiling
from workbench.metrics.representation import DRAWS, PAPER_ITEMS
from workbench.metrics.samplers.fitted import SAMPLERS, fitted_rows, samplers_of
from workbench.metrics.samplers.judged import judge_samplers
from workbench.metrics.scores import Probed, Score, score_of
from workbench.model import MultimodalVAE, Network, channels_last
from workbench.objectives import METHODS
from workbench.runs.run import Run

LIKELIHOOD_ITEMS = 200  # test items whose log-likelihoods are estimated where there are too many modalities for all


@dataclass
class Evaluator:
    """A model under evaluation: its data, posteriors and noise, a bar that moves, and what each part took."""

    config: Config
    model: MultimodalVAE
    train: MultimodalDataset
    test: MultimodalDataset
    tests: Items
    tested: Encoded
    generator: torch.Generator
    bar: tqdm
    progress: bool
    seconds: dict[str, float] = field(default_factory=dict)
    by_attribute: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def of(
        cls,
        run: Run,
        weights: Path | None,
        limit: int | None,
        seed: int,
        progress: bool,
        parts: Sequence[str],
        data: tuple[MultimodalDataset, MultimodalDataset] | None = None,
        device: str | None = None,
    ) -> Iterator["Evaluator"]:
        """Evaluate a run's model on its test split, or on the (train, test) that is given, everything on `device`."""
        device = pick_device(device or run.config.device)
        # probes are fitted to whole items, also where the model was trained on less: they judge all models alike
        train, test = data or (run.dataset("train", whole=True), run.dataset("test"))
        train, test = train.to(device), test.to(device)
        model = _to_infer(run.model_at(weights) if weights else run.model, device)
        generator = torch.Generator(device).manual_seed(seed)
        tests = Items(test, test.first_repeat(limit), seed)
        probes = len(METHODS[run.config.objective].inference) * len({"probe", "full_probe"} & set(parts))
        total = probes + tests.batches * bool({"coherence", "quality"} & set(parts))
        total += len(SAMPLERS) * ("samplers" in parts)
        config = run.config.replace(precision=run.precision)  # what was chosen where it says auto
        with tqdm(total=total, desc="evaluation", disable=not progress) as bar, autocast(device, config.precision):
            encoded = encode.encode_batches(model, tests)
            evaluator = cls(config, model, train, test, tests, encoded, generator, bar, progress)
            bar.total += evaluator.for_likelihoods.batches * ("likelihood" in parts)
            bar.total += min(len(evaluator.for_likelihoods), estimates.ITEMS) * bool(
                {"evidence", "annealed"} & {*parts}
            )
            yield evaluator

    @property
    def device(self) -> torch.device:
        """Where everything is."""
        return self.generator.device

    @property
    def fusions(self) -> tuple[str, ...]:
        """The posteriors of subsets to look at."""
        return METHODS[self.config.objective].inference

    @property
    def labels(self) -> Labels:
        """Classes or attributes of the test items."""
        return torch.cat([labels for _, labels in self.tested])

    @property
    def score(self) -> Score:
        """What is counted."""
        return score_of(self.test.labels)

    @property
    def about(self) -> dict[str, Any]:
        """What metrics.json says of its score; of attributes also every number one by one, of the parts done so far."""
        about = self.score.about(self.train, self.labels)
        return about | {"by_attribute": self.by_attribute} if self.by_attribute else about

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name a part in the bar and add up its seconds."""
        self.bar.set_description(f"evaluation: {name}")
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 1)

    def _anew(self) -> torch.Generator:
        """A generator as the evaluator's was at first."""
        return torch.Generator(self.device).manual_seed(self.generator.initial_seed())

    def latents(self) -> dict[str, Any]:
        """Where the posteriors of all subsets lie, each one and in the aggregate."""
        found: dict[str, Any] = {"rate": {}, "marginal_kl": {}}
        with self.part("latent"):
            for fusion in self.fusions:
                posteriors = encode.subset_posteriors(self.model, self.tested, fusion, self.config.prior_weight)
                same = self._anew()  # noise for every way to infer
                found["rate"][fusion] = {name: rate(q, same) for name, q in posteriors.items()}
                found["marginal_kl"][fusion] = {name: marginal_kl(q) for name, q in posteriors.items()}
        return found

    def probes(self) -> dict[str, Any]:
        """The paper's linear probe on few items, many times."""
        found: dict[str, Any] = {"linear_probe": {}, "linear_probe_error": {}}
        rows = torch.randint(len(self.train), (PAPER_ITEMS * DRAWS,), generator=self.generator, device=self.device)
        with self.part("probe"):
            fitted = encode.encode_rows(self.model, self.train, rows, self.generator)

            def few(*codes: Any) -> Probed:
                return self.score.few(*codes, self._anew())  # the same items every time

            for fusion, probed in self._probed("linear_probe", few, fitted):
                found["linear_probe"][fusion], found["linear_probe_error"][fusion] = probed.mean, probed.error
        return found

    def full_probes(self) -> dict[str, Any]:
        """Linear probes on the content of all training items, or many, and on their styles."""
        found: dict[str, Any] = {"linear_probe_full": {}}
        with self.part("full probe"):
            rows = self.score.rows(self.train, self.generator)
            fitted = encode.encode_rows(self.model, self.train, rows, self.generator)
            labels = torch.cat([y for _, y in fitted])
            styles = [encode.style_codes(self.model, part) for part in (fitted, self.tested)]
            of_styles = self.score.many(styles[0], labels, styles[1], self.labels)
            found["style_probe"] = of_styles.mean
            if of_styles.by_attribute:
                self.by_attribute["style_probe"] = of_styles.by_attribute
            for fusion, probed in self._probed("linear_probe_full", self.score.many, fitted):
                found["linear_probe_full"][fusion] = probed.mean
        return found

    def _probed(self, section: str, probe: Callable[..., Probed], fitted: Encoded) -> Iterator[tuple[str, Probed]]:
        """Probes of all subsets by each way to infer; a posterior that several ways share is probed once."""
        known: dict[Parts, Probed] = {}
        labels = torch.cat([y for _, y in fitted])
        for fusion in self.fusions:
            names = {self.model.called.title(s): components(fusion, s) for s in evaluated_places(self.model)}
            train, test = (encode.codes(self.model, x, fusion, self.config.prior_weight) for x in (fitted, self.tested))
            fresh = [name for name, parts in names.items() if parts not in known]
            train, test = ({name: codes[name] for name in fresh} for codes in (train, test))
            probed = probe(train, labels, test, self.labels)
            known |= {names[name]: probed.only(name) for name in fresh}
            joined = Probed.joined({name: known[parts] for name, parts in names.items()})
            if joined.by_attribute:
                self.by_attribute.setdefault(section, {})[fusion] = joined.by_attribute
            yield fusion, joined
            self.bar.update()

    def generations(self, inception: Path | None, with_quality: bool) -> dict[str, Any]:
        """Coherence, conditional and random, with the classes that were confused, and quality of images."""
        panel = self._panel(inception)
        with self.part("generation"):
            judged, random = judge_random(self.model, panel, len(self.labels), self.generator, with_quality)
            conditional = judge_conditional(
                self.model, self.tested, panel, self.fusions, self.generator, self.config.prior_weight, with_quality,
                self.bar.update,
            )  # fmt: skip
        found = self._coherence(panel, conditional) | {"random_coherence": self.score.agreement(judged)}
        if with_quality:
            found["quality"] = {
                "features": {letter: images.extractor.name for letter, images in panel.real.items()},
                "ceiling": prd_ceiling(), "images": len(self.labels), "random": random,
                "conditional": {fusion: judged.quality for fusion, judged in conditional.items()},
            }  # fmt: skip
        return found

    def samplers(self, run: Run, weights: Path | None, inception: Path | None) -> dict[str, Any]:
        """Random generation from the prior and from what is fitted to codes of the training items."""
        trained, seed = as_configured(self.train, self.config), self.generator.initial_seed()
        panel = None if self.train.own else self._panel(inception)
        with self.part("samplers"):
            found = samplers_of(run, self.train, weights)
            rows = fitted_rows(trained)[0].to(self.device)

            def images(m: int) -> Iterator[Tensor]:
                return (batch.values[m][batch.present[m]] for batch in Items(trained, rows, seed))

            near = {letter: real.extractor for letter, real in (panel.real if panel else {}).items()}
            near = {x: kept_reference(see, partial(images, self.model.place(x))) for x, see in near.items()}
            everything, how = range(len(self.model.modalities)), (self.fusions[0], self.config.prior_weight)
            content = encode.posterior_of(self.model, self.tested, everything, *how).rsample(self._anew())
            numbers = judge_samplers(
                self.model, found, content.float().cpu(), panel, near, self.score, seed, self.bar.update
            )
        return dict(zip(("samplers", "samplers_error"), numbers, strict=True))

    def clusters(self) -> dict[str, Any]:
        """Clusters of contents against classes, by each way to infer them from all modalities; none of attributes."""
        found, everything = {}, range(len(self.model.modalities))
        with self.part("clustering"):
            for fusion in self.fusions if self.labels.dim() == 1 else ():
                q = encode.posterior_of(self.model, self.tested, everything, fusion, self.config.prior_weight)
                found[fusion] = {self.model.called.title(everything): clustering(q.mean, self.labels)}
        return {"clustering": found}

    def _panel(self, inception: Path | None) -> Judges:
        """The judges with what they see in the test items."""
        with self.part("judges"):
            return Judges.of(self.model, self._judges(), self.tests, inception, self.device)

    def _judges(self) -> list[Classifier]:
        """The judges of all modalities; one that is not there yet is trained in float32, as it judges many runs."""
        splits = self.train.to(CPU), self.test.to(CPU)
        with autocast(self.device, "float32"):
            judges = classifiers_of(*splits, self.progress, self.config.judge_width, self.device)
        for judge in judges:
            _to_infer(judge.network, self.device)
        return judges

    def _coherence(self, panel: Judges, conditional: dict[str, Found]) -> dict[str, Any]:
        """The judges' own scores, those of conditional generations, and the tallies behind them."""
        tallies = {fusion: judged.tallies for fusion, judged in conditional.items()}
        found: dict[str, Any] = {
            "classifier_accuracy": {letter: judge.accuracy for letter, judge in panel.judges.items()},
            "coherence": _leaves(self.score.number, tallies, 3),
        }
        if self.labels.dim() == 1:
            return found | {"confusion": tallies}
        self.by_attribute |= {"coherence": tallies}
        self.by_attribute["judges"] = {letter: [*judge.precisions] for letter, judge in panel.judges.items()}
        return found | {"written": {fusion: judged.written for fusion, judged in conditional.items()}}

    @property
    def for_likelihoods(self) -> Items:
        """All complete test items, or few where each costs a decoder pass for every draw, subset and modality."""
        many, present = len(self.model.modalities) > EVERY_SUBSET_OF, self.test.present
        rows = self.tests.rows if present is None else self.tests.rows[present[self.tests.rows].all(1)]
        return replace(self.tests, rows=rows, count=LIKELIHOOD_ITEMS if many else self.score.likelihood_items)

    def likelihoods(self, samples: int) -> dict[str, Any]:
        """Log-likelihoods given the evaluated subsets: joint, conditional and predictive."""
        weight, parts, items = self.config.prior_weight, [], self.for_likelihoods
        with self.part("likelihood"):
            for batch, (q, _) in zip(items, self.tested, strict=False):  # the last batch may have fewer items
                known = q if batch.size == q.present.shape[1] else None
                parts.append(log_likelihoods(self.model, batch, self.fusions, samples, self.generator, weight, known))
                self.bar.update()
        tables: dict[str, Any] = {"samples": samples, "items": len(items), "X": {}, "given": {}, "predictive": {}}
        for fusion in self.fusions:
            found = Likelihoods.joined([part[fusion] for part in parts])
            tables["X"][fusion] = _leaves(summary, found.joint, 1)
            tables["given"][fusion] = _leaves(summary, found.conditional, 2)
            tables["predictive"][fusion] = _leaves(summary, found.predictive, 2)
        return {"log_likelihood": tables}

    def evidence(self, annealing: bool) -> dict[str, Any]:
        """ln p(X) of the first complete items, in float32, by proposals that are fitted to each of them."""
        items = self.for_likelihoods
        items = replace(items, count=min(len(items), estimates.ITEMS))
        with self.part("evidence"), autocast(self.device, "float32"):
            found = estimates.judged(
                self.model, items, self.fusions, generator=self._anew(), prior_weight=self.config.prior_weight,
                annealing=annealing, progress=self.bar.update,
            )  # fmt: skip
        return dict(zip(("evidence", "evidence_error"), found, strict=True))


def _to_infer(network: Network, device: torch.device) -> Network:
    """A network on its device, itself changed to infer as fast as can be."""
    # this layout of the images in memory makes the decoders some 20 % faster on a CPU, and changes nothing else
    return channels_last(fuse_for_inference(network) if device.type == "cpu" else network).to(device)


def _leaves(function: Callable[[Any], Any], table: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """A function of everything that stands `depth` keys deep in a table."""
    return {key: _leaves(function, x, depth - 1) if depth > 1 else function(x) for key, x in table.items()}
