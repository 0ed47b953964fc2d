"""Shards whose pieces are compressed one by one, so that each is still read, hashed and checked alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ultrathink_store.backend import BytesLike, Store
from ultrathink_store.layout import shard_name
from ultrathink_store.manifest import Piece, TensorEntry
from ultrathink_store.records import Unreadable
from ultrathink_store.shards import Part, Shard, add_piece, pieces_of, write_shard

LEVEL = 1
"""Weights and moments are nearly noise: a higher level takes several times as long for a percent."""


def pack(data: BytesLike) -> bytes:
    """One zstd frame that says how long it is unpacked."""
    import zstandard

    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def unpack(data: bytes, length: int) -> bytes:
    """What was packed, if it is of that length; never more memory than that, whatever the frame claims."""
    import zstandard

    try:
        if zstandard.frame_content_size(data) != length:
            raise Unreadable("a packed piece is of another length")
        found = zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise Unreadable(f"a piece cannot be unpacked: {error}") from error
    return found


class Packer:
    """Takes the bytes of the parts in their order, in any portions, and keeps each piece packed in memory: how long a
    file will be is known only then. What packing does not make smaller stays as it is."""

    def __init__(self, name: str, parts: Sequence[Part]) -> None:
        self._wanted = list(pieces_of(name, parts, 0))
        self._packed: list[bytes] = []
        self._open = bytearray()
        self._shard: Shard | None = None
        self._close_full()

    @property
    def shard(self) -> Shard:
        assert self._shard is not None, "the shard is not written yet"
        return self._shard

    def write(self, data: BytesLike) -> None:
        view = memoryview(data).cast("B")
        while view.nbytes:
            assert len(self._packed) < len(self._wanted), "more bytes than the parts have"
            length = self._wanted[len(self._packed)][1].length
            if not self._open and view.nbytes >= length:
                self._close(view[:length])
                view = view[length:]
            else:
                taken = view[: length - len(self._open)]
                self._open += taken
                view = view[taken.nbytes :]
                if len(self._open) == length:
                    self._close(self._open)
                    self._open = bytearray()
            self._close_full()

    def stored(self) -> list[Part]:
        """Each piece as a tensor of its own: a packed one is plain bytes to whoever reads the file without us."""
        assert len(self._packed) == len(self._wanted), "fewer bytes than the parts have"
        return [
            Part(f"{part.name}@{number}", "U8", (len(data),), (0,), (len(data),))
            if len(data) < piece.length
            else Part(f"{part.name}@{number}", part.dtype, piece.shape, (0,) * len(piece.shape), piece.shape)
            for number, ((part, piece), data) in enumerate(zip(self._wanted, self._packed, strict=True))
        ]

    def contents(self) -> Iterator[bytes]:
        yield from self._packed

    def written(self, shard: Shard) -> None:
        """The file is there: say of each piece where it lies."""
        tensors: dict[str, TensorEntry] = {}
        for number, (part, piece) in enumerate(self._wanted):
            (lies,) = shard.tensors[f"{part.name}@{number}"].pieces
            unpacked = piece.length if lies.length < piece.length else None
            found = lies.model_copy(update={"offsets": piece.offsets, "shape": piece.shape, "unpacked": unpacked})
            add_piece(tensors, part, found)
        self._shard = Shard(file=shard.file, tensors=tensors)

    def _close(self, data: BytesLike) -> None:
        packed = pack(data)
        self._packed.append(packed if len(packed) < memoryview(data).nbytes else bytes(data))

    def _close_full(self) -> None:
        """Pieces without a byte wait for none."""
        while len(self._packed) < len(self._wanted) and not self._wanted[len(self._packed)][1].length:
            self._packed.append(b"")


@contextmanager
def write_packed_shard(
    store: Store, uid: str, epoch: int, step: int, rank: int, parts: Sequence[Part]
) -> Iterator[Packer]:
    """As `write_shard`; the file is written when the block ends."""
    packer = Packer(shard_name(rank), parts)
    yield packer
    with write_shard(store, uid, epoch, step, rank, packer.stored()) as out:
        for data in packer.contents():
            out.write(data)
    packer.written(out.shard)


def ratio_of(pieces: Sequence[Piece]) -> float:
    """Bytes before packing for each byte stored."""
    stored = sum(piece.length for piece in pieces)
    return sum(piece.size for piece in pieces) / stored if stored else 1.0
