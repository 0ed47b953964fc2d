"""Blocks of shards, each checked before anybody sees it: read in place from a disk, or kept on one when from a bucket.

A cache is a folder that the ranks of a node share: one of them fetches a block, under a lock that the kernel drops if
its holder dies. What is oldest goes first when the folder is full, which suits the order in which rows are read.
"""

import fcntl
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ultrathink_store import Store
from ultrathink_store.backend import Missing

from .refusals import unfit_shard
from .shards import BLOCK_BYTES, HEADER_BYTES, Header, Unfit, block_crc, parse_footer

CACHE_BYTES = 2 << 30
"""Two windows of thirty domains fit; a pod has room for it."""
PRUNED_SHARE = 8
"""When the cache is full an eighth of it goes, so that not every block looks for the oldest."""
FETCHES = 8
"""Blocks that a rank fetches at once: hides a store's latency, and bounds what is held in memory."""
LOCKS = 64
OPEN_FILES = 64


class Shard:
    """A shard whose header is known; the CRCs of its blocks are read with the first of them."""

    def __init__(self, store: Store, file: str, header: Header, field: str) -> None:
        self.store, self.file, self.header, self.field = store, file, header, field
        self.uri = f"{store.uri}/{file}"
        self._crcs: Sequence[int] | None = None

    def length(self, block: int) -> int:
        return min(BLOCK_BYTES, self.header.data_bytes - block * BLOCK_BYTES)

    def is_sound(self, block: int, data: bytes) -> bool:
        if self._crcs is None:
            footer = self._read(self.header.footer_start, self.header.file_bytes - self.header.footer_start)
            try:
                self._crcs = parse_footer(self.header, footer).tolist()
            except Unfit as unfit:
                raise unfit_shard(self.uri, self.field, str(unfit)) from unfit
        return len(data) == self.length(block) and block_crc(data) == self._crcs[block]

    def fetch(self, block: int) -> bytes:
        """A block as the store has it, if it is sound."""
        data = self._read(HEADER_BYTES + block * BLOCK_BYTES, self.length(block))
        if not self.is_sound(block, data):
            raise unfit_shard(self.uri, self.field, f"its tokens from number {self._first(block)} on are damaged")
        return data

    def _first(self, block: int) -> int:
        return block * BLOCK_BYTES // self.header.token_bytes

    def _read(self, start: int, length: int) -> bytes:
        try:
            return self.store.read(self.file, start, length)
        except Missing as gone:
            raise unfit_shard(self.uri, self.field, "it is gone") from gone


class Blocks(Protocol):
    """Bytes of checked blocks."""

    far: bool
    """Whether it pays to say beforehand what will be read."""

    def want(self, blocks: Sequence[tuple[Shard, int]]) -> None:
        """These will be read at once."""
        ...

    def read(self, shard: Shard, block: int, start: int, stop: int) -> bytes: ...


class LocalBlocks:
    """Shards that lie on a disk of this machine: read where they lie."""

    far = False

    def __init__(self, root: Path) -> None:
        self._prefix = f"{root}/"
        self._files = _Files()
        self._sound: set[tuple[str, int]] = set()

    def want(self, blocks: Sequence[tuple[Shard, int]]) -> None:
        """They are there."""

    def read(self, shard: Shard, block: int, start: int, stop: int) -> bytes:
        if (shard.file, block) not in self._sound:
            shard.fetch(block)
            self._sound.add((shard.file, block))
        at = HEADER_BYTES + block * BLOCK_BYTES
        try:
            data = self._files.read(self._prefix + shard.file, at + start, stop - start)
        except OSError as error:
            raise unfit_shard(shard.uri, shard.field, error.strerror or str(error)) from error
        if len(data) != stop - start:
            raise unfit_shard(shard.uri, shard.field, "it has become shorter")
        return data


class CachedBlocks:
    """Shards in a bucket: blocks of them in a folder of bounded size."""

    far = True

    def __init__(self, folder: Path, limit: int = CACHE_BYTES) -> None:
        self._folder, self._limit = folder, limit
        folder.mkdir(parents=True, exist_ok=True)
        self._files = _Files()
        self._sound: set[str] = set()
        self._written = limit  # whoever starts finds out what others left
        self._pool = ThreadPoolExecutor(FETCHES, thread_name_prefix="data-fetch")

    def want(self, blocks: Sequence[tuple[Shard, int]]) -> None:
        missing = {self._name(*block): block for block in blocks if not (self._folder / self._name(*block)).exists()}
        list(self._pool.map(lambda block: self._ensure(*block), missing.values()))

    def read(self, shard: Shard, block: int, start: int, stop: int) -> bytes:
        name = self._name(shard, block)
        while True:
            if name not in self._sound:
                self._ensure(shard, block)
            try:
                return self._files.read(f"{self._folder}/{name}", start, stop - start)
            except FileNotFoundError:  # another rank made room
                self._sound.discard(name)

    def _name(self, shard: Shard, block: int) -> str:
        header = shard.header
        said = f"{shard.uri}/{header.tokens}/{header.footer_crc}"
        return f"{sha256(said.encode()).hexdigest()[:32]}-{block}"

    def _ensure(self, shard: Shard, block: int) -> None:
        name = self._name(shard, block)
        path = self._folder / name
        with self._locked(name):
            kept = path.read_bytes() if path.exists() else b""
            if not shard.is_sound(block, kept):
                data = shard.fetch(block)
                unfinished = path.with_name(f".{name}")
                unfinished.write_bytes(data)
                unfinished.replace(path)
                self._written += len(data)
            self._sound.add(name)
        if self._written * PRUNED_SHARE > self._limit:
            self._written = 0
            self._prune()

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self._folder / f".lock-{zlib.crc32(name.encode()) % LOCKS}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prune(self) -> None:
        found = []
        for path in self._folder.iterdir():
            if not path.name.startswith("."):
                try:
                    stat = path.stat()
                except FileNotFoundError:  # another rank prunes too
                    continue
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit - self._limit // PRUNED_SHARE:
                return
            path.unlink(missing_ok=True)
            total -= size


class _Files:
    """A few open files; reads at a place, from any thread."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, path: str, start: int, length: int) -> bytes:
        handle = self._open.pop(path, None)
        if handle is None:
            handle = os.open(path, os.O_RDONLY)
        try:
            return os.pread(handle, length, start)
        finally:
            self._keep(path, handle)

    def _keep(self, path: str, handle: int) -> None:
        other = self._open.pop(path, None)
        if other is not None and other != handle:
            os.close(other)
        self._open[path] = handle
        while len(self._open) > OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
