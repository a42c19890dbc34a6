"""Data sets in which modalities are missing: how many, which, and that the choice is nested, uniform and kept."""

from collections import Counter
from dataclasses import replace
from itertools import combinations, compress

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given
from hypothesis import strategies as st

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset, Storage
from workbench.data.images import Images
from workbench.data.letters import Names, letters_of
from workbench.data.load import load_dataset
from workbench.data.missing import as_configured, at_random, by_block, by_pattern, complete_only, first_items
from workbench.data.pairing import pair_table

NAMES = ("ct", "labs", "report", "ecg")
LETTERS = ("C", "L", "R", "E")


def hospital(items: int, modalities: int = 3, present: torch.Tensor | None = None, repeats: int = 1):
    """Items whose pixel is their number, in modalities named after what a hospital has."""
    labels = torch.arange(items) % 2
    values = torch.arange(items, dtype=torch.uint8).view(-1, 1, 1, 1)
    storages = tuple(Storage.of_images(name, "made", Images(values, labels)) for name in NAMES[:modalities])
    pairs = pair_table([labels] * modalities, repeats)
    return MultimodalDataset("hospital", "train", storages, pairs, labels[pairs[:, 0]], present, repeats)


def some_missing(items: int, modalities: int, seed: int) -> torch.Tensor:
    """Random entries present, at least one of each item."""
    present = torch.rand(items, modalities, generator=seeded(seed)) < 0.6
    present[torch.arange(items), torch.randint(modalities, (items,), generator=seeded(seed))] = True
    return present


def has(dataset: MultimodalDataset) -> torch.Tensor:
    """What each row has."""
    return torch.ones(dataset.pairs.shape, dtype=torch.bool) if dataset.present is None else dataset.present


SHARES = st.floats(0, 0.99)
SEEDS = st.integers(0, 2**31)


@given(st.integers(1, 60), st.integers(2, 4), SHARES, SEEDS)
def test_a_share_of_the_items_is_incomplete_and_none_is_empty(items, modalities, share, seed):
    found = has(at_random(hospital(items, modalities), share, seed))
    assert (~found.all(1)).sum() == round(share * items)
    assert found.any(1).all()


@given(st.integers(1, 60), st.integers(2, 4), st.lists(SHARES, min_size=2, max_size=2), SEEDS)
def test_shares_are_nested(items, modalities, shares, seed):
    less, more = (has(at_random(hospital(items, modalities), share, seed)) for share in sorted(shares))
    incomplete = ~less.all(1)
    assert torch.equal(less[incomplete], more[incomplete])


@given(st.integers(1, 40), SHARES, SEEDS)
def test_what_was_absent_stays_absent(items, share, seed):
    before = some_missing(items, 3, seed)
    after = has(at_random(hospital(items, 3, before), share, seed))
    assert not (after & ~before).any() and after.any(1).all()
    thinned = (after != before).any(1)
    assert (thinned <= (before.sum(1) > 1)).all() and thinned.sum() <= round(share * items)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_all_proper_subsets_are_equally_likely(modalities):
    """Chi-squared against the uniform distribution: below what it exceeds in one case of a thousand (13 degrees)."""
    counts = Counter()
    for seed in range(20):
        found = has(at_random(hospital(200, modalities), 0.99, seed))
        counts.update(tuple(row) for row in found[~found.all(1)].tolist())
    expected = 20 * 198 / (2**modalities - 2)
    assert len(counts) == 2**modalities - 2
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 34.5


def test_subsets_of_what_is_left_are_equally_likely_too():
    """Items with two of three modalities keep either."""
    before = torch.tensor([[True, False, True]]).expand(200, 3).clone()
    counts = sum(has(at_random(hospital(200, 3, before), 0.99, seed)).sum(0) for seed in range(20))
    assert counts[1] == 0 and abs(counts[0] - counts[2]) < 4 * (20 * 198) ** 0.5


def test_seeds_choose_and_nothing_else_does():
    data = hospital(50)
    one, again, other = (has(at_random(data, 0.5, seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    state = torch.get_rng_state()
    thinned = at_random(data, 0.5, 7)
    assert torch.equal(state, torch.get_rng_state())
    assert thinned.storages is data.storages and torch.equal(thinned.pairs, data.pairs), "values and pairs stay"
    assert at_random(data, 0.0).present is None


def test_pairings_of_an_item_lack_the_same():
    data = hospital(20, 3, repeats=4)
    thinned = at_random(data, 0.6)
    by_item = {}
    for row, there in zip(thinned.pairs[:, 0].tolist(), thinned.present.tolist(), strict=True):
        by_item.setdefault(row, set()).add(tuple(there))
    assert len(by_item) == 20 and all(len(patterns) == 1 for patterns in by_item.values())
    assert (~thinned.present.view(4, 20, 3).all(2)).sum(1).tolist() == [12] * 4
    complete = complete_only(thinned)
    assert complete.repeats == 4 and len(complete) == 32
    kept = {*complete.pairs[:, 0].tolist()}
    assert [*map(len, (kept, {*complete.pairs[complete.first_repeat(), 0].tolist()}))] == [8, 8]


def test_words_do_not_tell_items(tiny_root):
    """Strings are shared by a class: the items of text and images are told by the image."""
    data = load_dataset("uci-text", "train", repeats=3)
    data = replace(data, storages=data.storages[::-1], pairs=data.pairs.flip(1))
    thinned = at_random(data, 0.5)
    once = len(data) // 3
    assert (~thinned.present.view(3, once, 2).all(2)).sum(1).tolist() == [round(once / 2)] * 3
    item = thinned.pairs[:, 1].long()
    patterns = torch.zeros(int(item.max()) + 1, 2, dtype=torch.bool)
    patterns[item[:once]] = thinned.present[:once]
    assert torch.equal(patterns[item], thinned.present)


def test_rows_are_items_where_nothing_tells_them_apart(tiny_root):
    text = load_dataset("text", "train", repeats=3)
    data = replace(text, storages=text.storages * 2, pairs=text.pairs.repeat(1, 2))
    assert (~has(at_random(data, 0.5)).all(1)).sum() == round(len(data) / 2)
    apart = hospital(20, repeats=2, present=some_missing(40, 3, 0))  # the pairings of an item do not lack the same
    assert has(at_random(apart, 0.9)).any(1).all()


@given(st.integers(1, 60), st.lists(st.integers(0, 100), min_size=6, max_size=6), SEEDS)
def test_every_pattern_has_its_share(items, weights, seed):
    names = [",".join(chosen) for size in (1, 2) for chosen in combinations(LETTERS[:3], size)]
    whole = max(sum(weights), 1) * 1.25  # a fifth and more is not thinned
    shares = {name: weight / whole for name, weight in zip(names, weights, strict=True)}
    rows = has(by_pattern(hospital(items), shares, seed)).tolist()
    found = Counter(",".join(compress(LETTERS, row)) for row in rows)
    for name, share in shares.items():
        assert abs(found[name] - share * items) <= 1
    assert found.total() == items and {*found} <= {*names, "C,L,R"}


@given(st.integers(1, 40), SEEDS)
def test_a_pattern_that_would_leave_nothing_gives_way(items, seed):
    before = some_missing(items, 3, seed)
    after = has(by_pattern(hospital(items, 3, before), {"C": 0.4, "labs": 0.3, "R": 0.2}, seed))
    assert after.any(1).all() and not (after & ~before).any()


def test_shares_that_fill_everything():
    found = has(by_pattern(hospital(10), {"ct, labs": 0.5, "report": 0.5}))
    assert sorted(map(tuple, found.tolist())) == [(False, False, True)] * 5 + [(True, True, False)] * 5


def test_an_item_that_fits_no_pattern_is_refused():
    before = torch.ones(15, 3, dtype=torch.bool)
    before[3] = before[8] = torch.tensor([False, False, True])
    with pytest.raises(ValueError, match="items of hospital would be left with nothing: 3, 8; leave them"):
        by_pattern(hospital(15, 3, before), {"C": 0.5, "L": 0.5})


REFUSED = [
    (lambda: by_pattern(hospital(5), {"C": 0.7, "L": 0.4}), "the shares of the patterns add up to 1.1"),
    (lambda: by_pattern(hospital(5), {"C": -0.1}), "pattern 'C' has the share -0.1"),
    (lambda: by_pattern(hospital(5), {"C,X": 0.1}), "unknown modality 'X': hospital has ct, labs, report"),
    (lambda: by_pattern(hospital(5), {"": 0.1}), "unknown modality ''"),
    (lambda: by_block(hospital(3), "AB", {"A": ["ct"]}), "2 sites for 3 rows of hospital: give one for each"),
    (lambda: by_block(hospital(3), "ABB", {"C": ["ct"]}), "no row of hospital is of site 'C': the sites are A, B"),
    (lambda: by_block(hospital(3), "ABB", {"A": ["mri"]}), "unknown modality 'mri': hospital has ct, labs, report"),
    (
        lambda: by_block(hospital(30), ["A"] * 30, {"A": NAMES[:3]}),
        "nothing: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more; l",
    ),
    (lambda: first_items(hospital(20), 21), r"hospital \(train\) has 20 items, not 21: choose 1 to 20"),
    (lambda: at_random(hospital(5, 1), 0.5), "hospital has a single modality, of which nothing can be missing"),
    (lambda: at_random(hospital(5), 1.0), "cannot be made incomplete"),
    (lambda: at_random(hospital(5), -0.1), "cannot be made incomplete"),
    (lambda: letters_of(("a", "a")), "two modalities cannot be told apart by the name 'a'"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [list, np.array, lambda sites: torch.tensor([ord(site) for site in sites])])
def test_a_site_without_a_scanner(kind):
    sites = kind([*"ABABCCA"])
    a, c = (65, 67) if isinstance(sites, torch.Tensor) else "AC"
    found = by_block(hospital(7), sites, {a: ["ct"], c: ["labs", "R"]})
    expected = {"A": [False, True, True], "B": [True] * 3, "C": [True, False, False]}
    assert found.present.tolist() == [expected[site] for site in "ABABCCA"]


def test_blocks_meet_what_is_absent_already():
    before = torch.tensor([[True, True, False], [True, False, False], [False, True, True]])
    after = by_block(hospital(3, 3, before), [1, 2, 1], {1: ["ct"]}).present
    assert after.tolist() == [[False, True, False], [True, False, False], [False, True, True]]
    with pytest.raises(ValueError, match="items of hospital would be left with nothing: 1; leave"):
        by_block(hospital(3, 3, before), [1, 2, 1], {2: ["ct"]})


@given(st.integers(2, 40), SHARES, SEEDS)
def test_complete_items_are_those_that_lack_nothing(items, share, seed):
    data = hospital(items)
    thinned = at_random(data, share, seed)
    if not has(thinned).all(1).any():
        with pytest.raises(ValueError, match=r"no item of hospital \(train\) has every modality"):
            complete_only(thinned)
        return
    left = complete_only(thinned)
    assert left.present is None and len(left) == items - round(share * items)
    expected = [row for row, there in zip(data.pairs.tolist(), has(thinned).all(1), strict=True) if there]
    assert left.pairs.tolist() == expected
    assert left.labels.tolist() == [row[0] % 2 for row in expected]


def test_rows_that_are_left_unevenly_are_no_repeats():
    present = torch.ones(20, 3, dtype=torch.bool)
    present[0, 1] = False  # of the first repeat alone
    left = complete_only(hospital(10, repeats=2, present=present))
    assert left.repeats == 1 and len(left.first_repeat()) == len(left) == 19


def test_the_first_items_come_with_their_pairings():
    data = hospital(20, repeats=3)
    few = first_items(data, 6)
    assert len(few) == 18 and few.repeats == 3
    kept = {*data.pairs[:6, 0].tolist()}
    assert {*few.pairs[:, 0].tolist()} == kept and few.pairs[:6].tolist() == data.pairs[:6].tolist()


def test_what_a_configuration_leaves():
    data = hospital(100)
    config = Config(train_size=40, missing_rate=0.75, seed=3)
    used, dropped = (as_configured(data, config.replace(missing_policy=what)) for what in ("used", "dropped"))
    assert (len(used), len(dropped)) == (40, 10)
    assert torch.equal(used.present, at_random(first_items(data, 40), 0.75, 3).present)
    assert dropped.pairs.tolist() == used.pairs[used.present.all(1)].tolist()
    assert as_configured(data, Config()) is complete_only(data) is data


def test_items_with_nothing_are_not_trained_on():
    present = torch.ones(9, 3, dtype=torch.bool)
    present[4] = present[6] = False
    with pytest.raises(ValueError, match="items of hospital have no modality: 4, 6; leave them something, or leave"):
        as_configured(hospital(9, 3, present), Config())


def test_letters():
    assert letters_of(("handwriting", "street", "text")) == ("M", "S", "T")
    assert letters_of(NAMES) == LETTERS and letters_of(("ct", "cough", "mri")) == ("C", "Co", "M")
    assert letters_of(("T1", "T1ce", "T2", "FLAIR")) == ("T", "T1c", "T2", "F")
    assert letters_of(("V1", "V10", "V")[:2]) == ("V", "V10") and letters_of(("V", "V1")) == ("V", "V1")


@given(st.lists(st.text("aAbBM1", min_size=1, max_size=4), unique=True, min_size=1, max_size=6))
def test_no_letter_is_another_letter_or_another_one_s_name(names):
    try:
        letters = letters_of(names)
    except ValueError as error:
        assert "cannot be told apart" in str(error)
        return
    assert len({*letters}) == len(names)
    assert not [x for m, x in enumerate(letters) if x in names[:m] + names[m + 1 :]]
    called = Names(tuple(names), letters, "")
    for m, both in enumerate(zip(names, letters, strict=True)):
        assert called.places([*both, m]) == [m] and [called.places(name) for name in both] == [[m], [m]]


def test_a_string_is_one_name_and_a_name_wins():
    called = Names(("a", "b", "ab", "labs"), ("A", "B", "Ab", "a"), "there are some")
    for who, places in (("ab", [2]), ("labs", [3]), ("b, a", [1, 0]), ("AB", [0, 1]), ("a", [0]), (None, [0, 1, 2, 3])):
        assert called.places(who) == places
    for unknown in ("lab", "ba", "", "a,", ["c"], [4], [-1], [True]):
        with pytest.raises(ValueError, match=r"unknown modality .*: there are some"):
            called.places(unknown)
    assert called.title([1, 2]) == "B,Ab"


def test_patterns_and_blocks_take_a_string_for_a_name():
    assert by_pattern(hospital(4), {"report": 1.0}).present.tolist() == [[False, False, True]] * 4
    assert by_block(hospital(2), "AB", {"A": "report"}).present.tolist() == [[True, True, False], [True] * 3]
