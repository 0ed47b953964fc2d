"""Reading a checkpoint: nothing of it is handed out before its hash was seen to be right."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ultrathink_store import layout
from ultrathink_store.backend import Missing, Store
from ultrathink_store.manifest import FileEntry, Manifest, Piece, check_shard, read_manifest
from ultrathink_store.packing import unpack
from ultrathink_store.records import MOST_BYTES, CheckpointRef, Unreadable
from ultrathink_store.tensors import Header, header_bytes, parse_header

REQUESTS_AT_ONCE = 8
HEADER_GUESS_BYTES = 64 << 10
"""Most headers are smaller, so one request reads them."""
RUN_BYTES = 16 << 20
"""Read at once where only the hash is wanted."""


class Corrupt(Exception):
    """A committed checkpoint is not what it was. Quarantine it and take the one before."""

    def __init__(self, ref: CheckpointRef, reason: str, absent: bool = False) -> None:
        super().__init__(f"{ref}: {reason}")
        self.ref = ref
        self.reason = reason
        self.absent = absent
        """There is no manifest, so perhaps there never was a checkpoint."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading every byte of a checkpoint showed. `problem` is empty when all is right."""

    ref: CheckpointRef
    files: int
    bytes: int
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem


class Checkpoint:
    """A committed checkpoint whose manifest was found sound and whose files have their sizes."""

    def __init__(self, store: Store, ref: CheckpointRef, manifest: Manifest) -> None:
        self.ref = ref
        self.manifest = manifest
        self._store = store

    def read_piece(self, piece: Piece) -> bytes:
        """The bytes of one piece of this checkpoint's manifest, unpacked. Raises `Corrupt`."""
        data = self._read_stored(piece)
        if piece.unpacked is None:
            return data
        try:
            return unpack(data, piece.unpacked)
        except Unreadable as error:
            raise Corrupt(self.ref, f"{piece.file}: {error}") from error

    def _read_stored(self, piece: Piece) -> bytes:
        data = self._read(piece.file, piece.start, piece.length)
        if hashlib.sha256(data).hexdigest() != piece.sha256:
            raise Corrupt(self.ref, f"bytes {piece.start} to {piece.start + piece.length} of {piece.file} have changed")
        return data

    def verify(self) -> Verification:
        """Reads and hashes every byte."""
        try:
            pieces = self.manifest.by_file()
            check_headers(self._store, self.ref, self.manifest)
            for file in self.manifest.files:
                self._verify_file(file, [piece for _, piece in pieces[file.name]])
        except Corrupt as corrupt:
            return Verification(self.ref, len(self.manifest.files), self.manifest.size, corrupt.reason)
        return Verification(self.ref, len(self.manifest.files), self.manifest.size)

    def _verify_file(self, file: FileEntry, pieces: Iterable[Piece]) -> None:
        whole = hashlib.sha256()
        position = 0
        for piece in pieces:
            for data in self._runs(file.name, position, piece.start):
                whole.update(data)
            whole.update(self._read_stored(piece))
            position = max(position, piece.start + piece.length)
        for data in self._runs(file.name, position, file.size):
            whole.update(data)
        if whole.hexdigest() != file.sha256:
            raise Corrupt(self.ref, f"{file.name} has changed")

    def _runs(self, name: str, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            length = min(RUN_BYTES, end - start)
            yield self._read(name, start, length)
            start += length

    def _read(self, name: str, start: int, length: int) -> bytes:
        try:
            data = self._store.read(shard_key(self.ref, name), start, length)
        except Missing as gone:
            raise Corrupt(self.ref, f"{name} is missing") from gone
        if len(data) != length:
            raise Corrupt(self.ref, f"{name} ends early")
        return data


def open_checkpoint(store: Store, ref: CheckpointRef) -> Checkpoint:
    """Reads the manifest strictly and looks at every file's size. Raises `Corrupt`."""
    manifest = load_manifest(store, ref)
    _check_all(manifest.files, lambda file: _check_size(store, ref, file))
    return Checkpoint(store, ref, manifest)


def load_manifest(store: Store, ref: CheckpointRef) -> Manifest:
    """The manifest alone. Raises `Corrupt`."""
    key = f"{layout.step_folder(ref.uid, ref.epoch, ref.step)}/{layout.MANIFEST}"
    found = store.head(key)
    if found is None:
        raise Corrupt(ref, "it has no manifest", absent=True)
    if found.size > MOST_BYTES:
        raise Corrupt(ref, f"its manifest has {found.size} bytes, which is more than one can have")
    try:
        return read_manifest(store.fetch(key).data, ref)
    except Missing as gone:
        raise Corrupt(ref, "it has no manifest", absent=True) from gone
    except Unreadable as error:
        raise Corrupt(ref, f"bad manifest: {error}") from error


def check_headers(store: Store, ref: CheckpointRef, manifest: Manifest) -> None:
    """Whether each shard has its size and its own header agrees with the manifest. Raises `Corrupt`."""
    pieces = manifest.by_file()

    def check(file: FileEntry) -> None:
        _check_size(store, ref, file)
        try:
            check_shard(manifest, file, pieces[file.name], _header(store, shard_key(ref, file.name), file.size))
        except Missing as gone:
            raise Corrupt(ref, f"{file.name} is missing") from gone
        except Unreadable as error:
            raise Corrupt(ref, f"{file.name}: {error}") from error

    _check_all(manifest.files, check)


def _check_all(files: Iterable[FileEntry], check: Callable[[FileEntry], None]) -> None:
    """Checks files side by side; the first failure in their order is the one raised."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for _ in pool.map(check, files):
            pass


def shard_key(ref: CheckpointRef, name: str) -> str:
    return f"{layout.step_folder(ref.uid, ref.epoch, ref.step)}/{name}"


def _check_size(store: Store, ref: CheckpointRef, file: FileEntry) -> None:
    found = store.head(shard_key(ref, file.name))
    if found is None:
        raise Corrupt(ref, f"{file.name} is missing")
    if found.size != file.size:
        raise Corrupt(ref, f"{file.name} has {found.size} bytes, not {file.size}")


def _header(store: Store, key: str, size: int) -> Header:
    begin = store.read(key, 0, min(size, HEADER_GUESS_BYTES))
    data = header_bytes(begin, size)
    if data > len(begin):
        begin += store.read(key, len(begin), data - len(begin))
    return parse_header(begin, size)
