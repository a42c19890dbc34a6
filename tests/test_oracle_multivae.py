"""The objectives against `multivae`, another library's: shared networks, shared noise, equal losses and gradients.

Where the two differ on purpose, the adapter of that method, here or in `workbench.studies.speed_multivae`, says what
differs, and why ours is as it is.
"""

import contextlib
import math
from dataclasses import dataclass, replace

import pytest
import torch
from helpers import LETTERS, is_text, rows_of, seeded, tiny_batch, tiny_model

from workbench.config import AUXILIARY, IMPORTANCE_SAMPLED, Config
from workbench.data.dataset import Batch
from workbench.distributions import Diagonal, Gaussian, Laplace, stratified_choice
from workbench.fusion import all_subsets
from workbench.model import MultimodalVAE
from workbench.objectives import method

# after `workbench`, which repairs a torchvision that multivae could not import
WHY = "multivae is not installed: pip install -e '.[oracle]'"
datasets = pytest.importorskip("multivae.data.datasets", reason=WHY)
adapters = pytest.importorskip("workbench.studies.speed_multivae")  # what is tested here is also what is timed there
MoPoE, as_multivae = adapters.MoPoE, adapters.as_multivae

STYLE_WEIGHT = 2.5
DREG_OF = {"mmvae_dreg": "mmvae_iwae", "mmvae_plus_dreg": "mmvae_plus"}  # the bounds that they are gradients of
CONFIG = Config(beta=2.5, beta_style=1.7, mvtcae_alpha=0.7)
RTOL = 1e-9
# multivae adds 1e-8 to the variances in MVTCAE's product, and MoPoE's weights of incomplete items are float32 there
LOOSE = 1e-6


@dataclass(frozen=True)
class Case:
    """An objective with what it is tried with."""

    name: str
    style: int = 0
    samples: int = 0  # of the importance-weighted objectives
    family: type[Diagonal] = Gaussian

    def __str__(self) -> str:
        what = [self.name, "styles" * (self.style > 0), f"K{self.samples}" * (self.samples > 0)]
        return "-".join([part for part in what if part] + ["laplace"] * (self.family is Laplace))

    @property
    def config(self) -> Config:
        """CONFIG; where there are importance samples with beta 1, for multivae's bound has no beta.

        That of MMVAE+ has one, for styles, too.
        """
        if self.name in AUXILIARY:
            return CONFIG.replace(beta_style=1 / STYLE_WEIGHT, importance_samples=self.samples)
        return CONFIG.replace(beta=1.0, importance_samples=self.samples) if self.samples else CONFIG

    def model(self, count: int) -> MultimodalVAE:
        """A tiny model whose style weights are equal: multivae has one beta for all styles."""
        gaussian = tiny_model(count, 2, self.style, objective=self.name)
        modalities = [replace(m, style_weight=STYLE_WEIGHT) for m in gaussian.modalities]
        model = MultimodalVAE(modalities, 2, self.style, self.family, gaussian.auxiliary).double()
        model.load_state_dict(gaussian.state_dict())
        return model


CLOSED = [Case("mvae"), Case("mvtcae"), *(Case(name, style) for name in ("mmvae", "mopoe") for style in (0, 1))]
FAMILIES = [(1, Gaussian), (4, Gaussian), (4, Laplace)]
SAMPLED = [Case(name, 0, k, family) for name in ("mmvae_iwae", "mmvae_dreg") for k, family in FAMILIES]
CLOSED += [Case("crmvae"), Case("dmvae"), Case("dmvae", 1)]
SAMPLED += [Case(name, 1, k, family) for name in AUXILIARY for k, family in FAMILIES]
CASES = CLOSED + SAMPLED


def batch_of(count: int, kind: str) -> Batch:
    """Items that are complete, miss several patterns of modalities, or all miss the second one."""
    if kind == "mixed":
        batch = tiny_batch(count, items=21, missing=True)
        return rows_of(batch, batch.present.any(0))
    batch = tiny_batch(count, items=21)  # a number on whose split among 2, 3 or 7 components both agree
    if kind == "absent":
        batch.present[1] = False
    return batch


# ------------------------------------------------------------------------------------------------------- shared noise


class SharedNoise:
    """Noise that belongs to what is drawn from, whatever the order of the draws.

    A distribution is known by its parameters. Its r-th draw within one call is the same on both sides. Once `closed`,
    a draw from anything that was not drawn from before is a KeyError. Auxiliary distributions, those with a mean of
    zero, which the two draw from in other calls, give their means.
    """

    DRAWS = 1000  # of one distribution in a call: items that lack a modality share its posterior

    def __init__(self) -> None:
        self.generator, self.closed = seeded(11), False
        self.known: dict[int, torch.Tensor] = {}
        self.noise: dict[int, torch.Tensor] = {}

    def __call__(self, mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        """Noise of variance one in the shape of a mean `[*batch, latent]`."""
        width = mean.shape[-1]
        if width == 0:
            return torch.zeros_like(mean)
        rows = torch.cat([mean, logvar], dim=-1).detach().flatten(0, -2)
        self.add(rows, width)
        which = self.same(rows, self.known[width]).int().argmax(1)
        turn = (which.unsqueeze(1) == which).tril().sum(1) - 1
        return self.noise[width][which, turn].view(mean.shape) * (mean != 0)

    def add(self, rows: torch.Tensor, width: int) -> None:
        """Make acquaintance of distributions not seen before."""
        known = self.known.get(width, rows[:0])
        noise = self.noise.get(width, rows.new_empty(0, self.DRAWS, width))
        new = rows.unique(dim=0)
        new = new[~self.same(new, known).any(1)]
        if self.closed and len(new):
            raise KeyError(f"the other side has not drawn from {new[0].tolist()}")
        made = torch.randn(len(new), self.DRAWS, width, generator=self.generator, dtype=rows.dtype)
        self.known[width], self.noise[width] = torch.cat([known, new]), torch.cat([noise, made])

    @staticmethod
    def same(rows: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Which row is which known distribution; MVTCAE's products differ by multivae's 1e-8."""
        return torch.cdist(rows, known, p=math.inf) < 1e-6


@pytest.fixture
def noise(monkeypatch) -> SharedNoise:
    """The same noise for the draws of this package and for those of torch.distributions, with which multivae draws."""
    shared = SharedNoise()

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        mean, std = self.mean.expand(shape), self.stddev.expand(shape)
        return mean + std * shared(mean, 2 * std.log())

    for family in (Gaussian, Laplace):
        monkeypatch.setattr(family, "_noise", lambda self, generator: shared(self.mean, self.logvar))
    for family in (torch.distributions.Normal, torch.distributions.Laplace):
        monkeypatch.setattr(family, "rsample", rsample)
    return shared


# ----------------------------------------------------------------------------------------------------- data of both


def inputs(batch: Batch):
    """The batch as a data set of multivae: absent values are zero, which is how our model reads them."""
    data, masks = {}, {}
    for m, (x, there) in enumerate(zip(batch.values, batch.present, strict=True)):
        x = torch.where(there.view(-1, *[1] * (x.dim() - 1)), x, torch.zeros_like(x))
        data["abcd"[m]] = torch.nn.functional.one_hot(x, LETTERS).double() if is_text(m) else x
        masks["abcd"[m]] = there.clone()
    if batch.present.all():
        return datasets.MultimodalBaseDataset(data)
    return datasets.IncompleteDataset(data, masks)


# ----------------------------------------------------------------------------------------------------- losses of both


def mean_loss(theirs, batch: Batch) -> torch.Tensor:
    """Their loss where it is the mean over the batch, as ours."""
    return theirs(inputs(batch)).loss


def summed_loss(theirs, batch: Batch) -> torch.Tensor:
    """Their MMVAE adds up over the batch."""
    return theirs(inputs(batch)).loss / batch.size


def mvae_loss(theirs, batch: Batch) -> torch.Tensor:
    """Their ELBO of a subset is a mean over the items that have any of it, which counts rare modalities more.

    Ours is a mean over the batch, so that every item weighs the same whatever the others lack.
    """
    elbos, names = theirs(inputs(batch)).metrics, list(theirs.encoders)
    having = dict(zip(names, batch.present, strict=True)) | {"_".join(names): batch.present.any(0)}
    return sum(elbos[subset] * there.sum() / batch.size for subset, there in having.items() if there.any())


def by_count(batch: Batch) -> dict[int, Batch]:
    """The items that have one, two, .. modalities."""
    counts = batch.present.sum(0)
    return {count: rows_of(batch, counts == count) for count in counts.unique().tolist()}


def of_counts(theirs, batch: Batch, loss=mean_loss) -> torch.Tensor:
    """M in their weights is the model's, in ours the item's, which makes an absent modality as good as none.

    So theirs gets the items of the same number of modalities together, and that number.
    """
    total = torch.zeros(())
    for count, part in by_count(batch).items():
        theirs.n_modalities = count
        total = total + loss(theirs, part) * part.size / batch.size
    return total


def crmvae_loss(theirs, batch: Batch) -> torch.Tensor:
    """The same, and theirs adds up over the batch."""
    return of_counts(theirs, batch, summed_loss)


LOSSES = {"mvae": mvae_loss, "mvtcae": of_counts, "crmvae": crmvae_loss}
LOSSES |= dict.fromkeys(IMPORTANCE_SAMPLED, summed_loss)


@contextlib.contextmanager
def float64_by_default():
    """multivae makes buffers in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def theirs(name: str, model: MultimodalVAE, batch: Batch, config: Config) -> list[torch.Tensor]:
    """multivae's loss and its gradients in our parameters.

    The value of their DReG is sum_k w_k ln w_k with fixed normalised w_k, made for its gradient; ours is the bound.
    """
    with float64_by_default():
        loss = LOSSES.get(name, mean_loss)(as_multivae(name, model, config), batch)
        gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        dreg = name.endswith("dreg")
        bound = theirs(DREG_OF[name], model, batch, config)[0] if dreg else loss.detach()
    return [bound, *gradients]


def ours(name: str, model: MultimodalVAE, batch: Batch, config: Config) -> list[torch.Tensor]:
    """Our loss and its gradients.

    That of CRMVAE is evaluated on the parts that theirs gets, since which draw of equal posteriors is which depends on
    the items beside it.
    """
    parts = by_count(batch).values() if name == "crmvae" else [batch]
    loss = sum(method(name).objective(model, x, config).total * x.size / batch.size for x in parts)
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)]


def tolerance(name: str, kind: str) -> float:
    """Relative tolerance: see LOOSE."""
    loose = name in ("mvtcae", "crmvae") or (name in ("mopoe", "mmvae") and kind != "complete")
    return LOOSE if loose else RTOL


def assert_equal(found: list[torch.Tensor], expected: list[torch.Tensor], rtol: float = RTOL) -> None:
    """Loss and gradients agree; zeros within rtol of the largest gradient of the same parameter."""
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=rtol, atol=rtol * other.abs().max().item())


@pytest.mark.parametrize("kind", ["complete", "mixed", "absent"])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_losses_and_gradients_are_those_of_multivae(case, count, kind, noise):
    model, batch = case.model(count), batch_of(count, kind)
    found = ours(case.name, model, batch, case.config)
    noise.closed = True
    assert_equal(found, theirs(case.name, model, batch, case.config), tolerance(case.name, kind))


# ----------------------------------------------------------------------------------------------------- it can fail


def other_likelihood_weight(model: MultimodalVAE, config: Config) -> Config:
    """Half a percent more of one likelihood."""
    first, *others = model.modalities
    model.modalities = (replace(first, weight=first.weight * 1.005), *others)
    return config


def other_network(model: MultimodalVAE, config: Config) -> Config:
    """One bias of the text's decoder; in an image's the gradients of a Laplace likelihood would stay the same."""
    with torch.no_grad():
        model.decoders[2].layer.bias[0] += 0.005
    return config


OTHERS = {
    "beta": lambda model, config: config.replace(beta=config.beta * 1.005),
    "beta_style": lambda model, config: config.replace(beta_style=config.beta_style * 1.005),
    "mvtcae_alpha": lambda model, config: config.replace(mvtcae_alpha=config.mvtcae_alpha + 0.005),
    "a_draw_less": lambda model, config: config.replace(importance_samples=config.importance_samples - 1),
    "likelihood_weight": other_likelihood_weight,
    "network": other_network,
}
CHANGES = [
    *((case, what) for what in ("beta", "likelihood_weight", "network") for case in CASES if case.samples != 1),
    *((case, "a_draw_less") for case in SAMPLED if case.samples != 1),
    *((case, "beta_style") for case in [*CLOSED, *SAMPLED] if case.style and case.samples != 1),
    (Case("mvtcae"), "mvtcae_alpha"),
]


@pytest.mark.parametrize(("case", "change"), CHANGES, ids=str)
def test_a_small_change_is_seen(case, change, noise):
    model, batch = case.model(3), batch_of(3, "mixed")
    expected = theirs(case.name, model, batch, case.config)
    changed = ours(case.name, model, batch, OTHERS[change](model, case.config))
    for mine, other in ((changed[:1], expected[:1]), (changed[1:], expected[1:])):
        with pytest.raises(AssertionError, match="not close"):
            assert_equal(mine, other, tolerance(case.name, "mixed"))


@pytest.mark.parametrize("samples", [1, 4])
def test_gradients_of_dreg_are_not_those_of_iwae(samples, noise):
    case, batch = Case("mmvae_dreg", 0, samples), batch_of(3, "mixed")
    model = case.model(3)
    found, expected = (side("mmvae_iwae", model, batch, case.config) for side in (ours, theirs))
    dreg = ours("mmvae_dreg", model, batch, case.config)
    assert_equal(found, expected)
    assert_equal(dreg[:1], expected[:1])
    with pytest.raises(AssertionError, match="not close"):
        assert_equal(dreg, expected)


@pytest.mark.parametrize("name", ["mvae", "mvtcae", "mopoe"])
def test_the_deliberate_differences_are_differences(name, noise, monkeypatch):
    """Without its adapter every one of these methods is another, so that no adapter is idle."""
    monkeypatch.setitem(LOSSES, name, mean_loss)
    monkeypatch.delattr(MoPoE, "_poe_fusion")
    model, batch = Case(name).model(3), batch_of(3, "mixed")
    with pytest.raises(AssertionError, match="not close"):
        assert_equal(ours(name, model, batch, CONFIG), theirs(name, model, batch, CONFIG), rtol=1e-3)


# ----------------------------------------------------------------------------------------- components of mixtures


def their_choice(theirs, weights: torch.Tensor) -> torch.Tensor:
    """Which component their code gives to every item, read off components whose mean is their number."""
    components = torch.arange(len(weights)).view(-1, 1, 1).expand(*weights.shape, 1)
    choose = super(MoPoE, theirs).random_mixture_component_selection
    if (weights == weights[0, 0]).all():
        choose, weights = theirs.deterministic_mixture_component_selection, weights[:, 0]
    return choose(components, components, weights)[0].flatten()


@pytest.mark.parametrize(("components", "items"), [(2, 21), (3, 21), (7, 21), (7, 70), (7, 27)])
def test_complete_items_are_split_evenly_by_both(components, items):
    """In blocks, too. Where the number does not divide, ours differ by one at most; theirs gives the last the rest."""
    theirs = as_multivae("mopoe", tiny_model(3), CONFIG)
    weights = torch.full((components, items), 1 / components, dtype=torch.float64)
    mine, other = stratified_choice(weights), their_choice(theirs, weights)
    found, expected = mine.bincount(minlength=components), other.bincount(minlength=components)
    share = items // components
    assert (mine.diff() >= 0).all() and found.max() - found.min() <= 1
    assert expected.tolist() == [share] * (components - 1) + [items - share * (components - 1)]
    assert torch.equal(mine, other) == (items != 27)


def test_incomplete_items_are_split_evenly_by_both():
    """Theirs by chance, ours exactly, among the subsets of what is there: here a, c and (a, c)."""
    theirs, items = as_multivae("mopoe", tiny_model(3), CONFIG), 9000
    there = ~all_subsets(3)[:, 1:2].expand(-1, items)
    weights = there.double() / 3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = their_choice(theirs, weights).bincount(minlength=7)
    mine = stratified_choice(weights[:, :90]).bincount(minlength=7)
    assert mine.tolist() == [30, 0, 30, 0, 30, 0, 0]
    assert (other > 0).tolist() == [True, False, True, False, True, False, False]
    assert (other[other > 0] - 3000).abs().max() < 5 * math.sqrt(9000 * 2 / 9)
