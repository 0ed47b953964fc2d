"""Losses that belong to a layer: balance and z-loss, which enter the graph where they arise.

The last pipeline stage's loss cannot see them, so each layer adds their gradient by an identity function. They carry
the divisor of the whole global batch already: nothing averages later.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from ultrathink_planner import MoEShape

from .router import Choice

# Shapes: B rows, T positions of a row on this rank, N = B*T tokens, S slots, E experts.


@dataclass(frozen=True)
class StepFacts:
    """What a layer must know of the step that it works for: positions and rows of the whole global batch, and what
    the gradient of the loss is multiplied by (fp16)."""

    tokens: int
    rows: int
    gradient_scale: float = 1.0
    effort: float = 1.0
    """Share of topK that tokens may use, where there is adaptive compute."""


class Attach(torch.autograd.Function):
    """Hand on the first argument; give the second, a loss, its gradient."""

    @staticmethod
    def forward(ctx: Any, carrier: torch.Tensor, loss: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(loss)
        ctx.scale = scale
        return carrier.view_as(carrier)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        (loss,) = ctx.saved_tensors
        return grad, torch.full_like(loss, ctx.scale), None


def attach(carrier: torch.Tensor, loss: torch.Tensor, facts: StepFacts) -> torch.Tensor:
    return Attach.apply(carrier, loss, facts.gradient_scale)


def global_loss(choice: Choice, moe: MoEShape, facts: StepFacts, previous_E: torch.Tensor) -> torch.Tensor:
    """a * E * sum f_e P_e: f the experts' shares of the previous global batch, P the mean chance over this one. What
    this rank's tokens add to it, so that it is the same under every cut of the batch."""
    chances_E = choice.chances().sum(0)
    shares_E = shares(previous_E).to(chances_E.dtype)
    return moe.aux_loss * moe.experts / facts.tokens * (shares_E * chances_E).sum()


def shares(counts_E: torch.Tensor) -> torch.Tensor:
    """Each expert's share of the rows; even before the first step."""
    total = counts_E.sum(-1, keepdim=True)
    return torch.where(total > 0, counts_E / total.clamp(min=1).double(), 1.0 / counts_E.shape[-1])


def micro_loss(
    choice: Choice, moe: MoEShape, facts: StepFacts, positions: int, group: dist.ProcessGroup | None
) -> torch.Tensor:
    """The same on each sequence by itself; the mean over the sequences of the global batch. `group` are the ranks
    that hold the other positions of the same rows."""
    chances_BE = choice.chances().unflatten(0, (-1, positions)).sum(1)
    counts_BE = rows_per_expert(choice.chosen_NS.view(len(chances_BE), -1), moe.experts)
    if group is not None:
        dist.all_reduce(counts_BE, group=group)
        positions *= group.size()
    shares_BE = shares(counts_BE).to(chances_BE.dtype)
    return moe.aux_loss * moe.experts / (facts.rows * positions) * (shares_BE * chances_BE).sum()


def rows_per_expert(chosen_BN: torch.Tensor, experts: int) -> torch.Tensor:
    """How often each expert occurs in each row, as integers [B, E]."""
    counts_BE = torch.zeros(len(chosen_BN), experts, dtype=torch.int64, device=chosen_BN.device)
    return counts_BE.scatter_add_(1, chosen_BN, torch.ones_like(chosen_BN))


def z_loss(choice: Choice, moe: MoEShape, facts: StepFacts) -> torch.Tensor:
    """The mean over the global batch of the squared log-sum-exp of the logits; what this rank's tokens add to it."""
    return moe.z_loss / facts.tokens * choice.logits_NE.logsumexp(-1).square().sum()
