"""The one convention of sums: nothing averages."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor, Replicate

from ..model.cross_entropy import IGNORED
from ..optim.shards import shard_of
from .mesh import REST, World


def count_labels(labels_BT: torch.Tensor, world: World) -> int:
    """Labels of the whole global batch: all that a loss is ever divided by."""
    count = (labels_BT != IGNORED).sum().cpu()
    if world.at("pipeline") or world.at("tensor"):  # other stages and tensor ranks hold the same rows
        count.zero_()
    dist.all_reduce(count, group=world.control_group)
    return int(count)


def squared_norm(model: nn.Module, world: World) -> torch.Tensor:
    """This rank's share of the squared gradient norm: shares of all ranks add up to it, each element once."""
    total = torch.zeros((), dtype=torch.float64, device=world.device)
    for parameter in model.parameters():
        assert parameter.grad is not None
        if world.at("tensor") == 0 or not replicated_over_tensor(parameter):
            total += torch.linalg.vector_norm(shard_of(parameter.grad)).double().square()
    return total


def replicated_over_tensor(parameter: torch.Tensor) -> bool:
    if not isinstance(parameter, DTensor):
        return True
    names = parameter.device_mesh.mesh_dim_names or ()
    if REST in names:  # experts are cut over all ranks of the stage
        return False
    return "tensor" not in names or isinstance(parameter.placements[names.index("tensor")], Replicate)


def clip_factor(norm: float, limit: float, scale: float = 1.0) -> float:
    """What takes the loss's scale from the gradients, and brings them down to the limit, by their norm over the whole
    mesh without that scale; a limit of 0 means none."""
    return (limit / norm if limit and norm > limit else 1.0) / scale


def scale_gradients(model: nn.Module, factor: float) -> None:
    if factor != 1.0:
        for parameter in model.parameters():
            assert parameter.grad is not None
            shard_of(parameter.grad).mul_(factor)
