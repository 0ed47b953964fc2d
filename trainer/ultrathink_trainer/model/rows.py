"""Rows on their way to experts and back: each direction is one pass, and gives the same bits each time (no atomics).

A token has K slots, one for each expert that it goes to; slot m belongs to token m // K. Those that are computed are
the routed rows, sorted by expert.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

# Shapes: N tokens, H hidden, K slots of a token, M = N*K slots, R <= M routed rows sorted by expert, J what is found
# in each row.


@dataclass(frozen=True)
class Rows:
    """The slot of each routed row, and the way back: each token's rows, those of token n from `starts[n]` on."""

    slots_R: torch.Tensor
    found_R: torch.Tensor
    starts_N: torch.Tensor
    per_token: int

    @property
    def tokens_R(self) -> torch.Tensor:
        """The token of each row."""
        return self.slots_R // self.per_token

    def whole(self) -> bool:
        """Whether each slot has a row."""
        return len(self.slots_R) == len(self.starts_N) * self.per_token

    def of_slots(self, values_NK: torch.Tensor) -> torch.Tensor:
        """Values of those slots that have a row, token by token."""
        values_M = values_NK.flatten()
        return values_M if self.whole() else values_M[self.slots_R.sort().values]


def sorted_rows(expert_M: torch.Tensor, experts: int, per_token: int, rows: int) -> Rows:
    """Rows of slots whose expert is below `experts`; there are `rows` of them. The sort is stable: within an expert,
    earlier tokens come first."""
    slots_R = expert_M.argsort(stable=True)[:rows]
    found_M = torch.empty_like(expert_M)
    found_M[slots_R] = torch.arange(rows, device=expert_M.device)
    if rows == len(expert_M):
        starts_N = torch.arange(0, rows, per_token, device=expert_M.device)
        return Rows(slots_R, found_M, starts_N, per_token)
    kept_M = expert_M < experts
    ends_N = kept_M.view(-1, per_token).sum(1).cumsum(0)
    return Rows(slots_R, found_M[kept_M], ends_N - kept_M.view(-1, per_token).sum(1), per_token)


class Take(torch.autograd.Function):
    """The token of each row."""

    @staticmethod
    def forward(ctx: Any, x_NH: torch.Tensor, rows: Rows) -> torch.Tensor:
        ctx.rows = rows
        return x_NH.index_select(0, rows.tokens_R)

    @staticmethod
    def backward(ctx: Any, grad_RH: torch.Tensor) -> tuple[torch.Tensor, None]:
        return summed(grad_RH, ctx.rows), None


class Bring(torch.autograd.Function):
    """The sum of each token's rows, weighted; zero for a token without rows."""

    @staticmethod
    def forward(ctx: Any, y_RH: torch.Tensor, weights_NK: torch.Tensor, rows: Rows) -> torch.Tensor:
        ctx.save_for_backward(y_RH, weights_NK)
        ctx.rows = rows
        return summed(y_RH, rows, rows.of_slots(weights_NK.to(y_RH.dtype)))

    @staticmethod
    def backward(ctx: Any, grad_NH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        y_RH, weights_NK = ctx.saved_tensors
        rows: Rows = ctx.rows
        grad_RH = grad_NH.index_select(0, rows.tokens_R)
        shares_R = torch.linalg.vecdot(grad_RH, y_RH).to(weights_NK.dtype)
        grad_NK = torch.zeros_like(weights_NK)
        grad_NK.view(-1)[rows.slots_R] = shares_R
        weights_R = weights_NK.flatten()[rows.slots_R]
        return grad_RH.mul_(weights_R[:, None]), grad_NK, None


def summed(y_RH: torch.Tensor, rows: Rows, weights_J: torch.Tensor | None = None) -> torch.Tensor:
    """Of each token's rows, in the order of its slots."""
    if rows.per_token == 1 and rows.whole() and weights_J is None:
        return y_RH.index_select(0, rows.found_R)
    return F.embedding_bag(rows.found_R, y_RH, rows.starts_N, mode="sum", per_sample_weights=weights_J)


class Permute(torch.autograd.Function):
    """Rows in another order; gradients in the old one."""

    @staticmethod
    def forward(ctx: Any, x_RH: torch.Tensor, order_R: torch.Tensor, inverse_R: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inverse_R)
        return x_RH.index_select(0, order_R)

    @staticmethod
    def backward(ctx: Any, grad_RH: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (inverse_R,) = ctx.saved_tensors
        return grad_RH.index_select(0, inverse_R), None, None


class GatedUnit(torch.autograd.Function):
    """silu(gate) * up of one product that holds both. What backward needs beside it is computed again, into one
    tensor: less to keep and no copy to put halves together."""

    @staticmethod
    def forward(ctx: Any, both_RF: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both_RF)
        gate_RF, up_RF = both_RF.chunk(2, dim=-1)
        return F.silu(gate_RF).mul_(up_RF)

    @staticmethod
    def backward(ctx: Any, grad_RF: torch.Tensor) -> torch.Tensor:
        (both_RF,) = ctx.saved_tensors
        gate_RF, up_RF = both_RF.chunk(2, dim=-1)
        out_RF = torch.empty_like(both_RF)
        to_gate_RF, to_up_RF = out_RF.chunk(2, dim=-1)
        torch.ops.aten.silu.out(gate_RF, out=to_up_RF).mul_(grad_RF)
        torch.mul(grad_RF, up_RF, out=to_gate_RF)
        torch.ops.aten.silu_backward.grad_input(to_gate_RF, gate_RF, grad_input=to_gate_RF)
        return out_RF
