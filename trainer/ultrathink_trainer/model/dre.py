"""DRE, adaptive compute: null experts that compute nothing, and a threshold a layer that holds the budget.

A token's K slots go to the best of its real experts and of nulls that all have the value c. Since there are at least
K nulls, that is: of its K best real experts, those whose value reaches c. Weights are shares of the K best real scores,
so the weight of an expert that is skipped is lost, not shared.
"""

import hashlib
from itertools import pairwise

import torch

from ultrathink_planner import DREShape, MoEShape

FULL = 1.0
"""The effort at which nothing is skipped: as if there were no nulls, bit by bit."""
RATE = 0.05
"""Step of a threshold for a whole budget missed, where scores are as far apart as a sigmoid's."""
SOFTMAX_RATE = 0.4
"""The same over the number of experts, as softmax scores shrink with it: RATE for 8 experts."""
LOWEST, HIGHEST = -1.0, 2.0
"""Bounds of a threshold: beyond any score with its balance bias."""
SIGMOID_START = 0.5
"""A threshold's first value where scores begin around a half; softmax scores begin near zero, and so does theirs."""
FORWARD_FLOPS, TRAINED_FLOPS = 6, 18
"""Of a row in an expert, in units of hidden x intermediate: three products of two each, and twice that backward."""


def effort_of_step(dre: DREShape, seed: int, step: int) -> float:
    """The effort that a step trains: each of the set once in as many steps, in an order drawn from the seed."""
    turn, place = divmod(step, len(dre.efforts))

    def drawn(effort: float) -> bytes:
        return hashlib.sha256(f"{seed}/effort/{turn}/{effort}".encode()).digest()

    return sorted(dre.efforts, key=drawn)[place]


def trained(dre: DREShape) -> list[float]:
    """The efforts that have a threshold, rising."""
    return sorted(effort for effort in set(dre.efforts) if effort < FULL)


def threshold(dre: DREShape, values: torch.Tensor, effort: float, lowest: torch.Tensor) -> torch.Tensor:
    """Linear between trained efforts; towards full effort it ends at the lowest value that any expert can have."""
    assert effort < FULL, "at full effort nothing is compared"
    points = [*zip(trained(dre), values, strict=True), (FULL, lowest)]
    for (low, at_low), (high, at_high) in pairwise(points):
        if low <= effort < high:
            share = (effort - low) / (high - low)
            return at_low if share == 0 else at_low + share * (at_high - at_low)
    raise AssertionError(f"effort {effort} is below all trained ones")


def move_threshold(
    dre: DREShape, moe: MoEShape, values: torch.Tensor, effort: float, *, rows: int, tokens: int
) -> None:
    """Once per optimizer step: up if more real experts than the budget were used, down if fewer."""
    if effort == FULL:
        return
    rate = SOFTMAX_RATE / moe.experts if moe.router == "softmax" else RATE
    index = trained(dre).index(effort)
    moved = values[index] + rate * (rows / (tokens * moe.top_k) - effort)
    values[index] = moved.clamp(LOWEST, HIGHEST)


def expert_flops(rows: int, hidden: int, moe: MoEShape, *, training: bool = True) -> int:
    """Of the routed experts, counted by the rows that they really got."""
    return rows * hidden * moe.intermediate * (TRAINED_FLOPS if training else FORWARD_FLOPS)
