"""Expert load: what was dispatched, how even it was, and what evens it out from one step to the next."""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from .dre import move_threshold
from .moe import MoE

BIAS_RATE = 1e-3
"""Step of a selection bias per optimizer step, as DeepSeek-V3 chose it for scores of the same size."""
WHOLE_STEP = 0.1
"""Distance from the mean load, relative to it, from which on a bias moves by its whole step. Nearer it moves by less,
and so comes to rest: steps of one size would swing it around the mean for good."""


@dataclass(frozen=True)
class Load:
    """The worst layer's numbers; higher is worse in each field but entropy."""

    entropy: float
    max_load: float
    dropped: float
    dead: int


@dataclass(frozen=True)
class Counts:
    """Rows per layer and expert of a step, over all tokens of the global batch: what the router asked for, and what
    was dispatched (less where a capacity drops)."""

    asked_LE: torch.Tensor
    sent_LE: torch.Tensor


def take_counts(layers: list[MoE], group: dist.ProcessGroup | None) -> Counts | None:
    """This step's rows as integers, over all ranks of the stage that hold different tokens; clears the counters. None
    where the stage has no experts (all its ranks agree on that)."""
    if not layers:
        return None
    counts_2LE = torch.stack([torch.stack([layer.asked, layer.counts]) for layer in layers], dim=1)
    for layer in layers:
        layer.asked.zero_()
        layer.counts.zero_()
    if group is not None:
        dist.all_reduce(counts_2LE, group=group)
    return Counts(*counts_2LE)


def take_losses(layers: list[MoE], device: torch.device) -> torch.Tensor:
    """What this rank's tokens added to the balance loss and to the z-loss of the global batch; clears them."""
    total = torch.zeros(2, dtype=torch.float64, device=device)
    for layer in layers:
        total += layer.losses
        layer.losses.zero_()
    return total


def rows_sent(layers: list[MoE], device: torch.device) -> torch.Tensor:
    """Rows that this rank's tokens sent in this step, over all layers."""
    total = torch.zeros(1, dtype=torch.float64, device=device)
    for layer in layers:
        total += layer.counts.sum()
    return total


def load_of(counts: Counts) -> Load:
    """Measured on dispatched rows."""
    sent_LE = counts.sent_LE.double()
    experts = sent_LE.shape[1]
    total_L1 = sent_LE.sum(1, keepdim=True)
    asked_L = counts.asked_LE.double().sum(1)
    share_LE = sent_LE / total_L1.clamp(min=1)  # a layer whose tokens all skip its experts sends nothing
    entropy_L = torch.special.entr(share_LE).sum(1) / torch.tensor(float(experts)).log().item()
    return Load(
        entropy=entropy_L.min().item(),
        max_load=(share_LE * experts).max().item(),
        dropped=((asked_L - total_L1.squeeze(1)) / asked_L.clamp(min=1)).max().item(),
        dead=int((counts.sent_LE == 0).sum(1).max().item()),
    )


def move_balance(layers: list[MoE], counts: Counts) -> None:
    """Once per optimizer step, by what was asked for. A bias goes up for experts below the mean and down for those
    above, its sum kept at zero; the next balance loss pulls against this step's load."""
    for layer, asked_E in zip(layers, counts.asked_LE, strict=True):
        if layer.bias is not None:
            layer.bias += BIAS_RATE * direction(asked_E).to(layer.bias.dtype)
        if layer.previous is not None:
            layer.previous.copy_(asked_E)
        if layer.dre is not None and layer.thresholds is not None:
            rows, facts = int(asked_E.sum()), layer.facts
            move_threshold(layer.dre, layer.moe, layer.thresholds, facts.effort, rows=rows, tokens=facts.tokens)


def direction(asked_E: torch.Tensor) -> torch.Tensor:
    """Up to one for an idle expert, down to minus one for a busy one; its mean is zero."""
    mean = asked_E.sum().clamp(min=1).double() / len(asked_E)
    away_E = ((1 - asked_E / mean) / WHOLE_STEP).clamp(-1, 1)
    return away_E - away_E.mean()
