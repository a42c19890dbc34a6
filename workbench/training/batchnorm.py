"""Batch normalisation of a batch that is divided among processes: by the statistics of all of it, as in one process."""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from workbench.distributions import full_precision


class Mean(torch.autograd.Function):
    """The mean of a tensor over the processes of a group, through which gradients come back from all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        """The mean, in every process."""
        ctx.group = group
        return _mean(x, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The mean of the gradients: every process has a share of each mean, and of the loss."""
        return _mean(gradient, ctx.group), None


def _mean(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    x = x.clone()
    dist.all_reduce(x, group=group)
    return x / dist.get_world_size(group)


def over_all_shares(model: nn.Module, group: dist.ProcessGroup) -> nn.Module:
    """Let a model's batch normalisation take its statistics over the equal shares of all processes of a group.

    On GPUs layers are exchanged for torch's SyncBatchNorm, which refuses the CPU; there they have another forward pass.
    Parameters, buffers and their names stay.
    """
    if next(model.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(model, group)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.forward = partial(_normalised, layer, group)
    return model


def _normalised(layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, group: dist.ProcessGroup, x: Tensor) -> Tensor:
    """Its forward pass, in training by mean and variance over items, positions and processes; gradients go through."""
    if not layer.training:
        return type(layer).forward(layer, x)
    kind, x = x.dtype, full_precision(x)
    over = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    mean = Mean.apply(x.mean(over), group)
    centred = x - mean.view(shape)
    variance = Mean.apply((centred**2).mean(over), group)
    count = dist.get_world_size(group) * x.numel() / x.shape[1]
    layer.num_batches_tracked.add_(1)
    layer.running_mean.lerp_(mean.detach(), layer.momentum)
    layer.running_var.lerp_(variance.detach() * count / (count - 1), layer.momentum)
    scale = layer.weight / (variance + layer.eps).sqrt()
    return (centred * scale.view(shape) + layer.bias.view(shape)).to(kind)
