"""What a rank holds of a tensor: a plain box and where it belongs. Below this line nobody knows of DTensor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset


@dataclass(frozen=True)
class Held:
    """A box of a tensor of shape `whole`, beginning at `offsets`."""

    box: torch.Tensor
    whole: torch.Size
    offsets: torch.Size

    @property
    def chunk(self) -> ChunkStorageMetadata:
        return ChunkStorageMetadata(offsets=self.offsets, sizes=self.box.shape)

    def index(self, name: str) -> MetadataIndex:
        return MetadataIndex(name, self.offsets)


def hold(tensors: Mapping[str, torch.Tensor]) -> dict[str, Held]:
    """This rank's boxes, sharing storage with the tensors; empty ones are left out."""
    held = {name: _held(tensor) for name, tensor in tensors.items()}
    return {name: box for name, box in held.items() if box.box.numel()}


def _held(tensor: torch.Tensor) -> Held:
    if not isinstance(tensor, DTensor):
        return Held(tensor.detach(), tensor.shape, torch.Size([0] * tensor.ndim))
    _, offsets = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return Held(tensor.detach().to_local(), tensor.shape, torch.Size(offsets))


class Staging:
    """Host memory for one copy of the state, made once and used for every checkpoint."""

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}

    def copy(self, live: Mapping[str, Held]) -> dict[str, Held]:
        """The state as it is now; valid until the next call."""
        staged = {}
        for name, held in live.items():
            if name not in self._buffers:
                self._buffers[name] = torch.empty(held.box.shape, dtype=held.box.dtype)
            staged[name] = replace(held, box=self._buffers[name].copy_(held.box))
        return staged
