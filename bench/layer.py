"""One MoE layer as benchmarks of a single layer time it: its sizes, and a step forward and back."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

PAIRS = 15
HIDDEN, TOKENS = 256, 1024

Step = Callable[[], None]


@dataclass(frozen=True)
class Size:
    """Experts of a layer."""

    experts: int
    top_k: int
    intermediate: int

    def __str__(self) -> str:
        return f"E={self.experts} K={self.top_k} D={HIDDEN} F={self.intermediate} T={TOKENS}"


FEW, MANY = Size(8, 2, 512), Size(64, 4, 128)


def step_of(layer: torch.nn.Module, grad: torch.Tensor, x: torch.Tensor, *more: torch.Tensor) -> Step:
    """Gradients of tokens and weights, as in a stack of layers."""

    def step() -> None:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x, *more).backward(grad)

    return step
