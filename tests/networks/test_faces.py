"""Networks of faces and descriptions: Tables 18 and 19, their shapes, widths and residual blocks."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench.modality import make_modalities
from workbench.networks import faces

FACES = ("image", "text"), ((3, 64, 64), (256,))


def strided(network: nn.Module) -> list[tuple[int, int, int, int, int]]:
    """In and out channels, kernel size, stride and padding of the strided convolutions on the main path."""
    rows = []
    for layer in network.layers:
        found = layer.shortcut[0] if isinstance(layer, faces.ResidualBlock) else layer
        if hasattr(found, "stride"):
            sizes = found.kernel_size, found.stride, found.padding
            rows.append((found.in_channels, found.out_channels, *(size[0] for size in sizes)))
    return rows


@pytest.mark.parametrize(
    ("encoder", "decoder", "outside", "channels"),
    [
        (faces.ImageEncoder, faces.ImageDecoder, 3, [128, 256, 384, 512, 640]),
        (faces.TextEncoder, faces.TextDecoder, 71, [128, 256, 384, 512, 640, 640, 640]),
    ],
    ids=["table 18", "table 19"],
)
def test_networks_are_those_of_the_tables(encoder, decoder, outside, channels):
    *inner, (a, b) = pairwise(channels)
    assert strided(encoder()) == [(outside, 128, 3, 2, 1), *((*pair, 4, 2, 1) for pair in inner), (a, b, 4, 2, 0)]
    outer = [(b, a, 4, 2, 1) for a, b in reversed(inner)]
    assert strided(decoder(64)) == [(b, a, 4, 2, 0), *outer, (128, outside, 3, 2, 1)]


@pytest.mark.parametrize("width", [0.125, 0.3, 1.0])
def test_shapes_at_any_width(width):
    image, text = make_modalities(*FACES, width=width)
    x, tokens = torch.rand(2, 3, 64, 64), torch.randint(71, (2, 256))
    for modality, value, output in ((image, x, (2, 3, 64, 64)), (text, tokens, (2, 256, 71))):
        encoder, decoder = modality.make_encoder(), modality.make_decoder(7)
        assert encoder(value).shape == (2, encoder.features) == (2, round(640 * width))
        assert decoder(torch.randn(2, 7)).shape == output


def test_width_takes_its_square_off_the_weights():
    whole, half = (sum(p.numel() for p in faces.ImageEncoder(width).parameters()) for width in (1.0, 0.5))
    assert 0.24 < half / whole < 0.26


def test_a_width_of_digits_is_refused():
    with pytest.raises(ValueError, match=r"width 0\.5 is a choice of networks of faces"):
        make_modalities(("handwriting", "text"), ((1, 28, 28), (8,)), width=0.5)


def test_weights_are_the_authors():
    assert [m.weight for m in make_modalities(*FACES)] == [1, 16]
    assert [m.weight for m in make_modalities(*FACES, text_weight=48.0)] == [1, 48]
    assert [m.letter for m in make_modalities(*FACES)] == ["I", "T"]
    assert [m.style_weight for m in make_modalities(*FACES)] == [1, 5]


def test_a_residual_block_is_two_shortcuts_and_a_third_of_the_rest():
    """Against the formula written out with functions, in evaluation mode."""
    torch.manual_seed(0)
    block = faces.ResidualBlock(nn.Conv2d, 6, 5, padding=1)
    for module in block.modules():  # statistics as after some training
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
    x = torch.randn(3, 6, 8, 8)

    def normed(bn, y):
        return F.batch_norm(y, bn.running_mean, bn.running_var, bn.weight, bn.bias)

    first, _, one, _, second, _, four, _ = block.residual
    inner = F.conv2d(F.relu(normed(first, x)), one.weight)
    rest = F.conv2d(F.relu(normed(second, inner)), four.weight, stride=2, padding=1)
    kept = normed(block.shortcut[1], F.conv2d(x, block.shortcut[0].weight, stride=2, padding=1))
    torch.testing.assert_close(block.eval()(x), 2.0 * kept + 0.3 * rest)


def test_dropout_takes_whole_channels_in_training_only():
    torch.manual_seed(0)
    block = faces.ResidualBlock(nn.Conv1d, 8, 64, padding=1)
    x = torch.randn(1, 8, 16)
    rest = block.train().residual(x)
    dropped = (rest == 0).all(2)
    assert 0.3 < dropped.float().mean() < 0.7 and not (rest == 0)[~dropped].any()
    assert torch.equal(block.eval()(x), block(x))
