"""Expert parallelism: each rank of a group holds some experts, and rows travel to them and back."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard, distribute_tensor

from ..model.moe import Compute
from ..model.rows import Permute
from ..model.transformer import Transformer
from .mesh import EXPERT, REST, World

# Shapes: P ranks of an expert group, E experts, L = E/P experts of a rank, R rows here before the exchange,
# Q rows here after it, H hidden.


def spread_experts(
    model: Transformer, world: World, policy: MixedPrecisionPolicy, *, reshard_after_forward: bool
) -> None:
    """Cut the stacks over the expert axis, then by FSDP over all other ranks of the stage. Where that is what happens
    to the rest of the block anyway, they stay with it."""
    experts, rest = world.experts[EXPERT], world.experts[REST]
    if experts.size() == 1 and world.size("tensor") == 1:
        return
    for layer in model.moe_layers():
        if experts.size() > 1:
            for name, parameter in list(layer.experts.named_parameters()):
                part = distribute_tensor(parameter, experts, [Shard(0)], src_data_rank=None)
                layer.experts.register_parameter(name, nn.Parameter(part))
            layer.experts.exchange = AllToAll(experts.get_group())
        fully_shard(layer.experts, mesh=rest, reshard_after_forward=reshard_after_forward, mp_policy=policy)


class AllToAll:
    """Sends rows, sorted by expert, to the ranks that hold their experts, and brings the answers back. Every rank takes
    part in every exchange, also with no rows at all."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group

    def __call__(self, x_RH: torch.Tensor, counts_E: torch.Tensor, compute: Compute) -> torch.Tensor:
        sent_PL = counts_E.view(self.group.size(), -1)
        received_PL = torch.empty_like(sent_PL)
        dist.all_to_all_single(received_PL, sent_PL, group=self.group)
        out, back = sent_PL.sum(1).tolist(), received_PL.sum(1).tolist()
        x_QH = Swap.apply(x_RH, out, back, self.group)
        order_Q = by_expert(received_PL)
        inverse_Q = order_Q.argsort()
        y_QH = compute(Permute.apply(x_QH, order_Q, inverse_Q), received_PL.sum(0))
        return Swap.apply(Permute.apply(y_QH, inverse_Q, order_Q), back, out, self.group)


def by_expert(received_PL: torch.Tensor) -> torch.Tensor:
    """Rows come sorted by sender, then expert; this sorts them by expert, then sender."""
    ranks, experts = received_PL.shape
    expert_Q = torch.arange(experts, device=received_PL.device).repeat(ranks).repeat_interleave(received_PL.flatten())
    return expert_Q.argsort(stable=True)


class Swap(torch.autograd.Function):
    """Rows to where they are computed; gradients the same way back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, out: list[int], back: list[int], group: dist.ProcessGroup) -> torch.Tensor:
        ctx.out, ctx.back, ctx.group = out, back, group
        return swapped(x, out, back, group)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        return swapped(grad, ctx.back, ctx.out, ctx.group), None, None, None


def swapped(x: torch.Tensor, out: list[int], back: list[int], group: dist.ProcessGroup) -> torch.Tensor:
    received = x.new_empty(sum(back), *x.shape[1:])
    dist.all_to_all_single(received, x.contiguous(), back, out, group=group)
    return received
