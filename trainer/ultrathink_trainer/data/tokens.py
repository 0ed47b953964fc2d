"""Rows of token shards: opened with everything checked that can be, then read at any index in constant time."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy

from ultrathink_store import StorageSettings, Store, open_store
from ultrathink_store.backend import Missing

from . import index as indexes
from .blocks import Blocks, CachedBlocks, LocalBlocks, Shard
from .index import HELD_OUT, TRAIN, Index
from .order import Curriculum, Shuffle
from .refusals import about_data, no_index, other_tokenizer, too_few_ids, too_small, unfit_shard
from .shards import BLOCK_BYTES, HEADER_BYTES, Unfit, parse_header

# Shapes: B rows, T positions; a row has T + 1 tokens, so that every position has a label.

FORMAT = 1
"""Part of the fingerprint: another order of the same tokens is another format."""
HELD_OUT_SEED = 0
"""Held-out rows are the same for every job, so that losses can be compared."""
OPENERS = 16
"""Headers that are read at once."""
READ_AT_OPEN = 256 << 20
"""Data on a disk are read whole before the first step if they are not more: it takes a tenth of a second."""

Rows = "numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int64]]"


@dataclass(frozen=True)
class Part:
    """One data set of a mixture, as the job names it."""

    uri: str
    weight: int
    field: str


@dataclass(frozen=True)
class Access:
    """How this process reaches data: the runtime's way to a bucket, and a folder that ranks of a node share."""

    cache: Path
    settings: StorageSettings | None = None


class Stretch:
    """The tokens of one split, end to end, in shards."""

    def __init__(self, blocks: Blocks, shards: Sequence[Shard]) -> None:
        self._blocks, self._shards = blocks, shards
        self._starts = [0, *accumulate(shard.header.tokens for shard in shards)]
        self.tokens = self._starts[-1]
        self.far = blocks.far
        self._dtype = numpy.dtype(f"<u{shards[0].header.token_bytes}" if shards else "<u2")

    def pieces(self, first: int, last: int) -> list[tuple[Shard, int, int, int]]:
        """(shard, block, first byte, byte after the last one) of tokens first:last."""
        found = []
        number = bisect_right(self._starts, first) - 1
        while first < last:
            shard, start = self._shards[number], self._starts[number]
            width = shard.header.token_bytes
            at, end = (first - start) * width, (min(last, self._starts[number + 1]) - start) * width
            while at < end:
                block, inside = divmod(at, BLOCK_BYTES)
                stop = min(inside + end - at, BLOCK_BYTES)
                found.append((shard, block, inside, stop))
                at += stop - inside
            first, number = start + end // width, number + 1
        return found

    def want(self, spans: Sequence[tuple[int, int]]) -> None:
        self._blocks.want([(shard, block) for span in spans for shard, block, _, _ in self.pieces(*span)])

    def read(self, first: int, last: int) -> "numpy.ndarray[tuple[int], numpy.dtype[numpy.unsignedinteger]]":
        data = [self._blocks.read(*piece) for piece in self.pieces(first, last)]
        return numpy.frombuffer(data[0] if len(data) == 1 else b"".join(data), self._dtype)


@dataclass(frozen=True)
class Ordered:
    """A split in the order in which it is read."""

    stretch: Stretch
    shuffle: Shuffle
    length: int

    def span(self, index: int) -> tuple[int, int]:
        first = self.shuffle.row(index) * self.length
        return first, first + self.length + 1


class TokenRows:
    """Rows of one data set, or of several by their weights."""

    entropy: float | None = None

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        seed: int,
        length: int,
        access: Access,
        changes: Sequence[tuple[int, Sequence[int]]] = (),
    ) -> None:
        self.length = length
        opened = [DataSet(part, access) for part in parts]
        _refuse_two_tokenizers(opened)
        self.vocabulary = opened[0].index.vocabulary
        weights = [part.weight for part in parts]
        self._order = Curriculum.of(weights, changes)
        self._held_out_order = Curriculum.of(weights)  # always the same rows, whatever is trained
        self._train = [one.ordered(TRAIN, seed, length) for one in opened]
        self._held_out = [one.ordered(HELD_OUT, HELD_OUT_SEED, length) for one in opened]
        said: list[Any] = [FORMAT, seed, length, [[one.index.digest, one.part.weight] for one in opened]]
        said += [[first, *other] for first, other in changes]
        self.fingerprint = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
        self._uris = [part.uri for part in parts]

    def rows(self, indices: Sequence[int]) -> Rows:
        """Training rows: B x (length + 1)."""
        return self._read(self._train, self._order, indices)

    def held_out_rows(self, indices: Sequence[int]) -> Rows:
        """Held-out rows: B x (length + 1); they begin again where there are no more."""
        return self._read(self._held_out, self._held_out_order, indices)

    def _read(self, splits: Sequence[Ordered], order: Curriculum, indices: Sequence[int]) -> Rows:
        places = [order.at(index) for index in indices]
        spans = [(splits[domain].stretch, splits[domain].span(at)) for domain, at in places]
        for split in splits:
            if split.stretch.far:
                split.stretch.want([span for stretch, span in spans if stretch is split.stretch])
        rows = numpy.empty((len(indices), self.length + 1), numpy.int64)
        for row, (stretch, span) in zip(rows, spans, strict=True):
            row[:] = stretch.read(*span)
        if rows.size and (largest := int(rows.max())) >= self.vocabulary:
            uris = ", ".join(sorted({self._uris[domain] for domain, _ in places}))
            raise too_few_ids(
                f"{uris} says that token ids are below {self.vocabulary}, but holds {largest}", largest + 1
            )
        return rows


class DataSet:
    """A data set whose index, sizes and headers have been found right."""

    def __init__(self, part: Part, access: Access) -> None:
        self.part = part
        with about_data(part.field):
            self.store = open_store(part.uri, access.settings)
            self.index = read_index(self.store, part.uri, part.field)
            headers = self._open_shards()
        local = part.uri.startswith("file://")
        self.blocks: Blocks = (
            LocalBlocks(Path(self.store.uri.removeprefix("file://"))) if local else CachedBlocks(access.cache)
        )
        self.splits = {
            name: Stretch(self.blocks, [headers[shard.file] for shard in split.shards])
            for name, split in self.index.splits.items()
        }
        if local and sum(shard.header.data_bytes for shard in headers.values()) <= READ_AT_OPEN:
            for shard in headers.values():
                for block in range(shard.header.blocks):
                    self.blocks.read(shard, block, 0, 0)

    def ordered(self, split: str, seed: int, length: int) -> Ordered:
        stretch = self.splits.get(split)
        tokens = stretch.tokens if stretch else 0
        if stretch is None or tokens <= length:
            raise too_small(self.part.uri, self.part.field, split, tokens, length)
        rows = (tokens - 1) // length
        # In tokens, not in bytes: the order must not change with the width.
        chunk = min(rows, max(1, BLOCK_BYTES // 2 // length))
        return Ordered(stretch, Shuffle(rows, chunk, f"{self.index.digest}/{split}/{seed}"), length)

    def _open_shards(self) -> dict[str, Shard]:
        sizes = {entry.key: entry.size for entry in self.store.list()}
        wanted = [shard for split in self.index.splits.values() for shard in split.shards]
        for shard in wanted:
            size = sizes.get(shard.file)
            if size != shard.bytes:
                why = "it is missing" if size is None else f"it has {size} bytes, and {shard.bytes} were written"
                raise unfit_shard(f"{self.part.uri}/{shard.file}", self.part.field, why)
        with ThreadPoolExecutor(OPENERS) as pool:
            return dict(pool.map(self._open_shard, wanted))

    def _open_shard(self, entry: indexes.ShardEntry) -> tuple[str, Shard]:
        uri = f"{self.part.uri}/{entry.file}"
        try:
            header = parse_header(self.store.read(entry.file, 0, HEADER_BYTES))
        except (Unfit, Missing) as unfit:
            raise unfit_shard(uri, self.part.field, str(unfit)) from unfit
        if header.tokenizer != self.index.tokenizer.sha256:
            raise other_tokenizer(f"{uri} was made with another tokenizer than its index says", self.part.field)
        if (header.dtype, header.tokens, header.file_bytes) != (self.index.dtype, entry.tokens, entry.bytes):
            raise unfit_shard(uri, self.part.field, "it is not the shard that the index names")
        return entry.file, Shard(self.store, entry.file, header, self.part.field)


def read_index(store: Store, uri: str, field: str) -> Index:
    """The index of a data set."""
    try:
        return indexes.decode(store.read(indexes.FILE))
    except Missing as missing:
        raise no_index(uri, field, f"it has no {indexes.FILE}") from missing
    except ValueError as unfit:
        raise no_index(uri, field, f"its {indexes.FILE} is damaged: {unfit}") from unfit


def _refuse_two_tokenizers(opened: Sequence[DataSet]) -> None:
    first = opened[0]
    for other in opened[1:]:
        if other.index.tokenizer.sha256 != first.index.tokenizer.sha256:
            raise other_tokenizer(
                f"{other.part.uri} and {first.part.uri} were made with two tokenizers", other.part.field
            )


def refuse_small_vocabulary(parts: Sequence[Part], needed: int, vocabulary: int) -> None:
    if vocabulary < needed:
        named = ", ".join(part.uri for part in parts)
        raise too_few_ids(f"{named} has {needed} token ids, but the model knows {vocabulary}", needed)
