"""From a model on the meta device to one that trains: the parallelisms in their one fixed order."""

import torch

from ultrathink_planner import Plan

from ..model.initialise import initialise
from ..model.transformer import Transformer
from .data import shard
from .expert import spread_experts
from .mesh import World
from .tensor import split

DTYPES = {"fp32": torch.float32, "fp64": torch.float64}


def build_model(plan: Plan, world: World) -> Transformer:
    """This rank's part of the model, with its first values."""
    with torch.device("meta"):
        model = Transformer(plan.model, world.stage_of(plan)).to(DTYPES[plan.precision])
    parallelize(model, world)
    model.to_empty(device=world.device)
    model.tie()
    initialise(model, plan.seed)
    return model.train()


def parallelize(model: Transformer, world: World) -> None:
    """Tensor and sequence, expert, then data. (Activation checkpointing and compilation belong between them.)"""
    if world.size("tensor") > 1:
        split(model, world.mesh["tensor"])
    # A pipeline's stage runs many micro-batches: to gather its parameters for each would cost more than it frees.
    reshard = world.size("pipeline") == 1
    spread_experts(model, world, reshard_after_forward=reshard)
    shard(model, world.mesh["data"], reshard_after_forward=reshard)
