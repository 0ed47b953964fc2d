"""Between DCP and the store: DCP's plans become shards of safetensors and a manifest, and back."""

from collections import defaultdict
from collections.abc import Callable
from os import PathLike
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner, WriteItemType
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from ultrathink_api.errors import Refused
from ultrathink_store import Checkpoint, Corrupt, JobStore, Part, Shard, merge
from ultrathink_store.manifest import Compression
from ultrathink_store.packing import ratio_of

from .planners import window

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I64": torch.int64,
    "I32": torch.int32,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Damaged(Exception):
    """A piece is not what its hash says. Travels between ranks as its text."""


class Rejected(Exception):
    """The store refused. Travels between ranks as code, field, message, why and fix."""

    @classmethod
    def because(cls, refused: Refused) -> "Rejected":
        problem = refused.problem
        return cls(problem.code, problem.field, problem.message, problem.why, problem.fix)

    def refused(self) -> Refused:
        code, field, message, why, fix = self.args
        return Refused.of(code, field=field, message=message, why=why, fix=fix)


class Writer(StorageWriter):
    """One checkpoint on its way: a shard a rank, then `commit` on rank 0 with what all of them wrote."""

    def __init__(
        self,
        store: JobStore,
        epoch: int,
        step: int,
        rank: int,
        commit: Callable[[list[Shard]], None],
        *,
        packed: bool = False,
    ) -> None:
        self.store, self.epoch, self.step, self.rank, self.commit = store, epoch, step, rank, commit
        self.packed = packed

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        written: Future[list[WriteResult]] = Future()
        try:
            written.set_result(self._write(plan, planner) if plan.items else [])
        except Refused as refused:
            raise Rejected.because(refused) from refused
        return written

    def _write(self, plan: SavePlan, planner: SavePlanner) -> list[WriteResult]:
        parts = []
        for item in plan.items:
            if item.type is not WriteItemType.SHARD or item.tensor_data is None:
                raise TypeError(f"{item.index.fqn} is not a tensor")
            data = item.tensor_data
            dtype = DTYPE_NAMES[data.properties.dtype]
            parts.append(
                Part(item.index.fqn, dtype, tuple(data.size), tuple(data.chunk.offsets), tuple(data.chunk.sizes))
            )
        with self.store.shard_writer(self.epoch, self.step, self.rank, parts, packed=self.packed) as out:
            for item in plan.items:
                box = planner.resolve_data(item)
                out.write(memoryview(box.contiguous().flatten().view(torch.uint8).numpy()))
        return [WriteResult(plan.items[0].index, out.shard.file.size, out.shard)]

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        try:
            self.commit([result.storage_data for of_rank in results for result in of_rank])
        except Refused as refused:
            raise Rejected.because(refused) from refused

    def reset(self, checkpoint_id: str | PathLike[str] | None = None) -> None:
        """Nothing is kept between checkpoints."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Everything was said when this was made."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | PathLike[str]) -> bool:
        return False  # made by hand, never found by name


class Reader(StorageReader):
    """A committed checkpoint as DCP sees it: its pieces are the chunks. Every piece is hashed as it is read."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.pieces = {
            MetadataIndex(name, piece.offsets): (entry.dtype, piece)
            for name, entry in checkpoint.manifest.tensors.items()
            for piece in entry.pieces
        }

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return Metadata(
            {
                name: TensorStorageMetadata(
                    properties=TensorProperties(dtype=DTYPES[entry.dtype]),
                    size=torch.Size(entry.shape),
                    chunks=[
                        ChunkStorageMetadata(offsets=torch.Size(piece.offsets), sizes=torch.Size(piece.shape))
                        for piece in entry.pieces
                    ],
                )
                for name, entry in self.checkpoint.manifest.tensors.items()
            }
        )

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        wanted: dict[MetadataIndex, list[ReadItem]] = defaultdict(list)
        for item in plan.items:
            wanted[item.storage_index].append(item)
        for index, items in wanted.items():
            dtype, piece = self.pieces[index]
            try:
                data = self.checkpoint.read_piece(piece)
            except Corrupt as corrupt:
                raise Damaged(corrupt.reason) from corrupt
            except Refused as refused:
                raise Rejected.because(refused) from refused
            read = torch.frombuffer(bytearray(data), dtype=DTYPES[dtype]).view(piece.shape)
            for item in items:
                planner.resolve_tensor(item).copy_(window(read, item.storage_offsets, item.lengths))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def reset(self, checkpoint_id: str | PathLike[str] | None = None) -> None:
        """Nothing is kept between checkpoints."""

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Everything was said when this was made."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | PathLike[str]) -> bool:
        return False  # made by hand, never found by name


def manifest_parts(shards: list[Shard], *, packed: bool) -> dict[str, Any]:
    """`files` and `tensors` of the manifest, and what packing brought."""
    files, tensors = merge(shards)
    found: dict[str, Any] = {"files": files, "tensors": tensors}
    if packed:
        pieces = [piece for entry in tensors.values() for piece in entry.pieces]
        found["compression"] = Compression(ratio=round(ratio_of(pieces), 4))
    return found
