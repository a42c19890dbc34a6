"""Layers that do the same sums sooner on a CPU, for networks that only infer.

What happens at a single position is a product of matrices: the last convolution of an encoder, the first transposed one
of a decoder. Transposed convolutions that double an image for a few channels, such as colours, leave vectors empty. As
measured with the networks of Tables 11 and 12 at 512 codes in bfloat16: 5.1 -> 0.2 ms (text's first), 18 -> 8 ms
(street's last, almost half of its decoder). And what a layer wrote for nobody else is rectified where it stands, which
saves street's decoder a third (a training step gains nothing by that). More of it in
`outputs/reference/performance.md`.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

KINDS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
MAKERS = (*KINDS, nn.Linear, nn.BatchNorm2d, nn.GroupNorm)  # whose output nobody else has
FEW_CHANNELS = 4  # with 32 or more, the nine instead of four products of each output pixel cost more than they save


class FromOnePosition(nn.Module):
    """A transposed convolution without padding; where its input has a single position, as a product of matrices."""

    def __init__(self, layer: nn.ConvTranspose1d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.layer = layer
        # positions before channels: images come out channels last
        self.weight = nn.Parameter(layer.weight.movedim(1, -1).flatten(1).T.contiguous())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.repeat(layer.weight[0, 0].numel()))

    def forward(self, x: Float[Tensor, "batch inputs *positions"]) -> Float[Tensor, "batch outputs *larger"]:
        """What the layer gives."""
        if x.shape[2:].numel() > 1:
            return self.layer(x)
        spread = F.linear(x.flatten(1), self.weight, self.bias)
        return spread.view(len(x), *self.layer.kernel_size, self.layer.out_channels).movedim(-1, 1)


class ToOnePosition(nn.Module):
    """A convolution without padding; where its kernel fits its input once, as a product of matrices."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.weight = nn.Parameter(layer.weight.movedim(1, -1).flatten(1).contiguous())

    def forward(self, x: Float[Tensor, "batch inputs *positions"]) -> Float[Tensor, "batch outputs *smaller"]:
        """What the layer gives."""
        kernel, stride = self.layer.kernel_size, self.layer.stride
        if any(n - k not in range(s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)):
            return self.layer(x)
        patches = x[(..., *(slice(k) for k in kernel))].movedim(1, -1)
        return F.linear(patches.flatten(1), self.weight, self.layer.bias).view(len(x), -1, *[1] * len(kernel))


class Doubled(nn.Module):
    """A transposed convolution k4 s2 p1 as one k3 s1 p1 to four times the channels, the pixels of a 2 x 2 square.

    Output row 2 h + r takes input row h + d with the kernel's row r + 1 - 2 d, for d from -1 to 1; so do columns.
    Channels come out last in memory, as they went in, at half the time of torch's pixel_shuffle.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.channels = layer.out_channels
        kernel = layer.weight.new_zeros(2, 2, self.channels, layer.in_channels, 3, 3)
        taps = [(r, d, r + 1 - 2 * d) for r in (0, 1) for d in (-1, 0, 1) if 0 <= r + 1 - 2 * d < 4]
        for r, down, row in taps:
            for s, right, column in taps:
                kernel[r, s, :, :, down + 1, right + 1] = layer.weight[:, :, row, column].T
        self.conv = nn.Conv2d(layer.in_channels, 4 * self.channels, 3, padding=1, bias=layer.bias is not None)
        self.conv.weight = nn.Parameter(kernel.flatten(0, 2).contiguous(memory_format=torch.channels_last))
        if layer.bias is not None:
            self.conv.bias = nn.Parameter(layer.bias.repeat(4))

    def forward(self, x: Float[Tensor, "batch inputs H W"]) -> Float[Tensor, "batch outputs 2*H 2*W"]:
        """What the layer gives."""
        squares = self.conv(x).movedim(1, -1).unflatten(-1, (2, 2, self.channels))  # batch, H, W, r, s, channels
        return squares.transpose(2, 3).flatten(3, 4).flatten(1, 2).movedim(-1, 1)


@torch.no_grad()
def fuse_for_inference(network: nn.Module) -> nn.Module:
    """Put such layers in the place of those that they do the work of, in the network itself; returns it."""
    if type(network) is nn.Sequential:  # another class may use again what a layer has made
        for before, layer in pairwise(network):
            if type(layer) is nn.ReLU and isinstance(before, MAKERS):
                layer.inplace = True
    for name, layer in network.named_children():
        setattr(network, name, _quicker(layer) or fuse_for_inference(layer))
    return network


def _quicker(layer: nn.Module) -> nn.Module | None:
    """The other layer for a layer, None where it is to stay."""
    if type(layer) not in KINDS:  # a user's subclass may do something else
        return None
    plain = layer.groups == 1 and {*layer.dilation} == {1} and not any(layer.output_padding)
    if type(layer) in (nn.Conv1d, nn.Conv2d):
        return ToOnePosition(layer) if plain and layer.padding in ((0,), (0, 0)) else None
    if plain and not any(layer.padding):
        return FromOnePosition(layer)
    doubles = (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))
    return Doubled(layer) if plain and doubles and layer.out_channels <= FEW_CHANNELS else None
