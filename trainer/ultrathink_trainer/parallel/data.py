"""Data parallelism by FSDP2: parameters, gradients and optimizer state are sharded over ranks that see other rows."""

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from ..model.transformer import Transformer


def arithmetic(*, kept: torch.dtype, computed: torch.dtype) -> MixedPrecisionPolicy:
    """Parameters are cast for computing; gradients are summed and kept as parameters are."""
    return MixedPrecisionPolicy(computed, kept) if computed != kept else MixedPrecisionPolicy()


def shard(model: Transformer, mesh: DeviceMesh, policy: MixedPrecisionPolicy, *, reshard_after_forward: bool) -> None:
    """Wrap each block, then the rest. Applied on one rank too, where it gathers nothing but still completes the
    gradients of parameters that tensor parallelism replicates: one path for all layouts."""
    for block in model.layers.values():
        fully_shard(block, mesh=mesh, reshard_after_forward=reshard_after_forward, mp_policy=policy)
    fully_shard(model, mesh=mesh, reshard_after_forward=reshard_after_forward, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Nothing averages: the loss is already divided by the global number of labels.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo has no pre-multiplied sum
