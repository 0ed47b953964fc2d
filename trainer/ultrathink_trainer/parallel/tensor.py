"""Tensor and sequence parallelism: wide matrices are split, and between them each rank holds its own positions."""

import warnings

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from ..model.transformer import Transformer

POSITIONS = Shard(1)
"""Activations [B, T, H] between the split matrices: each rank has its positions, so no token is on two ranks."""
HEADS = 2
"""The dimension of heads in [B, T, heads, D]."""


class OwnTokens(ParallelStyle):
    """Parameters replicated; each rank applies them to its own tokens, so their gradients are parts of a sum
    (`model.router.local` says so to autograd)."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        for name, parameter in list(module.named_parameters(recurse=False)):
            replica = distribute_tensor(parameter, device_mesh, [Replicate()], src_data_rank=None)
            module.register_parameter(name, nn.Parameter(replica))
        return module


def split(model: Transformer, mesh: DeviceMesh) -> None:
    """Apply to a stage; the experts are cut elsewhere."""
    # The logits are a view of a DTensor; nobody writes into them, so FSDP's warning is about nothing.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for block in model.layers.values():
        styles: dict[str, ParallelStyle] = {
            "attn_norm": SequenceParallel(),
            "attn": PrepareModuleInput(input_layouts=(POSITIONS, None), desired_input_layouts=(Replicate(), None)),
            "attn.q": ColwiseParallel(),
            "attn.k": ColwiseParallel(),
            "attn.v": ColwiseParallel(),
            "attn.o": RowwiseParallel(output_layouts=POSITIONS),
            "mlp_norm": SequenceParallel(use_local_output=True),
        }
        if model.shape.qk_norm:
            norm = SequenceParallel(sequence_dim=HEADS, use_local_output=True)
            styles |= {"attn.q_norm": norm, "attn.k_norm": norm}
        if model.shape.post_norms:
            norm = SequenceParallel(use_local_output=True)
            styles |= {"attn_post_norm": norm, "mlp_post_norm": norm}
        if not hasattr(block, "moe"):
            styles |= swiglu("mlp")
        else:
            styles |= {"moe.router": OwnTokens()}
            styles |= swiglu("moe.shared") if block.moe.shared is not None else {}
        parallelize_module(block, mesh, styles)
    if model.embed is not None:
        parallelize_module(model.embed, mesh, RowwiseParallel(input_layouts=Replicate(), output_layouts=POSITIONS))
    if model.norm is not None and model.head is not None:
        parallelize_module(model.norm, mesh, SequenceParallel())
        parallelize_module(model.head, mesh, ColwiseParallel(input_layouts=POSITIONS, output_layouts=Replicate()))
    model.tie()


def swiglu(name: str) -> dict[str, ParallelStyle]:
    """One gather of the positions for gate and up, one scatter after down."""
    return {
        name: PrepareModuleInput(input_layouts=(POSITIONS,), desired_input_layouts=(Replicate(),)),
        f"{name}.gate": ColwiseParallel(),
        f"{name}.up": ColwiseParallel(),
        f"{name}.down": RowwiseParallel(output_layouts=POSITIONS),
    }
