"""Batch normalisation of a batch that is divided among processes: by the statistics of all of it, as in one process."""

from functools import partial

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def over_all_shares(model: nn.Module, group: dist.ProcessGroup) -> nn.Module:
    """Let a model's batch normalisation take its statistics over the equal shares of all processes of a group.

    Layers are exchanged in place; parameters, buffers and their names stay. On GPUs it is torch's SyncBatchNorm.
    """
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model, group)
    for layer in model.modules():
        if isinstance(layer, nn.SyncBatchNorm) and layer.running_mean.device.type == "cpu":
            layer.forward = partial(_normalised, layer, group)  # torch's own refuses the CPU
    return model


def _normalised(layer: nn.SyncBatchNorm, group: dist.ProcessGroup, x: Tensor) -> Tensor:
    """Its forward pass, in training by mean and variance over items, positions and processes; gradients go through."""
    if not layer.training:
        return nn.SyncBatchNorm.forward(layer, x)
    kind, x = x.dtype, x.float()
    size = dist.get_world_size(group)
    over = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    mean = all_reduce(x.mean(over), group=group) / size
    centred = x - mean.view(shape)
    variance = all_reduce((centred**2).mean(over), group=group) / size
    count = size * x.numel() / x.shape[1]
    layer.num_batches_tracked.add_(1)
    layer.running_mean.lerp_(mean.detach(), layer.momentum)
    layer.running_var.lerp_(variance.detach() * count / (count - 1), layer.momentum)
    scale = layer.weight / (variance + layer.eps).sqrt()
    return (centred * scale.view(shape) + layer.bias.view(shape)).to(kind)
