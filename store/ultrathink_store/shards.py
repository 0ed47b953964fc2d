"""Writing one rank's shard: streamed, hashed piece by piece and as a whole, never over an existing one."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ultrathink_api.base import Section
from ultrathink_api.errors import Refused
from ultrathink_store.backend import BytesLike, Exists, Store, Writer
from ultrathink_store.layout import shard_name, step_folder
from ultrathink_store.manifest import FileEntry, Piece, TensorEntry, shard_metadata
from ultrathink_store.pieces import cut
from ultrathink_store.tensors import ITEM_BYTES, byte_length, encode_header


@dataclass(frozen=True, slots=True)
class Part:
    """What a shard holds of one tensor: the box at `offsets`, of `shape`, out of a tensor of `tensor_shape`."""

    name: str
    dtype: str
    tensor_shape: tuple[int, ...]
    offsets: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return byte_length(self.dtype, self.shape)


class Shard(Section):
    """What is to go into the manifest of one written shard: small, and plain enough to be gathered as JSON."""

    file: FileEntry
    tensors: dict[str, TensorEntry]


class ShardWriter:
    """Takes the bytes of the parts in their order, in any portions; `shard` is known once its block has ended."""

    def __init__(self, name: str, parts: Sequence[Part], begin: bytes, out: Writer) -> None:
        self._name = name
        self._out = out
        self._file = hashlib.sha256()
        self._size = 0
        self._pieces = pieces_of(name, parts, len(begin))
        self._part: Part | None = None
        self._piece: Piece | None = None
        self._hash = hashlib.sha256()
        self._missing = 0
        self._tensors: dict[str, TensorEntry] = {}
        self._shard: Shard | None = None
        self._pass_on(memoryview(begin))
        self._advance()

    @property
    def shard(self) -> Shard:
        assert self._shard is not None, "the shard is not written yet"
        return self._shard

    def write(self, data: BytesLike) -> None:
        view = memoryview(data).cast("B")
        while view.nbytes:
            assert self._piece is not None, f"{self._name} got more bytes than its parts have"
            taken = view[: self._missing]
            self._hash.update(taken)
            self._pass_on(taken)
            self._missing -= taken.nbytes
            view = view[taken.nbytes :]
            if not self._missing:
                self._advance()

    def finish(self) -> None:
        assert self._piece is None, f"{self._name} got fewer bytes than its parts have"
        entry = FileEntry(name=self._name, size=self._size, sha256=self._file.hexdigest())
        self._shard = Shard(file=entry, tensors=self._tensors)

    def _pass_on(self, data: memoryview) -> None:
        self._file.update(data)
        self._size += data.nbytes
        self._out.write(data)

    def _advance(self) -> None:
        """Closes the piece whose bytes are complete and opens the next that has any."""
        while True:
            if self._piece is not None and self._part is not None:
                add_piece(self._tensors, self._part, self._piece.model_copy(update={"sha256": self._hash.hexdigest()}))
            self._hash = hashlib.sha256()
            self._part, self._piece = next(self._pieces, (None, None))
            self._missing = self._piece.length if self._piece else 0
            if self._piece is None or self._missing:
                return


def add_piece(tensors: dict[str, TensorEntry], part: Part, piece: Piece) -> None:
    """Take note of a piece of a part, behind those that the tensor has already."""
    known = tensors.get(part.name)
    pieces = (*known.pieces, piece) if known else (piece,)
    tensors[part.name] = TensorEntry(dtype=part.dtype, shape=part.tensor_shape, pieces=pieces)


@contextmanager
def write_shard(
    store: Store, uid: str, epoch: int, step: int, rank: int, parts: Sequence[Part]
) -> Iterator[ShardWriter]:
    """One rank's shard of one step. It is there, whole, when the block ends, and never if the block raises."""
    name = shard_name(rank)
    key = f"{step_folder(uid, epoch, step)}/{name}"
    keyed = [(key, part.dtype, part.shape) for key, part in _keyed(parts)]
    begin, header = encode_header(keyed, shard_metadata(uid, epoch, step, rank))
    try:
        with store.writer(key, header.size) as out:
            writer = ShardWriter(name, parts, begin, out)
            yield writer
            writer.finish()
    except Exists as taken:
        raise Refused.of(
            "UTK0316",
            field="",
            message=f"{store.uri}/{key} is already written",
            fix="save the next step instead; a step is written once in an attempt",
        ) from taken


def merge(shards: Iterable[Shard]) -> tuple[tuple[FileEntry, ...], dict[str, TensorEntry]]:
    """All ranks' shards as the `files` and `tensors` of a manifest."""
    files: list[FileEntry] = []
    tensors: dict[str, TensorEntry] = {}
    for shard in shards:
        files.append(shard.file)
        for name, entry in shard.tensors.items():
            known = tensors.get(name)
            if known and (known.dtype, known.shape) != (entry.dtype, entry.shape):
                raise ValueError(f"ranks disagree on type or shape of {name}")
            pieces = (*known.pieces, *entry.pieces) if known else entry.pieces
            tensors[name] = TensorEntry(dtype=entry.dtype, shape=entry.shape, pieces=pieces)
    return tuple(files), tensors


def _keyed(parts: Sequence[Part]) -> Iterator[tuple[str, Part]]:
    """Under a tensor's own name; only a shard that holds it in several boxes numbers the later ones."""
    seen: Counter[str] = Counter()
    for part in parts:
        yield f"{part.name}@{seen[part.name]}" if seen[part.name] else part.name, part
        seen[part.name] += 1


def pieces_of(file: str, parts: Sequence[Part], start: int) -> Iterator[tuple[Part, Piece]]:
    """The pieces of a file of these parts, whose data begin at `start`; their hashes are not known yet."""
    for key, part in _keyed(parts):
        for box in cut(part.shape, ITEM_BYTES[part.dtype]):
            offsets = tuple(outer + inner for outer, inner in zip(part.offsets, box.offsets, strict=True))
            length = byte_length(part.dtype, box.shape)
            yield (
                part,
                Piece(
                    file=file,
                    key=key,
                    offsets=offsets,
                    shape=box.shape,
                    start=start,
                    length=length,
                    sha256=hashlib.sha256().hexdigest(),
                ),
            )
            start += length
