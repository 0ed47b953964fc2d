"""Cutting a model into stages and counting the bytes that each rank then holds."""

from functools import cache
from itertools import pairwise
from math import prod

from ultrathink_planner.parameters import Parameter, orthogonalised, parameters
from ultrathink_planner.plan import MemoryBytes, Mesh, RankMemory, Stage
from ultrathink_planner.shape import ModelShape

BYTES = {"fp32": 4, "fp64": 8, "bf16": 4, "fp16": 4}
"""Of what is kept: half precision is for computing only."""
STACKED = ".experts."
"""In the name of a parameter whose first dimension is the expert."""
WHOLE = 3
"""The stage of ZeRO that cuts parameters too."""
ADAMW_MOMENTS = 2
ADAMW_STEP_BYTES = 4
"""AdamW keeps its step as one float32 for each parameter tensor."""


def stages(shape: ModelShape, count: int) -> tuple[Stage, ...]:
    """Contiguous stages whose most expensive one is as cheap as can be; the head's cost counts on the last."""
    block = [0] * shape.layers
    head = shape.vocabulary * shape.hidden
    for parameter in parameters(shape):
        if parameter.layer is not None:
            block[parameter.layer] += parameter.active
    total = [0]
    for cost in block:
        total.append(total[-1] + cost)

    @cache
    def best(first: int, left: int) -> tuple[int, tuple[int, ...]]:
        if left == 1:
            return total[-1] - total[first] + head, ()
        options = []
        for cut in range(first + 1, shape.layers - left + 2):
            rest, cuts = best(cut, left - 1)
            options.append((max(total[cut] - total[first], rest), (cut, *cuts)))
        return min(options)

    edges = (0, *best(0, count)[1], shape.layers)
    return tuple(
        Stage(index=i, first_layer=a, last_layer=b, embedding=i == 0, head=i == count - 1)
        for i, (a, b) in enumerate(pairwise(edges))
    )


def holds(stage: Stage, parameter: Parameter) -> bool:
    """Whether a parameter lives on a stage."""
    if parameter.layer is not None:
        return stage.first_layer <= parameter.layer < stage.last_layer
    return stage.embedding if parameter.name.startswith("embed.") else stage.head


def rank_memory(
    shape: ModelShape, mesh: Mesh, cut: tuple[Stage, ...], precision: str, optimizer: str
) -> tuple[RankMemory, ...]:
    """Bytes of the fullest rank of each stage: the first on its axes, as sharding gives it the most."""
    memory = []
    for stage in cut:
        held = [p for p in parameters(shape) if holds(stage, p)]
        shards = [_largest_shard(p, mesh) for p in held]
        size = sum(shards) * BYTES[precision]
        state = sum(optimizer_bytes(p, n * BYTES[precision], optimizer) for p, n in zip(held, shards, strict=True))
        memory.append(
            RankMemory(
                stage=stage.index,
                memory_bytes=MemoryBytes(parameters=size, gradients=size, optimizer=state),
            )
        )
    return tuple(memory)


def zero_memory(shape: ModelShape, mesh: Mesh, zero_stage: int, precision: str) -> RankMemory:
    """Bytes of a rank under DeepSpeed's ZeRO, but for the few that round its flat buffers up: it keeps
    parameters twice, once to compute with and once to update."""
    every = [p.count for p in parameters(shape)]
    whole, share = sum(every), sum(-(-count // mesh.data) for count in every)
    kept = BYTES[precision]
    computed = 2 if precision == "bf16" else kept
    sizes = MemoryBytes(
        parameters=kept * share + computed * (share if zero_stage == WHOLE else whole),
        gradients=kept * (whole if zero_stage == 1 else share),
        optimizer=kept * ADAMW_MOMENTS * share,
    )
    return RankMemory(stage=0, memory_bytes=sizes)


def checkpoint_bytes(shape: ModelShape, precision: str, optimizer: str) -> int:
    """Bytes of the tensors in one checkpoint: parameters and the optimizer's state of them."""
    sizes = {p: p.count * BYTES[precision] for p in parameters(shape)}
    return sum(size + optimizer_bytes(p, size, optimizer) for p, size in sizes.items())


def optimizer_bytes(parameter: Parameter, size: int, optimizer: str) -> int:
    """An optimizer's state of `size` bytes of a parameter: AdamW keeps two moments, Lion and Muon one."""
    one = optimizer == "lion" or (optimizer == "muon" and orthogonalised(parameter.name, len(parameter.shape)))
    return size if one else ADAMW_MOMENTS * size + ADAMW_STEP_BYTES


def _largest_shard(parameter: Parameter, mesh: Mesh) -> int:
    """Elements of the first rank: cut over tensor on its dimension, then over data and context on the first. A
    stack of experts is cut over expert, then over all other ranks of the stage, on the first dimension both times."""
    shape = list(parameter.shape)
    if STACKED in parameter.name:
        shape[0] = -(-(shape[0] // mesh.expert) // (mesh.stage_ranks // mesh.expert))
        return prod(shape)
    if parameter.tensor_dim is not None:
        shape[parameter.tensor_dim] = -(-shape[parameter.tensor_dim] // mesh.tensor)
    shape[0] = -(-shape[0] // mesh.shards)
    return prod(shape)
