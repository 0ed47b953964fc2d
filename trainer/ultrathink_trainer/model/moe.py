"""Mixture of experts: a dropless token-choice router, stacked experts, a shared expert."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.tensor import DTensor, Partial

from ultrathink_planner import MoEShape

from .kernels import grouped_linear
from .layers import SwiGLU

# Shapes: B rows, T positions, N = B*T tokens, H hidden, F an expert's intermediate, E experts,
# S experts chosen for a token (slots), R = N*S routed rows sorted by expert.


def local(weight: torch.Tensor) -> torch.Tensor:
    """The weight as a plain tensor. Under tensor parallelism it is replicated, each rank sees its own tokens,
    and so its gradient is a part of a sum."""
    return weight.to_local(grad_placements=[Partial()]) if isinstance(weight, DTensor) else weight


class Reorder(torch.autograd.Function):
    """Gather rows by an index that names each (row, copy) once, so that backward is a gather and a sum: no atomics,
    hence the same bits each time, and contiguous gradients, which grouped_mm asks for."""

    @staticmethod
    def forward(
        ctx: Any, x_NH: torch.Tensor, order_R: torch.Tensor, inverse_R: torch.Tensor, copies: int
    ) -> torch.Tensor:
        ctx.save_for_backward(inverse_R)
        ctx.copies = copies
        return x_NH.index_select(0, order_R // copies if copies > 1 else order_R)

    @staticmethod
    def backward(ctx: Any, grad_RH: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (inverse_R,) = ctx.saved_tensors
        grad_RH = grad_RH.index_select(0, inverse_R)
        return grad_RH.unflatten(0, (-1, ctx.copies)).sum(1) if ctx.copies > 1 else grad_RH, None, None, None


class Router(nn.Module):
    """Scores in float32 or better; choice by score plus balance bias, weights by score alone."""

    def __init__(self, hidden: int, moe: MoEShape) -> None:
        super().__init__()
        self.moe = moe
        self.weight = nn.Parameter(torch.empty(moe.experts, hidden))

    def forward(self, x_NH: torch.Tensor, bias_E: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        precise = torch.promote_types(x_NH.dtype, torch.float32)
        logits_NE = F.linear(x_NH.to(precise), local(self.weight).to(precise))
        scores_NE = logits_NE.softmax(-1) if self.moe.router == "softmax" else logits_NE.sigmoid()
        wanted_NE = scores_NE.detach() if bias_E is None else scores_NE.detach() + bias_E
        # A stable sort gives ties to the lower index; topk promises nothing.
        chosen_NS = wanted_NE.sort(dim=-1, descending=True, stable=True).indices[:, : self.moe.top_k]
        weights_NS = scores_NE.gather(-1, chosen_NS)
        if self.moe.norm_top_k:
            weights_NS = weights_NS / weights_NS.sum(-1, keepdim=True)
        return weights_NS, chosen_NS


class Experts(nn.Module):
    """The experts' SwiGLU MLPs as two stacked weights; gate comes first in gate_up."""

    def __init__(self, hidden: int, moe: MoEShape) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(moe.experts, 2 * moe.intermediate, hidden))
        self.down = nn.Parameter(torch.empty(moe.experts, hidden, moe.intermediate))

    def forward(self, x_RH: torch.Tensor, counts_E: torch.Tensor) -> torch.Tensor:
        gate_RF, up_RF = grouped_linear(x_RH, local(self.gate_up), counts_E).chunk(2, dim=-1)
        return grouped_linear(F.silu(gate_RF) * up_RF, local(self.down), counts_E)


class MoE(nn.Module):
    """Routes each token to its experts, weighs their answers, adds the shared expert's."""

    bias: torch.Tensor | None
    counts: torch.Tensor

    def __init__(self, hidden: int, moe: MoEShape) -> None:
        super().__init__()
        self.moe = moe
        self.router = Router(hidden, moe)
        self.experts = Experts(hidden, moe)
        self.shared = SwiGLU(hidden, moe.shared * moe.intermediate) if moe.shared else None
        bias_E = torch.empty(moe.experts, dtype=torch.float32) if moe.balance == "bias" else None
        self.register_buffer("bias", bias_E)  # not trained: moved by balance.py, kept in the checkpoint
        # Rows that reached each expert in this step's training forwards; balance.py reads and clears them.
        self.register_buffer("counts", torch.empty(moe.experts, dtype=torch.int64), persistent=False)

    def reset(self) -> None:
        """Fill the buffers; called once the model left the meta device."""
        self.counts.zero_()
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, x_BTH: torch.Tensor) -> torch.Tensor:
        x_NH = x_BTH.flatten(0, 1)
        weights_NS, chosen_NS = self.router(x_NH, self.bias)
        order_R = chosen_NS.flatten().argsort(stable=True)
        inverse_R = torch.empty_like(order_R).scatter_(0, order_R, torch.arange(len(order_R), device=order_R.device))
        counts_E = torch.bincount(chosen_NS.flatten(), minlength=self.moe.experts)
        if self.training:
            self.counts += counts_E
        x_RH = Reorder.apply(x_NH, order_R, inverse_R, self.moe.top_k)
        y_RH = Reorder.apply(self.experts(x_RH, counts_E), inverse_R, order_R, 1)
        y_NH = (y_RH.unflatten(0, (-1, self.moe.top_k)) * weights_NS[..., None].to(y_RH.dtype)).sum(1)
        y_BTH = y_NH.unflatten(0, x_BTH.shape[:2])
        return y_BTH if self.shared is None else y_BTH + self.shared(x_BTH)
