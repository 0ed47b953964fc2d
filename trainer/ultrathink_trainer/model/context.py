"""A row that is cut over context ranks: who has which positions, and attention that looks back over all of them.

The row falls into twice as many pieces as there are ranks; rank r has piece r and, counted from the end, piece r. So
all ranks look back over the same number of positions, though late pieces see more than early ones.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right

# Shapes: B rows, T positions of a row on this rank, W = T*C positions of the whole row, C context ranks,
# P = T/2 positions of a piece, Q query heads, K key/value heads, D head dimension.

PIECES = 2
"""Of each rank."""


def positions_of(length: int, rank: int, ranks: int) -> torch.Tensor:
    """Where the positions that a rank has stand in a row of `length`."""
    if ranks == 1:
        return torch.arange(length)
    pieces = torch.arange(length).chunk(PIECES * ranks)
    return torch.cat((pieces[rank], pieces[-1 - rank]))


@dataclass(frozen=True)
class Context:
    """The ranks that share rows, and this one's place among them."""

    group: dist.ProcessGroup
    rank: int
    ranks: int

    def positions(self, here: int) -> torch.Tensor:
        """Of the `here` positions of a row that are on this rank."""
        return positions_of(here * self.ranks, self.rank, self.ranks)

    def attend(
        self, q_BTQD: torch.Tensor, k_BTKD: torch.Tensor, v_BTKD: torch.Tensor, window: int | None
    ) -> torch.Tensor:
        """Causal attention over whole rows: keys and values are gathered, each piece looks back from where it stands.
        Answers [B, Q, T, D]."""
        k_BKWD, v_BKWD = in_order(Gathered.apply(torch.stack((k_BTKD, v_BTKD)), self.group)).unbind()
        q_BQTD = q_BTQD.transpose(1, 2)
        early_BQPD, late_BQPD = q_BQTD.chunk(PIECES, dim=2)
        size = early_BQPD.shape[2]
        starts = (self.rank * size, (PIECES * self.ranks - 1 - self.rank) * size)
        mixed = [
            look_back(piece, k_BKWD, v_BKWD, start, window)
            for piece, start in zip((early_BQPD, late_BQPD), starts, strict=True)
        ]
        return torch.cat(mixed, dim=2)


def look_back(
    q_BQPD: torch.Tensor, k_BKWD: torch.Tensor, v_BKWD: torch.Tensor, start: int, window: int | None
) -> torch.Tensor:
    """Attention of a piece that begins at `start`, over itself and what is before it, or the last `window` of that."""
    size = q_BQPD.shape[2]
    end = start + size
    first = 0 if window is None else max(0, start + 1 - window)
    mask: torch.Tensor = causal_lower_right(size, end - first)
    if window is not None and first < end - window:  # somebody must not look as far back as the first
        back = torch.arange(start, end, device=q_BQPD.device)[:, None] - torch.arange(first, end, device=q_BQPD.device)
        mask = (back >= 0) & (back < window)
    return F.scaled_dot_product_attention(
        q_BQPD,
        k_BKWD[:, :, first:end],
        v_BKWD[:, :, first:end],
        attn_mask=mask,
        enable_gqa=q_BQPD.shape[1] != k_BKWD.shape[1],
    )


def in_order(x_C2BTKD: torch.Tensor) -> torch.Tensor:
    """What the ranks have, one after another, as whole rows [2, B, K, W, D]."""
    early, late = x_C2BTKD.movedim(0, 2).chunk(PIECES, dim=3)
    return torch.cat((early, late.flip(2)), dim=2).flatten(2, 3).transpose(2, 3)


class Gathered(torch.autograd.Function):
    """What all ranks have, stacked in their order; the gradient of a rank's part is the sum of what all ranks say."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        ctx.group = group
        whole = x.new_empty(group.size(), *x.shape)
        dist.all_gather_single(whole.flatten(0, 1), x.contiguous(), group=group)
        return whole

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        mine = grad.new_empty(grad.shape[1:])
        dist.reduce_scatter_single(mine, grad.flatten(0, 1).contiguous(), group=ctx.group)
        return mine, None
