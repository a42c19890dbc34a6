"""The drawing pad: drawings become images like MNIST's, whatever their place and size."""

import base64

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import center_of_mass

from workbench.data.load import load_dataset
from workbench.explorers.inputs import SIZE, ImageInput, Pad, TextInput, item_of, like_mnist
from workbench.explorers.inputs_faces import inputs_of


def seven(offset: int = 0) -> torch.Tensor:
    """A seven of thick lines on a sheet."""
    sheet = torch.zeros(SIZE, SIZE)
    sheet[offset + 4 : offset + 8, offset + 4 : offset + 24] = 1
    for row in range(24):
        middle = offset + 22 - row // 2
        sheet[offset + 8 + row, middle - 2 : middle + 2] = 1
    return sheet


def encoded(sheet: torch.Tensor) -> str:
    return base64.b64encode((sheet * 255).byte().numpy().tobytes()).decode()


def test_ink_fills_the_box_of_mnist_with_its_mass_in_the_middle_whatever_its_place_and_size():
    image = like_mnist(seven())
    rows, columns = np.nonzero(image[0].numpy() > 0.05)
    assert image.shape == (1, 28, 28) and image.max() == 1
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert center_of_mass(image[0].numpy()) == pytest.approx((14, 14), abs=0.51)
    small = like_mnist(seven())
    assert torch.equal(like_mnist(seven(offset=9)), small)
    larger = F.interpolate(seven()[None, None], scale_factor=2.0, mode="nearest")[0, 0]
    assert (like_mnist(larger) - small).abs().mean() < 0.02


def test_a_digit_of_mnist_stays_as_it_is(real_data):
    data = load_dataset("mnist-text", "test", root=real_data)
    digits = data.batch(torch.arange(100), torch.Generator()).values[0]
    distances = [(like_mnist(digit[0]) - digit).abs().mean().item() for digit in digits]
    assert np.median(distances) == 0 and np.mean(distances) < 0.001  # of a mean brightness of 0.13


def test_an_empty_pad_gives_nothing_and_wrong_bytes_are_refused():
    pad = Pad()
    assert pad.image() is None
    pad.ink = encoded(torch.zeros(SIZE, SIZE))
    assert pad.image() is None
    pad.ink = encoded(seven())
    assert torch.equal(pad.image(), like_mnist(seven()))
    pad.ink = base64.b64encode(b"123").decode()
    with pytest.raises(ValueError, match="56 x 56 bytes, not 3"):
        pad.image()


def test_a_drawn_digit_is_read_by_the_judge_and_by_the_model(mmjsd):
    handwriting = inputs_of(mmjsd)[0]
    handwriting.source.value = "drawing"
    assert item_of([handwriting]) == {} and "draw a digit" in handwriting.remark
    handwriting.pad.ink = encoded(seven())
    image = item_of([handwriting])["M"]
    assert mmjsd.judges[0].predict(image[None]).item() == 7 and not handwriting.remark


def test_only_handwriting_can_be_drawn_switches_hide_and_who_listens_is_called_at_every_change(mmjsd):
    calls, (handwriting, street, text) = [], inputs_of(mmjsd)
    assert handwriting.drawable and not street.drawable and isinstance(text, TextInput)
    assert isinstance(street, ImageInput) and len(street.widget.children) == 2
    street.given.value = False
    assert len(street.widget.children) == 1 and street.value() is None
    for one in (handwriting, street, text):
        one.on_change(lambda: calls.append(1))
    handwriting.source.value, handwriting.pad.ink = "drawing", encoded(seven())
    street.digit.value, text.text.value, text.given.value = 5, "four", False
    assert len(calls) == 5
