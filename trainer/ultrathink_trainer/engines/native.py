"""The engine `torch`: PyTorch's own parallelism."""

import torch

from ultrathink_planner import Plan

from ..optim import build_optimizer
from ..parallel.batches import build_batches
from ..parallel.loss import scale_gradients, squared_norm
from ..parallel.mesh import World
from ..parallel.parallelize import build_model


class Native:
    """State lies in the parameters and in the optimizer themselves, cut as the model is."""

    divides = 1

    def __init__(self, plan: Plan, world: World) -> None:
        self.world = world
        self.model = build_model(plan, world)
        self.optimizer = build_optimizer(self.model, plan.optimizer)
        self.batches = build_batches(self.model, plan, world)

    @property
    def updates(self) -> int:
        return self.optimizer.updates

    @updates.setter
    def updates(self, made: int) -> None:
        self.optimizer.updates = made

    def squared_norm(self) -> torch.Tensor:
        return squared_norm(self.model, self.world)

    def update(self, lr: float, factor: float) -> None:
        scale_gradients(self.model, factor)
        self.optimizer.step(lr)

    def clear(self) -> None:
        self.optimizer.clear()

    def tensors(self) -> dict[str, torch.Tensor]:
        """They share storage with the live ones."""
        state = self.model.state_dict()
        if self.model.shape.tied_embeddings:  # one parameter, under its first name
            state.pop("head.weight", None)
        return state | self.optimizer.moments()

    def take(self, tensors: dict[str, torch.Tensor]) -> None:
        """It was read into the live ones."""
