"""Joint posteriors of any subset against brute force per item and physically fewer experts."""

import math

import pytest
import torch
from helpers import random_gaussian, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.distributions import Gaussian, Laplace, Mixture
from workbench.fusion import (
    FUSIONS,
    all_subsets,
    dynamic_prior,
    dynamic_prior_weights,
    fuse,
    mixture_of_experts,
    mixture_of_products,
    mixture_weights,
    product_alone,
    product_of_experts,
    subsets,
    with_prior,
)

PATTERNS = [[bool(pattern >> m & 1) for m in range(3)] for pattern in range(8)]
PRESENT = torch.tensor(PATTERNS).T.contiguous()  # [3, 8]: every pattern once
masks = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.booleans(), min_size=m, max_size=m), min_size=1, max_size=6)
)


def fewer(experts: Gaussian, keep: list[int]) -> Gaussian:
    return Gaussian(experts.mean[keep], experts.logvar[keep])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(masks, st.none() | st.floats(0.05, 0.95))
def test_weights_are_renormalised_over_what_is_there(rows, prior_weight):
    present = torch.tensor(rows).T.contiguous()
    modalities = len(rows[0])
    pi = dynamic_prior_weights(present, prior_weight, torch.float64)
    mixing = mixture_weights(present, torch.float64)
    prior = 1 / (modalities + 1) if prior_weight is None else prior_weight
    for b, row in enumerate(rows):
        there, share = sum(row), (1 - prior) / modalities
        for m, is_there in enumerate(row):
            assert pi[m, b].item() == pytest.approx(is_there * share / (there * share + prior))
            assert mixing[m, b].item() == pytest.approx(is_there / max(there, 1))
        assert pi[modalities, b].item() == pytest.approx(prior / (there * share + prior))
        assert pi[:, b].sum().item() == pytest.approx(1)


def test_the_papers_weights():
    everything = torch.ones(3, 1, dtype=torch.bool)
    assert dynamic_prior_weights(everything).flatten().tolist() == pytest.approx([0.25] * 4)
    celeba = dynamic_prior_weights(torch.ones(2, 1, dtype=torch.bool), prior_weight=0.30)
    assert celeba.flatten().tolist() == pytest.approx([0.35, 0.35, 0.30])


def test_the_prior_is_the_last_expert():
    experts = random_gaussian(2, 5, 3)
    extended = with_prior(experts)
    assert extended.mean.shape == (3, 5, 3)
    assert torch.equal(extended.mean[:2], experts.mean) and torch.equal(extended.logvar[:2], experts.logvar)
    assert (extended.mean[2] == 0).all() and (extended.logvar[2] == 0).all()


def brute_force(experts: Gaussian, weights: list[float], b: int, d: int) -> tuple[float, float]:
    """Mean and variance of prod_m q_m^(w_m) p^(w_last), by adding up precisions."""
    rows = [(experts.mean[m, b, d].item(), math.exp(experts.logvar[m, b, d])) for m in range(3)] + [(0.0, 1.0)]
    precision = sum(w / v for w, (_, v) in zip(weights, rows, strict=True))
    return sum(w * m / v for w, (m, v) in zip(weights, rows, strict=True)) / precision, 1 / precision


@pytest.mark.parametrize("prior_weight", [None, 0.4])
def test_product_and_dynamic_prior_item_by_item(prior_weight):
    experts = random_gaussian(3, 8, 2)
    product, dynamic = product_of_experts(experts, PRESENT), dynamic_prior(experts, PRESENT, prior_weight)
    prior = 0.25 if prior_weight is None else prior_weight
    for b, row in enumerate(PATTERNS):
        shares = [is_there * (1 - prior) / 3 for is_there in row] + [prior]
        for d in range(2):
            for fused, weights in (
                (product, [float(is_there) for is_there in row] + [1.0]),
                (dynamic, [share / sum(shares) for share in shares]),
            ):
                mean, variance = brute_force(experts, weights, b, d)
                assert fused.mean[b, d].item() == pytest.approx(mean, rel=1e-10, abs=1e-12)
                assert fused.logvar[b, d].exp().item() == pytest.approx(variance, rel=1e-10)


def test_nothing_present_gives_the_prior():
    experts, nothing = random_gaussian(3, 4, 2), torch.zeros(3, 4, dtype=torch.bool)
    for fused in (product_of_experts(experts, nothing), dynamic_prior(experts, nothing)):
        assert (fused.mean == 0).all() and (fused.logvar == 0).all()


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
@pytest.mark.parametrize("keep", [[0], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]])
def test_a_masked_subset_is_physically_fewer_experts(fusion, keep):
    experts = random_gaussian(3, 6, 2)
    mask = torch.tensor([m in keep for m in range(3)])[:, None].expand(3, 6).contiguous()
    masked = fuse(fusion, experts, mask)
    small = fuse(fusion, fewer(experts, keep), torch.ones(len(keep), 6, dtype=torch.bool))
    if isinstance(masked, Mixture):
        z = random_gaussian(5, 6, 2, seed=3).mean
        torch.testing.assert_close(masked.log_prob(z), small.log_prob(z))
        masked, small = masked.select(), small.select()
    torch.testing.assert_close((masked.mean, masked.logvar), (small.mean, small.logvar))


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_a_mixed_batch_is_its_items_one_by_one(fusion):
    experts = random_gaussian(3, 8, 2)
    fused = fuse(fusion, experts, PRESENT)
    for b in range(1, 8):
        alone = fuse(fusion, experts[:, b : b + 1], PRESENT[:, b : b + 1])
        if isinstance(fused, Mixture):
            torch.testing.assert_close(fused.mean()[b], alone.mean()[0])
        else:
            torch.testing.assert_close((fused.mean[b], fused.logvar[b]), (alone.mean[0], alone.logvar[0]))


def test_mixture_keeps_the_experts():
    experts = random_gaussian(3, 8, 2)
    mixture = mixture_of_experts(experts, PRESENT)
    assert isinstance(mixture, Mixture) and mixture.components is experts


def test_prior_weight_matters_to_the_dynamic_prior_alone():
    experts, everything = random_gaussian(3, 4, 2), torch.ones(3, 4, dtype=torch.bool)
    one, other = (fuse("dynamic_prior", experts, everything, weight) for weight in (0.1, 0.9))
    assert (other.mean.abs() < one.mean.abs()).any() and not torch.allclose(one.mean, other.mean)
    torch.testing.assert_close(
        fuse("product", experts, everything, 0.1).mean, fuse("product", experts, everything, 0.9).mean
    )


def test_unknown_fusion():
    with pytest.raises(ValueError, match=r"unknown fusion 'sum': choose one of .*dynamic_prior.*mixture.*product"):
        fuse("sum", random_gaussian(3, 4, 2), torch.ones(3, 4, dtype=torch.bool))


# ----------------------------------------------------------------------------------------------- products without p(z)


def test_product_alone_item_by_item():
    experts = random_gaussian(3, 8, 2)
    alone = product_alone(experts, PRESENT)
    for b, row in enumerate(PATTERNS):
        for d in range(2):
            mean, variance = brute_force(experts, [*map(float, row), float(not any(row))], b, d)
            assert alone.mean[b, d].item() == pytest.approx(mean, rel=1e-10, abs=1e-12)
            assert alone.logvar[b, d].exp().item() == pytest.approx(variance, rel=1e-10)


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_mixture_of_products_is_one_product_for_each_subset(modalities):
    experts = random_gaussian(modalities, 2**modalities, 2)
    rows = [[bool(pattern >> m & 1) for m in range(modalities)] for pattern in range(2**modalities)]
    present = torch.tensor(rows).T.contiguous()
    mixture = mixture_of_products(experts, present)
    for s, members in enumerate(subsets(range(modalities))):
        keep = torch.tensor([m in members for m in range(modalities)])[:, None].expand_as(present)
        expected = product_alone(experts, keep)
        torch.testing.assert_close(mixture.components.mean[s], expected.mean)
        torch.testing.assert_close(mixture.components.logvar[s], expected.logvar)
        for b, row in enumerate(rows):
            there = sum(row)
            share = 1 / (2**there - 1) if there and all(row[m] for m in members) else 0
            assert mixture.weights[s, b].item() == pytest.approx(share)


def test_every_product_has_its_turn_where_they_outnumber_the_items():
    """Over many small batches each present component is drawn as often as any other, an absent one never."""
    items, batches = 4, 600
    present = torch.ones(4, items, dtype=torch.bool)
    present[3, 2:] = False  # 15 products for two items, 7 for the other two
    components = random_gaussian(15, items, 1)
    components = Gaussian(torch.arange(15.0).view(15, 1, 1).expand(15, items, 1), components.logvar * 0 - 40)
    mixture = Mixture(components, mixture_of_products(random_gaussian(4, items, 1), present).weights)
    generator = seeded()
    drawn = torch.cat([mixture.rsample(generator).round().long().T for _ in range(batches)])  # [batches, items]
    there = all_subsets(4)[:, 3].logical_not()
    for columns, expected in ((drawn[:, :2], torch.ones(15, dtype=torch.bool)), (drawn[:, 2:], there)):
        counts = columns.flatten().bincount(minlength=15)
        mean = 2 * batches / expected.sum().item()
        assert (counts[~expected] == 0).all()
        assert ((counts[expected] - mean).abs() < 5 * mean**0.5).all()


def test_subsets_and_their_members():
    assert [",".join(s) for s in subsets("MST")] == ["M", "S", "T", "M,S", "M,T", "S,T", "M,S,T"]
    assert [len(subsets("ABCD"[:n])) for n in range(1, 5)] == [1, 3, 7, 15]
    members = all_subsets(3)
    assert members.shape == (7, 3) and members.sum().item() == 12
    assert members[4].tolist() == [True, False, True] and members[-1].all()


def test_laplace_posteriors_mix_and_nothing_else():
    gaussian = random_gaussian(3, 8, 2)
    experts = Laplace(gaussian.mean, gaussian.logvar)
    assert isinstance(fuse("mixture", experts, PRESENT).components, Laplace)
    for fusion in set(FUSIONS) - {"mixture"}:
        with pytest.raises(ValueError, match=f"the fusion '{fusion}' needs Gaussian posteriors: choose 'mixture'"):
            fuse(fusion, experts, PRESENT)
