"""What an engine is: the model on this rank with its gradients and optimizer state, and the ways to move them.

The loop, the data, the metrics, the balance of experts and the checkpoints know no other difference between engines.
"""

from typing import Protocol

import torch

from ultrathink_planner import Plan

from ..model.transformer import Transformer
from ..parallel.batches import Batches
from ..parallel.mesh import World


class Backend(Protocol):
    """All ranks call all of it together."""

    model: Transformer
    batches: Batches
    divides: int
    """By what this engine divides every gradient: losses are made so many times larger before."""
    updates: int
    """Optimizer steps made so far: fewer than steps where a step was skipped."""

    def squared_norm(self) -> torch.Tensor:
        """This rank's share of the squared gradient norm: shares of all ranks add up to it, each element once."""

    def update(self, lr: float, factor: float) -> None:
        """One optimizer step with the gradients times `factor`."""

    def clear(self) -> None:
        """Forget the gradients."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of a checkpoint by name, the same for every engine; each rank gives its part."""

    def take(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what was read into `tensors()`."""


def build_backend(plan: Plan, world: World) -> Backend:
    """The engine that the plan names; no job imports another's libraries."""
    if plan.engine == "deepspeed":
        from .zero import Zero

        return Zero(plan, world)
    from .native import Native

    return Native(plan, world)
