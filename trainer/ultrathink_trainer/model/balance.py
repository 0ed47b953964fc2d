"""Expert load: what was dispatched, how even it was, and the bias that evens it out."""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from .moe import MoE

BIAS_RATE = 1e-3
"""Step of a selection bias per optimizer step, as DeepSeek-V3 chose it for scores of the same size."""


@dataclass(frozen=True)
class Load:
    """The worst layer's numbers; higher is worse in each field but entropy."""

    entropy: float
    max_load: float
    dropped: float
    dead: int


def take_counts(layers: list[MoE], group: dist.ProcessGroup | None) -> torch.Tensor | None:
    """Rows per layer and expert of this step, as integers [L, E], over all ranks of the stage that hold different
    tokens; clears the counters. None where the stage has no experts (all its ranks agree on that)."""
    if not layers:
        return None
    counts_LE = torch.stack([layer.counts for layer in layers])
    for layer in layers:
        layer.counts.zero_()
    if group is not None:
        dist.all_reduce(counts_LE, group=group)
    return counts_LE


def load_of(counts_LE: torch.Tensor, rows: int) -> Load:
    """Measured on dispatched rows. `rows` is what the router asked for in each layer; what is missing was dropped."""
    counts_LE = counts_LE.double()
    experts = counts_LE.shape[1]
    total_L1 = counts_LE.sum(1, keepdim=True)
    share_LE = counts_LE / total_L1
    entropy_L = torch.special.entr(share_LE).sum(1) / torch.tensor(float(experts)).log().item()
    return Load(
        entropy=entropy_L.min().item(),
        max_load=(share_LE * experts).max().item(),
        dropped=1.0 - total_L1.min().item() / rows,
        dead=int((counts_LE == 0).sum(1).max().item()),
    )


def move_biases(layers: list[MoE], counts_LE: torch.Tensor) -> None:
    """Once per optimizer step: up for experts below the mean, down for those above, the sum kept at zero."""
    for layer, counts_E in zip(layers, counts_LE, strict=True):
        if layer.bias is not None:
            direction_E = (counts_E.sum() - counts_E * len(counts_E)).sign().to(layer.bias.dtype)
            layer.bias += BIAS_RATE * (direction_E - direction_E.mean())
