"""The router: which experts a token goes to, and with which weights."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.tensor import DTensor, Partial

from ultrathink_planner import MoEShape

# Shapes: N tokens, H hidden, E experts, S experts chosen for a token (slots), G groups of consecutive experts.

GROUP_VOICES = 2
"""A group is as good as its two best experts together, as DeepSeek-V3 and GLM-4.5 choose groups."""


def local(weight: torch.Tensor) -> torch.Tensor:
    """The weight as a plain tensor. Under tensor parallelism it is replicated, each rank sees its own tokens,
    and so its gradient is a part of a sum."""
    return weight.to_local(grad_placements=[Partial()]) if isinstance(weight, DTensor) else weight


@dataclass(frozen=True)
class Choice:
    """What the router says of each token. `wanted` is what the choice was made by: score plus balance bias."""

    weights_NS: torch.Tensor
    chosen_NS: torch.Tensor
    wanted_NS: torch.Tensor
    scores_NE: torch.Tensor
    logits_NE: torch.Tensor

    def chances(self) -> torch.Tensor:
        """Scores that add up to one for each token: what a balance loss evens out. (Softmax scores do so already.)"""
        return self.scores_NE / self.scores_NE.sum(-1, keepdim=True)


class Router(nn.Module):
    """Scores in float32 or better; choice by score plus balance bias, weights by score alone."""

    def __init__(self, hidden: int, moe: MoEShape) -> None:
        super().__init__()
        self.moe = moe
        self.weight = nn.Parameter(torch.empty(moe.experts, hidden))

    def forward(self, x_NH: torch.Tensor, bias_E: torch.Tensor | None) -> Choice:
        precise = torch.promote_types(x_NH.dtype, torch.float32)
        logits_NE = F.linear(x_NH.to(precise), local(self.weight).to(precise))
        tempered_NE = logits_NE if self.moe.temperature == 1 else logits_NE / self.moe.temperature
        scores_NE = tempered_NE.softmax(-1) if self.moe.router == "softmax" else tempered_NE.sigmoid()
        wanted_NE = scores_NE.detach() if bias_E is None else scores_NE.detach() + bias_E
        if self.moe.top_groups < self.moe.groups:
            wanted_NE = in_best_groups(wanted_NE, self.moe.groups, self.moe.top_groups)
        wanted_NS, chosen_NS = best(wanted_NE, self.moe.top_k)
        weights_NS = scores_NE.gather(-1, chosen_NS)
        if self.moe.norm_top_k:
            weights_NS = weights_NS / weights_NS.sum(-1, keepdim=True)
        if self.moe.routed_scale != 1:
            weights_NS = weights_NS * self.moe.routed_scale
        return Choice(weights_NS, chosen_NS, wanted_NS, scores_NE, logits_NE)


def best(wanted_NE: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest values and where they are, ties to the lower index. topk promises nothing of ties, and a stable sort
    costs more than to look for the largest as often as is asked for."""
    left_NE = wanted_NE.clone()
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for _ in range(count):
        value_N1, index_N1 = left_NE.max(dim=-1, keepdim=True)
        found.append((value_N1, index_N1))
        left_NE.scatter_(-1, index_N1, -torch.inf)
    values, places = zip(*found, strict=True)
    return torch.cat(values, dim=-1), torch.cat(places, dim=-1)


def in_best_groups(wanted_NE: torch.Tensor, groups: int, count: int) -> torch.Tensor:
    """Minus infinity outside of the token's best groups."""
    wanted_NGE = wanted_NE.unflatten(-1, (groups, -1))
    voices_NG = best(wanted_NGE, min(GROUP_VOICES, wanted_NGE.shape[-1]))[0].sum(-1)
    outside_NG = torch.ones_like(voices_NG, dtype=torch.bool).scatter_(-1, best(voices_NG, count)[1], False)
    return wanted_NGE.masked_fill(outside_NG[..., None], -torch.inf).flatten(-2)
