"""First values of parameters and buffers, the same in every layout.

Each parameter, and each expert of a stack, is drawn whole on the CPU by a generator seeded from (seed, name, expert);
a rank keeps its slice. Nothing depends on who draws, in which order, or how many ranks there are.
"""

import hashlib
import math

import torch
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from ultrathink_planner.layout import STACKED

from .layers import Rotary
from .moe import MoE
from .transformer import Transformer


def initialise(model: Transformer, seed: int) -> None:
    """Fill a model that was moved to its device by to_empty()."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fill(parameter, name, seed, model.shape.layers)
    for module in model.modules():
        if isinstance(module, Rotary | MoE):
            module.reset()


def fill(parameter: torch.Tensor, name: str, seed: int, layers: int) -> None:
    target, offset = (parameter, (0,) * parameter.ndim)
    if isinstance(parameter, DTensor):
        _, offset = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
        target = parameter.to_local()
    if target.numel() == 0:
        return
    if STACKED in name:  # expert by expert, so that a rank draws only its own
        for index, part in enumerate(target):
            expert = offset[0] + index
            part.copy_(window(draw(parameter.shape[1:], name, seed, layers, expert), offset[1:], part.shape))
    else:
        target.copy_(window(draw(parameter.shape, name, seed, layers, None), offset, target.shape))


def window(whole: torch.Tensor, offset: tuple[int, ...], shape: torch.Size) -> torch.Tensor:
    return whole[tuple(slice(start, start + length) for start, length in zip(offset, shape, strict=True))]


def draw(shape: torch.Size, name: str, seed: int, layers: int, expert: int | None) -> torch.Tensor:
    """The whole tensor (or the whole expert) in float32."""
    if len(shape) == 1:
        return torch.zeros(shape) if name.endswith(".bias") else torch.ones(shape)
    digest = hashlib.sha256(f"{seed}/{name}/{expert}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.empty(shape).normal_(0.0, deviation(shape, name, layers), generator=generator)


def deviation(shape: torch.Size, name: str, layers: int) -> float:
    """1/sqrt(inputs), so that activations keep their size; what adds to the residual stream is smaller by
    sqrt(2 * layers), so that the stream does not grow with depth; embeddings are as large as what is added to them, so
    that later layers still see which token it was; the head starts near zero, so that the first loss is a guess."""
    if name.startswith("embed."):
        return 1.0
    if name.startswith("head."):
        return 0.02
    scale = 1.0 / math.sqrt(shape[-1])
    return scale / math.sqrt(2 * layers) if name.endswith((".o.weight", ".down.weight", ".down")) else scale
