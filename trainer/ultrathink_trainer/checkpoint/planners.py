"""DCP's planners on plain boxes: they drop replicas, balance the writing, and find what to read on another layout."""

import io
from typing import Any

import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorProperties
from torch.distributed.checkpoint.planner import LoadPlan, ReadItem, SavePlan, TensorWriteData, WriteItem, WriteItemType
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list
from torch.distributed.tensor import DTensor

from .held import Held


def only_boxes(state: dict[str, Any]) -> dict[str, Held]:
    """Nothing but boxes may reach the planners: anything else would be written as a pickle."""
    for name, value in state.items():
        if not isinstance(value, Held) or isinstance(value.box, DTensor):
            raise TypeError(f"{name} is a {type(value).__name__}, not a box of a tensor: it belongs into the manifest")
    return state


class SavePlanner(DefaultSavePlanner):
    """Plans one write for each box."""

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)

    def set_up_planner(
        self, state_dict: dict[str, Any], storage_meta: StorageMeta | None = None, is_coordinator: bool = False
    ) -> None:
        self.held = only_boxes(state_dict)

    def create_local_plan(self) -> SavePlan:
        items = [
            WriteItem(
                index=held.index(name),
                type=WriteItemType.SHARD,
                tensor_data=TensorWriteData(
                    chunk=held.chunk, properties=TensorProperties(dtype=held.box.dtype), size=held.whole
                ),
            )
            for name, held in self.held.items()
        ]
        return SavePlan(items)

    def resolve_data(self, write_item: WriteItem) -> torch.Tensor:
        return self.held[write_item.index.fqn].box


class LoadPlanner(DefaultLoadPlanner):
    """Plans the reads that fill each box."""

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        assert metadata is not None
        self.held, self.metadata = only_boxes(state_dict), metadata

    def create_local_plan(self) -> LoadPlan:
        items: list[ReadItem] = []
        for name, held in self.held.items():
            items += create_read_items_for_chunk_list(name, self.metadata.state_dict_metadata[name], [held.chunk])
        return LoadPlan(items)

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        raise TypeError(f"{read_item.dest_index.fqn} is not a tensor")

    def resolve_tensor(self, read_item: ReadItem) -> torch.Tensor:
        box = self.held[read_item.dest_index.fqn].box
        return window(box, read_item.dest_offsets, read_item.lengths)


def window(box: torch.Tensor, offsets: torch.Size, lengths: torch.Size) -> torch.Tensor:
    return box[tuple(slice(start, start + length) for start, length in zip(offsets, lengths, strict=True))]
