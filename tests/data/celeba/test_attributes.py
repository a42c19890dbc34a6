"""Descriptions of faces: what the paper writes, what is cut, and what comes back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.celeba import attributes
from workbench.data.celeba.attributes import ATTRIBUTES, LENGTH, PHRASES, DescriptionStorage

FACES = st.lists(st.booleans(), min_size=40, max_size=40).map(torch.tensor)
# the second example of the paper's Table 17, and one of CelebA's descriptions that are longer than 256 characters
BIG_NOSE = "big nose, male, no beard, young"
LONGEST = {*range(40)} - {0, 4, 13}


def face(*present: int) -> torch.Tensor:
    return torch.tensor([k in present for k in range(40)])


def test_attributes_are_those_of_celeba_in_its_order():
    assert len(ATTRIBUTES) == 40 and list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert PHRASES[0] == "5 o clock shadow" and PHRASES[-1] == "young"


def test_a_description_is_the_papers():
    young_man = face(*(ATTRIBUTES.index(name) for name in ("Big_Nose", "Male", "No_Beard", "Young")))
    assert attributes.describe(young_man) == BIG_NOSE
    (text,) = attributes.text_of(attributes.encode_attributes(young_man[None]))
    assert text == BIG_NOSE
    assert attributes.encode(BIG_NOSE)[len(BIG_NOSE) :].unique().tolist() == [attributes.encode("*")[0]]


@given(FACES)
def test_many_at_once_are_one_after_the_other(present):
    many = torch.stack([present, ~present])
    one_by_one = [attributes.encode(attributes.describe(row)) for row in many]
    assert torch.equal(attributes.encode_attributes(many), torch.stack(one_by_one))


@given(FACES)
def test_a_description_is_read_back(present):
    text = attributes.describe(present)
    assert torch.equal(attributes.parse(text), present)
    assert torch.equal(attributes.parse(f"{text.upper()} ,{'*' * 7}"), present)


def test_order_case_and_underscores_of_a_description_do_not_matter():
    assert torch.equal(attributes.parse("Young,  NO_BEARD, male,big nose"), attributes.parse(BIG_NOSE))
    assert not attributes.parse(" ").any()


def test_a_long_description_is_cut():
    text = attributes.describe(face(*LONGEST))
    assert len(text) > LENGTH
    (cut,) = attributes.text_of(attributes.encode_attributes(face(*LONGEST)[None]))
    assert cut == text[:LENGTH]


@pytest.mark.parametrize(
    ("text", "told"), [("smilling, young", "did you mean 'smiling'"), ("qqqq", "'qqqq' is none of the 40 attributes")]
)
def test_an_unknown_attribute_is_named(text, told):
    with pytest.raises(ValueError, match=told):
        attributes.parse(text)


def test_characters_outside_the_alphabet_are_named():
    with pytest.raises(ValueError, match="'é'"):
        attributes.encode("café")


@given(st.lists(FACES, min_size=1, max_size=5), st.integers(0, 2**32))
def test_a_description_anywhere_is_the_same_text_elsewhere(faces, seed):
    labels = torch.stack(faces)
    storage = DescriptionStorage.of(labels, anywhere=True)
    tokens = storage.gather(torch.arange(len(labels)), torch.Generator().manual_seed(seed))
    assert tokens.shape == (len(labels), LENGTH)
    assert attributes.text_of(tokens) == attributes.text_of(storage.values)


def test_every_start_of_a_description_is_as_likely():
    storage = DescriptionStorage.of(attributes.parse(BIG_NOSE)[None], anywhere=True)
    draws = 20_000
    tokens = storage.gather(torch.zeros(draws, dtype=torch.long), torch.Generator().manual_seed(0))
    starts = (tokens != attributes.encode("*")[0]).long().argmax(1)
    places = LENGTH - len(BIG_NOSE) + 1
    counts = starts.bincount(minlength=places)
    expected = draws / places
    assert len(counts) == places
    # chi-squared with 225 degrees of freedom: mean 225, standard deviation 21
    assert ((counts - expected) ** 2 / expected).sum() < places + 5 * (2 * places) ** 0.5


def test_a_description_at_the_front_draws_nothing():
    storage = DescriptionStorage.of(torch.stack([attributes.parse(BIG_NOSE), face(3)]))
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    tokens = storage.gather(torch.tensor([1, 0, 0]), generator)
    assert torch.equal(generator.get_state(), before) and tokens.dtype == torch.int64
    assert attributes.text_of(tokens) == ["bags under eyes", BIG_NOSE, BIG_NOSE]
