"""The manifest: what makes files a checkpoint. Strict, because whoever can write to the bucket can write one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from ultrathink_api.base import Section
from ultrathink_store.layout import SHARD_PATTERN, UID_PATTERN
from ultrathink_store.pieces import PIECE_MOST_BYTES, Box, tile
from ultrathink_store.records import NUMBER_MAX, CheckpointRef, Unreadable, decode
from ultrathink_store.tensors import DIMENSION_MOST, DIMENSIONS_MOST, ITEM_BYTES, Header, byte_length

FORMAT: Final = 1
FILE_MOST_BYTES = 5 << 40
"""S3's largest object."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=SHARD_PATTERN)]
TensorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,511}$")]
"""Of what names of parameters and optimizer state are made; it is a key of the tensor and never of an object."""
Dimension = Annotated[int, Field(ge=0, le=DIMENSION_MOST)]
Dimensions = Annotated[tuple[Dimension, ...], Field(max_length=DIMENSIONS_MOST)]
Offset = Annotated[int, Field(ge=0, le=FILE_MOST_BYTES)]


class FileEntry(Section):
    """One shard."""

    name: FileName
    size: Offset
    sha256: Sha256


class Piece(Section):
    """A box of a tensor as a run of bytes in a file. `start` counts from the file's first byte."""

    file: FileName
    key: TensorName
    """Name in the file's own header of the tensor that these bytes belong to."""
    offsets: Dimensions
    shape: Dimensions
    start: Offset
    length: int = Field(ge=0, le=PIECE_MOST_BYTES)
    sha256: Sha256
    """Of the bytes as they are stored."""
    unpacked: int | None = Field(default=None, ge=0, le=PIECE_MOST_BYTES)
    """Bytes once zstd is undone; None: they are stored as they are."""

    @property
    def size(self) -> int:
        """Bytes of the box itself."""
        return self.length if self.unpacked is None else self.unpacked

    @property
    def box(self) -> Box:
        return Box(self.offsets, self.shape)


class TensorEntry(Section):
    """One whole tensor and the pieces that make it up."""

    dtype: str
    shape: Dimensions
    pieces: tuple[Piece, ...]


class Compression(Section):
    """How the pieces of a checkpoint were packed, and what it brought."""

    codec: Literal["zstd"] = "zstd"
    ratio: float = Field(gt=0)
    """Bytes of the tensors for each byte stored."""


class Manifest(Section):
    """A checkpoint: which files, which tensors in them, and everything that is not a tensor as plain JSON."""

    version: Literal[1] = FORMAT
    uid: str = Field(pattern=UID_PATTERN)
    epoch: int = Field(ge=0, le=NUMBER_MAX)
    step: int = Field(ge=0, le=NUMBER_MAX)
    parent: CheckpointRef | None = None
    created_at: str = Field(max_length=64)
    files: tuple[FileEntry, ...] = Field(min_length=1)
    compression: Compression | None = None
    """None: all pieces are stored as they are."""
    tensors: dict[TensorName, TensorEntry]
    state: dict[str, JsonValue] = Field(default_factory=dict)
    plan_digest: str = Field(default="", max_length=256)
    model: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(file.size for file in self.files)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        sizes = {file.name: file.size for file in self.files}
        if len(sizes) != len(self.files):
            raise ValueError("a file is listed twice")
        runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for name, tensor in self.tensors.items():
            _check_tensor(name, tensor, sizes)
            for piece in tensor.pieces:
                runs[piece.file].append((piece.start, piece.length))
        for file, found in runs.items():
            _check_runs(file, found)
        return self

    def by_file(self) -> dict[str, list[tuple[TensorEntry, Piece]]]:
        """The pieces that lie in each file, in the order of their bytes."""
        found: dict[str, list[tuple[TensorEntry, Piece]]] = {file.name: [] for file in self.files}
        for tensor in self.tensors.values():
            for piece in tensor.pieces:
                found[piece.file].append((tensor, piece))
        return {name: sorted(pieces, key=lambda found: found[1].start) for name, pieces in found.items()}


def read_manifest(data: bytes, ref: CheckpointRef) -> Manifest:
    """The manifest found where `ref` says, if it is one and speaks of no other checkpoint."""
    manifest = decode(Manifest, data)
    if (manifest.uid, manifest.epoch, manifest.step) != (ref.uid, ref.epoch, ref.step):
        raise Unreadable(f"it is the manifest of {manifest.uid}/epoch-{manifest.epoch}/step-{manifest.step}")
    return manifest


def shard_metadata(uid: str, epoch: int, step: int, rank: int) -> dict[str, str]:
    """Written into each shard, so that its hash is of this attempt and step alone, whatever its tensors hold."""
    return {"format": "ultrathink", "uid": uid, "epoch": str(epoch), "step": str(step), "rank": str(rank)}


def check_shard(
    manifest: Manifest, file: FileEntry, pieces: Iterable[tuple[TensorEntry, Piece]], header: Header
) -> None:
    """Whether a shard's own header says what the manifest says of it."""
    expected = shard_metadata(manifest.uid, manifest.epoch, manifest.step, 0)
    found: Mapping[str, str] = {**header.metadata, "rank": "0"}
    if found != expected or file.name != f"shard-{header.metadata.get('rank')}.safetensors":
        raise Unreadable(f"{file.name} was written for another checkpoint or rank")
    for tensor, piece in pieces:
        span = header.tensors.get(piece.key)
        if span is None:
            raise Unreadable(f"{file.name} holds no tensor {piece.key}")
        inside = span.start <= piece.start and piece.start + piece.length <= span.start + span.length
        if span.dtype != ("U8" if piece.unpacked is not None else tensor.dtype) or not inside:
            raise Unreadable(f"{file.name} holds {piece.key} with another type or at another place")


def _check_tensor(name: str, tensor: TensorEntry, sizes: Mapping[str, int]) -> None:
    if tensor.dtype not in ITEM_BYTES:
        raise ValueError(f"{name} has the unknown type {tensor.dtype[:20]}")
    for piece in tensor.pieces:
        if len(piece.shape) != len(tensor.shape) or len(piece.offsets) != len(tensor.shape):
            raise ValueError(f"a piece of {name} has another number of dimensions")
        if piece.size != byte_length(tensor.dtype, piece.shape):
            raise ValueError(f"a piece of {name} does not have the bytes of its shape")
        if piece.file not in sizes or piece.start + piece.length > sizes[piece.file]:
            raise ValueError(f"a piece of {name} lies outside the files")
    if not tile(tensor.shape, (piece.box for piece in tensor.pieces)):
        raise ValueError(f"the pieces of {name} do not make it up, each element once")


def _check_runs(file: str, runs: list[tuple[int, int]]) -> None:
    """Bytes used twice would let a small file stand for a giant tensor."""
    end = 0
    for start, length in sorted(runs):
        if length and start < end:
            raise ValueError(f"two pieces share bytes of {file}")
        end = max(end, start + length)
