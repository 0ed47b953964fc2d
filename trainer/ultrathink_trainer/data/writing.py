"""Tokens become shards and an index below a URI; nothing that reads sees them before the index is there."""

import hashlib

import numpy

from ultrathink_store import Store
from ultrathink_store.backend import Exists

from . import index as indexes
from .index import Index, ShardEntry, Split
from .shards import encode

Tokens = "numpy.ndarray[tuple[int], numpy.dtype[numpy.unsignedinteger]]"


class SplitWriter:
    """Cuts a stream of tokens into shards of one size; only the last may be shorter."""

    def __init__(self, store: Store, name: str, dtype: str, tokenizer: str, shard_tokens: int) -> None:
        self._store, self._name, self._dtype, self._tokenizer = store, name, dtype, tokenizer
        self._shard_tokens = shard_tokens
        self._waiting: list[Tokens] = []
        self._count = 0
        self._shards: list[ShardEntry] = []
        self.documents = 0

    def add(self, tokens: Tokens, documents: int) -> None:
        """Whole documents, each with its end token."""
        self.documents += documents
        while len(tokens):
            taken = tokens[: self._shard_tokens - self._count]
            self._waiting.append(taken)
            self._count += len(taken)
            tokens = tokens[len(taken) :]
            if self._count == self._shard_tokens:
                self._put()

    def close(self) -> Split:
        if self._count:
            self._put()
        tokens = sum(shard.tokens for shard in self._shards)
        return Split(documents=self.documents, tokens=tokens, shards=tuple(self._shards))

    def _put(self) -> None:
        data = encode(numpy.concatenate(self._waiting).astype(self._dtype), self._tokenizer)
        sha256 = hashlib.sha256(data).hexdigest()
        # Named by its content: one that an interrupted run has left is the one that this run would write.
        file = f"{self._name}/{len(self._shards):05d}-{sha256[:12]}.tokens"
        put(self._store, file, data)
        self._shards.append(ShardEntry(file=file, tokens=self._count, bytes=len(data), sha256=sha256))
        self._waiting, self._count = [], 0


def put(store: Store, key: str, data: bytes) -> None:
    """An object that is named by its content."""
    try:
        with store.writer(key, len(data)) as writer:
            writer.write(data)
    except Exists:
        return


def tokenizer_key(sha256: str) -> str:
    return f"tokenizer-{sha256[:12]}.json"


def commit(store: Store, index: Index) -> None:
    """From now on there is a data set. Raises Exists where there is one."""
    store.create(indexes.FILE, index.encode())
