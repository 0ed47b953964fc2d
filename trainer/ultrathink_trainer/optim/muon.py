"""Muon: a matrix moves by its momentum made orthogonal. Embeddings, head, routers and vectors are left to AdamW.

Stacked experts are that many matrices, and gate and up, which lie in one tensor, are two. What is made orthogonal must
be whole: a matrix that is cut over ranks is gathered first, and each rank keeps its part of the answer.
"""

import torch
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from ultrathink_api.sections.training import OptimizerSpec
from ultrathink_planner.parameters import orthogonalised

from .adamw import AdamW
from .shards import Parameters, Shards, like

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose slope at zero is steepest while values near one stay near one (Jordan et al., 2024)."""
ITERATIONS = 5
SMALLEST_NORM = 1e-7
ADAMW_SIZE = 0.2
"""Root mean square of AdamW's usual step: with it both can share one learning rate (Liu et al., 2025)."""
STACKED_PAIR = ".gate_up"


class Muon(Shards):
    """Nesterov momentum, orthogonal by Newton and Schulz's iteration; decoupled weight decay."""

    def __init__(self, parameters: Parameters, spec: OptimizerSpec) -> None:
        super().__init__(parameters)
        self.spec = spec
        self.matrices = [name for name, p in parameters.items() if orthogonalised(name, p.ndim)]
        self.rest = AdamW({name: p for name, p in parameters.items() if name not in self.matrices}, spec)
        self.state = {name: {"momentum": torch.zeros_like(self.shards[name])} for name in self.matrices}
        self.state |= self.rest.state

    def step(self, lr: float) -> None:
        """One update with the gradients as they are."""
        for name in self.matrices:
            gradient, momentum = self.gradient(name), self.state[name]["momentum"]
            momentum.lerp_(gradient, 1 - MOMENTUM)
            step = orthogonal_shard(self.parameters[name], gradient.lerp(momentum, MOMENTUM), pair=STACKED_PAIR in name)
            self.decay(name, lr * self.spec.weight_decay)
            self.shards[name].add_(step, alpha=-lr)
        self.rest.updates = self.updates
        self.rest.step(lr)
        self.updates += 1

    def clear(self) -> None:
        super().clear()
        self.rest.clear()


def orthogonal_shard(parameter: torch.Tensor, shard: torch.Tensor, *, pair: bool) -> torch.Tensor:
    """This rank's part of the whole made orthogonal; all ranks that share the parameter call it together."""
    if not isinstance(parameter, DTensor) or _whole_matrices(parameter):
        return orthogonal(shard, pair=pair)
    whole = like(parameter, shard).full_tensor()
    size, offset = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
    part = tuple(slice(start, start + length) for start, length in zip(offset, size, strict=True))
    return orthogonal(whole, pair=pair)[part]


def _whole_matrices(parameter: DTensor) -> bool:
    """Whether only the stack is cut, not its matrices."""
    return parameter.ndim > 2 and all(p.is_replicate() or p.is_shard(0) for p in parameter.placements)


def orthogonal(x: torch.Tensor, *, pair: bool = False) -> torch.Tensor:
    """The last two dimensions are a matrix, or two on top of each other."""
    if pair:
        return torch.cat([orthogonal(half) for half in x.chunk(2, dim=-2)], dim=-2)
    if x.numel() == 0:
        return x
    size = ADAMW_SIZE * max(x.shape[-2:]) ** 0.5
    tall = x.shape[-2] > x.shape[-1]
    y = x.mT if tall else x
    y = y / y.norm(dim=(-2, -1), keepdim=True).clamp(min=SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return (y.mT if tall else y) * size
