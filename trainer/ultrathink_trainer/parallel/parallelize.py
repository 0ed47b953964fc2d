"""From a model on the meta device to one that trains: the parallelisms in their one fixed order."""

import torch

from ultrathink_planner import Plan

from ..model.initialise import initialise
from ..model.transformer import Transformer
from .context import share_rows
from .data import arithmetic, shard
from .expert import spread_experts
from .mesh import World
from .tensor import split

KEPT = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.float32, "fp16": torch.float32}
"""What parameters, gradients and optimizer state are kept in, by precision."""
COMPUTED = {**KEPT, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What blocks compute in."""


def build_model(plan: Plan, world: World, *, cut: bool = True) -> Transformer:
    """This rank's part of the model, with its first values; or all of its stage, for an engine that cuts by itself."""
    with torch.device("meta"):
        model = Transformer(plan.model, world.stage_of(plan)).to(KEPT[plan.precision])
    for block in model.layers.values():
        block.recompute = plan.activation_checkpointing
    if cut:
        parallelize(model, world, plan)
    model.to_empty(device=world.device)
    model.tie()
    initialise(model, plan.seed)
    return model.train()


def parallelize(model: Transformer, world: World, plan: Plan) -> None:
    """Context, tensor and sequence, expert, data; a block itself computes its activations again. (Compilation belongs
    before the last two.)"""
    share_rows(model, world)
    if world.size("tensor") > 1:
        split(model, world.mesh["tensor"])
    # A pipeline's stage runs many micro-batches: to gather its parameters for each would cost more than it frees.
    reshard = world.size("pipeline") == 1
    policy = arithmetic(kept=KEPT[plan.precision], computed=COMPUTED[plan.precision])
    spread_experts(model, world, policy, reshard_after_forward=reshard)
    shard(model, world.shards, policy, reshard_after_forward=reshard)
